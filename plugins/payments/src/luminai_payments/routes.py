"""HTTP for people who pay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Request, delete, get, post
from litestar.params import JSONBody, PathParameter
from sqlalchemy import select

from luminai import Page, PluginContext, page_cursor, page_limit, policy, signed_in
from luminai_payments import store
from luminai_payments.models import payments
from luminai_payments.schemas import ActionView, Charge, Checkout, MethodView, NewMethod, OwnedPaymentView, PaymentView, PortalAsk, Refund, Retry
from luminai_payments.service import Payments

PaymentPath = Annotated[str, PathParameter(pattern=r"^pay_[0-9a-f]{32}\Z")]
MethodPath = Annotated[str, PathParameter(pattern=r"^pmt_[0-9a-f]{32}\Z")]


def routes(ctx: PluginContext, service: Payments) -> Sequence[Any]:
    """Return the route handlers."""

    @post("/api/payments/checkouts", opt=policy("payments:pay"), status_code=201)
    async def check_out(request: Request[Any, Any, Any], data: JSONBody[Checkout]) -> PaymentView:
        """Buy a product; its price comes from who sells it. A payment that the provider declines is an answer with the status `failed`."""
        return _own(await service.checkout(signed_in(request).subject, data))

    @get("/api/payments/checkouts/{payment:str}", opt=policy("payments:read"))
    async def show_checkout(request: Request[Any, Any, Any], payment: PaymentPath) -> PaymentView:
        """Show one of your payments."""
        return await service.find(payment, signed_in(request).subject)

    @post("/api/payments/checkouts/{payment:str}/retry", opt=policy("payments:pay"), status_code=200)
    async def retry(request: Request[Any, Any, Any], payment: PaymentPath, data: JSONBody[Retry]) -> PaymentView:
        """Try a payment that failed again, with another method if one is named."""
        return _own(await service.retry(signed_in(request).subject, payment, data))

    @post("/api/payments/checkouts/{payment:str}/cancel", opt=policy("payments:pay"), status_code=200)
    async def cancel(request: Request[Any, Any, Any], payment: PaymentPath) -> PaymentView:
        """Let go of a payment that is reserved, or that waits for you."""
        actor = signed_in(request)
        return _own(await service.void(payment, actor, actor.subject))

    @post("/api/payments/charge", opt=policy("payments:pay"), status_code=201)
    async def charge(request: Request[Any, Any, Any], data: JSONBody[Charge]) -> PaymentView:
        """Pay an amount of your own choice."""
        return _own(await service.charge(signed_in(request).subject, data))

    @get("/api/payments/history", opt=policy("payments:read"))
    async def show_history(request: Request[Any, Any, Any], limit: page_limit = 20, cursor: page_cursor = None) -> Page[PaymentView]:
        """List your payments, newest first."""
        query = store.page(select(payments).where(payments.c.subject == signed_in(request).subject), payments.c.id, limit + 1, cursor)
        found = await ctx.db.read(lambda session: list(session.execute(query)))
        return Page([store.view(row) for row in found[:limit]], found[limit - 1].id if len(found) > limit else None)

    @get("/api/payments/methods", opt=policy("payments:read"))
    async def list_methods(request: Request[Any, Any, Any], limit: page_limit = 20, cursor: page_cursor = None) -> Page[MethodView]:
        """List your stored methods, newest first."""
        found = await service.methods.page(signed_in(request).subject, limit + 1, cursor)
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @post("/api/payments/methods", opt=policy("payments:pay"), status_code=201)
    async def add_method(request: Request[Any, Any, Any], data: JSONBody[NewMethod]) -> MethodView:
        """Store a method at a provider; `action` says what you do there, for its card number never comes here."""
        return await service.methods.add(signed_in(request).subject, data)

    @post("/api/payments/portal", opt=policy("payments:pay"), status_code=200)
    async def open_portal(request: Request[Any, Any, Any], data: JSONBody[PortalAsk]) -> ActionView:
        """Tell where you look after your methods and bills at a provider; the address holds for some minutes."""
        return await service.methods.portal(signed_in(request).subject, data)

    @delete("/api/payments/methods/{method:str}", opt=policy("payments:pay"), status_code=204)
    async def remove_method(request: Request[Any, Any, Any], method: MethodPath) -> None:
        """Have a stored method forgotten, at the provider too."""
        await service.methods.remove(signed_in(request).subject, method)

    @post("/api/payments/refund", opt=policy("payments:manage", step_up=True), status_code=200)
    async def refund(request: Request[Any, Any, Any], data: JSONBody[Refund]) -> OwnedPaymentView:
        """Give back a payment, or a part of it; never more than is left of it."""
        return await service.refund(data, signed_in(request))

    return [check_out, show_checkout, retry, cancel, charge, show_history, list_methods, add_method, open_portal, remove_method, refund]


def _own(found: OwnedPaymentView) -> PaymentView:
    """Return the part of a payment that its owner sees."""
    return PaymentView(**{name: getattr(found, name) for name in PaymentView.__struct_fields__})
