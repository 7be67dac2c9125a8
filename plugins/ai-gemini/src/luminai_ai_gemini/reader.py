"""Replies of ``generateContent`` and ``streamGenerateContent``: a chunk has the shape of a whole reply.

Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from luminai import ChatReader, ChatRequest, EndState, StreamEvent, provider_error

STATES: Final = {
    "STOP": EndState.FINISHED,
    "FUNCTION_CALL": EndState.FINISHED,  # of stand-ins; the service itself says STOP
    "MAX_TOKENS": EndState.LENGTH,
    **dict.fromkeys(("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"), EndState.FILTERED),
}


class FunctionCall(Struct):
    """A tool call, always whole."""

    name: str = ""
    id: str = ""
    args: Any = None


class Part(Struct, rename="camel"):
    """A piece of content; ``thought`` marks what is no answer."""

    text: str = ""
    thought: bool = False
    function_call: FunctionCall | None = None


class Content(Struct):
    """Pieces of content."""

    parts: list[Part] = []


class Candidate(Struct, rename="camel"):
    """The one candidate that is asked for."""

    content: Content | None = None
    finish_reason: str | None = None


class Figures(Struct, rename="camel"):
    """Tokens so far; the last chunk has those of all."""

    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    cached_content_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None


class Feedback(Struct, rename="camel"):
    """Why a prompt got no candidate."""

    block_reason: str | None = None


class Chunk(Struct, rename="camel"):
    """All that is read of a chunk or a whole reply."""

    candidates: list[Candidate] = []
    usage_metadata: Figures | None = None
    prompt_feedback: Feedback | None = None
    error: Any = None


_decode: Final = msgspec.json.Decoder(Chunk).decode


class Reader(ChatReader):
    """Reads one reply."""

    def __init__(self, request: ChatRequest) -> None:
        super().__init__(request)
        self._calls = 0

    def read(self, data: bytes) -> Sequence[StreamEvent]:
        """Return the content of one chunk."""
        chunk = _decode(data)
        if chunk.error is not None:
            raise provider_error(chunk.error)
        if (figures := chunk.usage_metadata) is not None:
            self.input_tokens = _sum(figures.prompt_token_count, figures.tool_use_prompt_token_count)
            self.output_tokens = _sum(figures.candidates_token_count, figures.thoughts_token_count)
            self.cached_input_tokens, self.reasoning_tokens = figures.cached_content_token_count, figures.thoughts_token_count
        if not chunk.candidates:
            if chunk.prompt_feedback is not None and chunk.prompt_feedback.block_reason and self.state is None:
                self.state, self.reason = EndState.FILTERED, "the provider did not let the prompt pass"
            return ()
        candidate = chunk.candidates[0]
        found: list[StreamEvent] = []
        for part in candidate.content.parts if candidate.content is not None else ():
            if part.function_call is not None:
                call = part.function_call
                self.tool_piece(self._calls, id=call.id, name=call.name, arguments=msgspec.json.encode(call.args or {}).decode())
                self._calls += 1
            elif part.thought:
                self.has_moved = True
            else:
                found += self.text(part.text)
        if candidate.finish_reason and self.state is None:
            found += self.ended(candidate.finish_reason, STATES)
        return found

    def read_whole(self, data: bytes) -> Sequence[StreamEvent]:
        """Return the content of a whole reply; a stream that comes as JSON is a list with one error in it."""
        found = self.read(data[1:-1] if (data := data.strip()).startswith(b"[") else data)
        if self.state is None and not found:
            raise provider_error(None)
        return found


def _sum(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
