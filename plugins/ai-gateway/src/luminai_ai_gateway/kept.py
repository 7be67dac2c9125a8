"""Replies that are kept for a while: for the same person, the same version of the prompt and the same input, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Final, Literal

import msgspec
from msgspec import Struct

from luminai import ChatReply, EndState, PluginContext, Source, SourceFound, StreamEvent, TextDelta, ToolCall, ToolCallFound
from luminai_ai_gateway.calls import ChatCall
from luminai_ai_gateway.catalogue import Plan

CLASS: Final = "ai-response"


class KeptReply(Struct, frozen=True):
    """A reply that came to its end."""

    model: str
    text: str
    sources: tuple[Source, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    covered: bool = True
    enforced: Literal["", "provider", "hub", "asked"] = ""

    def events(self) -> Iterator[StreamEvent]:
        """Yield its content."""
        yield from map(SourceFound, self.sources)
        if self.text:
            yield TextDelta(self.text)
        yield from map(ToolCallFound, self.tool_calls)


def kept_of(model: str, reply: ChatReply, enforced: Literal["", "provider", "hub", "asked"]) -> KeptReply | None:
    """Return a reply as it is kept; None for one that did not come to its end."""
    if reply.end is not EndState.FINISHED:
        return None
    return KeptReply(model, reply.text, reply.sources, reply.tool_calls, reply.covered, enforced)


class KeptReplies:
    """Over the plugin's cache. A cache that is away has nothing, and keeps nothing."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx

    async def find(self, call: ChatCall, plan: Plan) -> KeptReply | None:
        """Return what is kept for a call."""
        if not plan.handling.cache:
            return None
        found: KeptReply | None = await self._ctx.cache.as_subject(call.actor.subject).get(_key(call, plan), KeptReply)
        return found

    async def keep(self, call: ChatCall, plan: Plan, reply: KeptReply | None) -> bool:
        """Keep a reply; False when it is not to be kept."""
        if not plan.handling.cache or reply is None:
            return False
        await self._ctx.cache.as_subject(call.actor.subject).put(_key(call, plan), reply, ttl=CLASS)
        return True


def _key(call: ChatCall, plan: Plan) -> str:
    """Return the key: all that a reply depends on, save how long it may take."""
    inputs = msgspec.structs.replace(call.request, model="", timeout=0.0)
    whole = msgspec.json.encode((call.prompt_version, plan.name, plan.chain, inputs), order="sorted")
    return f"ai_response:{sha256(whole).hexdigest()}"
