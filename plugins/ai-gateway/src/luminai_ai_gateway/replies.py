"""Replies over a route, streamed or whole, with their schema seen to. Nothing here is paid for or recorded."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from luminai import ChatReply, ChatRequest, Deadlines, End, EndState, PluginContext, SourceFound, StreamEvent, TextDelta, ToolCallFound
from luminai_ai_gateway.account import Account
from luminai_ai_gateway.admission import unsuited
from luminai_ai_gateway.catalogue import Catalogue, Plan, Target
from luminai_ai_gateway.config import GatewayConfig
from luminai_ai_gateway.failures import Exhausted, mismatched, not_there
from luminai_ai_gateway.schema import is_judged_whole, json_of, mismatch
from luminai_ai_gateway.stream import Reply
from luminai_ai_gateway.structured import Enforced, asking, can_be_judged, repairing
from luminai_ai_gateway.tries import Tries
from luminai_ai_gateway.whole import answer_of, judge_reply

Grow = Callable[[int], Awaitable[int]]


class Asked(Struct, frozen=True, kw_only=True):
    """A reply that is to be made.

    Attributes:
        characters: Of all input.
        grow: As in ``Reply``; None where nothing has to be paid for as it grows.
    """

    plan: Plan
    request: ChatRequest
    account: Account
    characters: int = 0
    grow: Grow | None = None


class Replies:
    """Makes replies."""

    def __init__(self, ctx: PluginContext, catalogue: Catalogue) -> None:
        self._ctx = ctx
        self._config: GatewayConfig = ctx.config
        self._catalogue = catalogue
        self._deadlines = Deadlines()

    def bounded(self, request: ChatRequest) -> ChatRequest:
        """Return a request that asks for no longer reply than the settings allow."""
        if request.max_output_tokens is None or request.max_output_tokens <= self._config.output_tokens:
            return request
        return replace(request, max_output_tokens=self._config.output_tokens)

    def stream(self, asked: Asked) -> AsyncGenerator[StreamEvent, None]:
        """Return a reply as it comes, and one end.

        With a schema it comes at once in one piece, when it is known to keep to it, unless all models of the route see to that themselves.

        Raises:
            Exhausted: (the iterator) nothing came.
        """
        schema = asked.request.response_schema
        return self._reply(asked).events() if schema is None else self._structured_stream(asked, schema)

    async def _structured_stream(self, asked: Asked, schema: dict[str, Any]) -> AsyncGenerator[StreamEvent, None]:
        if not self._is_structured(asked.plan):
            reply = await self.whole(asked)
            for source in reply.sources:
                yield SourceFound(source)
            if reply.text:
                yield TextDelta(reply.text)
            for call in reply.tool_calls:
                yield ToolCallFound(call)
            yield End(state=reply.end, usage=reply.usage, covered=reply.covered)
            return
        made = self._reply(asked)
        async with aclosing(made.events()) as events:
            async for event in events:
                if isinstance(event, End):
                    yield await self._end_of_structured(asked, schema, made, event)
                else:
                    yield event

    async def whole(self, asked: Asked) -> ChatReply:
        """Return a reply when it is whole; one that broke off only when no model could give another.

        Raises:
            Exhausted: there is none, or it does not keep to its schema.
        """
        tries = self._tries(asked)
        if asked.grow is not None:
            target, reply = await self._joined(asked, tries)
        else:
            target, reply, verdict = await answer_of(tries, asked.account, self._ask(asked.request), lambda reply: judge_reply(reply, asked.request))
            reply = replace(reply, end=verdict.state)
        if asked.request.response_schema is not None:
            reply = await self._structured(asked, asked.request.response_schema, tries, target, reply)
        usage = asked.account.usage
        return replace(reply, usage=usage) if usage is not None else reply

    def _tries(self, asked: Asked) -> Tries:
        seconds = min(asked.request.timeout, asked.plan.handling.total_seconds)
        return Tries(self._catalogue, asked.plan, asked.account, seconds, lambda target: unsuited(target, "chat", asked.request, asked.characters))

    def _reply(self, asked: Asked, tries: Tries | None = None) -> Reply:
        most = asked.request.max_output_tokens or self._config.output_tokens
        return Reply(tries or self._tries(asked), asked.plan, asked.request, asked.account, self._deadlines, tokens=most, grow=asked.grow)

    def _ask(self, request: ChatRequest) -> Callable[[Target, float], Awaitable[ChatReply]]:
        def ask(target: Target, seconds: float) -> Awaitable[ChatReply]:
            return target.provider.chat(replace(asking(request, target.model), model=target.model.id, timeout=seconds))

        return ask

    async def _joined(self, asked: Asked, tries: Tries) -> tuple[Target, ChatReply]:
        """Return a reply that is paid for while it grows; a part that broke off is void as soon as another model begins."""
        plan = Plan(asked.plan.name, asked.plan.chain, replace(asked.plan.handling, mid_stream="restart"))
        made, end = self._reply(replace(asked, plan=plan), tries), End(state=EndState.CUT)
        async with aclosing(made.events()) as events:
            async for event in events:
                end = event if isinstance(event, End) else end
        target = self._catalogue.find(asked.account.model)
        if target is None:
            raise Exhausted([not_there(asked.account.model, "was turned off meanwhile")])
        return target, made.came.reply(end)

    async def _structured(self, asked: Asked, schema: dict[str, Any], tries: Tries, target: Target, reply: ChatReply) -> ChatReply:
        """Return a reply that keeps to the schema, mended once if need be.

        Raises:
            Exhausted: it does not, and could not be mended.
        """
        if not can_be_judged(reply):
            asked.account.enforced = "asked"
            return reply
        wrong, by_provider = await self._wrong(schema, reply), target.model.structured
        if wrong and tries.spare():
            again = Tries(self._catalogue, replace(asked.plan, chain=(target.name,)), asked.account, tries.left, lambda _: "")
            request, by_provider = repairing(asked.request, reply, wrong), False
            _, reply, _ = await answer_of(again, asked.account, self._ask(request), lambda reply: judge_reply(reply, request))
            wrong = await self._wrong(schema, reply)
        if wrong:
            raise Exhausted([mismatched(wrong)])
        asked.account.enforced = _enforced(schema, by_provider=by_provider)
        return replace(reply, text=json_of(reply.text))

    async def _end_of_structured(self, asked: Asked, schema: dict[str, Any], made: Reply, end: End) -> End:
        """Return the end of a streamed reply whose providers see to the schema: the hub looks all the same."""
        reply = made.came.reply(end)
        if not can_be_judged(reply):
            asked.account.enforced = "asked"
            return end
        wrong = await self._wrong(schema, reply)
        if wrong:
            failure = mismatched(wrong)
            return replace(end, state=EndState.FAILED, code=failure.code, reason=failure.reason)
        asked.account.enforced = _enforced(schema, by_provider=True)
        return end

    async def _wrong(self, schema: dict[str, Any], reply: ChatReply) -> Sequence[str]:
        found: Sequence[str] = await self._ctx.run_sync(mismatch, schema, reply.text)
        return found

    def _is_structured(self, plan: Plan) -> bool:
        found = [target for name in plan.chain if (target := self._catalogue.find(name)) is not None]
        return bool(found) and all(target.model.structured for target in found)


def _enforced(schema: dict[str, Any], *, by_provider: bool) -> Enforced:
    if by_provider:
        return "provider"
    return "hub" if is_judged_whole(schema) else "asked"
