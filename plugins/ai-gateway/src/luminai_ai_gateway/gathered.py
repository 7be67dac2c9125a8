"""What came of a streamed reply, as far as it still stands."""

from __future__ import annotations

from luminai import ChatReply, End, Seam, Source, SourceFound, StreamEvent, TextDelta, ToolCall, ToolCallFound
from luminai_ai_gateway.account import NOTHING


class Gathered:
    """Takes events in their order; a seam that keeps nothing voids what came."""

    __slots__ = ("_pieces", "_sources", "_tool_calls", "size")

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._pieces: list[str] = []
        self._sources: list[Source] = []
        self._tool_calls: list[ToolCall] = []
        self.size = 0

    def take(self, event: StreamEvent) -> None:
        """Take an event in."""
        if isinstance(event, TextDelta):
            self._pieces.append(event.text)
            self.size += len(event.text)
        elif isinstance(event, SourceFound):
            self._sources.append(event.source)
        elif isinstance(event, ToolCallFound):
            self._tool_calls.append(event.call)
            self.size += len(event.call.arguments)
        elif isinstance(event, Seam) and not event.keep:
            self._clear()

    @property
    def text(self) -> str:
        """The text."""
        return "".join(self._pieces)

    @property
    def calls_tools(self) -> bool:
        """Whether a tool is asked for."""
        return bool(self._tool_calls)

    def reply(self, end: End) -> ChatReply:
        """Return it all as a reply that ended so."""
        sources, calls = tuple(self._sources), tuple(self._tool_calls)
        return ChatReply(text=self.text, end=end.state, usage=end.usage or NOTHING, sources=sources, tool_calls=calls, covered=end.covered)
