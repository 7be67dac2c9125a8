"""HTTP: models as providers offer them, one small call to try a model, and what became of one's own calls."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Annotated, Any

import msgspec
from litestar import Request, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from sqlalchemy import select
from sqlalchemy.orm import Session

from luminai import ChatMessage, ChatRequest, Model, NotFound, Page, PluginContext, Trace, page_limit, policy, signed_in
from luminai_ai_gateway.calls import ChatCall, EmbeddingCall, ImageCall, SpeechCall
from luminai_ai_gateway.models import calls
from luminai_ai_gateway.price_check import lacking
from luminai_ai_gateway.price_routes import offered
from luminai_ai_gateway.price_schemas import CallTrace, CostView, ModelTest, ModelTestAsk, ModelView, UnitPrice
from luminai_ai_gateway.prices import Prices
from luminai_ai_gateway.pricing import Rate
from luminai_ai_gateway.service import Gateway

SMALL = "Answer with the word: ready"
TEST_SECONDS = 60.0
COMPARED = 100
Offset = Annotated[str | None, QueryParameter(pattern=r"^[0-9]{1,9}\Z", description="Where the last page ended.")]
Elsewhere = Annotated[bool, QueryParameter(description="Also tell what the same would have cost by other models' prices of that moment.")]


def handlers(ctx: PluginContext, gateway: Gateway, prices: Prices) -> Sequence[Any]:
    """Return the route handlers."""

    @get("/api/ai/manage/models", opt=policy("ai-gateway:manage"))
    async def list_models(limit: page_limit = 100, cursor: Offset = None) -> Page[ModelView]:
        """List what providers offer, by name, with prices in force."""
        now, first = ctx.clock.now(), int(cursor or 0)
        every = [(f"{provider}/{model.id}", provider, model) for provider, some in sorted(offered(ctx).items()) for model in some]

        def unit(session: Session) -> list[ModelView]:
            return [
                _offered(name, ctx.providers.owner("ai_providers", provider), model, prices.rates(session, name, now))
                for name, provider, model in every[first : first + limit]
            ]

        return Page(await ctx.db.read(unit), str(first + limit) if len(every) > first + limit else None)

    @post("/api/ai/manage/models/test", opt=policy("ai-gateway:manage"), status_code=200)
    async def test_model(request: Request[Any, Any, Any], data: JSONBody[ModelTestAsk]) -> ModelTest:
        """Call a model once with as little as there can be. It is a call like any other: recorded, and paid for by who asks."""
        kinds = gateway.model(data.model).kinds
        kind = next(one for one in ("chat", "embedding", "speech", "image") if one in kinds)
        whose: dict[str, Any] = {"actor": signed_in(request), "model": data.model, "origin": "models.test"}
        began = perf_counter()
        found = await _small_call(gateway, kind, whose, with_content=data.content)
        total = round(perf_counter() - began, 4)
        if not found.call:
            return msgspec.structs.replace(found, total=total)
        query = select(calls.c.model, calls.c.cost_micros, calls.c.cost_basis).where(calls.c.id == found.call)
        row = await ctx.db.read(lambda session: session.execute(query.where(calls.c.subject == whose["actor"].subject)).one())
        return msgspec.structs.replace(found, total=total, model=row.model, cost_micros=row.cost_micros, cost_basis=row.cost_basis)

    @get("/api/ai/calls/{call_id:str}", opt=policy("ai-gateway:read"))
    async def show_call(request: Request[Any, Any, Any], call_id: FromPath[str], elsewhere: Elsewhere = False) -> CallTrace:
        """Show what became of one of your calls."""
        subject = signed_in(request).subject
        models = offered(ctx) if elsewhere else {}

        def unit(session: Session) -> CallTrace:
            row = session.execute(select(calls).where(calls.c.id == call_id, calls.c.subject == subject)).first()
            if row is None:
                raise NotFound("You have no such call.", code="ai-gateway.call-not-found")
            return _traced(row, _others(session, prices, row, models))

        return await ctx.db.read(unit)

    return [list_models, test_model, show_call]


async def _small_call(gateway: Gateway, kind: str, whose: dict[str, Any], *, with_content: bool) -> ModelTest:
    """Return what the smallest call of a kind came to."""
    if kind == "chat":
        request = ChatRequest(model="", messages=(ChatMessage("user", SMALL),), max_output_tokens=32, timeout=TEST_SECONDS)
        reply = await gateway.chat(ChatCall(request=request, **whose))
        trace = reply.trace or Trace()
        said: dict[str, Any] = {"said": reply.text[:200], "end": str(reply.end), "usage": reply.usage}
        return ModelTest(model=whose["model"], kind=kind, first=trace.first, call=trace.call, **said)
    if kind == "embedding":
        vectors = await gateway.embed(EmbeddingCall(texts=("ready",), **whose))
        what = f"a vector of {len(vectors.vectors[0])} numbers"
        return ModelTest(model=whose["model"], kind=kind, end="finished", said=what, usage=vectors.usage, call=_call_of(vectors.trace))
    media = await (gateway.speak(SpeechCall(text="Ready.", **whose)) if kind == "speech" else gateway.image(ImageCall(prompt="A dot.", **whose)))
    what, content = f"{len(media.content)} bytes of {media.content_type}", media.content if with_content else None
    call = _call_of(media.trace)
    return ModelTest(model=whose["model"], kind=kind, end="finished", said=what, usage=media.usage, content=content, call=call)


def _call_of(trace: Trace | None) -> str:
    return trace.call if trace is not None else ""


def _offered(name: str, plugin: str, model: Model, rates: Sequence[Rate]) -> ModelView:
    known = [msgspec.convert({"unit": rate.unit, "micro": rate.micro, "above": rate.above}, UnitPrice) for rate in rates]
    return ModelView(
        model=name,
        title=model.title,
        plugin=plugin,
        kinds=sorted(model.kinds),
        context_tokens=model.context_tokens,
        max_output_tokens=model.max_output_tokens,
        tools=model.tools,
        prices=known,
        unpriced=lacking(model.kinds, rates),
    )


def _others(session: Session, prices: Prices, row: Any, models: dict[str, list[Model]]) -> list[CostView]:
    names = [f"{provider}/{model.id}" for provider, some in models.items() for model in some if row.kind in model.kinds]
    used = {"input_tokens": row.input_tokens, "output_tokens": row.output_tokens}
    found = prices.elsewhere(session, names, used, row.created_at)
    return [CostView(model=one.model, micro=one.cost.micro or 0, parts=one.cost.parts) for one in found[:COMPARED]]


def _traced(row: Any, elsewhere: list[CostView]) -> CallTrace:
    values = {name: getattr(row, name) for name in CallTrace.__struct_fields__ if name not in ("trace", "elsewhere")}
    trace = None if row.trace is None else msgspec.convert(row.trace, Trace)
    return CallTrace(trace=trace, elsewhere=elsewhere, **values)
