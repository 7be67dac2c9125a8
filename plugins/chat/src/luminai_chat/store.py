"""Reading and writing conversations: plain functions of a session of the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from luminai import NotFound, ResonanceReport, Source, Usage
from luminai_chat.models import messages, resonance, sessions
from luminai_chat.schemas import MessageView, Moment, SessionSummary
from luminai_resonance import round_half_up


class Said(Struct, frozen=True, kw_only=True):
    """A message on the way from the root of its session to a leaf."""

    id: str
    role: str
    content: str
    at: datetime


class Reply(Struct, frozen=True, kw_only=True):
    """What a finished turn stores."""

    id: str
    session_id: str
    parent_id: str
    content: str
    persona: str
    persona_version: int
    model: str
    end_state: str
    usage: Usage
    sources: Sequence[Source]
    report: ResonanceReport
    context: dict[str, Any]
    at: datetime


def find_session(session: Session, subject: str, session_id: str) -> Any:
    """Return the subject's own session row.

    Raises:
        NotFound: absent or somebody else's: the two look the same (code ``chat.session-not-found``).
    """
    row = session.execute(select(sessions).where(sessions.c.id == session_id, sessions.c.subject == subject)).first()
    if row is None:
        raise NotFound("There is no such session.", code="chat.session-not-found", hint="GET /api/sessions lists yours.")
    return row


def open_session(session: Session, session_id: str, subject: str, *, title: str, persona: str, at: datetime) -> None:
    """Add a session."""
    month = at.strftime("%Y-%m")
    row = {"id": session_id, "subject": subject, "title": title, "persona": persona, "messages": 0, "month_key": month}
    session.execute(insert(sessions).values(**row, created_at=at, updated_at=at))


def branch(session: Session, session_id: str, leaf: str | None) -> list[Said]:
    """Return the messages from the root to ``leaf`` (the newest message when None), oldest first.

    Raises:
        NotFound: ``leaf`` is no message of this session (code ``chat.message-not-found``).
    """
    columns = (messages.c.id, messages.c.parent_id, messages.c.role, messages.c.content, messages.c.created_at)
    rows = session.execute(select(*columns).where(messages.c.session_id == session_id).order_by(messages.c.id)).all()
    by_id = {row.id: row for row in rows}
    if leaf is not None and leaf not in by_id:
        raise NotFound("There is no such message in this session.", code="chat.message-not-found")
    path: list[Said] = []
    here = by_id.get(leaf) if leaf is not None else (rows[-1] if rows else None)
    while here is not None:
        path.append(Said(id=here.id, role=here.role, content=here.content, at=here.created_at))
        here = by_id.get(here.parent_id)
    return path[::-1]


def add_question(session: Session, message_id: str, session_id: str, parent_id: str | None, content: str, at: datetime) -> None:
    """Add what a person wrote."""
    row: dict[str, Any] = {
        "id": message_id,
        "session_id": session_id,
        "parent_id": parent_id,
        "role": "user",
        "content": content,
        "sources": [],
    }
    session.execute(insert(messages).values(**row, persona="", persona_version=0, model="", end_state="", created_at=at))
    session.execute(update(sessions).where(sessions.c.id == session_id).values(messages=sessions.c.messages + 1, updated_at=at))


def add_reply(session: Session, reply: Reply) -> None:
    """Add a reply with its resonance snapshot. A session deleted meanwhile takes nothing."""
    if session.execute(select(sessions.c.id).where(sessions.c.id == reply.session_id)).first() is None:
        return
    session.execute(
        insert(messages).values(
            id=reply.id,
            session_id=reply.session_id,
            parent_id=reply.parent_id,
            role="assistant",
            content=reply.content,
            persona=reply.persona,
            persona_version=reply.persona_version,
            model=reply.model,
            end_state=reply.end_state,
            usage=reply.usage,
            sources=list(reply.sources),
            created_at=reply.at,
        )
    )
    report = reply.report
    row = {"message_id": reply.id, "session_id": reply.session_id, "at": reply.at, "calculator": report.calculator, "version": report.version}
    values = {"value": report.value, "witness": report.witness, "adjusted": report.adjusted}
    session.execute(insert(resonance).values(**row, **values, report=msgspec.to_builtins(report), context=reply.context))
    session.execute(
        update(sessions)
        .where(sessions.c.id == reply.session_id)
        .values(messages=sessions.c.messages + 1, updated_at=reply.at, last_r=report.value, persona=reply.persona)
    )


def list_sessions(session: Session, subject: str, *, limit: int, before: str | None) -> list[SessionSummary]:
    """Return the subject's sessions, newest first."""
    query = select(sessions).where(sessions.c.subject == subject).order_by(sessions.c.id.desc()).limit(limit)
    if before:
        query = query.where(sessions.c.id < before)
    return [
        SessionSummary(
            id=row.id,
            title=row.title,
            persona=row.persona,
            created_at=row.created_at,
            updated_at=row.updated_at,
            messages=row.messages,
            R=None if row.last_r is None else round_half_up(row.last_r),
        )
        for row in session.execute(query)
    ]


def count_sessions(session: Session, subject: str) -> int:
    """Return how many sessions the subject has."""
    return session.execute(select(func.count()).select_from(sessions).where(sessions.c.subject == subject)).scalar_one()


def page_of_messages(session: Session, session_id: str, *, limit: int, after: str | None) -> list[MessageView]:
    """Return messages of a session, oldest first."""
    query = (
        select(messages, resonance.c.value)
        .outerjoin(resonance, resonance.c.message_id == messages.c.id)
        .where(messages.c.session_id == session_id)
        .order_by(messages.c.id)
        .limit(limit)
    )
    if after:
        query = query.where(messages.c.id > after)
    return [
        MessageView(
            id=row.id,
            parent_id=row.parent_id,
            role=row.role,
            content=row.content,
            created_at=row.created_at,
            persona=row.persona,
            model=row.model,
            end_state=row.end_state,
            R=None if row.value is None else round_half_up(row.value),
            sources=row.sources,
        )
        for row in session.execute(query)
    ]


def timeline(session: Session, session_id: str, *, limit: int = 1000) -> list[Moment]:
    """Return R over a session."""
    query = select(resonance).where(resonance.c.session_id == session_id).order_by(resonance.c.message_id).limit(limit)
    return [Moment(row.message_id, row.at, round_half_up(row.value)) for row in session.execute(query)]


def delete_session(session: Session, subject: str, session_id: str) -> None:
    """Delete the subject's session with everything in it. Raises as ``find_session``."""
    find_session(session, subject, session_id)
    session.execute(delete(resonance).where(resonance.c.session_id == session_id))
    session.execute(delete(messages).where(messages.c.session_id == session_id))
    session.execute(delete(sessions).where(sessions.c.id == session_id))


def mean_r_since(session: Session, since: datetime) -> float | None:
    """Return the mean R since a moment, None when there was none."""
    found = session.execute(select(func.avg(resonance.c.value)).where(resonance.c.at >= since)).scalar_one()
    return None if found is None else round_half_up(float(found))
