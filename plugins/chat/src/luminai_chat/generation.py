"""What a model generates in a turn: its stream read into the log, within bounds, with nothing in it that a hostile model could do harm by."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

import msgspec

from luminai import (
    ChatMessage,
    ChatRequest,
    Continuation,
    End,
    EndState,
    PluginContext,
    Seam,
    SourceFound,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallFound,
    Usage,
)
from luminai_chat.charges import Charges
from luminai_chat.config import ChatConfig
from luminai_chat.keeper import Keeper
from luminai_chat.links import LinkFilter
from luminai_chat.tools import Toolbox
from luminai_chat.turn import Outcome, Turn
from luminai_chat.untrusted import NOTE, Marker

MAX_REPLY: Final = 200_000
MAX_SOURCES: Final = 100


class Generation:
    """Asks a turn's provider. Whatever that does, the outcome tells how it ended."""

    def __init__(self, ctx: PluginContext, charges: Charges, keeper: Keeper, toolbox: Toolbox) -> None:
        self._ctx = ctx
        self._config: ChatConfig = ctx.config
        self._charges = charges
        self._keeper = keeper
        self._toolbox = toolbox

    async def run(self, turn: Turn, outcome: Outcome, began: float) -> None:
        """Read the provider's stream into the log; where the model asks for tools, run them and let it go on.

        Raises:
            AIError, HubError: the provider failed before its first event, or refused.
        """
        if turn.provider is None or turn.model is None:
            raise RuntimeError("a turn without a provider is only closed")
        marker = Marker()
        speech = _Speech(turn, outcome, LinkFilter(self._config.link_hosts))
        if turn.is_continuation:
            turn.log.add("seam", {"message_id": turn.parent_id, "characters": len(turn.prefix), "keep": True})
        tools = self._toolbox.of(turn)
        messages = [*self._messages(turn, marker, has_tools=bool(tools)), *await self._toolbox.context(turn, marker)]
        messages.append(ChatMessage("user", turn.ask.message))
        if turn.prefix:
            messages.append(ChatMessage("assistant", turn.prefix))
            if turn.model.follows_instructions:
                messages.append(ChatMessage("user", Continuation(turn.prefix).instruction))
        deadline = asyncio.get_running_loop().time() + self._config.total_seconds
        calls_left = self._config.tool_calls
        while True:
            left = deadline - asyncio.get_running_loop().time()
            request = ChatRequest(
                model=turn.model.id,
                messages=tuple(messages),
                timeout=max(0.1, left),
                locale=turn.ask.context.locale,
                tools=tuple(tool.described for tool in tools) if calls_left > 0 else (),
            )
            calls, said = await self._round(turn, outcome, speech, request, began, deadline)
            if not calls or not request.tools or outcome.end is not EndState.FINISHED:
                for call in calls:
                    turn.log.add("tool", {"call_id": call.id[:100], "tool": call.name[:100], "state": "refused"})
                break
            messages.append(ChatMessage("assistant", said, tool_calls=tuple(calls)))
            for call in calls:
                waited = asyncio.get_running_loop().time()
                result = await self._toolbox.call(turn, tools, call) if calls_left > 0 else "Refused: no more tool calls in this turn."
                deadline += asyncio.get_running_loop().time() - waited  # a person's yes is not the provider's time
                calls_left -= 1
                messages.append(ChatMessage("tool", marker.mark(f"result of {call.name[:100]}", result), tool_call_id=call.id))
        speech.end()

    async def _round(
        self, turn: Turn, outcome: Outcome, speech: _Speech, request: ChatRequest, began: float, deadline: float
    ) -> tuple[list[ToolCall], str]:
        """Read one stream to its end; return the tools it asks for, and what it said before."""
        held: list[StreamEvent] | None = None if turn.model is None or turn.model.follows_instructions or turn.prefix else []
        calls: list[ToolCall] = []
        start = len(outcome.pieces)
        async with aclosing(self._events(turn, request, deadline)) as events:
            async for event in events:
                if isinstance(event, End):
                    outcome.end, outcome.covered, outcome.reason = event.state, event.covered, event.reason
                    outcome.usage = _sum(outcome.usage, event.usage)
                    outcome.trace = event.trace
                    break
                if isinstance(event, Seam):
                    if not event.keep:  # all of it is void
                        calls.clear()
                        held = None if held is None else []
                    speech.seam(event)
                    continue
                if isinstance(event, ToolCallFound):
                    if len(calls) < self._config.tool_calls + 1:
                        calls.append(event.call)
                    continue
                if outcome.first_content is None:
                    outcome.first_content = time.perf_counter() - began
                if held is not None:  # wait to see whether there is an answer, so that the persona's line fits it
                    held.append(event)
                    if not isinstance(event, SourceFound):
                        continue
                    speech.all(f"{turn.persona.voice.answer}\n\n", held)
                    held = None
                else:
                    speech.take(event)
                if reason := await self._limit(turn, outcome):
                    outcome.end, outcome.reason = EndState.LENGTH, reason
                    break
        if held:
            speech.all("" if outcome.covered else f"{turn.persona.voice.refusal} ", held)
        return calls, "".join(outcome.pieces[start:])

    async def _limit(self, turn: Turn, outcome: Outcome) -> str:
        """Return why the turn must end here, "" while it may go on; wait while too much of it is not kept."""
        if outcome.characters > MAX_REPLY or turn.log.is_full:
            return "the reply grew too long"
        if not await self._charges.grow(turn, outcome.characters):
            return "there is not enough left to pay for more"
        if turn.session_id is not None:
            await self._keeper.room(turn)
        return ""

    async def _events(self, turn: Turn, request: ChatRequest, deadline: float) -> AsyncGenerator[StreamEvent, None]:
        """Yield the provider's events and then exactly one end, whatever the provider does; only content resets the idle clock."""
        if turn.provider is None:
            raise RuntimeError("a turn without a provider is only closed")
        loop = asyncio.get_running_loop()
        async with aclosing(turn.provider.stream(request)) as stream:  # type: ignore[type-var]
            while True:
                wait = max(0.0, min(self._config.idle_seconds, deadline - loop.time()))
                try:
                    async with asyncio.timeout(wait):
                        event: StreamEvent | None = await anext(stream, None)
                except TimeoutError:
                    yield End(state=EndState.STALLED, reason=f"no word from the provider for {wait:.0f} s")
                    return
                yield event or End(state=EndState.CUT, reason="the provider's stream ended without an end")
                if event is None or isinstance(event, End):
                    return

    def _messages(self, turn: Turn, marker: Marker, *, has_tools: bool) -> list[ChatMessage]:
        """Return instructions, and as much of the conversation as fits, newest kept; replies that were continued are one."""
        kept: list[ChatMessage] = []
        room = self._config.history_characters
        for said in reversed(turn.history):
            room -= len(said.content)
            if room < 0:
                break
            role: Any = "assistant" if said.role == "assistant" else "user"
            if role == "assistant" and kept and kept[-1].role == role:
                kept[-1] = ChatMessage(role, said.content + kept[-1].content)
            else:
                kept.append(ChatMessage(role, said.content))
        if turn.model is None or not turn.model.follows_instructions:
            return kept[::-1]
        note = f"\n\n{NOTE.format(word=marker.word)}" if has_tools or self._toolbox.has_context else ""
        return [ChatMessage("system", turn.persona.instructions + note), *reversed(kept)]


class _Speech:
    """Puts into log and outcome what people get to read of a stream."""

    def __init__(self, turn: Turn, outcome: Outcome, links: LinkFilter) -> None:
        self._turn = turn
        self._outcome = outcome
        self._links = links
        self._seam = Continuation(turn.prefix) if turn.prefix else None

    def all(self, line: str, events: Sequence[StreamEvent]) -> None:
        """Take events behind a line of the persona."""
        if line.strip():
            self._say(line)
        for event in events:
            self.take(event)

    def take(self, event: StreamEvent) -> None:
        """Take one event; kinds that are not known are passed over."""
        if isinstance(event, TextDelta) and event.text:
            self._say(self._seam.feed(event.text) if self._seam else event.text)
        elif isinstance(event, SourceFound) and len(self._outcome.sources) < MAX_SOURCES:
            source = event.source
            if source.url and not self._links.allows(source.url):
                source = msgspec.structs.replace(source, url="")
            self._outcome.sources.append(source)
            self._turn.log.add("source", source)

    def seam(self, event: Seam) -> None:
        """Mark that another model goes on; where it begins anew, what came is void."""
        self._tell(self._links.end())
        if not event.keep:
            self._outcome.pieces.clear()
            self._outcome.characters = 0
            self._outcome.sources = []
        self._turn.log.add("seam", {"model": event.model, "keep": event.keep, "reason": event.reason or str(event.state)})

    def end(self) -> None:
        """Say what was held back."""
        if self._seam:
            self._say(self._seam.end())
        self._tell(self._links.end())

    def _say(self, text: str) -> None:
        self._tell(self._links.feed(text))

    def _tell(self, text: str) -> None:
        if text:
            self._outcome.pieces.append(text)
            self._outcome.characters += len(text)
            self._turn.log.add("text", {"text": text})


def _sum(one: Usage | None, other: Usage | None) -> Usage | None:
    if one is None or other is None:
        return one or other
    origin: Any = "reported" if one.origin == other.origin == "reported" else "estimated"
    counts = [name for name in Usage.__struct_fields__ if name != "origin"]
    return Usage(**{name: getattr(one, name) + getattr(other, name) for name in counts}, origin=origin)
