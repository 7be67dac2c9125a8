"""What one reply says, read piece by piece. A provider's dialect is a subclass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from luminai.contracts.ai import ChatRequest, EndState, StreamEvent, TextDelta, ToolCall, ToolCallFound, Usage

MAX_TOKENS: Final = 100_000_000
"""A count above it is no count."""


class _Asked(Struct):
    id: str = ""
    name: str = ""
    pieces: list[str] = []


class ChatReader:
    """Reads one reply. ``read`` and ``read_whole`` are the dialect's; they return content and set what they learn beside it.

    Attributes:
        state: How the model says that it ended; None as long as it says nothing.
        reason: For people, when the state is neither ``finished`` nor ``length``.
        is_complete: Nothing more is worth waiting for.
        has_moved: The piece brought something that is no content yet: part of a tool call, a thought.
        input_tokens: As reported; None when nothing is reported.
        output_tokens: Same, of all that was generated, thoughts included.
        cached_input_tokens, cache_write_tokens, reasoning_tokens: As in ``Usage``, as reported; None when nothing is.
    """

    def __init__(self, request: ChatRequest) -> None:
        self.request = request
        self.state: EndState | None = None
        self.reason = ""
        self.is_complete = False
        self.has_moved = False
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None
        self.cached_input_tokens: int | None = None
        self.cache_write_tokens: int | None = None
        self.reasoning_tokens: int | None = None
        self._bytes = 0
        self._asked: dict[int, _Asked] = {}

    def read(self, data: bytes) -> Sequence[StreamEvent]:
        """Return the content of one event or line.

        Raises:
            AIError: it is an error.
            MsgspecError: it is something else than the dialect says.
        """
        raise NotImplementedError

    def read_whole(self, data: bytes) -> Sequence[StreamEvent]:
        """Return the content of a whole reply. Raises as ``read``."""
        raise NotImplementedError

    def text(self, text: str | None) -> list[StreamEvent]:
        """Return a piece of text as content, and count it."""
        if not text:
            return []
        self._bytes += len(text) if text.isascii() else len(text.encode(errors="replace"))
        return [TextDelta(text)]

    def tool_piece(self, place: int, *, id: str = "", name: str = "", arguments: str = "") -> None:  # noqa: A002 - as in ToolCall
        """Add to the tool call at ``place``; it is given to the caller when the model has ended, so that half a call never is."""
        self.has_moved = True
        asked = self._asked.setdefault(place, _Asked())
        asked.id = asked.id or id
        asked.name = asked.name or name
        if arguments:
            asked.pieces.append(arguments)
            self._bytes += len(arguments)

    def ended(self, word: str, states: dict[str, EndState]) -> list[StreamEvent]:
        """Take the model's own word for how it ended, and return the tool calls if it is done with them.

        A word that nobody knows is ``failed``: only what says that it is finished is finished.
        """
        self.state = states.get(word, EndState.FAILED)
        if self.state in (EndState.FAILED, EndState.FILTERED):
            shown = word if word.isascii() and len(word) <= 64 and word.replace("_", "").isalnum() else "something unknown"
            self.reason = f"the provider says: {shown}"
        asked, self._asked = self._asked, {}
        if self.state is not EndState.FINISHED:
            return []
        return [
            ToolCallFound(ToolCall(one.id or f"call_{place}", one.name, "".join(one.pieces) or "{}"))
            for place, one in sorted(asked.items())
            if one.name
        ]

    @property
    def is_miscounted(self) -> bool:
        """Whether figures were reported that cannot be."""
        told = [count for count in (self.input_tokens, self.output_tokens) if count is not None]
        return any(_possible(count) is None for count in told) or (self.output_tokens == 0 and bool(self._bytes))

    def usage(self) -> Usage:
        """Return the tokens as reported when the model ended by itself and the figures can be; else an estimate of what was really seen.

        A reply that says something was generated from at least one token, so a reported 0 is no figure.
        """
        seen = _estimate(self._bytes)
        reported_in, reported_out = _possible(self.input_tokens), _possible(self.output_tokens)
        if self.state is not None and reported_in is not None and reported_out is not None and not self.is_miscounted:
            cached = _part(self.cached_input_tokens, reported_in)
            return Usage(
                input_tokens=reported_in,
                output_tokens=reported_out,
                origin="reported",
                cached_input_tokens=cached,
                cache_write_tokens=_part(self.cache_write_tokens, reported_in - cached),
                reasoning_tokens=_part(self.reasoning_tokens, reported_out),
            )
        if reported_in is None or not reported_in:
            reported_in = _estimate(sum(len(one.content.encode(errors="replace")) for one in self.request.messages))
        return Usage(input_tokens=reported_in, output_tokens=max(seen, reported_out or 0), origin="estimated")


def input_usage(texts: Sequence[str], reported: int | None) -> Usage:
    """Return the tokens of a call without output, as reported if it can be, else estimated."""
    if reported and _possible(reported):
        return Usage(input_tokens=reported, output_tokens=0, origin="reported")
    return Usage(input_tokens=_estimate(sum(len(text.encode(errors="replace")) for text in texts)), output_tokens=0, origin="estimated")


def _estimate(size: int) -> int:
    """Return tokens for bytes: four each, a common rule of thumb for English."""
    return (size + 3) // 4


def _possible(count: int | None) -> int | None:
    return count if count is not None and 0 <= count <= MAX_TOKENS else None


def _part(count: int | None, whole: int) -> int:
    """Return a reported part of ``whole``; 0 when it cannot be one: then all of it costs what the whole costs."""
    return count if count is not None and 0 <= count <= whole else 0
