"""How long content is kept: classes, legal holds, blanking. Nothing here deletes a row."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec import Struct
from sqlalchemy import ColumnElement, and_, exists, insert, or_, select, update
from sqlalchemy.orm import Session

from luminai.audit.entries import CONTENT, KEPT
from luminai.contracts.context import Clock, Database
from luminai.contracts.errors import Conflict, InvalidInput, NotFound
from luminai.data.ids import new_id
from luminai.data.tables_audit import audit_entries, audit_holds

BATCH: Final = 500
MAX_HOLDS: Final = 1000


class Hold(Struct, frozen=True, kw_only=True):
    """A legal hold: entries with this object and this subject (as far as given) keep their content until it is released."""

    id: str
    object: str
    subject: str
    reason: str
    placed_by: str
    placed_at: datetime
    released_at: datetime | None = None


def place_hold(session: Session, clock: Clock, *, object: str, subject: str, reason: str, by: str) -> Hold:  # noqa: A002 - as the column
    """Put entries under a hold.

    Raises:
        InvalidInput: neither object nor subject is given (code ``empty-hold``).
        Conflict: there are too many (code ``too-many-holds``).
    """
    if not object and not subject:
        raise InvalidInput("A hold needs an object or a subject.", code="empty-hold")
    if len(session.execute(select(audit_holds.c.id).where(audit_holds.c.released_at.is_(None)).limit(MAX_HOLDS)).all()) >= MAX_HOLDS:
        raise Conflict(f"There are {MAX_HOLDS} holds already.", code="too-many-holds", hint="Release those that have ended.")
    made = Hold(id=new_id("hold"), object=object, subject=subject, reason=reason, placed_by=by, placed_at=clock.now())
    row = {name: getattr(made, name) for name in made.__struct_fields__}
    session.execute(insert(audit_holds).values(**row))
    return made


def release_hold(session: Session, clock: Clock, hold_id: str) -> Hold:
    """End a hold.

    Raises:
        NotFound: there is no such hold, or it was released before (code ``hold-not-found``).
    """
    row = session.execute(select(audit_holds).where(audit_holds.c.id == hold_id, audit_holds.c.released_at.is_(None))).first()
    if row is None:
        raise NotFound(f"There is no hold {hold_id}.", code="hold-not-found", hint="`luminai audit holds` lists them.")
    session.execute(update(audit_holds).where(audit_holds.c.id == hold_id).values(released_at=clock.now()))
    return Hold(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name


def holds(session: Session, *, limit: int, before: str | None = None) -> list[Hold]:
    """Return holds, newest first, released ones too."""
    query = select(audit_holds).order_by(audit_holds.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(audit_holds.c.id < before)
    return [Hold(**row._mapping) for row in session.execute(query)]  # noqa: SLF001 - SQLAlchemy's public name


def is_held(session: Session, subject: str) -> bool:
    """Tell whether a hold on a person stands; his key must not be destroyed then."""
    found = select(audit_holds.c.id).where(audit_holds.c.subject == subject, audit_holds.c.released_at.is_(None)).limit(1)
    return session.execute(found).first() is not None


async def prune(database: Database, clock: Clock) -> int:
    """Blank the content of sealed entries whose time is over and on which no hold stands; return how many. Index and leaf hash stay."""
    total = 0
    while blanked := await database.write(lambda session: _prune(session, clock.now())):
        total += blanked
    return total


def _prune(session: Session, now: datetime) -> int:
    entry = audit_entries.c
    expired = or_(*(and_(entry.retention == name, entry.at < now - kept) for name, kept in KEPT.items()))
    due = select(entry.id).where(entry.pruned_at.is_(None), entry.position.is_not(None), expired, ~_held()).order_by(entry.id).limit(BATCH)
    ids = list(session.execute(due).scalars())
    if ids:
        blank = dict.fromkeys(("salt", *CONTENT))
        session.execute(update(audit_entries).where(entry.id.in_(ids)).values(pruned_at=now, **blank))
    return len(ids)


def _held() -> ColumnElement[bool]:
    hold, entry = audit_holds.c, audit_entries.c
    matches = (
        hold.released_at.is_(None),
        or_(hold.object == "", hold.object == entry.object),
        or_(hold.subject == "", hold.subject == entry.subject, hold.subject == entry.actor_subject),
    )
    return exists(select(hold.id).where(*matches).correlate(audit_entries))
