"""A call's account: where its time went, what was generated, and by whom."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from luminai import ChatRequest, EndState, Leg, Trace, Usage

NOTHING: Final = Usage(input_tokens=0, output_tokens=0, origin="reported")
MAX_TOKENS: Final = 100_000_000
"""A count above it is no count."""


def tokens_of(size: int) -> int:
    """Return tokens for bytes, rounded up: four bytes each, a common rule of thumb."""
    return (size + 3) // 4


def bytes_of(text: str) -> int:
    """Return the size in UTF-8."""
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def prompt_tokens(request: ChatRequest) -> int:
    """Return the estimated tokens of a request's messages, tools included."""
    size = sum(bytes_of(one.content) + sum(len(call.arguments) for call in one.tool_calls) for one in request.messages)
    return tokens_of(size + sum(len(tool.name) + len(tool.description) + len(repr(tool.parameters)) for tool in request.tools))


class Attempt:
    """One try while it runs."""

    __slots__ = ("began", "bytes", "first", "model")

    def __init__(self, model: str, began: float) -> None:
        self.model = model
        self.began = began
        self.first: float | None = None
        self.bytes = 0


class Ended(Struct, frozen=True):
    """A try that is over: its leg, and whether the reply holds what it generated."""

    leg: Leg
    counts: bool


class Account:
    """Of one call. All times are seconds since it began.

    Attributes:
        waited: Spent on anything but the hub's own work: on providers, on the reader, between tries, for a place.
        call, enforced, cache: As in ``Trace``.
    """

    __slots__ = ("_began", "cache", "call", "ended", "enforced", "first", "last", "longest_gap", "queue", "waited")

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self.ended: list[Ended] = []
        self.waited = self.queue = self.longest_gap = self.last = 0.0
        self.first: float | None = None
        self.call = ""
        self.enforced: Literal["", "provider", "hub", "asked"] = ""
        self.cache: Literal["", "hit", "kept"] = ""

    def now(self) -> float:
        """Return the seconds since the call began."""
        return time.perf_counter() - self._began

    def attempt(self, model: str) -> Attempt:
        """Begin a try."""
        now = self.now()
        if not self.ended:
            self.queue = now
        return Attempt(model, now)

    def content(self, attempt: Attempt, size: int, now: float) -> None:
        """Note that content of ``size`` bytes came."""
        attempt.bytes += size
        if attempt.first is None:
            attempt.first = now - attempt.began
        if self.first is None:
            self.first = now
        elif now - self.last > self.longest_gap:
            self.longest_gap = now - self.last
        self.last = now

    def end(self, attempt: Attempt, state: EndState | None, usage: Usage | None = None, *, code: str = "", counts: bool = True) -> None:
        """End a try; ``counts`` False: nothing of it is in the reply."""
        seconds = self.now() - attempt.began
        leg = Leg(model=attempt.model, state=state, code=code, began=attempt.began, seconds=seconds, first=attempt.first, usage=usage)
        self.ended.append(Ended(leg, counts))

    def void(self) -> None:
        """Take what came so far out of the reply."""
        self.ended = [Ended(one.leg, counts=False) for one in self.ended]

    @property
    def legs(self) -> Sequence[Leg]:
        """The tries so far."""
        return tuple(one.leg for one in self.ended)

    @property
    def model(self) -> str:
        """``<provider>/<model>`` of the last try that is in the reply, else of the last; "" before any."""
        return next((one.leg.model for one in reversed(self.ended) if one.counts), self.ended[-1].leg.model if self.ended else "")

    @property
    def usage(self) -> Usage | None:
        """What the reply used: the input of the first try that is in it, once, and the output of all; reported only if every part is."""
        parts = [one.leg.usage for one in self.ended if one.counts and one.leg.usage is not None]
        if not parts:
            return None
        origin = "reported" if all(part.origin == "reported" for part in parts) else "estimated"
        return replace(
            parts[0],
            output_tokens=sum(part.output_tokens for part in parts),
            reasoning_tokens=sum(part.reasoning_tokens for part in parts),
            origin=origin,
        )

    def trace(self) -> Trace:
        """Return what became of the call."""
        total = self.now()
        own = max(0.0, total - self.waited)
        return Trace(
            call=self.call,
            legs=tuple(self.legs),
            queue=self.queue,
            first=self.first,
            longest_gap=self.longest_gap,
            own=own,
            total=total,
            enforced=self.enforced,
            cache=self.cache,
        )


def sound_usage(usage: Usage | None, request: ChatRequest, seen: int) -> tuple[Usage, str]:
    """Return usage that can be, and the code ``wrong-count`` when what was reported cannot.

    Args:
        seen: Bytes of content that came. What says something was made of at least one token.
    """
    if usage is not None:
        counts = (usage.input_tokens, usage.output_tokens)
        if all(0 <= count <= MAX_TOKENS for count in counts) and (usage.output_tokens or not seen):
            return usage, ""
    code = "wrong-count" if usage is not None and usage.origin == "reported" else ""
    return Usage(input_tokens=prompt_tokens(request), output_tokens=tokens_of(seen), origin="estimated"), code
