"""People are known here by their login at GitHub alone: the subject is ``github:<login>``. A person of the hub is nobody here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from sqlalchemy import Text, cast, func, select, update
from sqlalchemy.orm import Session

from luminai import EraseReport, ExportItem, PluginContext
from luminai_github.models import deliveries

KIND: Final = "github:"
GHOST: Final = "ghost"
"""What GitHub itself calls those who are gone."""
PAGE: Final = 200


async def export(ctx: PluginContext, subject: str) -> AsyncIterator[ExportItem]:
    """Yield the deliveries that the subject sent."""
    last = ""
    while found := await ctx.db.read(lambda session, last=last: _behind(session, subject, last)):  # type: ignore[misc]
        for row in found:
            yield ExportItem("delivery", {"id": row.id, "received_at": row.received_at, "happening": row.happening})
        last = found[-1].id


async def erase(ctx: PluginContext, subject: str, *, dry_run: bool) -> EraseReport:
    """Put ``ghost`` in the place of the subject's login; titles and names of repositories stay as GitHub published them."""
    count, last = 0, ""
    while found := await _page(ctx, subject, last, dry_run=dry_run):
        count, last = count + len(found), found[-1].id
    if not count:
        return EraseReport(erased={})
    return EraseReport(erased={str(deliveries.name): count}, kept={"github titles": "titles and names of repositories stay as GitHub published them"})


async def _page(ctx: PluginContext, subject: str, last: str, *, dry_run: bool) -> list[Any]:
    def unit(session: Session) -> list[Any]:
        found = _behind(session, subject, last)
        for row in [] if dry_run else found:
            happening = row.happening | {"sender": GHOST}
            session.execute(update(deliveries).where(deliveries.c.id == row.id).values(happening=msgspec.to_builtins(happening)))
        return found

    return await (ctx.db.read(unit) if dry_run else ctx.db.write(unit))


def _behind(session: Session, subject: str, last: str) -> list[Any]:
    """Return up to a page of rows that the subject sent, those behind the id ``last``; logins count without case."""
    login = subject.removeprefix(KIND).casefold()
    if not subject.startswith(KIND) or not login:
        return []
    found: list[Any] = []
    while len(found) < PAGE:
        mentions = func.lower(cast(deliveries.c.happening, Text)).contains(login, autoescape=True)
        rows = session.execute(select(deliveries).where(mentions, deliveries.c.id > last).order_by(deliveries.c.id).limit(PAGE)).all()
        found += [row for row in rows if str(row.happening.get("sender", "")).casefold() == login]
        if len(rows) < PAGE:
            break
        last = rows[-1].id
    return found
