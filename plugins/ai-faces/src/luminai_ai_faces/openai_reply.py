"""Replies of OpenAI's chat completions.

A reply that broke off is told in a stream by an event with ``error``, and no ``[DONE]`` follows: OpenAI's own clients raise it.
Source: https://platform.openai.com/docs/api-reference/chat/streaming
"""

from __future__ import annotations

from typing import Any, Final

from luminai import EndState, Problem, TextDelta, ToolCall, ToolCallFound
from luminai_ai_faces.answering import Whole
from luminai_ai_faces.failures import v1_failure
from luminai_ai_faces.notes import Closing
from luminai_ai_faces.streaming import COMMENT, event

DONE: Final = b"data: [DONE]\n\n"
_REASONS: Final = {EndState.LENGTH: "length", EndState.FILTERED: "content_filter"}


class ChatWriter:
    """Writes one reply.

    Args:
        created: Seconds since 1970.
        model: As the client named it.
    """

    media_type = "text/event-stream"
    heartbeat = COMMENT

    def __init__(self, *, id: str, created: int, model: str, include_usage: bool = False) -> None:  # noqa: A002 - as on the wire
        self._head = {"id": id, "object": "chat.completion.chunk", "created": created, "model": model}
        self._include_usage = include_usage
        self._tools = 0

    def begin(self) -> bytes:
        """Return the chunk that says who speaks."""
        return self._chunk({"role": "assistant", "content": ""})

    def write(self, one: TextDelta | ToolCallFound) -> bytes:
        """Return the chunk of a piece."""
        if isinstance(one, TextDelta):
            return self._chunk({"content": one.text})
        self._tools += 1
        return self._chunk({"tool_calls": [{"index": self._tools - 1, **_call(one.call)}]})

    def end(self, closing: Closing) -> bytes:
        """Return the last chunks."""
        last = self._chunk({}, _reason(closing), luminai=closing.notes)
        if self._include_usage:
            last += event({**self._head, "choices": [], "usage": _usage(closing)})
        return last + DONE

    def fail(self, problem: Problem) -> bytes:
        """Return the error that ends the stream."""
        return event(v1_failure(problem))

    def whole(self, reply: Whole) -> dict[str, Any]:
        """Return a whole reply."""
        calls = [_call(call) for call in reply.tool_calls]
        message = {"role": "assistant", "content": reply.text if reply.text or not calls else None, "refusal": None}
        choice = {
            "index": 0,
            "message": message | ({"tool_calls": calls} if calls else {}),
            "logprobs": None,
            "finish_reason": _reason(reply.closing),
        }
        return {**self._head, "object": "chat.completion", "choices": [choice], "usage": _usage(reply.closing), "luminai": reply.closing.notes}

    def _chunk(self, delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
        usage = {"usage": None} if self._include_usage else {}
        return event({**self._head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}], **usage, **more})


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _reason(closing: Closing) -> str:
    return _REASONS.get(closing.state) or ("tool_calls" if closing.calls_tools else "stop")


def _usage(closing: Closing) -> dict[str, int]:
    used = closing.usage
    return {
        "prompt_tokens": used.input_tokens,
        "completion_tokens": used.output_tokens,
        "total_tokens": used.input_tokens + used.output_tokens,
    }
