"""Replies of the Messages API, whole and as events.

Source: https://docs.anthropic.com/en/api/messages-streaming (unknown events and blocks are to be passed over).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from luminai import ChatReader, EndState, StreamEvent, provider_error

STATES: Final = {
    "end_turn": EndState.FINISHED,
    "stop_sequence": EndState.FINISHED,
    "tool_use": EndState.FINISHED,
    "max_tokens": EndState.LENGTH,
    "model_context_window_exceeded": EndState.LENGTH,
    "refusal": EndState.FILTERED,
}


class Figures(Struct):
    """Tokens used; what came from a cache or went into one is input too."""

    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None


class Block(Struct):
    """A content block, or its beginning."""

    type: str = ""
    text: str = ""
    id: str = ""
    name: str = ""
    input: Any = None


class Delta(Struct):
    """What is added to a block; with ``message_delta`` how the reply ended."""

    type: str = ""
    text: str = ""
    partial_json: str = ""
    stop_reason: str | None = None


class Message(Struct):
    """A message, or its beginning."""

    content: list[Block] = []
    stop_reason: str | None = None
    usage: Figures | None = None
    error: Any = None


class Event(Struct):
    """All that is read of an event."""

    type: str = ""
    index: int = 0
    delta: Delta | None = None
    content_block: Block | None = None
    message: Message | None = None
    usage: Figures | None = None
    error: Any = None


_decode: Final = msgspec.json.Decoder(Event).decode
_decode_whole: Final = msgspec.json.Decoder(Message).decode


class Reader(ChatReader):
    """Reads one reply."""

    def read(self, data: bytes) -> Sequence[StreamEvent]:
        """Return the content of one event."""
        event = _decode(data)
        delta = event.delta
        if event.type == "content_block_delta" and delta is not None:
            if delta.type == "text_delta":
                return self.text(delta.text)
            self.has_moved = True  # thoughts, signatures, citations
            if delta.type == "input_json_delta":
                self.tool_piece(event.index, arguments=delta.partial_json)
        elif event.type == "content_block_start" and event.content_block is not None:
            return self._block(event.index, event.content_block, whole=False)
        elif event.type == "message_delta":
            self._count(event.usage)
            if delta is not None and delta.stop_reason and self.state is None:
                return self.ended(delta.stop_reason, STATES)
        elif event.type == "message_start" and event.message is not None:
            self._count(event.message.usage)
        elif event.type == "message_stop":
            self.is_complete = True
        elif event.type == "error" or event.error is not None:
            raise provider_error(event.error)
        return ()

    def read_whole(self, data: bytes) -> Sequence[StreamEvent]:
        """Return the content of a whole reply."""
        message = _decode_whole(data)
        if message.error is not None:
            raise provider_error(message.error)
        self._count(message.usage)
        found: list[StreamEvent] = []
        for place, block in enumerate(message.content):
            found += self._block(place, block, whole=True)
        if message.stop_reason:
            found += self.ended(message.stop_reason, STATES)
        if self.state is None and not found:
            raise provider_error(None)
        return found

    def _block(self, place: int, block: Block, *, whole: bool) -> Sequence[StreamEvent]:
        if block.type == "text":
            return self.text(block.text)
        if block.type == "tool_use":
            arguments = msgspec.json.encode(block.input).decode() if whole or block.input else ""
            self.tool_piece(place, id=block.id, name=block.name, arguments=arguments)
        return ()

    def _count(self, figures: Figures | None) -> None:
        """Take figures; those of the end hold for the whole reply, and leave out what did not change."""
        if figures is None:
            return
        if figures.input_tokens is not None:
            written, cached = figures.cache_creation_input_tokens or 0, figures.cache_read_input_tokens or 0
            self.input_tokens = max(figures.input_tokens + written + cached, self.input_tokens or 0)
            self.cached_input_tokens = max(cached, self.cached_input_tokens or 0)
            self.cache_write_tokens = max(written, self.cache_write_tokens or 0)
        if figures.output_tokens is not None:
            self.output_tokens = figures.output_tokens
