"""HTTP: which models there are, people's own calls, and corrections of what calls used."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from litestar import Request, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct
from sqlalchemy import select
from sqlalchemy.orm import Session

from luminai import NotFound, Page, PluginContext, Usage, page_cursor, page_limit, policy, signed_in
from luminai_ai_gateway.account import MAX_TOKENS
from luminai_ai_gateway.catalogue import GatewayModel
from luminai_ai_gateway.models import calls
from luminai_ai_gateway.service import Gateway

Tokens = Annotated[int, Meta(ge=0, le=MAX_TOKENS)]
Offset = Annotated[str | None, QueryParameter(pattern=r"^[0-9]{1,9}\Z", description="Where the last page ended.")]


class CallView(Struct, frozen=True, kw_only=True):
    """A call in a list. ``state`` is ``running`` or how it ended; ``cost_micros`` millionths of a dollar, null where no price is known."""

    id: str
    kind: str
    name: str
    model: str
    origin: str
    state: str
    code: str
    input_tokens: int
    output_tokens: int
    usage_origin: str
    cost_micros: int | None
    cost_basis: str
    created_at: datetime
    ended_at: datetime | None


class UsageAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a call used, as its provider reported it later."""

    input_tokens: Tokens
    output_tokens: Tokens


def handlers(ctx: PluginContext, gateway: Gateway) -> Sequence[Any]:
    """Return the route handlers."""

    @get("/api/ai/models", opt=policy("ai-gateway:read"))
    async def list_usable_models(request: Request[Any, Any, Any], limit: page_limit = 100, cursor: Offset = None) -> Page[GatewayModel]:
        """List the models that calls may ask for: routes first."""
        found, first = gateway.models(signed_in(request)), int(cursor or 0)
        return Page(list(found[first : first + limit]), str(first + limit) if len(found) > first + limit else None)

    @get("/api/ai/calls", opt=policy("ai-gateway:read"))
    async def list_calls(request: Request[Any, Any, Any], limit: page_limit = 20, cursor: page_cursor = None) -> Page[CallView]:
        """List your calls, newest first."""
        subject = signed_in(request).subject
        query = select(*(calls.c[name] for name in CallView.__struct_fields__)).where(calls.c.subject == subject)
        query = (query.where(calls.c.id < cursor) if cursor else query).order_by(calls.c.id.desc()).limit(limit + 1)

        def unit(session: Session) -> list[CallView]:
            return [CallView(**row._asdict()) for row in session.execute(query)]

        found = await ctx.db.read(unit)
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @post("/api/ai/manage/calls/{any_call:str}/usage", opt=policy("ai-gateway:manage"), status_code=204)
    async def reconcile(any_call: FromPath[str], data: JSONBody[UsageAsk]) -> None:
        """Put what a provider reported later in the place of an estimate. The call's cost follows, what was charged for it stays."""
        query = select(calls.c.subject).where(calls.c.id == any_call)
        subject = await ctx.db.as_system().read(lambda session: session.execute(query).scalar())
        if subject is None:
            raise NotFound("There is no such call.", code="ai-gateway.call-not-found")
        usage = Usage(input_tokens=data.input_tokens, output_tokens=data.output_tokens, origin="reported")
        await gateway.reconcile(subject, any_call, usage)

    return [list_usable_models, list_calls, reconcile]
