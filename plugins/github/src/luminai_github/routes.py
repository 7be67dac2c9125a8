"""HTTP: what was delivered, and what was missed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import get, post
from litestar.params import QueryParameter

from luminai import Page, PluginContext, page_cursor, page_limit, policy
from luminai_github import store
from luminai_github.reconcile import Reconciler
from luminai_github.schemas import DeliveryView, Reconciliation

Repository = Annotated[str, QueryParameter(max_length=140, description="Only those of owner/name.")]


def routes(ctx: PluginContext, reconciler: Reconciler) -> Sequence[Any]:
    """Return the route handlers."""

    @get("/api/github/deliveries", opt=policy("github:read"))
    async def list_deliveries(repository: Repository = "", limit: page_limit = 20, cursor: page_cursor = None) -> Page[DeliveryView]:
        """List what GitHub delivered and the hub handled, newest first."""
        found = await ctx.db.read(lambda session: store.page(session, repository=repository, limit=limit + 1, before=cursor))
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @post("/api/github/reconcile", opt=policy("github:manage"), status_code=200)
    async def reconcile() -> Reconciliation:
        """Compare with GitHub's own list, and have it deliver again what never arrived."""
        return await reconciler.run()

    return [list_deliveries, reconcile]
