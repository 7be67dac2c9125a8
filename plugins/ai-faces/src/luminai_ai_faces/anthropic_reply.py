"""Replies of Anthropic's messages.

A reply that broke off is told in a stream by the dialect's own event ``error``; no ``message_stop`` follows.
Source: https://docs.anthropic.com/en/docs/build-with-claude/streaming
"""

from __future__ import annotations

from typing import Any, Final

from luminai import EndState, Problem, TextDelta, ToolCall, ToolCallFound
from luminai_ai_faces.answering import Whole
from luminai_ai_faces.arguments import parsed
from luminai_ai_faces.failures import v1_failure
from luminai_ai_faces.notes import Closing
from luminai_ai_faces.streaming import event

_REASONS: Final = {EndState.LENGTH: "max_tokens", EndState.FILTERED: "refusal"}


class MessageWriter:
    """Writes one reply; ``model`` as the client named it, ``input_tokens`` as estimated before the model says."""

    media_type = "text/event-stream"
    heartbeat = b'event: ping\ndata: {"type":"ping"}\n\n'

    def __init__(self, *, id: str, model: str, input_tokens: int = 0) -> None:  # noqa: A002 - as on the wire
        self._head = {"id": id, "type": "message", "role": "assistant", "model": model}
        self._input_tokens = input_tokens
        self._index = 0
        self._is_speaking = False

    def begin(self) -> bytes:
        """Return the first event."""
        usage = {"input_tokens": self._input_tokens, "output_tokens": 0}
        message: dict[str, Any] = {**self._head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
        return event({"type": "message_start", "message": message}, "message_start")

    def write(self, one: TextDelta | ToolCallFound) -> bytes:
        """Return the events of a piece."""
        if isinstance(one, TextDelta):
            began = b"" if self._is_speaking else self._begin({"type": "text", "text": ""})
            self._is_speaking = True
            return began + self._delta({"type": "text_delta", "text": one.text})
        call = one.call
        parsed(call)
        told = self._end_text() + self._begin({"type": "tool_use", "id": call.id, "name": call.name, "input": {}})
        return told + self._delta({"type": "input_json_delta", "partial_json": call.arguments or "{}"}) + self._stop()

    def end(self, closing: Closing) -> bytes:
        """Return the last events."""
        ended = {"stop_reason": _reason(closing), "stop_sequence": closing.stop or None}
        last = {"type": "message_delta", "delta": ended, "usage": _usage(closing), "luminai": closing.notes}
        return self._end_text() + event(last, "message_delta") + event({"type": "message_stop"}, "message_stop")

    def fail(self, problem: Problem) -> bytes:
        """Return the error that ends the stream."""
        return event(v1_failure(problem), "error")

    def whole(self, reply: Whole) -> dict[str, Any]:
        """Return a whole reply."""
        content: list[dict[str, Any]] = [{"type": "text", "text": reply.text}] if reply.text or not reply.tool_calls else []
        content += [_tool_use(call) for call in reply.tool_calls]
        ended = {"stop_reason": _reason(reply.closing), "stop_sequence": reply.closing.stop or None}
        return {**self._head, "content": content, **ended, "usage": _usage(reply.closing), "luminai": reply.closing.notes}

    def _begin(self, block: dict[str, Any]) -> bytes:
        return event({"type": "content_block_start", "index": self._index, "content_block": block}, "content_block_start")

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return event({"type": "content_block_delta", "index": self._index, "delta": delta}, "content_block_delta")

    def _stop(self) -> bytes:
        self._index += 1
        return event({"type": "content_block_stop", "index": self._index - 1}, "content_block_stop")

    def _end_text(self) -> bytes:
        was_speaking, self._is_speaking = self._is_speaking, False
        return self._stop() if was_speaking else b""


def _tool_use(call: ToolCall) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": parsed(call)}


def _reason(closing: Closing) -> str:
    own = "stop_sequence" if closing.stop else "tool_use" if closing.calls_tools else "end_turn"
    return _REASONS.get(closing.state, own)


def _usage(closing: Closing) -> dict[str, int]:
    return {"input_tokens": closing.usage.input_tokens, "output_tokens": closing.usage.output_tokens}
