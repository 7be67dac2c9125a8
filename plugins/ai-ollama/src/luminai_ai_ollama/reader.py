"""Replies of ``/api/chat``: a line of the stream has the shape of a whole reply.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from luminai import ChatReader, ChatRequest, EndState, StreamEvent, provider_error

STATES: Final = {"stop": EndState.FINISHED, "length": EndState.LENGTH}


class Function(Struct, frozen=True):
    """A tool call, always whole."""

    name: str = ""
    arguments: Any = None


class ToolPart(Struct):
    """A tool call."""

    function: Function = Function()
    id: str = ""


class Message(Struct):
    """A message, or what a line adds to it."""

    content: str = ""
    thinking: str = ""
    tool_calls: list[ToolPart] | None = None


class Line(Struct):
    """All that is read of a line or a whole reply."""

    message: Message | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    error: Any = None


_decode: Final = msgspec.json.Decoder(Line).decode


class Reader(ChatReader):
    """Reads one reply."""

    def __init__(self, request: ChatRequest) -> None:
        super().__init__(request)
        self._calls = 0

    def read(self, data: bytes) -> Sequence[StreamEvent]:
        """Return the content of one line."""
        line = _decode(data)
        if line.error is not None:
            raise provider_error(line.error)
        found: list[StreamEvent] = []
        if line.message is not None:
            found += self.text(line.message.content)
            self.has_moved = bool(line.message.thinking)
            for call in line.message.tool_calls or ():
                arguments = msgspec.json.encode(call.function.arguments or {}).decode()
                self.tool_piece(self._calls, id=call.id, name=call.function.name, arguments=arguments)
                self._calls += 1
        if line.done and self.state is None:
            self.input_tokens, self.output_tokens = line.prompt_eval_count, line.eval_count
            found += self.ended(line.done_reason or "stop", STATES)  # servers before 0.4 give no reason
            self.is_complete = True
        return found

    def read_whole(self, data: bytes) -> Sequence[StreamEvent]:
        """Return the content of a whole reply."""
        found = self.read(data)
        if self.state is None and not found:
            raise provider_error(None)
        return found
