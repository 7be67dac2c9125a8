"""HTTP for operators: other people's wallets, grants, plans, prices, products, refunds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Request, get, post
from litestar.params import FromPath, JSONBody
from sqlalchemy.orm import Session

from luminai import AuditEntry, Page, PluginContext, page_cursor, page_limit, policy, signed_in
from luminai_credits.catalogue import Imported
from luminai_credits.reading import read_product
from luminai_credits.schemas import (
    GrantAsk,
    GrantView,
    PlanGrantAsk,
    PriceAsk,
    PriceView,
    ProductText,
    RefundAsk,
    UsageView,
    WalletView,
)
from luminai_credits.service import Credits


def handlers(ctx: PluginContext, credits: Credits) -> Sequence[Any]:  # noqa: A002 - it is what they are
    """Return the route handlers over ``credits``."""

    @get("/api/credits/manage/wallets/{owner:str}", opt=policy("credits:manage"))
    async def show_wallets(owner: FromPath[str]) -> list[WalletView]:
        """Show what a person has in each product where they have a wallet."""
        return await ctx.db.as_subject(owner).read(lambda session: credits.opened(session, owner))

    @get("/api/credits/manage/wallets/{owner:str}/usage", opt=policy("credits:manage"))
    async def list_usage_of(owner: FromPath[str], limit: page_limit = 20, cursor: page_cursor = None) -> Page[UsageView]:
        """List a person's paid work, newest first."""
        found = await ctx.db.as_subject(owner).read(lambda session: credits.usage(session, owner, limit=limit + 1, before=cursor))
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @post("/api/credits/manage/wallets/{owner:str}/usage/{any_usage:str}/refund", opt=policy("credits:manage", step_up=True), status_code=200)
    async def refund_usage_of(
        request: Request[Any, Any, Any], owner: FromPath[str], any_usage: FromPath[str], data: JSONBody[RefundAsk]
    ) -> UsageView:
        """Refund a person's action, whatever the product's days say, once."""
        by = signed_in(request)
        return await ctx.db.as_subject(owner).write(lambda session: credits.refund(session, owner, any_usage, data.reason, by))

    @post("/api/credits/manage/grants", opt=policy("credits:manage", step_up=True), status_code=201)
    async def grant(request: Request[Any, Any, Any], data: JSONBody[GrantAsk]) -> GrantView:
        """Give units to a person."""
        by = signed_in(request)
        return await ctx.db.as_subject(data.subject).write(lambda session: credits.grant(session, data, by))

    @post("/api/credits/manage/plans", opt=policy("credits:manage", step_up=True), status_code=200)
    async def grant_plan(request: Request[Any, Any, Any], data: JSONBody[PlanGrantAsk]) -> WalletView:
        """Give a person a plan for some months without a payment."""
        by = signed_in(request)
        return await ctx.db.as_subject(data.subject).write(lambda session: credits.grant_plan(session, data, by))

    @post("/api/credits/manage/prices", opt=policy("credits:manage", step_up=True), status_code=201)
    async def add_price(request: Request[Any, Any, Any], data: JSONBody[PriceAsk]) -> PriceView:
        """Add a row to a price list. Rows are never changed: a new one takes over at its `start`."""
        by = signed_in(request)

        def unit(session: Session) -> PriceView:
            row = credits.catalogue.add_price(session, data.product, data.price, ctx.clock.now())
            ctx.audit(session, by, AuditEntry(action="credits.price", object=row.id, detail={"action": row.price.action}, retention="7y"))
            return PriceView(id=row.id, product=row.product, start=row.start, price=row.price)

        return await ctx.db.write(unit)

    @post("/api/credits/manage/products", opt=policy("credits:manage", step_up=True), status_code=200)
    async def import_product(request: Request[Any, Any, Any], data: JSONBody[ProductText]) -> Imported:
        """Import a product file; its problems are told all at once, and then nothing of it is taken."""
        by, product = signed_in(request), await ctx.run_sync(read_product, data.toml)

        def unit(session: Session) -> Imported:
            found = credits.store(session, product)
            ctx.audit(session, by, AuditEntry(action="credits.import", object=product.product, detail={"version": found.version}, retention="7y"))
            return found

        if data.dry_run:
            return await ctx.db.read(lambda session: credits.catalogue.compare(session, product))
        return await ctx.db.write(unit)

    return [show_wallets, list_usage_of, refund_usage_of, grant, grant_plan, add_price, import_product]
