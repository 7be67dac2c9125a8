"""What the clock brings: months that begin, units that end, and work that was lost. A few rows at a time, each in a unit of its own."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.orm import Session

from luminai import HubError, PluginContext
from luminai_credits.catalogue import Catalogue
from luminai_credits.meter import CreditsMeter
from luminai_credits.models import buckets, wallets
from luminai_credits.purse import Purse, side_of
from luminai_credits.subscriptions import Subscriptions
from luminai_credits.wallets import Wallets

PAGE: Final = 50
MOST_PAGES: Final = 200


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """The input of an action that takes none."""


class Kept(Struct, frozen=True, kw_only=True):
    """What upkeep did: wallets brought up to date, buckets whose rest ended, holds of lost work released, and what failed."""

    wallets: int
    buckets: int
    holds: int
    failed: int


class Upkeep:
    """Runs for everybody, in the hub's name."""

    def __init__(
        self, ctx: PluginContext, catalogue: Catalogue, purse: Purse, wallets: Wallets, subscriptions: Subscriptions, meter: CreditsMeter
    ) -> None:
        self._ctx = ctx
        self._catalogue = catalogue
        self._purse = purse
        self._wallets = wallets
        self._subscriptions = subscriptions
        self._meter = meter

    async def run(self) -> Kept:
        """Turn months first, so that what is carried over does not end, then end units, then release what was lost."""
        db, failed = self._ctx.db.as_system(), 0
        turned = ended = released = 0
        for wallet in await db.read(self._due_wallets):
            try:
                await db.write(lambda session, wallet=wallet: self._turn(session, wallet))  # type: ignore[misc]
                turned += 1
            except HubError:
                failed += 1
                self._ctx.log.exception("credits.turn.failed", extra={"wallet": wallet.id})
        for bucket in await db.read(self._ended_buckets):
            try:
                ended += await db.write(lambda session, bucket=bucket: self._expire(session, bucket))  # type: ignore[misc]
            except HubError:
                failed += 1
                self._ctx.log.exception("credits.expire.failed", extra={"bucket": bucket.id})
        for _ in range(MOST_PAGES):
            found = await db.write(lambda session: self._meter.sweep(session, PAGE))
            released += found
            if found < PAGE:
                break
        return Kept(wallets=turned, buckets=ended, holds=released, failed=failed)

    def _due_wallets(self, session: Session) -> list[Any]:
        due = select(wallets).where(wallets.c.due_at <= self._ctx.clock.now()).order_by(wallets.c.due_at).limit(PAGE * MOST_PAGES)
        return list(session.execute(due))

    def _turn(self, session: Session, known: Any) -> None:
        now = self._ctx.clock.now()
        product = self._catalogue.product(session, known.product)
        wallet = self._wallets.find(session, known.subject, known.product)
        if wallet is not None:
            self._subscriptions.turn(session, wallet, product, now)
            self._wallets.tell(session, wallet, now)

    def _ended_buckets(self, session: Session) -> list[Any]:
        mine = buckets.c.closed_at.is_(None) & (buckets.c.expires_at <= self._ctx.clock.now())
        waits = select(wallets.c.id).where(wallets.c.due_at <= self._ctx.clock.now())  # its month has to begin first
        query = select(buckets).where(mine, buckets.c.wallet_id.not_in(waits)).order_by(buckets.c.expires_at).limit(PAGE * MOST_PAGES)
        return list(session.execute(query))

    def _expire(self, session: Session, bucket: Any) -> int:
        """Take what is left out of a bucket that ended; it is closed once nothing of it is held for work that runs."""
        now: datetime = self._ctx.clock.now()
        wallet = session.execute(select(wallets).where(wallets.c.id == bucket.wallet_id)).one()
        left = self._purse.balances(session, [bucket.account])[bucket.account]
        if left.available > 0:
            moves = [(bucket.account, side_of(wallet.id, "expired", wallet.unit), left.available)]
            self._purse.move(session, f"expire:{bucket.id}:{left.seq}", moves, wallet.unit, code="credits.expire", reference=bucket.id)
            self._wallets.tell(session, wallet, now)
        if left.pending:
            return 0
        self._wallets.close_bucket(session, bucket, now)
        return 1
