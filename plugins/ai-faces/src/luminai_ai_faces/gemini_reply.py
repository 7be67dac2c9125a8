"""Replies of Gemini's generateContent.

A reply that broke off is told in a stream by an object with ``error``: Google's own clients raise it. A blank line fills silence, for they read
comments of server-sent events as content.
Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from luminai import EndState, Problem, TextDelta, ToolCall, ToolCallFound
from luminai_ai_faces.answering import Whole
from luminai_ai_faces.arguments import parsed
from luminai_ai_faces.failures import gemini_failure
from luminai_ai_faces.notes import Closing
from luminai_ai_faces.streaming import event

_REASONS: Final = {EndState.LENGTH: "MAX_TOKENS", EndState.FILTERED: "SAFETY"}


class ContentWriter:
    """Writes one reply; ``model`` as the client named it. ``as_array``: as one JSON array, which is what Google sends without ``alt=sse``."""

    def __init__(self, *, id: str, model: str, as_array: bool = False) -> None:  # noqa: A002 - as on the wire
        self._head = {"modelVersion": model, "responseId": id}
        self._as_array = as_array
        self._is_first = True
        self.media_type = "application/json" if as_array else "text/event-stream"
        self.heartbeat = b"\n"

    def begin(self) -> bytes:
        """Return what opens the stream."""
        return b"[" if self._as_array else b""

    def write(self, one: TextDelta | ToolCallFound) -> bytes:
        """Return the piece."""
        part = {"text": one.text} if isinstance(one, TextDelta) else _call(one.call)
        return self._piece({"candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}], **self._head})

    def end(self, closing: Closing) -> bytes:
        """Return the last piece."""
        return self._piece(self._closed([], closing)) + self._last()

    def fail(self, problem: Problem) -> bytes:
        """Return the error that ends the stream."""
        return self._piece(gemini_failure(problem)) + self._last()

    def whole(self, reply: Whole) -> dict[str, Any]:
        """Return a whole reply."""
        parts: list[dict[str, Any]] = [{"text": reply.text}] if reply.text or not reply.tool_calls else []
        return self._closed([*parts, *(_call(call) for call in reply.tool_calls)], reply.closing)

    def _closed(self, parts: list[dict[str, Any]], closing: Closing) -> dict[str, Any]:
        used = closing.usage
        usage = {
            "promptTokenCount": used.input_tokens,
            "candidatesTokenCount": used.output_tokens,
            "totalTokenCount": used.input_tokens + used.output_tokens,
        }
        reason = _REASONS.get(closing.state, "STOP")
        candidate = {"content": {"role": "model", "parts": parts}, "finishReason": reason, "index": 0}
        return {"candidates": [candidate], "usageMetadata": usage, **self._head, "luminai": closing.notes}

    def _piece(self, data: dict[str, Any]) -> bytes:
        if not self._as_array:
            return event(data)
        was_first, self._is_first = self._is_first, False
        return (b"" if was_first else b",\n") + msgspec.json.encode(data)

    def _last(self) -> bytes:
        return b"]" if self._as_array else b""


def _call(call: ToolCall) -> dict[str, Any]:
    return {"functionCall": {"id": call.id, "name": call.name, "args": parsed(call)}}
