"""What the books say: balances now and at any place, statements, holds, journals."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

from msgspec import Struct
from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select, union_all
from sqlalchemy.orm import Session

from luminai import NotFound
from luminai_ledger.accounts import Balance, Guard, find_account
from luminai_ledger.by_ids import rows_of
from luminai_ledger.journal import raw
from luminai_ledger.models import BALANCES, UNLISTED, accounts, holds, lines, transfers
from luminai_ledger.moments import micros, moment

_BY_ID: Final = f"SELECT id, asset, guard, overdraft, last_seq, {', '.join(BALANCES)} FROM ledger__accounts WHERE id"  # noqa: S608 - our own names
KINDS: Final[tuple[Literal["transfer", "hold", "post", "void"], ...]] = ("transfer", "hold", "post", "void")


class TransferView(Struct, frozen=True, kw_only=True):
    """One row of the ledger.

    Attributes:
        seq: Its place; later ones have larger numbers, with gaps.
        released: Of a post or void: what its hold had set aside.
        journal: The journal that it is a leg of.
    """

    seq: int
    id: str
    kind: Literal["transfer", "hold", "post", "void"]
    debit: str
    credit: str
    amount: int
    asset: str
    code: str
    reference: str
    journal: str
    at: datetime
    released: int = 0
    hold: str | None = None
    reverses: str | None = None
    expires_at: datetime | None = None


class Line(Struct, frozen=True, kw_only=True):
    """One line of an account's statement: the transfer from the account's own side, with what it held afterwards.

    Attributes:
        side: ``debit`` takes from a wallet, ``credit`` adds to it.
        amount: What was settled, 0 for a hold and a void.
        held: What was set aside (positive) or set free (negative).
        other: The account of the other side.
        posted, pending: What the account held afterwards, as in ``Balance``.
    """

    seq: int
    id: str
    at: datetime
    kind: Literal["transfer", "hold", "post", "void"]
    side: Literal["debit", "credit"]
    amount: int
    held: int
    code: str
    reference: str
    other: str
    journal: str
    posted: int
    pending: int


class BalanceView(Struct, frozen=True, kw_only=True):
    """A balance for clients, in minor units: what is settled, what of it is held, what can be spent."""

    account: str
    asset: str
    posted: int
    pending: int
    available: int
    seq: int


class OpenHold(Struct, frozen=True, kw_only=True):
    """Something that is set aside now. ``expires_at`` None: it has no lease."""

    id: str
    seq: int
    debit: str
    credit: str
    amount: int
    asset: str
    expires_at: datetime | None


def balance(session: Session, identity: str, at: int | None = None) -> Balance:
    """Return what an account holds, or held after the transfer at place ``at``.

    Raises:
        NotFound: there is no such account (code ``ledger.account-not-found``).
    """
    row = find_account(session, identity)
    if at is None:
        return balance_of(row)
    found = _moves(session, row.id, 1, at)
    return _balance_at(row, found[0].seq, [getattr(found[0], name) for name in BALANCES]) if found else _balance_at(row, 0, (0, 0, 0, 0))


def balances(session: Session, identities: Sequence[str]) -> dict[str, Balance]:
    """Return what accounts hold by their ids; those that are not open are left out."""
    rows = rows_of(session.connection(), _BY_ID, [raw(identity) for identity in identities])
    found = [_balance(identity, asset, guard, overdraft, seq, values) for identity, asset, guard, overdraft, seq, *values in rows]
    return {one.account: one for one in found}


def statement(
    session: Session, identity: str, *, limit: int, before: int | None = None, since: datetime | None = None, until: datetime | None = None
) -> list[Line]:
    """Return lines of an account's statement, newest first, those before the place ``before``; moments are ``since <= at < until``.

    Raises:
        NotFound: there is no such account (code ``ledger.account-not-found``).
    """
    account = find_account(session, identity)
    moments: list[ColumnElement[bool]] = []
    if since is not None:
        moments.append(transfers.c.at >= micros(since))
    if until is not None:
        moments.append(transfers.c.at < micros(until))
    return [_line(account, row) for row in _moves(session, account.id, limit, None if before is None else before - 1, moments)]


def _moves(session: Session, account: bytes, limit: int, last: int | None, conditions: Sequence[ColumnElement[bool]] = ()) -> Sequence[Any]:
    """Return transfers of an account, newest first, those up to the place ``last``, each from the account's own side."""
    is_debit = transfers.c.debit == account
    query = select(
        *(transfers.c[name] for name in ("seq", "id", "at", "kind", "amount", "released", "code", "reference", "journal")),
        case((is_debit, transfers.c.credit), else_=transfers.c.debit).label("other"),
        case((is_debit, "debit"), else_="credit").label("side"),
        *(case((is_debit, transfers.c[f"dr_{name}"]), else_=transfers.c[f"cr_{name}"]).label(name) for name in BALANCES),
    ).where(*conditions)
    parts: list[tuple[Select[Any], ColumnElement[int]]]
    if session.connection().dialect.name == "postgresql":
        parts = [(query.where(own == account), transfers.c.seq) for own in (transfers.c.debit, transfers.c.credit)]
    else:
        newest = session.execute(select(func.coalesce(func.max(transfers.c.seq), 0))).scalar_one()
        own, listed = or_(is_debit, transfers.c.credit == account), newest - newest % UNLISTED
        by_line = query.join_from(lines, transfers, transfers.c.seq == lines.c.seq).where(lines.c.account == account, lines.c.seq <= listed, own)
        parts = [(query.where(transfers.c.seq > listed, own), transfers.c.seq), (by_line, lines.c.seq)]
    halves = [part.where(*() if last is None else (seq <= last,)).order_by(seq.desc()).limit(limit) for part, seq in parts]
    both = union_all(*(part.subquery().select() for part in halves)).subquery()
    return session.execute(select(both).order_by(both.c.seq.desc()).limit(limit)).all()


def transfer(session: Session, identity: str) -> TransferView:
    """Return one transfer.

    Raises:
        NotFound: there is none (code ``ledger.transfer-not-found``).
    """
    row = session.execute(_with_asset().where(transfers.c.id == raw(identity))).first()
    if row is None:
        raise NotFound("There is no such transfer.", code="ledger.transfer-not-found")
    return _view(row)


def journal_legs(session: Session, identity: str) -> list[TransferView]:
    """Return the legs of a journal in their order.

    Raises:
        NotFound: there is none (code ``ledger.transfer-not-found``).
    """
    first = session.execute(_with_asset().where(transfers.c.id == raw(identity))).first()
    if first is None or not first.legs:
        raise NotFound("There is no such journal.", code="ledger.transfer-not-found", hint="A journal has the id of its first leg.")
    if first.legs == 1:
        return [_view(first)]
    # the legs of a journal stand next to each other but for what other processes write, in the order of their places
    query = _with_asset().where(transfers.c.journal == first.id, transfers.c.seq >= first.seq).order_by(transfers.c.seq).limit(first.legs)
    return [_view(row) for row in session.execute(query)]


def transfers_page(session: Session, *, limit: int, after: int = 0) -> list[TransferView]:
    """Return transfers in the order of their places, those behind ``after``."""
    return [_view(row) for row in session.execute(_with_asset().where(transfers.c.seq > after).order_by(transfers.c.seq).limit(limit))]


def open_holds(session: Session, *, account: str | None = None, limit: int, after: str | None = None, due: datetime | None = None) -> list[OpenHold]:
    """Return what is held now by id: of one account, or of all; with ``due`` those whose lease ended before it."""
    query = select(holds, accounts.c.asset).join(accounts, accounts.c.id == holds.c.debit).order_by(holds.c.id).limit(limit)
    if account is not None:
        query = query.where(or_(holds.c.debit == raw(account), holds.c.credit == raw(account)))
    if after is not None:
        query = query.where(holds.c.id > raw(after))
    if due is not None:
        query = query.where(and_(holds.c.expires_at.is_not(None), holds.c.expires_at < micros(due)))
    return [_hold(row) for row in session.execute(query)]


def _with_asset() -> Select[Any]:
    return select(transfers, accounts.c.asset).join(accounts, accounts.c.id == transfers.c.debit)


def _view(row: Any) -> TransferView:
    return TransferView(
        seq=row.seq,
        id=wire("trf", row.id),
        kind=KINDS[row.kind],
        debit=wire("acc", row.debit),
        credit=wire("acc", row.credit),
        amount=row.amount,
        asset=row.asset,
        code=row.code,
        reference=row.reference,
        journal=wire("trf", row.journal),
        at=moment(row.at),
        released=row.released,
        hold=None if row.hold is None else wire("trf", row.hold),
        reverses=None if row.reverses is None else wire("trf", row.reverses),
        expires_at=None if row.expires_at is None else moment(row.expires_at),
    )


def _line(account: Any, row: Any) -> Line:
    shown = _balance_at(account, row.seq, [getattr(row, name) for name in BALANCES])
    return Line(
        seq=row.seq,
        id=wire("trf", row.id),
        at=moment(row.at),
        kind=KINDS[row.kind],
        side=row.side,
        amount=row.amount if row.kind in (0, 2) else 0,
        held=row.amount if row.kind == 1 else -row.released,
        code=row.code,
        reference=row.reference,
        other=wire("acc", row.other),
        journal=wire("trf", row.journal),
        posted=shown.posted,
        pending=shown.pending,
    )


def _hold(row: Any) -> OpenHold:
    sides = {"debit": wire("acc", row.debit), "credit": wire("acc", row.credit)}
    expires = None if row.expires_at is None else moment(row.expires_at)
    return OpenHold(id=wire("trf", row.id), seq=row.seq, amount=row.amount, asset=row.asset, expires_at=expires, **sides)


def balance_of(row: Any) -> Balance:
    """Return what an account's row says that it holds."""
    return _balance_at(row, row.last_seq, [getattr(row, name) for name in BALANCES])


def balance_view(balance: Balance) -> BalanceView:
    """Return a balance for clients."""
    return BalanceView(
        account=balance.account, asset=balance.asset, posted=balance.posted, pending=balance.pending, available=balance.available, seq=balance.seq
    )


def _balance_at(row: Any, seq: int, values: Sequence[int]) -> Balance:
    return _balance(row.id, row.asset, row.guard, row.overdraft, seq, values)


def _balance(identity: bytes, asset: str, guard: int, overdraft: int, seq: int, values: Sequence[int]) -> Balance:
    held = dict(zip(BALANCES, values, strict=True))
    return Balance(account=wire("acc", identity), asset=asset, guard=Guard(guard), overdraft=overdraft, seq=seq, **held)


def wire(prefix: str, identity: bytes) -> str:
    """Return an id as clients see it."""
    return f"{prefix}_{bytes(identity).hex()}"
