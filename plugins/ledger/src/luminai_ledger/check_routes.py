"""HTTP: are the books right?"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Annotated, Any, Final, TypeVar

from litestar import get, post
from litestar.params import QueryParameter

from luminai import Page, PluginContext, Unprocessable, page_limit, policy
from luminai_ledger.schemas import ReportView
from luminai_ledger.upkeep import reconcile, reports_page
from luminai_ledger.verify import Verification, verify

T = TypeVar("T")
SECONDS: Final = 60.0
"""How long a request may take that walks the whole history."""

report_cursor = Annotated[str | None, QueryParameter(pattern=r"^rec_[0-9a-f]{32}\Z", description="Where the last page ended.")]


def check_routes(ctx: PluginContext) -> Sequence[Any]:
    """Return the route handlers."""

    @post("/api/ledger/verify", opt=policy("ledger:audit"), status_code=200)
    async def verify_books() -> Verification:
        """Make the books anew from their history and compare; nothing is kept of it."""
        return await _within(verify(ctx))

    @post("/api/ledger/reconcile", opt=policy("ledger:audit"), status_code=200)
    async def reconcile_books() -> ReportView:
        """Verify, keep the report, and put its digest into the audit log."""
        return await _within(reconcile(ctx))

    @get("/api/ledger/reports", opt=policy("ledger:audit"))
    async def list_reports(limit: page_limit = 20, cursor: report_cursor = None) -> Page[ReportView]:
        """List what reconciliations found, newest first."""
        found = await ctx.db.as_system().read(lambda session: reports_page(session, limit=limit + 1, before=cursor))
        return Page(found[:limit], found[limit - 1].report.id if len(found) > limit else None)

    return [verify_books, reconcile_books, list_reports]


async def _within(work: Coroutine[Any, Any, T]) -> T:
    try:
        async with asyncio.timeout(SECONDS):
            return await work
    except TimeoutError:
        hint = "It runs every night as the action ledger.reconcile; GET /api/ledger/reports tells what it found."
        raise Unprocessable(f"The history is too long for a request of {SECONDS:g} s.", code="ledger.too-long", hint=hint) from None
