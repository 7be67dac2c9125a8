"""What the chat holds about a person, told and erased."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from sqlalchemy import Table, delete, func, select, tuple_
from sqlalchemy.orm import Session

from luminai import EraseReport, ExportItem, PluginContext
from luminai_chat.models import messages, resonance, sessions, turn_approvals, turn_slices, turns
from luminai_chat.sealed import open_body, open_title

PAGE: Final = 100


async def export(ctx: PluginContext, subject: str) -> AsyncIterator[ExportItem]:
    """Yield every session of the subject, each followed by its messages with their resonance, oldest first."""
    last = ""
    while found := await ctx.db.as_subject(subject).read(_sessions_behind(ctx, subject, last)):
        for row in found:
            yield ExportItem("session", row)
            newest = ""
            while page := await ctx.db.as_subject(subject).read(_messages_behind(ctx, subject, row["id"], newest)):
                for message in page:
                    yield ExportItem("message", message)
                newest = page[-1]["id"]
        last = found[-1]["id"]
    for name, table in (("turn", turns), ("approval", turn_approvals)):  # what turns said stands in the messages
        key: tuple[str, ...] = ()
        while rows := await ctx.db.as_subject(subject).read(_rows_behind(table, subject, key)):
            for row in rows:
                yield ExportItem(name, row)
            key = tuple(rows[-1][column.name] for column in table.primary_key)


async def erase(ctx: PluginContext, subject: str, *, dry_run: bool) -> EraseReport:
    """Delete every session of the subject with everything in it, or count the rows."""
    tables = [(table, table.c.subject == subject) for table in (turn_approvals, turn_slices, turns, resonance, messages, sessions)]

    def count(session: Session) -> dict[str, int]:
        return {str(table.name): session.execute(select(func.count()).select_from(table).where(which)).scalar_one() for table, which in tables}

    def remove(session: Session) -> dict[str, int]:
        found = count(session)
        for table, which in tables:
            session.execute(delete(table).where(which))
        return found

    mine = ctx.db.as_subject(subject)
    counted = await (mine.read(count) if dry_run else mine.write(remove, timeout=120))
    return EraseReport(erased={name: rows for name, rows in counted.items() if rows})


def _rows_behind(table: Table, subject: str, key: tuple[str, ...]) -> Any:
    columns = list(table.primary_key)
    shown = [column for column in table.c if column.info.get("data") != "sensitive" and column.name not in ("subject", "runner", "lease_until")]
    query = select(*shown).where(table.c.subject == subject).order_by(*columns).limit(PAGE)
    if key:
        query = query.where(tuple_(*columns) > tuple_(*key))
    return lambda session: [dict(row._mapping) for row in session.execute(query)]  # noqa: SLF001 - SQLAlchemy's public name


def _sessions_behind(ctx: PluginContext, subject: str, last: str) -> Any:
    query = select(sessions).where(sessions.c.subject == subject, sessions.c.id > last).order_by(sessions.c.id).limit(PAGE)

    def unit(session: Session) -> list[dict[str, Any]]:
        return [
            {"title": open_title(session, ctx.vault, row)} | _shown(row, "id", "persona", "messages", "last_r", "created_at", "updated_at")
            for row in session.execute(query)
        ]

    return unit


def _messages_behind(ctx: PluginContext, subject: str, session_id: str, last: str) -> Any:
    query = (
        select(messages, resonance.c.calculator, resonance.c.value, resonance.c.report, resonance.c.context)
        .outerjoin(resonance, (resonance.c.message_id == messages.c.id) & (resonance.c.subject == messages.c.subject))
        .where(messages.c.session_id == session_id, messages.c.subject == subject, messages.c.id > last)
        .order_by(messages.c.id)
        .limit(PAGE)
    )

    def unit(session: Session) -> list[dict[str, Any]]:
        return [_message(row, open_body(session, ctx.vault, subject, row)) for row in session.execute(query)]

    return unit


def _message(row: Any, body: Any) -> dict[str, Any]:
    shown = _shown(row, "id", "session_id", "parent_id", "role", "persona", "model", "end_state", "usage", "created_at")
    said = {"content": body.content, "sources": msgspec.to_builtins(body.sources)}
    measured = {"resonance": _shown(row, "calculator", "value", "report", "context")} if row.calculator is not None else {}
    return shown | said | measured


def _shown(row: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}
