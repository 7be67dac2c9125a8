"""HTTP for people: what they have, what they used, what things cost, which plan they are on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Request, delete, get, post, put
from litestar.params import FromPath, JSONBody, PathParameter, QueryParameter
from sqlalchemy.orm import Session

from luminai import Page, PluginContext, page_cursor, page_limit, policy, signed_in
from luminai_credits.schemas import (
    GrantView,
    PlanAsk,
    PriceView,
    ProductView,
    QuoteAsk,
    QuoteView,
    RefundAsk,
    UsageView,
    WalletView,
    view_product,
)
from luminai_credits.service import Credits

ProductName = Annotated[str, PathParameter(max_length=40)]
OfProduct = Annotated[str, QueryParameter(max_length=40, description="Only those of this product.")]
UsageName = Annotated[str, PathParameter(max_length=40)]


def handlers(ctx: PluginContext, credits: Credits) -> Sequence[Any]:  # noqa: A002 - it is what they are
    """Return the route handlers over ``credits``."""

    @get("/api/credits/balance", opt=policy("credits:read"))
    async def balance(request: Request[Any, Any, Any]) -> list[WalletView]:
        """Tell what you have in each product: available, in progress, plan and quotas."""
        subject = signed_in(request).subject
        found = await ctx.db.read(lambda session: credits.peek(session, subject))
        return found if found is not None else await ctx.db.write(lambda session: credits.wallets(session, subject))

    @get("/api/credits/grants", opt=policy("credits:read"))
    async def list_grants(request: Request[Any, Any, Any], limit: page_limit = 20, cursor: page_cursor = None) -> Page[GrantView]:
        """List what you were given, newest first."""
        subject = signed_in(request).subject
        found = await ctx.db.read(lambda session: credits.grants(session, subject, limit=limit + 1, before=cursor))
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @get("/api/credits/usage", opt=policy("credits:read"))
    async def list_usage(request: Request[Any, Any, Any], limit: page_limit = 20, cursor: page_cursor = None) -> Page[UsageView]:
        """List your paid work, newest first."""
        subject = signed_in(request).subject
        found = await ctx.db.read(lambda session: credits.usage(session, subject, limit=limit + 1, before=cursor))
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @post("/api/credits/usage/{usage_id:str}/refund", opt=policy("credits:write"), status_code=200)
    async def refund(request: Request[Any, Any, Any], usage_id: FromPath[str], data: JSONBody[RefundAsk]) -> UsageView:
        """Have an action refunded, within the product's days and once."""
        subject = signed_in(request).subject
        return await ctx.db.write(lambda session: credits.refund(session, subject, usage_id, data.reason, None))

    @get("/api/credits/prices", opt=policy("credits:read"))
    async def list_prices(product: OfProduct = "", limit: page_limit = 100, cursor: page_cursor = None) -> Page[PriceView]:
        """List the price list with its dated rows, oldest import first."""

        def unit(session: Session) -> list[PriceView]:
            rows = credits.catalogue.price_list(session, product=product, limit=limit + 1, after=cursor)
            return [PriceView(id=row.id, product=row.product, start=row.start, price=row.price) for row in rows]

        found = await ctx.db.read(unit)
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @get("/api/credits/products", opt=policy("credits:read"))
    async def list_products() -> Page[ProductView]:
        """List products with their packs and plans; a hub has at most a hundred."""
        found = await ctx.db.read(lambda session: [view_product(product) for product in credits.catalogue.products(session)])
        return Page(found)

    @get("/api/credits/products/{product:str}", opt=policy("credits:read"))
    async def show_product(product: FromPath[str]) -> ProductView:
        """Show a product with its packs and plans."""
        return await ctx.db.read(lambda session: view_product(credits.catalogue.product(session, product)))

    @post("/api/credits/quote", opt=policy("credits:read"), status_code=200)
    async def quote(request: Request[Any, Any, Any], data: JSONBody[QuoteAsk]) -> QuoteView:
        """Tell what an action would cost you now. Nothing is set aside."""
        subject = signed_in(request).subject
        return await ctx.db.read(lambda session: credits.quote(session, subject, data))

    @put("/api/credits/plans/{product:str}", opt=policy("credits:write"))
    async def choose_plan(request: Request[Any, Any, Any], product: FromPath[str], data: JSONBody[PlanAsk]) -> WalletView:
        """Take a plan. Where something is to be paid, `due` says how much: check out with the purpose `plan` and the product `<product>/<plan>`."""
        subject = signed_in(request).subject
        return await ctx.db.write(lambda session: credits.choose_plan(session, subject, product, data.plan, data.zone))

    @delete("/api/credits/plans/{product:str}", opt=policy("credits:write"), status_code=200)
    async def cancel_plan(request: Request[Any, Any, Any], product: FromPath[str]) -> WalletView:
        """End your plan when its paid time is over. What you bought stays."""
        subject = signed_in(request).subject
        return await ctx.db.write(lambda session: credits.cancel_plan(session, subject, product))

    return [
        *(balance, list_grants, list_usage, refund, list_prices, list_products, show_product, quote, choose_plan, cancel_plan),
    ]
