"""What the gateway holds about a person, told and erased: records of calls, never what was said in them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from luminai import EraseReport, ExportItem, PluginContext
from luminai_ai_gateway.models import calls

PAGE: Final = 200


async def export(ctx: PluginContext, subject: str) -> AsyncIterator[ExportItem]:
    """Yield every call of the subject, oldest first."""
    last = ""
    while True:
        query = select(calls).where(calls.c.subject == subject, calls.c.id > last).order_by(calls.c.id).limit(PAGE)
        found = await ctx.db.as_subject(subject).read(lambda session, query=query: _rows(session, query))  # type: ignore[misc]
        for row in found:
            yield ExportItem("ai-call", row)
        if len(found) < PAGE:
            return
        last = found[-1]["id"]


async def erase(ctx: PluginContext, subject: str, *, dry_run: bool) -> EraseReport:
    """Delete every call of the subject, or count them."""

    def count(session: Session) -> int:
        return session.execute(select(func.count()).select_from(calls).where(calls.c.subject == subject)).scalar_one()

    def remove(session: Session) -> int:
        found = count(session)
        session.execute(delete(calls).where(calls.c.subject == subject))
        return found

    mine = ctx.db.as_subject(subject)
    counted = await (mine.read(count) if dry_run else mine.write(remove, timeout=120))
    return EraseReport(erased={calls.name: counted} if counted else {})


def _rows(session: Session, query: Any) -> list[dict[str, Any]]:
    return [{name: value for name, value in row._asdict().items() if name not in ("subject", "key")} for row in session.execute(query)]
