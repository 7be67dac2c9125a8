"""Turns and what they generated, as rows: plain functions of a session of the database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from luminai import NotFound, Vault
from luminai_chat.models import turn_approvals, turn_slices, turns
from luminai_chat.schemas import ChatAsk
from luminai_chat.turn_log import LogEvent

SLICES_AT_ONCE: Final = 20
SWEEP: Final = 500


class TurnRow(Struct, frozen=True, kw_only=True):
    """A kept turn as it is stored.

    Attributes:
        parent_id: The message that the reply follows: the question, or the reply that is continued.
        end_state: "" while it runs.
        runner: The process that runs it; it and nobody else ends it before ``lease_until``.
    """

    id: str
    subject: str
    session_id: str
    parent_id: str
    persona: str
    model: str
    is_held: bool
    is_cancelled: bool
    runner: str
    lease_until: datetime
    end_state: str
    created_at: datetime
    reply_id: str | None = None


_COLUMNS: Final = [turns.c[name] for name in TurnRow.__struct_fields__]


def open_turn(session: Session, vault: Vault, row: TurnRow, ask: ChatAsk) -> None:
    """Add a turn that begins."""
    sealed = vault.seal(session, subject=row.subject, place=_ask_place(row.id), value=msgspec.json.encode(ask))
    session.execute(insert(turns).values(**msgspec.structs.asdict(row), ask=sealed))


def find_turn(session: Session, subject: str, turn_id: str) -> TurnRow:
    """Return the subject's own turn.

    Raises:
        NotFound: absent or somebody else's: the two look the same (code ``chat.turn-not-found``).
    """
    row = session.execute(select(*_COLUMNS).where(turns.c.id == turn_id, turns.c.subject == subject)).first()
    if row is None:
        raise no_such_turn()
    return _turn(row)


def is_there(session: Session, turn_id: str, subject: str) -> bool:
    """Tell whether a turn of the subject is there."""
    return session.execute(select(turns.c.id).where(turns.c.id == turn_id, turns.c.subject == subject)).first() is not None


def no_such_turn() -> NotFound:
    """Return the problem of a turn that is not there, or not for the one who asks."""
    return NotFound("There is no such turn.", code="chat.turn-not-found", hint="GET /api/session/{id} names the turns that run.")


def asked(session: Session, vault: Vault, row: TurnRow) -> ChatAsk:
    """Return what a turn was asked.

    Raises:
        NotFound: the subject's key was destroyed.
    """
    sealed = session.execute(select(turns.c.ask).where(turns.c.id == row.id, turns.c.subject == row.subject)).scalar_one()
    return msgspec.json.decode(vault.open(session, subject=row.subject, place=_ask_place(row.id), sealed=bytes(sealed)), type=ChatAsk)


def running_turns(session: Session, subject: str, session_id: str) -> list[str]:
    """Return the ids of a session's turns that run, oldest first."""
    mine = (turns.c.session_id == session_id) & (turns.c.subject == subject) & (turns.c.end_state == "")
    return list(session.execute(select(turns.c.id).where(mine).order_by(turns.c.id).limit(SLICES_AT_ONCE)).scalars())


def add_slice(session: Session, vault: Vault, turn_id: str, subject: str, events: Sequence[LogEvent], at: datetime) -> None:
    """Store events that follow what is stored."""
    if not events:
        return
    first, last = events[0].id, events[-1].id
    sealed = vault.seal(session, subject=subject, place=_slice_place(turn_id, first), value=msgspec.json.encode(events))
    session.execute(insert(turn_slices).values(turn_id=turn_id, first=first, last=last, subject=subject, events=sealed, at=at))


def events_behind(session: Session, vault: Vault, turn_id: str, subject: str, after: int, limit: int = SLICES_AT_ONCE) -> list[LogEvent]:
    """Return stored events behind number ``after``, those of some slices at a time; none of them once they were swept."""
    mine = (turn_slices.c.turn_id == turn_id) & (turn_slices.c.subject == subject) & (turn_slices.c.last > after)
    found: list[LogEvent] = []
    for row in session.execute(select(turn_slices).where(mine).order_by(turn_slices.c.first).limit(limit)):
        try:
            raw = vault.open(session, subject=subject, place=_slice_place(turn_id, row.first), sealed=bytes(row.events))
        except NotFound:  # the subject's key was destroyed
            return []
        found += [event for event in msgspec.json.decode(raw, type=list[LogEvent]) if event.id > after]
    return found


def last_event(session: Session, vault: Vault, turn_id: str, subject: str) -> LogEvent | None:
    """Return a turn's newest stored event; None when there is none, or none any more."""
    mine = (turn_slices.c.turn_id == turn_id) & (turn_slices.c.subject == subject)
    row = session.execute(select(turn_slices.c.first, turn_slices.c.last).where(mine).order_by(turn_slices.c.first.desc()).limit(1)).first()
    found = events_behind(session, vault, turn_id, subject, row.last - 1) if row is not None else []
    return found[-1] if found else None


def end_turn(session: Session, row_id: str, subject: str, *, runner: str, end_state: str, reply_id: str | None) -> bool:
    """End a turn in the name of its ``runner``; False when it is not, or not any more, that one's to end."""
    mine = (turns.c.id == row_id) & (turns.c.subject == subject) & (turns.c.runner == runner) & (turns.c.end_state == "")
    values = {"end_state": end_state, "reply_id": reply_id}
    return session.execute(update(turns).where(mine).values(**values).returning(turns.c.id)).first() is not None


def take_over(session: Session, row: TurnRow, runner: str, until: datetime) -> bool:
    """Make ``runner`` the one who ends a lost turn; False when somebody else was faster, or it lives."""
    mine = (turns.c.id == row.id) & (turns.c.subject == row.subject) & (turns.c.runner == row.runner)
    mine &= (turns.c.lease_until == row.lease_until) & (turns.c.end_state == "")
    return session.execute(update(turns).where(mine).values(runner=runner, lease_until=until).returning(turns.c.id)).first() is not None


def ask_to_cancel(session: Session, subject: str, turn_id: str) -> None:
    """Leave word for the process that runs a turn."""
    session.execute(update(turns).where(turns.c.id == turn_id, turns.c.subject == subject).values(is_cancelled=True))


def own_turns(session: Session, ids: Collection[str], runner: str) -> dict[str, bool]:
    """Return which of the turns are still the runner's, and whether somebody wants them ended. For work of the hub."""
    mine = turns.c.id.in_(ids) & (turns.c.runner == runner) & (turns.c.end_state == "")
    return {row.id: row.is_cancelled for row in session.execute(select(turns.c.id, turns.c.is_cancelled).where(mine))}


def renew(session: Session, ids: Collection[str], until: datetime) -> None:
    """Say that turns still run. For work of the hub."""
    session.execute(update(turns).where(turns.c.id.in_(ids), turns.c.end_state == "").values(lease_until=until))


def lost_turns(session: Session, now: datetime, *, besides: Collection[str], alone_as: str, limit: int = 50) -> list[TurnRow]:
    """Return turns whose process is gone, oldest lease first. For work of the hub.

    Args:
        besides: Turns of this process.
        alone_as: The only process that serves this database: turns of any other are lost, however long their lease; "" where there may be others.
    """
    gone = turns.c.lease_until < now
    if alone_as:
        gone |= turns.c.runner != alone_as
    query = select(*_COLUMNS).where(turns.c.end_state == "", gone, turns.c.id.not_in(besides)).order_by(turns.c.lease_until).limit(limit)
    return [_turn(row) for row in session.execute(query)]


def sweep_slices(session: Session, before: datetime) -> int:
    """Forget logs of turns that ended long ago, some at a time; return how many slices went. Replies stand in the messages. For work of the hub."""
    ended = select(turns.c.id).where(turns.c.id == turn_slices.c.turn_id, turns.c.end_state == "").exists()
    old = select(turn_slices.c.turn_id, turn_slices.c.first).where(turn_slices.c.at < before, ~ended).limit(SWEEP)
    rows = session.execute(old).all()
    for turn_id, first in rows:
        session.execute(delete(turn_slices).where(turn_slices.c.turn_id == turn_id, turn_slices.c.first == first))
    return len(rows)


def delete_turns(session: Session, subject: str, session_id: str) -> None:
    """Delete the turns of the subject's session with their logs."""
    mine = select(turns.c.id).where(turns.c.session_id == session_id, turns.c.subject == subject)
    for table in (turn_approvals, turn_slices):
        session.execute(delete(table).where(table.c.turn_id.in_(mine), table.c.subject == subject))
    session.execute(delete(turns).where(turns.c.session_id == session_id, turns.c.subject == subject))


def lease_until(now: datetime, seconds: float) -> datetime:
    """Return when a lease that is given now ends."""
    return now + timedelta(seconds=seconds)


def _turn(row: Any) -> TurnRow:
    return TurnRow(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name


def _ask_place(turn_id: str) -> str:
    return f"{turns.name}.ask:{turn_id}"


def _slice_place(turn_id: str, first: int) -> str:
    return f"{turn_slices.name}.events:{turn_id}.{first}"
