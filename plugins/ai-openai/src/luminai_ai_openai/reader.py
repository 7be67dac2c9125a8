"""Replies of OpenAI's chat completions, whole and as chunks.

Source: https://platform.openai.com/docs/api-reference/chat, and what compatible servers make of it (a first delta of ``null``, a chunk of figures
without choices, an ``error`` in place of a chunk).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from luminai import ChatReader, EndState, StreamEvent, provider_error

DONE: Final = b"[DONE]"
STATES: Final = {
    "stop": EndState.FINISHED,
    "eos": EndState.FINISHED,
    "tool_calls": EndState.FINISHED,
    "function_call": EndState.FINISHED,
    "length": EndState.LENGTH,
    "content_filter": EndState.FILTERED,
}


class Function(Struct):
    """Part of a tool call."""

    name: str | None = None
    arguments: str | None = None


class ToolPart(Struct):
    """A tool call or part of one; ``index`` says of which."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Said(Struct):
    """A message, or what a chunk adds to it; the words for thoughts are those of DeepSeek and vLLM."""

    content: str | None = None
    tool_calls: list[ToolPart] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class Choice(Struct):
    """The one choice that is asked for: ``delta`` in chunks, ``message`` in whole replies."""

    delta: Said | None = None
    message: Said | None = None
    finish_reason: str | None = None


class Parts(Struct):
    """Of the tokens used."""

    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class Figures(Struct):
    """Tokens used."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: Parts | None = None
    completion_tokens_details: Parts | None = None


class Chunk(Struct):
    """A chunk or a whole reply: all that is read of it."""

    choices: list[Choice] | None = None
    usage: Figures | None = None
    error: Any = None


_decode: Final = msgspec.json.Decoder(Chunk).decode


class Reader(ChatReader):
    """Reads one reply."""

    def read(self, data: bytes) -> Sequence[StreamEvent]:
        """Return the content of one chunk."""
        if data == DONE:
            self.is_complete = True
            return ()
        chunk = _decode(data)
        if chunk.error is not None:
            raise provider_error(chunk.error)
        if chunk.usage is not None:
            self.input_tokens, self.output_tokens = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
            if chunk.usage.prompt_tokens_details is not None:
                self.cached_input_tokens = chunk.usage.prompt_tokens_details.cached_tokens
            if chunk.usage.completion_tokens_details is not None:
                self.reasoning_tokens = chunk.usage.completion_tokens_details.reasoning_tokens
        if not chunk.choices:
            return ()
        choice = chunk.choices[0]
        said = choice.delta or choice.message
        found: list[StreamEvent] = []
        if said is not None:
            found = [*self.text(said.content), *self.text(said.refusal)] if said.refusal else [*self.text(said.content)]
            if said.reasoning_content or said.reasoning:
                self.has_moved = True
            for place, part in enumerate(said.tool_calls or ()):
                function = part.function or Function()
                where = place if part.index is None else part.index
                self.tool_piece(where, id=part.id or "", name=function.name or "", arguments=function.arguments or "")
        if choice.finish_reason and self.state is None:
            found += self.ended(choice.finish_reason, STATES)
        return found

    def read_whole(self, data: bytes) -> Sequence[StreamEvent]:
        """Return the content of a whole reply."""
        found = self.read(data)
        if self.state is None and not found:
            raise provider_error(None)
        return found
