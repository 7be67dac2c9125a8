"""What the ledger holds about a person, told; nothing of it is erased, for books are kept for 7 years and hold ids and no names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from luminai import EraseReport, ExportItem, PluginContext
from luminai_ledger.models import accounts
from luminai_ledger.reading import statement, wire
from luminai_ledger.schemas import account_view

PAGE: Final = 200
REASON: Final = "books are kept for 7 years by law; they hold the id of the person, and no name"


async def export(ctx: PluginContext, subject: str) -> AsyncIterator[ExportItem]:
    """Yield the subject's accounts, each followed by its statement, newest line first."""
    last = b""
    while found := await ctx.db.as_system().read(lambda session, last=last: _behind(session, subject, last)):  # type: ignore[misc]
        for row in found:
            yield ExportItem("account", msgspec.to_builtins(account_view(row)))
            before: int | None = None
            identity = wire("acc", row.id)
            while lines := await ctx.db.as_system().read(
                lambda session, one=identity, before=before: statement(session, one, limit=PAGE, before=before)  # type: ignore[misc]
            ):
                for line in lines:
                    yield ExportItem("line", {"account": identity} | msgspec.to_builtins(line))
                before = lines[-1].seq
        last = bytes(found[-1].id)


async def erase(ctx: PluginContext, subject: str) -> EraseReport:
    """Say what stays."""
    query = select(func.count()).select_from(accounts).where(accounts.c.owner == subject)
    count = await ctx.db.as_system().read(lambda session: session.execute(query).scalar_one())
    return EraseReport(erased={}, kept={str(accounts.name): REASON} if count else {})


def _behind(session: Session, subject: str, last: bytes) -> list[Any]:
    query = select(accounts).where(accounts.c.owner == subject, accounts.c.id > last).order_by(accounts.c.id).limit(PAGE)
    return list(session.execute(query).all())
