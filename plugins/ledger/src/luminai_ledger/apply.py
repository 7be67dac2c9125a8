"""Journals into the tables, many at once, within the caller's unit of work: load and lock what they touch, decide in memory, write in one statement.

Texts of SQL and the driver's own parameters, for a batch of a thousand: there is no object for a row, and the text of a statement is the same every
time, so that the server has it prepared. Accounts are locked before anything else is read, in the order of their ids, ``FOR NO KEY UPDATE``: two
batches never wait for each other in a circle, and a unit need not be serializable to decide right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from luminai import driver_rows
from luminai_ledger.books import COLUMNS, Books, State
from luminai_ledger.by_ids import rows_of
from luminai_ledger.journal import Journal, Outcome, Result
from luminai_ledger.moments import micros
from luminai_ledger.prepared import Prepared, Refusal, prepare, refused

_STORED: Final = "SELECT id, seq, kind, debit, credit, amount, released, hold, code, reference, legs, reverses FROM ledger__transfers WHERE id"
_SIDES: Final = "SELECT debit, credit FROM ledger__transfers WHERE id"
_HOLDS: Final = "SELECT id, debit, credit, amount FROM ledger__holds WHERE id"
_ACCOUNTS: Final = (
    "SELECT id, asset, guard, overdraft, closed_at, debits_posted, credits_posted, debits_pending, credits_pending FROM ledger__accounts WHERE id"
)
_REVERSED: Final = "SELECT reverses FROM ledger__transfers WHERE reverses"
_TYPES: Final = {"id": "bytea", "kind": "smallint", "debit": "bytea", "credit": "bytea", "hold": "bytea", "journal": "bytea", "reverses": "bytea"}
_TEXTS: Final = ("code", "reference")
_NAMES: Final = ", ".join(COLUMNS)
_UNNEST: Final = ", ".join(f"${at}::{_TYPES.get(name, 'text' if name in _TEXTS else 'bigint')}[]" for at, name in enumerate(COLUMNS, 1))
_INSERT_POSTGRES: Final = (
    f"INSERT INTO ledger__transfers ({_NAMES}) SELECT {_NAMES} FROM unnest({_UNNEST})"  # noqa: S608 - our own names
    f" WITH ORDINALITY AS t ({_NAMES}, place) ORDER BY place RETURNING id, seq"
)
_MARKS: Final = f"(?{', ?' * len(COLUMNS)})"
_INSERT_SQLITE: Final = f"INSERT INTO ledger__transfers (seq, {_NAMES}) VALUES {_MARKS}"  # noqa: S608 - as above
_WIDEST: Final = 64
_INSERTS_SQLITE: Final = {1 << power: f"{_INSERT_SQLITE}{f', {_MARKS}' * ((1 << power) - 1)}" for power in range(_WIDEST.bit_length())}
"""By how many rows they take: the driver gives the interpreter's lock away and takes it again for each step, and keeps a few texts prepared."""


def apply(session: Session, journals: Sequence[Journal], now: datetime, *, reverses: str = "") -> list[Outcome]:
    """Write journals in their order and return what became of each; a refused one leaves nothing and hinders no other."""
    found: list[Outcome | None] = []
    prepared: list[tuple[int, Journal, Prepared]] = []
    for journal in journals:
        try:
            prepared.append((len(found), journal, prepare(journal, reverses)))
            found.append(None)
        except Refusal as refusal:
            found.append(refused(journal, refusal))
    for (place, _, _), outcome in zip(prepared, apply_prepared(session, [one for *_, one in prepared], now), strict=True):
        found[place] = outcome
    return [outcome for outcome in found if outcome is not None]


def apply_prepared(session: Session, journals: Sequence[Prepared], now: datetime) -> list[Outcome]:
    """Do the same with journals that are sound by themselves."""
    if not journals:
        return []
    connection = session.connection()
    books = Books(micros(now))
    places = _load(connection, books, journals)
    results: list[Result | Refusal] = []
    for journal in journals:
        try:
            results.append(books.decide(journal))
        except Refusal as refusal:
            results.append(refusal)
    if books.rows:
        places.update(_write(connection, books.rows))
    return [_outcome(journal, result, places) for journal, result in zip(journals, results, strict=True)]


def _load(connection: Connection, books: Books, journals: Sequence[Prepared]) -> dict[bytes, int]:
    """Fill the books with what the journals touch, and return the places of transfers that are there."""
    legs = [leg for journal in journals for leg in journal.legs]
    held = {leg.hold for leg in legs if leg.hold is not None}
    wanted = {leg.debit for leg in legs} | {leg.credit for leg in legs}
    for sides in rows_of(connection, _SIDES, held):
        wanted |= set(map(bytes, sides))
    wanted.discard(b"")
    _load_accounts(connection, books, wanted)  # first: what is read behind the locks stands until the unit ends
    places: dict[bytes, int] = {}
    for identity, seq, *stored in rows_of(connection, _STORED, (leg.id for leg in legs)):
        books.stored[bytes(identity)] = (
            *(stored[0], bytes(stored[1]), bytes(stored[2]), stored[3], stored[4], _bytes(stored[5]), stored[6], stored[7], stored[8]),
            _bytes(stored[9]),
        )
        places[bytes(identity)] = seq
    _load_accounts(connection, books, {stored[1] for stored in books.stored.values()} - books.accounts.keys())
    for identity, debit, credit, amount in rows_of(connection, _HOLDS, held):
        books.holds[bytes(identity)] = (bytes(debit), bytes(credit), amount)
    back = {journal.reverses for journal in journals if journal.reverses is not None}
    books.reversed.update(bytes(row[0]) for row in rows_of(connection, _REVERSED, back))
    return places


def _load_accounts(connection: Connection, books: Books, wanted: Iterable[bytes]) -> None:
    locked = " ORDER BY id FOR NO KEY UPDATE" if connection.dialect.name == "postgresql" else ""
    for identity, asset, guard, overdraft, closed_at, *balances in rows_of(connection, _ACCOUNTS, sorted(wanted), locked):
        books.accounts[bytes(identity)] = State(asset, guard, overdraft, closed_at is not None, tuple(balances))


def _write(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> dict[bytes, int]:
    """Insert transfers and return the place of each by its id."""
    if connection.dialect.name == "postgresql":
        written = driver_rows(connection, _INSERT_POSTGRES, tuple(map(list, zip(*rows, strict=True))))
        return {bytes(identity): seq for identity, seq in written}
    first = 1 + driver_rows(connection, "SELECT coalesce(max(seq), 0) FROM ledger__transfers")[0][0]
    numbered = [(first + place, *row) for place, row in enumerate(rows)]
    start = 0
    while left := len(numbered) - start:
        size = min(_WIDEST, 1 << (left.bit_length() - 1))
        driver_rows(connection, _INSERTS_SQLITE[size], tuple([value for row in numbered[start : start + size] for value in row]))
        start += size
    return {row[0]: first + place for place, row in enumerate(rows)}


def _outcome(journal: Prepared, result: Result | Refusal, places: dict[bytes, int]) -> Outcome:
    identity, legs = f"trf_{journal.id.hex()}", journal.legs
    if not isinstance(result, Refusal):
        return Outcome(result=result, id=identity, legs=(result,) * len(legs), seqs=tuple([places[leg.id] for leg in legs]))
    is_whole = result.result is Result.EXISTS_WITH_DIFFERENT_CONTENT
    each = tuple(result.result if is_whole or number == result.leg else Result.LINKED_FAILED for number in range(len(legs)))
    account = f"acc_{result.account.hex()}" if result.account else ""
    return Outcome(result=result.result, id=identity, legs=each, reason=result.reason, account=account, available=result.available)


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)
