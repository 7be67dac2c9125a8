"""The ledger as other plugins have it: ``ctx.service(Ledger)``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from luminai import Money, NotFound, PluginContext, Unprocessable
from luminai_ledger import reading
from luminai_ledger.accounts import Account, Balance, close_account, open_account
from luminai_ledger.apply import apply
from luminai_ledger.assets import ASSETS_POINT, Asset, currencies, define, merged, parse_amount
from luminai_ledger.config import LedgerConfig
from luminai_ledger.journal import Journal, Outcome, Transfer, raw
from luminai_ledger.models import assets, holds
from luminai_ledger.moments import micros
from luminai_ledger.prepared import Prepared, Refusal, prepare, refused
from luminai_ledger.writer import Writer

MAX_REVERSED: Final = 10_000


class Ledger:
    """Accounts and what moves between them.

    Methods with a ``session`` belong into a unit of work of the caller, so that what they do is there with the caller's rows or not at all; the unit
    is written with ``ctx.db.write``, in whose name ever. ``submit`` is for what has no rows of its own: it is written together with what others
    submit, many times faster.
    """

    def __init__(self, ctx: PluginContext) -> None:
        config: LedgerConfig = ctx.config
        self._ctx = ctx
        self._writer = Writer(ctx, config.waiting)
        self._assets: dict[str, Asset] = {}

    @property
    def assets(self) -> Mapping[str, Asset]:
        """Return the declared assets by code: currencies, those of the settings, those of plugins."""
        return self._assets

    def asset(self, code: str) -> Asset:
        """Return a declared asset.

        Raises:
            NotFound: there is none (code ``ledger.unknown-asset``).
        """
        found = self._assets.get(code)
        if found is None:
            hint = "Declare it in [plugins.ledger.config] assets, or have its plugin offer it."
            raise NotFound(f"There is no asset {code[:40]}.", code="ledger.unknown-asset", hint=hint)
        return found

    def parse(self, text: str, code: str) -> Money:
        """Return the amount of an asset that a decimal text means. Raises as ``asset`` and ``parse_amount``."""
        return parse_amount(text, self.asset(code))

    def define(self, session: Session, asset: Asset) -> None:
        """Add an asset that comes from a plugin's rows. Raises as ``assets.define``."""
        define(session, asset)
        self._assets[asset.code] = asset

    def open(self, session: Session, account: Account) -> str:
        """Open an account, unless it is open already, and return its id.

        Raises:
            Unprocessable: there is no such asset (code ``ledger.unknown-asset``).
            Conflict: it is there with another guard or overdraft, or it was closed (codes ``ledger.account-differs``, ``ledger.account-closed``).
        """
        return open_account(session, account, self._ctx.clock.now())

    def close(self, session: Session, account: str) -> None:
        """Close an empty account for good. Raises as ``close_account``."""
        close_account(session, account, self._ctx.clock.now())

    def apply(self, session: Session, *journals: Journal) -> list[Outcome]:
        """Write journals in the caller's own unit and return what became of each. A refusal is an outcome and no exception: what is to happen then
        is the caller's to say. Nothing else of the unit is undone by it.
        """
        return apply(session, journals, self._ctx.clock.now())

    async def submit(self, *journals: Journal) -> list[Outcome]:
        """Write journals, each by itself, together with those of other callers; return once they are durable.

        Raises:
            Unavailable: too much waits, or the ledger stops (codes ``ledger.busy``, ``ledger.stopped``). Asking again with the same keys is safe.
            DeadlineExceeded: the database did not answer; ask again with the same keys.
        """
        found: list[Outcome | None] = []
        sound: list[Prepared] = []
        for journal in journals:
            try:
                sound.append(prepare(journal))
                found.append(None)
            except Refusal as refusal:
                found.append(refused(journal, refusal))
        written = iter(await self._writer.submit(sound) if sound else ())
        return [next(written) if outcome is None else outcome for outcome in found]

    def reverse(self, session: Session, journal: str, *, scope: str, key: str, code: str, reference: str = "") -> Outcome:
        """Take a journal back by one that moves the same amounts the other way; that happens once, whatever the key.

        Raises:
            NotFound: there is no such journal (code ``ledger.transfer-not-found``).
            Unprocessable: it holds or voids something, which is posted or voided and not reversed (code ``ledger.not-reversible``).
        """
        legs = reading.journal_legs(session, journal)
        if any(leg.kind not in ("transfer", "post") for leg in legs):
            raise Unprocessable("A journal with holds is not reversed.", code="ledger.not-reversible", hint="Post or void its holds.")
        back = tuple(
            Transfer(debit=leg.credit, credit=leg.debit, amount=Money(leg.amount, leg.asset), code=code, reference=reference)
            for leg in reversed(legs)
        )
        return apply(session, [Journal(scope=scope, key=key, legs=back)], self._ctx.clock.now(), reverses=journal)[0]

    def balance(self, session: Session, account: str, at: int | None = None) -> Balance:
        """Return what an account holds, or held after the transfer at place ``at``. Raises as ``reading.balance``."""
        return reading.balance(session, account, at)

    def balances(self, session: Session, accounts: Sequence[str]) -> dict[str, Balance]:
        """Return what several accounts hold, by id; those that are not open are left out."""
        return reading.balances(session, accounts)

    def statement(
        self,
        session: Session,
        account: str,
        *,
        limit: int = 100,
        before: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[reading.Line]:
        """Return lines of an account's statement, newest first. As ``reading.statement``."""
        return reading.statement(session, account, limit=limit, before=before, since=since, until=until)

    def holds(self, session: Session, account: str, *, limit: int = 100, after: str | None = None) -> list[reading.OpenHold]:
        """Return what is set aside in an account now, by id, those behind ``after``."""
        return reading.open_holds(session, account=account, limit=limit, after=after)

    def renew(self, session: Session, hold: str, seconds: int | None) -> bool:
        """Let a hold's lease end so many seconds from now; None: it has none any more, as while a provider's answer is not known.

        Returns:
            False when it was posted or voided.
        """
        until = None if seconds is None else micros(self._ctx.clock.now()) + seconds * 1_000_000
        found = session.execute(update(holds).where(holds.c.id == raw(hold)).values(expires_at=until))
        return bool(getattr(found, "rowcount", 0))

    async def start(self) -> None:
        """Bring the table of assets up to date, and begin to write."""
        config: LedgerConfig = self._ctx.config
        declared = merged(currencies().values(), config.assets, self._ctx.extensions(ASSETS_POINT))

        def unit(session: Session) -> dict[str, Asset]:
            known = {row.code: Asset(code=row.code, exponent=row.exponent, title=row.title) for row in session.execute(select(assets))}
            for asset in declared:
                if known.get(asset.code) != asset:
                    define(session, asset)
            return known

        known = await self._ctx.db.as_system().write(unit)
        self._assets = known | {asset.code: asset for asset in declared}
        self._ctx.spawn(self._writer.run(), name="writer")

    @property
    def waiting(self) -> int:
        """How many legs wait to be written."""
        return self._writer.waiting

    def stop(self) -> None:
        """Take nothing more; what waits is still written."""
        self._writer.close()
