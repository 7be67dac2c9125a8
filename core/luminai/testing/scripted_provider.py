"""An AI provider that does what the test wrote down, and keeps the contract while it does so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from luminai.contracts.ai import (
    AIError,
    AIErrorKind,
    ChatReply,
    ChatRequest,
    EmbeddingReply,
    End,
    EndState,
    MediaReply,
    Model,
    SourceFound,
    StreamEvent,
    TextDelta,
    ToolCallFound,
    Usage,
)


class Wait(Struct, frozen=True):
    """Nothing comes for so many seconds."""

    seconds: float


class Hang(Struct, frozen=True):
    """Nothing comes any more, until the reader goes away or the time is over."""


class Cut(Struct, frozen=True):
    """The connection breaks: before the first event an error, later an end with the state ``cut``."""


Step = str | StreamEvent | AIError | Wait | Hang | Cut
"""What a reply is made of; text is short for ``TextDelta``."""
_KINDS = frozenset({"chat"})


def rate_limited(retry_after: float = 1.0) -> AIError:
    """Return the error of a provider whose rate is spent."""
    return AIError(AIErrorKind.RATE, "too many requests", retry_after=retry_after)


class ScriptedProvider:
    """Answers each request with the next reply, and goes on with the last one.

    Args:
        replies: Each a sequence of steps. A reply that does not end itself is finished, with its words counted.
        name: As it stands before the model in ``<provider>/<model>``.
        model: Id of its one chat model.

    Attributes:
        asked: The requests, in order.
        closed: How many streams ended or were left.
    """

    def __init__(self, *replies: Sequence[Step], name: str = "scripted", model: str = "one", follows_instructions: bool = True) -> None:
        self.name = name
        self.title = name.title()
        self.asked: list[ChatRequest] = []
        self.closed = 0
        self._replies = [tuple(reply) for reply in replies] or [("Hello", " there.")]
        self._model = Model(id=model, kinds=_KINDS, title=self.title, follows_instructions=follows_instructions)

    def models(self) -> Sequence[Model]:
        """Return its one model."""
        return [self._model]

    async def stream(self, request: ChatRequest) -> AsyncIterator[StreamEvent]:
        """Yield the next reply's events, and an end in any case."""
        self._check(request.model)
        reply = self._replies[min(len(self.asked), len(self._replies) - 1)]
        self.asked.append(request)
        end_by = asyncio.get_running_loop().time() + request.timeout
        begun, written = False, 0
        try:
            for step in reply:
                event = await self._event(step, end_by, begun=begun)
                if event is None:
                    continue
                if isinstance(event, End):
                    yield event
                    return
                begun, written = True, written + (len(event.text.split()) if isinstance(event, TextDelta) else 0)
                yield event
            yield End(state=EndState.FINISHED, usage=self._usage(request, written))
        finally:
            self.closed += 1

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Return the same, whole."""
        events = [event async for event in self.stream(request)]
        end = events[-1]
        if not isinstance(end, End):
            raise TypeError("a stream ends with an End")
        return ChatReply(
            text="".join(event.text for event in events if isinstance(event, TextDelta)),
            end=end.state,
            usage=end.usage or self._usage(request, 0),
            sources=tuple(event.source for event in events if isinstance(event, SourceFound)),
            tool_calls=tuple(event.call for event in events if isinstance(event, ToolCallFound)),
            covered=end.covered,
        )

    async def embed(self, model: str, texts: Sequence[str], *, timeout: float = 30.0) -> EmbeddingReply:  # noqa: ARG002 - the contract's shape
        """Refuse: its model only chats."""
        raise self._lacks(model, "embedding")

    async def image(self, model: str, prompt: str, *, width: int, height: int, timeout: float = 120.0) -> MediaReply:  # noqa: ARG002 - same
        """Refuse: its model only chats."""
        raise self._lacks(model, "image")

    async def speak(self, model: str, text: str, *, voice: str = "", timeout: float = 120.0) -> MediaReply:  # noqa: ARG002 - same
        """Refuse: its model only chats."""
        raise self._lacks(model, "speech")

    async def _event(self, step: Step, end_by: float, *, begun: bool) -> StreamEvent | None:
        """Return the event of a step; None for a wait."""
        left = end_by - asyncio.get_running_loop().time()
        if left <= 0:
            return self._late(begun=begun)
        if isinstance(step, AIError):
            if not begun:
                raise step
            return End(state=EndState.FAILED, reason=str(step))
        if isinstance(step, Cut):
            if not begun:
                raise AIError(AIErrorKind.UPSTREAM, "the connection broke")
            return End(state=EndState.CUT, reason="the connection broke")
        if isinstance(step, Wait | Hang):
            seconds = step.seconds if isinstance(step, Wait) else left
            await asyncio.sleep(min(seconds, left))
            return None if seconds < left else self._late(begun=begun)
        await asyncio.sleep(0)  # as from a network: others run between two pieces
        return TextDelta(step) if isinstance(step, str) else step

    def _late(self, *, begun: bool) -> End:
        if not begun:
            raise AIError(AIErrorKind.TIMEOUT, "no answer in time")
        return End(state=EndState.STALLED, reason="no more came in time")

    def _check(self, model: str) -> None:
        if model != self._model.id:
            raise AIError(AIErrorKind.INVALID, f"there is no model {model}")

    def _lacks(self, model: str, kind: str) -> AIError:
        return AIError(AIErrorKind.INVALID, f"model {model} does no {kind}")

    def _usage(self, request: ChatRequest, written: int) -> Usage:
        return Usage(input_tokens=sum(len(one.content.split()) for one in request.messages), output_tokens=written, origin="reported")


def ended(state: EndState, **more: Any) -> End:
    """Return an end in this state, e.g. ``ended(EndState.LENGTH)``."""
    return replace(End(state=state), **more)
