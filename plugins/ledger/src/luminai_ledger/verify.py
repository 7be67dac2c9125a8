"""The books made anew from their history, and compared with what stands in them."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, Struct
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from luminai import PluginContext
from luminai_ledger.models import BALANCES, UNLISTED, accounts, holds, lines, seals, transfers
from luminai_ledger.reading import wire
from luminai_ledger.sealing import EMPTY, Digest, history

MOST: Final = 100
"""Differences that are told one by one; the others are counted."""
RULES: Final = (
    *("ledger__account_changed", "ledger__account_deleted", "ledger__account_not_new", "ledger__asset_changed", "ledger__asset_deleted"),
    *("ledger__balance_by_hand", "ledger__hold_by_hand", "ledger__hold_changed", "ledger__hold_deleted", "ledger__post", "ledger__seal_changed"),
    *("ledger__seal_deleted", "ledger__seal_not_new", "ledger__transfer_changed", "ledger__transfer_deleted"),
)
"""Triggers that must be there and turned on."""
_RULES_SQLITE: Final = ("ledger__line_changed", "ledger__line_deleted", "ledger__list")
_TRIGGERS_SQLITE: Final = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
_TRIGGERS_POSTGRES: Final = (
    "SELECT t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
    " WHERE c.relnamespace = current_schema()::regnamespace AND t.tgenabled IN ('O', 'A')"
)

_LISTED: Final = select(
    select(func.count()).select_from(lines).scalar_subquery(), select(func.coalesce(func.max(transfers.c.seq), 0)).scalar_subquery()
)


class Difference(Struct, frozen=True, kw_only=True):
    """Something that is not as the history says.

    Attributes:
        kind: ``balance``, ``snapshot``, ``order``, ``overdrawn``, ``unknown-account``, ``asset``, ``hold``, ``line``, ``seal`` or
            ``rule-missing``.
        object: Account, transfer, hold, number of the seal, name of the rule or table.
    """

    kind: Annotated[str, Meta(max_length=40)]
    object: Annotated[str, Meta(max_length=80)]
    expected: Annotated[str, Meta(max_length=200)] = ""
    found: Annotated[str, Meta(max_length=200)] = ""


class Verification(Struct, frozen=True, kw_only=True):
    """What was compared, and what differed.

    Attributes:
        through_seq: The last transfer that was looked at.
        sealed_seq: The last transfer under a seal.
        seal: Digest of the newest seal in hex, "" before the first: the audit log has the same, as an entry ``ledger.seal``.
        count: All differences; ``differences`` names the first hundred.
    """

    transfers: int
    accounts: int
    holds: int
    seals: int
    through_seq: int
    sealed_seq: int
    seal: str
    count: int
    differences: tuple[Difference, ...]


class _Account:
    __slots__ = ("asset", "balances", "expected", "guard", "is_met", "last_seq", "overdraft", "seq")

    def __init__(self, row: Any) -> None:
        self.asset: str = row.asset
        self.guard: int = row.guard
        self.overdraft: int = row.overdraft
        self.last_seq: int = row.last_seq
        self.expected = tuple(getattr(row, name) for name in BALANCES)
        self.balances = [0, 0, 0, 0]
        self.seq = 0
        self.is_met = self.last_seq == 0


class _Check:
    """One pass over the history."""

    def __init__(self, known: dict[bytes, _Account], sealed: list[Any]) -> None:
        self.accounts = known
        self.open: dict[bytes, tuple[bytes, bytes, int]] = {}
        self.unknown: dict[bytes, int] = {}
        self.found: list[Difference] = []
        self.count = self.transfers = self.last = self.sealed = 0
        self._seals = iter(sealed)
        self._seal: Any = next(self._seals, None)
        self._digest = Digest(EMPTY)

    def differs(self, kind: str, thing: str, expected: object = "", found: object = "") -> None:
        """Note a difference."""
        self.count += 1
        if len(self.found) < MOST:
            self.found.append(Difference(kind=kind, object=thing[:80], expected=str(expected)[:200], found=str(found)[:200]))

    def take(self, row: Any) -> None:
        """Take the next transfer."""
        self._take_seal(row)
        self.transfers += 1
        self.last = row.seq
        sides = [(bytes(row.debit), "dr", 0), (bytes(row.credit), "cr", 1)]
        if row.kind == 1:
            self.open[bytes(row.id)] = (bytes(row.debit), bytes(row.credit), row.amount)
        elif row.kind >= 2:
            held = self.open.pop(bytes(row.hold), None)
            if held != (bytes(row.debit), bytes(row.credit), row.released) or row.amount > row.released:
                self.differs("hold", wire("trf", row.hold), "an open hold of the same accounts and amount", f"resolved at {row.seq}")
        assets = set()
        for identity, short, place in sides:
            account = self.accounts.get(identity)
            if account is None:
                self.unknown.setdefault(identity, row.seq)
                continue
            assets.add(account.asset)
            self._move(account, row, identity, short, place)
        if len(assets) > 1:
            self.differs("asset", wire("trf", row.id), found=", ".join(sorted(assets)))

    def _move(self, account: _Account, row: Any, identity: bytes, short: str, place: int) -> None:
        balances = account.balances
        balances[place] += row.amount if row.kind in (0, 2) else 0
        balances[place + 2] += row.amount if row.kind == 1 else -row.released
        said = [getattr(row, f"{short}_{name}") for name in BALANCES]
        if balances != said:
            self.differs("snapshot", wire("trf", row.id), balances, said)
            account.balances = balances = said  # what follows is compared with what was said, so that one fault is told once
        own, other = (0, 1) if account.guard == 1 else (1, 0)
        if account.guard and balances[own] + balances[own + 2] > balances[other] + account.overdraft:
            self.differs("overdrawn", wire("acc", identity), found=f"after transfer {row.seq}")
        account.seq = row.seq
        if row.seq == account.last_seq:
            account.is_met = True
            if tuple(balances) != account.expected:
                self.differs("balance", wire("acc", identity), balances, list(account.expected))

    def _take_seal(self, row: Any) -> None:
        while self._seal is not None and row.seq > self._seal.last_seq:
            self._end_seal()
        if self._seal is not None:
            self._digest.add(row)

    def _end_seal(self) -> None:
        one = self._seal
        if (self._digest.count, self._digest.value()) != (one.count, bytes(one.digest)):
            self.differs(
                "seal", str(one.id), f"{one.count} transfers, {bytes(one.digest).hex()}", f"{self._digest.count}, {self._digest.value().hex()}"
            )
        self.sealed = one.last_seq
        self._digest = Digest(bytes(one.digest))
        self._seal = next(self._seals, None)

    def end(self) -> None:
        """Look at what must have come by now."""
        while self._seal is not None:
            self._end_seal()
        for identity, account in self.accounts.items():
            if not account.is_met:
                self.differs("balance", wire("acc", identity), f"a transfer {account.last_seq}", f"the last is {account.seq}")


async def verify(ctx: PluginContext) -> Verification:
    """Walk the whole history once and compare balances, snapshots, holds, seals; look whether the database's own rules are in place.

    Transfers may go on meanwhile: an account is compared at the place where it stood when the walk began, and what began or ended on the way is
    looked up once more.
    """
    database = ctx.db.as_system()
    triggers = _TRIGGERS_SQLITE if database.dialect == "sqlite" else _TRIGGERS_POSTGRES
    names = await database.read(lambda session: set(session.execute(text(triggers)).scalars()))
    held = {bytes(row.id): (bytes(row.debit), bytes(row.credit), row.amount) async for row in database.stream(select(holds))}
    known = {bytes(row.id): _Account(row) async for row in database.stream(select(accounts))}
    sealed = [row async for row in database.stream(select(seals).order_by(seals.c.id))]
    check = _Check(known, sealed)
    for name in (*RULES, *_RULES_SQLITE) if database.dialect == "sqlite" else RULES:
        if name not in names:
            check.differs("rule-missing", name)
    if database.dialect == "sqlite":
        async for listed, newest in database.stream(_LISTED):
            if listed != (due := 2 * (newest - newest % UNLISTED)):
                check.differs("line", lines.name, due, listed)
    async for row in database.stream(history(1), batch=2000):
        check.take(row)
    check.end()
    for identity, seq in check.unknown.items():
        if not await database.read(lambda session, one=identity: _is_open(session, one)):  # type: ignore[misc]
            check.differs("unknown-account", wire("acc", identity), found=f"transfer {seq}")
    for identity in held.keys() | check.open.keys():
        if held.get(identity) != check.open.get(identity) and not await database.read(lambda session, one=identity: _is_sound(session, one)):  # type: ignore[misc]
            check.differs("hold", wire("trf", identity), check.open.get(identity, ("", "", "nothing"))[2], held.get(identity, ("", "", "nothing"))[2])
    return Verification(
        transfers=check.transfers,
        accounts=len(known),
        holds=len(held),
        seals=len(sealed),
        through_seq=check.last,
        sealed_seq=check.sealed,
        seal=bytes(sealed[-1].digest).hex() if sealed else "",
        count=check.count,
        differences=tuple(check.found),
    )


def _is_open(session: Session, identity: bytes) -> bool:
    return session.execute(select(accounts.c.id).where(accounts.c.id == identity)).first() is not None


def _is_sound(session: Session, identity: bytes) -> bool:
    """Tell whether a hold is there just if its transfer is, and nothing resolved it."""
    hold = session.execute(select(holds).where(holds.c.id == identity)).first()
    begun = session.execute(select(transfers).where(transfers.c.id == identity, transfers.c.kind == 1)).first()
    is_over = session.execute(select(transfers.c.seq).where(transfers.c.hold == identity)).first() is not None
    if hold is None:
        return begun is None or is_over
    return begun is not None and not is_over and (hold.debit, hold.credit, hold.amount) == (begun.debit, begun.credit, begun.amount)
