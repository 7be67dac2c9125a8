"""One streamed reply over a chain of models: every way that it can go on, and the one end that it has."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from luminai import (
    AIError,
    AIErrorKind,
    ChatMessage,
    ChatRequest,
    Continuation,
    Deadlines,
    End,
    EndState,
    Seam,
    StreamEvent,
    TextDelta,
)
from luminai_ai_gateway.account import Account, Attempt, bytes_of, sound_usage, tokens_of
from luminai_ai_gateway.catalogue import Plan, Target
from luminai_ai_gateway.failures import BROKEN, Failure, failure_of, failure_of_end, uncalled
from luminai_ai_gateway.gathered import Gathered
from luminai_ai_gateway.repeated import REPEATED, unrepeated
from luminai_ai_gateway.structured import asking
from luminai_ai_gateway.tries import Tries

SIGNS_A_TOKEN: Final = 8
"""More than a token has in any text that people write: a bound against what never ends, not an estimate."""
_LEFT: Final = End(state=EndState.CANCELLED, reason="the reader left")


class Stop(Struct, frozen=True):
    """The end of one try. ``failure`` None: the reply ends with it."""

    end: End
    failure: Failure | None = None


class Reply:
    """A reply as it comes.

    Args:
        tokens: The most that the reply may have.
        grow: Sees that so many bytes of a reply are paid for, and returns up to how many they now are; 0 when the reply must end.

    Attributes:
        came: What came, as far as it still stands.
    """

    def __init__(
        self,
        tries: Tries,
        plan: Plan,
        request: ChatRequest,
        account: Account,
        deadlines: Deadlines,
        *,
        tokens: int,
        grow: Callable[[int], Awaitable[int]] | None = None,
    ) -> None:
        self._tries = tries
        self._handling = plan.handling
        self._request = request
        self._account = account
        self._deadlines = deadlines
        self._room = tokens * SIGNS_A_TOKEN
        self._grow = grow
        self._covered = 0
        self._deadline = deadlines.until(tries.ends)
        self.came = Gathered()

    async def events(self) -> AsyncGenerator[StreamEvent, None]:
        """Yield content and seams as they come, and one end with the usage of all that is in the reply.

        Raises:
            Exhausted: nothing came, and nothing is left to try.
        """
        account, broken = self._account, None
        while (target := await self._tries.next()) is not None:
            if broken is not None and self._handling.mid_stream == "keep" and not target.model.follows_instructions:
                self._tries.pass_over(target.name, "cannot go on behind what another said")
                continue
            attempt, stop = account.attempt(target.name), Stop(_LEFT)
            self._deadline = self._deadlines.until(self._tries.ends)
            try:
                async with aclosing(self._source(target, broken)) as source:
                    while not isinstance(event := await self._step(source, attempt), Stop):
                        if broken is not None:
                            yield self._seam(target, broken)
                            broken = None
                        self.came.take(event)
                        before = account.now()
                        yield event
                        account.waited += account.now() - before
                        if (full := await self._full()) is not None:
                            event = full
                            break
                    stop = event
            except Exception as error:  # noqa: BLE001 - whatever a provider does, the call has one honest end
                stop = self._raised(error, attempt)
            finally:
                self._ended(attempt, stop)
            if stop.failure is None:
                if broken is not None:
                    yield self._seam(target, broken)
                yield self._end(stop.end)
                return
            self._tries.failed(target, stop.failure)
            if attempt.first is not None:
                broken = stop.end
                if self._handling.mid_stream == "stop":
                    break
        if broken is None:
            raise self._tries.exhausted()
        yield self._end(broken)

    def _source(self, target: Target, broken: End | None) -> AsyncGenerator[StreamEvent, None]:
        source: Any = target.provider.stream(self._asked(target, broken))
        return unrepeated(source, self.came.text) if broken is not None and self._handling.mid_stream == "keep" else source

    async def _step(self, source: AsyncIterator[StreamEvent], attempt: Attempt) -> StreamEvent | Stop:
        """Return the next content, or how the try ended. Only content resets the clock: empty pieces do not."""
        account, deadline = self._account, self._deadline
        now = deadline.loop.time()
        wait = self._handling.idle_seconds if attempt.first is not None else self._handling.first_seconds
        deadline.when = min(now + wait, self._tries.ends)
        while True:
            before = account.now()
            try:
                with deadline:
                    event = await anext(source, None)
            except TimeoutError:
                if not deadline.late:
                    raise
                said = f"no content for {wait:g} s" if now + wait < self._tries.ends else "the time of the call is over"
                return _stopped(End(state=EndState.STALLED, reason=said))
            finally:
                came = account.now()
                account.waited += came - before
            if event is None:
                return _stopped(End(state=EndState.CUT, reason="the provider's stream ended without an end", code="no-end"))
            if isinstance(event, End):
                return _stopped(event)
            size = bytes_of(event.text) if isinstance(event, TextDelta) else 1
            if size:
                account.content(attempt, size, came)
                return event
            if event is REPEATED:
                now = deadline.loop.time()
                deadline.when = min(now + wait, self._tries.ends)

    def _raised(self, error: Exception, attempt: Attempt) -> Stop:
        """Return what an exception means: by the contract it only comes before the first content."""
        failure = failure_of(error)
        late = attempt.first is not None and isinstance(error, AIError) and error.kind is AIErrorKind.TIMEOUT
        return Stop(End(state=EndState.STALLED if late else EndState.FAILED, reason=failure.reason, code=failure.code), failure)

    async def _full(self) -> Stop | None:
        """Return the end of a reply that must not go on."""
        if self.came.size > self._room:
            return Stop(End(state=EndState.LENGTH, reason="the reply went on past its bound", code="too-long"))
        if self._grow is not None and self.came.size > self._covered:
            self._covered = await self._grow(self.came.size)
            if not self._covered:
                return Stop(End(state=EndState.LENGTH, reason="there is not enough left to pay for more", code="not-paid-for"))
        return None

    def _seam(self, target: Target, broken: End) -> Seam:
        seam = Seam(model=target.name, keep=self._handling.mid_stream == "keep", state=broken.state, reason=broken.reason)
        self.came.take(seam)
        if not seam.keep:
            self._account.void()
        return seam

    def _asked(self, target: Target, broken: End | None) -> ChatRequest:
        """Return what a model is asked: the request, or to go on behind what came."""
        more: dict[str, Any] = {"model": target.model.id, "timeout": self._tries.left}
        if broken is not None and self._handling.mid_stream == "keep":
            told = Continuation(self.came.text).instruction
            more["messages"] = (*asking(self._request, target.model).messages, ChatMessage("assistant", self.came.text), ChatMessage("user", told))
            if self._request.max_output_tokens is not None:
                more["max_output_tokens"] = max(1, self._request.max_output_tokens - tokens_of(self.came.size))
        return replace(asking(self._request, target.model), **more)

    def _ended(self, attempt: Attempt, stop: Stop) -> None:
        end, has_content = stop.end, attempt.first is not None
        is_empty = not has_content and (stop.failure is not None or end.state is EndState.CANCELLED)
        if is_empty:
            code = stop.failure.code if stop.failure is not None else ""
            self._account.end(attempt, None if stop.failure is not None else end.state, end.usage, code=code, counts=False)
            return
        usage, code = sound_usage(end.usage, self._request, attempt.bytes)
        self._account.end(attempt, end.state, usage, code=code or end.code)

    def _end(self, end: End) -> End:
        if (failure := uncalled(self._request, end.state, calls_tools=self.came.calls_tools)) is not None:
            end = replace(end, state=EndState.FAILED, code=failure.code, reason=failure.reason)
        return replace(end, usage=self._account.usage)


def _stopped(end: End) -> Stop:
    return Stop(end, failure_of_end(end) if end.state in BROKEN else None)
