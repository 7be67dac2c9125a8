"""Context and tools of a turn. The model is taken for hostile: it may ask for anything, and gets what its person may do, and has said yes to."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct

from luminai import Actor, ChatMessage, HubError, PluginContext, Tool, ToolCall
from luminai_chat.config import ChatConfig
from luminai_chat.extension import CONTEXT_POINT, TOOL_POINT, ChatTool, ContextSource
from luminai_chat.turn import Turn
from luminai_chat.untrusted import Marker

CONTEXT_SECONDS: Final = 5.0
CONTEXT_ITEMS: Final = 12
MAX_ARGUMENTS: Final = 16_384
LONGEST_TOOL: Final = 60.0
LOOK_SECONDS: Final = 0.5
Answered = Callable[[Turn, str, Any], Awaitable[bool | None]]


class Offered(Struct, frozen=True):
    """A tool with what a model is told of it."""

    tool: ChatTool
    described: Tool


class Toolbox:
    """Gathers context and runs tools.

    Args:
        answered: ``async (turn, digest, since)``: takes a person's answer to a request for approval, None while there is none.
    """

    def __init__(self, ctx: PluginContext, answered: Answered) -> None:
        self._ctx = ctx
        self._config: ChatConfig = ctx.config
        self._answered = answered

    @property
    def has_context(self) -> bool:
        """Whether any plugin brings context."""
        return bool(self._ctx.extensions(CONTEXT_POINT))

    def of(self, turn: Turn) -> list[Offered]:
        """Return the tools that a turn's model may ask for: those the operator lists, the person may use, and the model can call."""
        if turn.actor is None or turn.model is None or not turn.model.tools or turn.session_id is None:
            return []
        found: list[ChatTool] = [one for one in self._ctx.extensions(TOOL_POINT) if one.name in self._config.tools and turn.actor.may(one.scope)]
        return [Offered(one, Tool(one.name, one.description, _schema(one.input))) for one in {one.name: one for one in reversed(found)}.values()]

    async def context(self, turn: Turn, marker: Marker) -> list[ChatMessage]:
        """Return what plugins found for the question, marked as data; a source that fails or is late gives none."""
        actor = turn.actor
        if actor is None or turn.model is None or not turn.model.follows_instructions:
            return []
        sources: Sequence[ContextSource] = self._ctx.extensions(CONTEXT_POINT)
        found = await asyncio.gather(*(self._find(source, actor, turn) for source in sources))
        items = [item for several in found for item in several][:CONTEXT_ITEMS]
        return [ChatMessage("user", marker.mark(f"{item.source.title} ({item.source.id})", item.text)) for item in items]

    async def _find(self, source: ContextSource, actor: Actor, turn: Turn) -> Sequence[Any]:
        try:
            async with asyncio.timeout(CONTEXT_SECONDS):
                return (await source.find(actor, turn.ask.message))[:CONTEXT_ITEMS]
        except Exception:
            self._ctx.log.exception("chat.context.failed", extra={"source": source.name, "turn": turn.id})
            return ()

    async def call(self, turn: Turn, offered: Sequence[Offered], call: ToolCall) -> str:
        """Run what the model asks for, and return the result; whatever does not fit is refused in words, and nothing happens."""
        state, said = await self._call(turn, offered, call)
        turn.log.add("tool", {"call_id": call.id[:100], "tool": call.name[:100], "state": state})
        return said

    async def _call(self, turn: Turn, offered: Sequence[Offered], call: ToolCall) -> tuple[str, str]:
        tool = next((one.tool for one in offered if one.tool.name == call.name), None)
        actor = turn.actor
        if tool is None or actor is None or not actor.may(tool.scope):
            return "refused", "Refused: there is no such tool."
        if len(call.arguments) > MAX_ARGUMENTS:
            return "refused", "Refused: the arguments are too long."
        try:
            given = msgspec.json.decode(call.arguments or "{}", type=tool.input)
        except (msgspec.DecodeError, UnicodeError) as error:
            return "refused", f"Refused: the arguments do not fit: {str(error)[:300]}"
        if tool.changes and not await self._approved(turn, tool, call, given):
            return "declined", "Refused: the person did not say yes."
        try:
            async with asyncio.timeout(min(tool.timeout, LONGEST_TOOL)):
                return "done", str(await tool.run(actor, given))
        except HubError as error:
            return "failed", f"Failed: {error.detail}"
        except TimeoutError:
            return "failed", "Failed: it took too long."
        except Exception:
            self._ctx.log.exception("chat.tool.failed", extra={"tool": tool.name, "turn": turn.id})
            return "failed", "Failed."

    async def _approved(self, turn: Turn, tool: ChatTool, call: ToolCall, given: Any) -> bool:
        """Ask the person for a yes to exactly this call; it holds once, for these arguments, and not for long."""
        shown = msgspec.to_builtins(given)
        canonical = msgspec.json.encode([turn.id, secrets.token_hex(16), tool.name, shown], order="deterministic")
        digest, since = hashlib.sha256(canonical).hexdigest(), self._ctx.clock.now()
        seconds = self._config.approval_seconds
        asked = {"call_id": call.id[:100], "tool": tool.name, "arguments": shown, "digest": digest}
        turn.log.add("approval", {**asked, "until": since + timedelta(seconds=seconds)})
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            answer = await self._answered(turn, digest, since)
            if answer is not None:
                return answer
            await asyncio.sleep(LOOK_SECONDS)
        return False


def _schema(type_: type[Struct]) -> dict[str, Any]:
    """Return a Struct's JSON Schema with the object itself at its top, as model services want it."""
    (_,), parts = msgspec.json.schema_components([type_], ref_template="#/$defs/{name}")
    top = dict(parts.pop(type_.__name__))
    return {**top, "$defs": parts} if parts else top
