"""Reading and writing conversations: plain functions of a session of the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from luminai import NotFound, ResonanceReport, Source, Usage, Vault
from luminai_chat.models import messages, resonance, sessions
from luminai_chat.schemas import MessageView, Moment, SessionSummary
from luminai_chat.sealed import Body, open_body, open_title, seal_body, seal_title
from luminai_chat.turn_rows import delete_turns
from luminai_resonance import round_half_up


class Said(Struct, frozen=True, kw_only=True):
    """A message on the way from the root of its session to a leaf."""

    id: str
    role: str
    content: str
    at: datetime


class Question(Struct, frozen=True):
    """What a person wrote."""

    id: str
    session_id: str
    parent_id: str | None
    content: str
    at: datetime


class Reply(Struct, frozen=True, kw_only=True):
    """What a finished turn stores."""

    id: str
    session_id: str
    subject: str
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


def open_session(session: Session, vault: Vault, session_id: str, subject: str, *, title: str, persona: str, at: datetime) -> None:
    """Add a session."""
    sealed = seal_title(session, vault, subject, session_id, title)
    row = {"id": session_id, "subject": subject, "title": "", "sealed_title": sealed, "persona": persona, "messages": 0}
    session.execute(insert(sessions).values(**row, month_key=at.strftime("%Y-%m"), created_at=at, updated_at=at))


def branch(session: Session, vault: Vault, subject: str, session_id: str, leaf: str | None) -> list[Said]:
    """Return the messages of the subject's session from the root to ``leaf`` (the newest message when None), oldest first.

    Raises:
        NotFound: ``leaf`` is no message of this session (code ``chat.message-not-found``).
    """
    texts = (messages.c.body, messages.c.content, messages.c.sources)
    rows = session.execute(
        select(messages.c.id, messages.c.parent_id, messages.c.role, messages.c.created_at, *texts)
        .where(messages.c.session_id == session_id, messages.c.subject == subject)
        .order_by(messages.c.id)
    ).all()
    by_id = {row.id: row for row in rows}
    if leaf is not None and leaf not in by_id:
        raise NotFound("There is no such message in this session.", code="chat.message-not-found")
    path: list[Said] = []
    here = by_id.get(leaf) if leaf is not None else (rows[-1] if rows else None)
    while here is not None:
        path.append(Said(id=here.id, role=here.role, content=open_body(session, vault, subject, here).content, at=here.created_at))
        here = by_id.get(here.parent_id)
    return path[::-1]


def add_question(session: Session, vault: Vault, subject: str, question: Question) -> None:
    """Add what the subject wrote to a session of theirs."""
    body = seal_body(session, vault, subject, question.id, Body(question.content))
    row = {"id": question.id, "session_id": question.session_id, "subject": subject, "parent_id": question.parent_id, "role": "user", "body": body}
    empty = {"content": "", "sources": [], "persona": "", "persona_version": 0, "model": "", "end_state": ""}
    session.execute(insert(messages).values(**row, **empty, created_at=question.at))
    count = {"messages": sessions.c.messages + 1, "updated_at": question.at}
    session.execute(update(sessions).where(sessions.c.id == question.session_id, sessions.c.subject == subject).values(**count))


def add_reply(session: Session, vault: Vault, reply: Reply) -> None:
    """Add a reply with its resonance snapshot. A session deleted meanwhile takes nothing."""
    mine = (sessions.c.id == reply.session_id) & (sessions.c.subject == reply.subject)
    if session.execute(select(sessions.c.id).where(mine)).first() is None:
        return
    session.execute(
        insert(messages).values(
            id=reply.id,
            session_id=reply.session_id,
            subject=reply.subject,
            parent_id=reply.parent_id,
            role="assistant",
            content="",
            sources=[],
            body=seal_body(session, vault, reply.subject, reply.id, Body(reply.content, reply.sources)),
            persona=reply.persona,
            persona_version=reply.persona_version,
            model=reply.model,
            end_state=reply.end_state,
            usage=reply.usage,
            created_at=reply.at,
        )
    )
    report = reply.report
    row = {"message_id": reply.id, "session_id": reply.session_id, "subject": reply.subject, "at": reply.at}
    values = {
        "calculator": report.calculator,
        "version": report.version,
        "value": report.value,
        "witness": report.witness,
        "adjusted": report.adjusted,
    }
    session.execute(insert(resonance).values(**row, **values, report=msgspec.to_builtins(report), context=reply.context))
    session.execute(
        update(sessions).where(mine).values(messages=sessions.c.messages + 1, updated_at=reply.at, last_r=report.value, persona=reply.persona)
    )


def list_sessions(session: Session, vault: Vault, subject: str, *, limit: int, before: str | None) -> list[SessionSummary]:
    """Return the subject's sessions, newest first."""
    query = select(sessions).where(sessions.c.subject == subject).order_by(sessions.c.id.desc()).limit(limit)
    if before:
        query = query.where(sessions.c.id < before)
    return [
        SessionSummary(
            id=row.id,
            title=open_title(session, vault, row),
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


def page_of_messages(session: Session, vault: Vault, owner: Any, *, limit: int, after: str | None) -> list[MessageView]:
    """Return messages of a session, oldest first; ``owner`` is the session's row."""
    query = (
        select(messages, resonance.c.value)
        .outerjoin(resonance, (resonance.c.message_id == messages.c.id) & (resonance.c.subject == messages.c.subject))
        .where(messages.c.session_id == owner.id, messages.c.subject == owner.subject)
        .order_by(messages.c.id)
        .limit(limit)
    )
    if after:
        query = query.where(messages.c.id > after)
    found = [(row, open_body(session, vault, owner.subject, row)) for row in session.execute(query)]
    return [
        MessageView(
            id=row.id,
            parent_id=row.parent_id,
            role=row.role,
            content=body.content,
            created_at=row.created_at,
            persona=row.persona,
            model=row.model,
            end_state=row.end_state,
            R=None if row.value is None else round_half_up(row.value),
            sources=list(body.sources),
        )
        for row, body in found
    ]


def timeline(session: Session, subject: str, session_id: str, *, limit: int = 1000) -> list[Moment]:
    """Return R over a session of the subject."""
    query = (
        select(resonance).where(resonance.c.session_id == session_id, resonance.c.subject == subject).order_by(resonance.c.message_id).limit(limit)
    )
    return [Moment(row.message_id, row.at, round_half_up(row.value)) for row in session.execute(query)]


def delete_session(session: Session, subject: str, session_id: str) -> None:
    """Delete the subject's session with everything in it. Raises as ``find_session``."""
    find_session(session, subject, session_id)
    delete_turns(session, subject, session_id)
    session.execute(delete(resonance).where(resonance.c.session_id == session_id, resonance.c.subject == subject))
    session.execute(delete(messages).where(messages.c.session_id == session_id, messages.c.subject == subject))
    session.execute(delete(sessions).where(sessions.c.id == session_id, sessions.c.subject == subject))


def mean_r_since(session: Session, since: datetime) -> float | None:
    """Return the mean R of everybody since a moment, None when there was none."""
    found = session.execute(select(func.avg(resonance.c.value)).where(resonance.c.at >= since)).scalar_one()
    return None if found is None else round_half_up(float(found))
