"""Wallets: a person's standing in a product, and the buckets that hold units under the same terms."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session

from luminai import Conflict, Event, PluginContext, Prepared
from luminai_credits.events import Changed, Granted
from luminai_credits.models import buckets, grants, wallets
from luminai_credits.products import Product, Source
from luminai_credits.purse import Purse, side_of

_ROOM: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
NEVER: Final = datetime.max.replace(tzinfo=UTC)
_BEGUN: Final = Prepared(
    select(buckets).where(
        buckets.c.wallet_id == bindparam("wallet"),
        buckets.c.subject == bindparam("owner"),
        buckets.c.closed_at.is_(None),
        buckets.c.effective_at.is_(None) | (buckets.c.effective_at <= bindparam("now")),
    )
)
_MINE: Final = select(wallets).where(wallets.c.subject == bindparam("owner"), wallets.c.product == bindparam("of"))
_FOUND: Final = Prepared(_MINE)
_LOCKED: Final = Prepared(_MINE.with_for_update(key_share=True))


class Gift(Struct, frozen=True, kw_only=True):
    """Units for a wallet. ``key`` names them for ever; a lower ``priority`` is spent first within its source."""

    source: Source
    amount: int
    key: str
    priority: int = 100
    effective_at: datetime | None = None
    expires_at: datetime | None = None
    note: str = ""


class Payer(Struct, frozen=True):
    """What telling needs to know of a wallet, for those who have it by other rows than its own."""

    id: str
    subject: str
    product: str
    unit: str


class Bucket(Struct, frozen=True):
    """A bucket, what of it can be spent, and what is held of it for work in progress."""

    row: Any
    available: int
    pending: int


class Wallets:
    """Opens wallets and fills buckets; all methods are plain functions of a session, confined to the person's own rows."""

    def __init__(self, ctx: PluginContext, purse: Purse) -> None:
        self._ctx = ctx
        self._purse = purse

    def find(self, session: Session, subject: str, product: str, *, lock: bool = False) -> Any | None:
        """Return a person's wallet, None when there is none yet. ``lock``: nobody else decides on it until the unit ends."""
        return (_LOCKED if lock else _FOUND).first(session, {"owner": subject, "of": product})

    def open(self, session: Session, subject: str, product: Product, now: datetime) -> Any:
        """Return a person's wallet, locked; the first time it is opened, and the welcome is in it."""
        found = self.find(session, subject, product.product, lock=True)
        if found is not None:
            return found
        wallet_id = self._ctx.new_id("wal")
        plan = product.plan(product.default_plan)
        state = {"plan": plan.id, "state": "active", "anchor": now, "zone": "UTC", "term": 1, "month": -1, "paid_months": 0}
        rest = {"next_plan": "", "wanted_plan": "", "wanted_due": 0, "had_trial": False, "tries": 0, "raised": 0}
        row = {"id": wallet_id, "subject": subject, "product": product.product, "unit": product.unit, **state, **rest}
        session.execute(insert(wallets).values(**row, due_at=now if plan.credits else None, opened_at=now, updated_at=now))
        self._purse.open_sides(session, wallet_id, product.unit)
        wallet = self.find(session, subject, product.product)
        if product.welcome:
            self.give(session, wallet, Gift(source="promo", amount=product.welcome, key=f"welcome:{wallet_id}", note="Welcome"), now)
        return wallet

    def change(self, session: Session, wallet: Any, now: datetime, **values: Any) -> Any:
        """Change a wallet's row and return it."""
        mine = (wallets.c.id == wallet.id) & (wallets.c.subject == wallet.subject)
        session.execute(update(wallets).where(mine).values(**values, updated_at=now))
        return self.find(session, wallet.subject, wallet.product)

    def give(self, session: Session, wallet: Any, gift: Gift, now: datetime) -> Any:
        """Put units into a wallet and return the grant's row; a second time with the same key gives nothing.

        Raises:
            Conflict: the key gave something else (code ``credits.key-reused``).
        """
        known = session.execute(select(grants).where(grants.c.key == gift.key, grants.c.subject == wallet.subject)).first()
        if known is not None:
            if (known.wallet_id, known.source, known.amount) != (wallet.id, gift.source, gift.amount):
                raise Conflict("This key was used for another grant.", code="credits.key-reused", hint="Take another key.")
            return known
        bucket = self.bucket(session, wallet, gift, now)
        reference, moves = f"grant:{gift.key}", [(side_of(wallet.id, "issued", wallet.unit), bucket.account, gift.amount)]
        self._purse.move(session, reference, moves, wallet.unit, code=f"credits.grant.{gift.source}", reference=bucket.id)
        granted = self.note(session, wallet, bucket.id, gift, now)
        self.tell(session, wallet, now)
        return granted

    def note(self, session: Session, wallet: Any, bucket_id: str, gift: Gift, now: datetime) -> Any:
        """Write down what somebody was given, say so, and return the row."""
        row = {"id": self._ctx.new_id("grt"), "subject": wallet.subject, "wallet_id": wallet.id, "bucket_id": bucket_id, "unit": wallet.unit}
        session.execute(insert(grants).values(**row, source=gift.source, amount=gift.amount, key=gift.key, note=gift.note, at=now))
        self.publish(session, "Granted", Granted(row["id"], wallet.product, wallet.unit, gift.source, gift.amount), wallet.subject)
        return session.execute(select(grants).where(grants.c.id == row["id"], grants.c.subject == wallet.subject)).one()

    def has(self, session: Session, wallet: Any, key: str) -> bool:
        """Tell whether a grant of that key was given."""
        return session.execute(select(grants.c.id).where(grants.c.key == key, grants.c.subject == wallet.subject)).first() is not None

    def bucket(self, session: Session, wallet: Any, gift: Gift, now: datetime) -> Any:
        """Return the wallet's open bucket with the gift's terms, a new one where there is none."""
        start = gift.effective_at if gift.effective_at is not None and gift.effective_at > now else None
        terms = {"source": gift.source, "priority": gift.priority, "effective_at": start, "expires_at": gift.expires_at}
        same = [buckets.c[name].is_(None) if value is None else buckets.c[name] == value for name, value in terms.items()]
        mine = (buckets.c.wallet_id == wallet.id) & (buckets.c.subject == wallet.subject)
        found = session.execute(select(buckets).where(mine, buckets.c.closed_at.is_(None), *same).limit(1)).first()
        if found is not None:
            return found
        bucket_id = self._ctx.new_id("bkt")
        account = self._purse.open(session, wallet.subject, f"bucket:{bucket_id}", wallet.unit)
        row = {"id": bucket_id, "subject": wallet.subject, "wallet_id": wallet.id, "account": account, **terms}
        session.execute(insert(buckets).values(**row, created_at=now))
        return session.execute(select(buckets).where(mine, buckets.c.id == bucket_id)).one()

    def begun(self, session: Session, wallet: Any, now: datetime) -> list[Bucket]:
        """Return a wallet's buckets that have begun, also ended ones whose rest was not taken out yet, with what is in them."""
        found = _BEGUN.rows(session, {"wallet": wallet.id, "owner": wallet.subject, "now": now})
        balances = self._purse.balances(session, [row.account for row in found])
        return [Bucket(row, balances[row.account].available, balances[row.account].pending) for row in found]

    def totals(self, session: Session, wallet: Any, now: datetime) -> tuple[int, int]:
        """Return what is available in all of a wallet's buckets, and what is held of them, also of ended ones, for work in progress."""
        return totals_of(self.begun(session, wallet, now), now)

    def room(self, session: Session, wallet: Any, product: Product, amount: int, now: datetime) -> int:
        """Return how much of a gift fits below the product's maximum, which purchases have raised."""
        if not product.maximum:
            return amount
        room: int = product.maximum + wallet.raised - sum(self.totals(session, wallet, now))
        return max(0, min(amount, room))

    def close_bucket(self, session: Session, bucket: Any, now: datetime) -> None:
        """Close an emptied bucket for good."""
        mine = (buckets.c.id == bucket.id) & (buckets.c.subject == bucket.subject)
        session.execute(update(buckets).where(mine).values(closed_at=now))

    def tell(self, session: Session, wallet: Any, now: datetime, totals: tuple[int, int] | None = None) -> None:
        """Tell the person's live meters what is there, after the commit. ``totals``: as of ``totals``, where the unit knows them already."""
        if _ROOM.fullmatch(wallet.subject):

            def said() -> Changed:
                return Changed(wallet.product, wallet.unit, *(totals or self.totals(session, wallet, now)))

            self._ctx.live.publish(f"credits.wallet.{wallet.subject}", "changed", said, session=session)

    def publish(self, session: Session, name: str, payload: Struct, subject: str) -> None:
        """Publish one of the plugin's events about a person."""
        self._ctx.db.publish(session, Event(type=f"credits.{name}", payload=msgspec.to_builtins(payload), subject=subject))


def spendable(begun: Sequence[Bucket], funding: Sequence[str], now: datetime) -> list[Bucket]:
    """Return what may be spent, in the order of spending: by funding, then priority, then earliest end, then age."""
    found = [one for one in begun if one.row.source in funding and _holds(one, now)]
    return sorted(
        found, key=lambda one: (funding.index(one.row.source), one.row.priority, one.row.expires_at or NEVER, one.row.created_at, one.row.id)
    )


def totals_of(begun: Sequence[Bucket], now: datetime) -> tuple[int, int]:
    """Return what is available in buckets that hold now, and what is held of all of them."""
    return sum(one.available for one in begun if _holds(one, now)), sum(one.pending for one in begun)


def _holds(bucket: Bucket, now: datetime) -> bool:
    return bucket.row.expires_at is None or bucket.row.expires_at > now
