"""HTTP for operators: prices and what they lack, models as providers offer them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Request, get, post
from litestar.params import JSONBody, QueryParameter
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from luminai import AuditEntry, Model, Page, PluginContext, page_cursor, page_limit, policy, signed_in
from luminai_ai_gateway.price_check import check
from luminai_ai_gateway.price_schemas import PriceAsk, PriceCheck, PriceImport, PriceView
from luminai_ai_gateway.price_table import prices as table
from luminai_ai_gateway.prices import Prices

MAX_BODY = 4 * 1024 * 1024
OWN = "gateway"
"""The provider of named models: they cost what the models behind them cost."""
Begins = Annotated[
    str, QueryParameter(description="Only models whose `<provider>/<model>` begins so.", max_length=281, pattern=r"^[^\x00-\x20\x7f]*\Z")
]
Dated = Annotated[bool, QueryParameter(description="Also prices that ended, and those that begin later.")]


def offered(ctx: PluginContext) -> dict[str, list[Model]]:
    """Return what each provider offers."""
    return {name: list(provider.models()) for name, provider in ctx.providers.ai_providers.items() if name != OWN}


def handlers(ctx: PluginContext, prices: Prices) -> Sequence[Any]:
    """Return the route handlers over ``prices``."""

    @get("/api/ai/manage/prices", opt=policy("ai-gateway:manage"))
    async def list_prices(limit: page_limit = 100, cursor: page_cursor = None, model: Begins = "", every: Dated = False) -> Page[PriceView]:
        """List prices in the order in which they came; those in force, or every one."""
        now = ctx.clock.now()

        def unit(session: Session) -> list[PriceView]:
            query = select(table).order_by(table.c.id).limit(limit + 1)
            query = query.where(table.c.id > cursor) if cursor else query
            provider, slash, name = model.partition("/")
            if slash:
                query = query.where(table.c.provider == provider, table.c.model.startswith(name, autoescape=True))
            elif provider:
                query = query.where(table.c.provider.startswith(provider, autoescape=True))
            if not every:
                other = table.alias()
                same = [other.c[part] == table.c[part] for part in ("provider", "model", "unit", "above")]
                newest = select(func.max(other.c.start)).where(*same, other.c.start <= now).scalar_subquery()
                query = query.where(table.c.start == newest)
            return [_view(row) for row in session.execute(query)]

        found = await ctx.db.read(unit)
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @post("/api/ai/manage/prices", opt=policy("ai-gateway:manage", step_up=True), status_code=200, request_max_body_size=MAX_BODY)
    async def import_prices(request: Request[Any, Any, Any], data: JSONBody[PriceAsk]) -> PriceImport:
        """Import prices, all or none. A row that is there is never changed: a new one takes over at its `start`."""
        by, now = signed_in(request), ctx.clock.now()
        if data.dry_run:
            return await ctx.db.read(lambda session: prices.compare(session, data, now), timeout=60)

        def unit(session: Session) -> PriceImport:
            found = prices.store(session, data, now)
            if found.changes:
                entry = AuditEntry(
                    action="ai-gateway.prices", detail={"source": data.source, "added": found.added, "changed": found.changed}, retention="7y"
                )
                ctx.audit(session, by, entry)
            return found

        done = await ctx.db.write(unit, timeout=60)
        prices.forget()
        return done

    @get("/api/ai/manage/prices/check", opt=policy("ai-gateway:manage"))
    async def check_prices() -> PriceCheck:
        """Tell which offered models have no price, and which prices can hardly be meant."""
        models, now = offered(ctx), ctx.clock.now()
        return await ctx.db.read(lambda session: check(session, prices, models, now))

    return [list_prices, import_prices, check_prices]


def _view(row: Any) -> PriceView:
    values = {name: getattr(row, name) for name in ("id", "unit", "above", "micro", "start", "source", "imported_at")}
    return PriceView(model=f"{row.provider}/{row.model}", **values)
