"""Replies of OpenAI's responses.

The dialect has honest ends of its own: ``response.completed``, ``response.incomplete`` with the reason, ``response.failed`` with the error.
Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from typing import Any, Final

from luminai import EndState, Problem, TextDelta, ToolCall, ToolCallFound
from luminai_ai_faces.answering import Whole
from luminai_ai_faces.notes import Closing
from luminai_ai_faces.streaming import COMMENT, event

_REASONS: Final = {EndState.LENGTH: "max_output_tokens", EndState.FILTERED: "content_filter"}


class ResponseWriter:
    """Writes one reply.

    Args:
        created: Seconds since 1970.
        model: As the client named it.
        mirrored: What of the request the response repeats.
    """

    media_type = "text/event-stream"
    heartbeat = COMMENT

    def __init__(self, *, id: str, created: int, model: str, mirrored: dict[str, Any]) -> None:  # noqa: A002 - as on the wire
        self._id = id
        self._response = {"id": id, "object": "response", "created_at": created, "model": model, **mirrored}
        self._number = -1
        self._output: list[dict[str, Any]] = []
        self._text = ""
        self._is_speaking = False

    def begin(self) -> bytes:
        """Return the first events."""
        response = self._now("in_progress")
        return self._event("response.created", response=response) + self._event("response.in_progress", response=response)

    def write(self, one: TextDelta | ToolCallFound) -> bytes:
        """Return the events of a piece."""
        if isinstance(one, TextDelta):
            began = b"" if self._is_speaking else self._begin_text()
            self._text += one.text
            return began + self._event("response.output_text.delta", **self._place(), delta=one.text, logprobs=[])
        return self._end_text() + self._call(one.call)

    def end(self, closing: Closing) -> bytes:
        """Return the last events."""
        rest = self._end_text("incomplete" if closing.state in _REASONS else "completed")
        response = self._closed(closing)
        return rest + self._event(f"response.{response['status']}", response=response)

    def fail(self, problem: Problem) -> bytes:
        """Return the event of a reply that broke off; what came of it stands in the response as incomplete."""
        rest = self._end_text("incomplete")
        error = {"code": "server_error", "message": problem.detail, "luminai": problem}
        response = self._now("failed") | {"output": self._output, "error": error}
        return rest + self._event("response.failed", response=response)

    def whole(self, reply: Whole) -> dict[str, Any]:
        """Return a whole reply."""
        status = "incomplete" if reply.closing.state in _REASONS else "completed"
        if reply.text or not reply.tool_calls:
            self._output.append(self._message(status, reply.text))
        for call in reply.tool_calls:
            self._output.append(self._function_call(call, "completed"))
        return self._closed(reply.closing)

    def _begin_text(self) -> bytes:
        self._is_speaking = True
        added = self._event("response.output_item.added", output_index=len(self._output), item=self._message("in_progress"))
        return added + self._event("response.content_part.added", **self._place(), part=_part(""))

    def _end_text(self, status: str = "completed") -> bytes:
        if not self._is_speaking:
            return b""
        place = self._place()
        item = self._message(status, self._text)
        done = self._event("response.output_text.done", **place, text=self._text, logprobs=[])
        done += self._event("response.content_part.done", **place, part=_part(self._text))
        done += self._event("response.output_item.done", output_index=len(self._output), item=item)
        self._output.append(item)
        self._is_speaking, self._text = False, ""
        return done

    def _call(self, call: ToolCall) -> bytes:
        index, item = len(self._output), self._function_call(call, "completed")
        place = {"item_id": item["id"], "output_index": index}
        told = self._event("response.output_item.added", output_index=index, item=item | {"status": "in_progress", "arguments": ""})
        told += self._event("response.function_call_arguments.delta", **place, delta=call.arguments)
        told += self._event("response.function_call_arguments.done", **place, name=call.name, arguments=call.arguments)
        self._output.append(item)
        return told + self._event("response.output_item.done", output_index=index, item=item)

    def _message(self, status: str, text: str | None = None) -> dict[str, Any]:
        content = [] if text is None else [_part(text)]
        return {"id": f"msg_{self._id}_{len(self._output)}", "type": "message", "role": "assistant", "status": status, "content": content}

    def _function_call(self, call: ToolCall, status: str) -> dict[str, Any]:
        head = {"id": f"fc_{self._id}_{len(self._output)}", "type": "function_call", "status": status}
        return {**head, "call_id": call.id, "name": call.name, "arguments": call.arguments}

    def _place(self) -> dict[str, Any]:
        return {"item_id": f"msg_{self._id}_{len(self._output)}", "output_index": len(self._output), "content_index": 0}

    def _closed(self, closing: Closing) -> dict[str, Any]:
        reason = _REASONS.get(closing.state)
        used = closing.usage
        usage = {
            "input_tokens": used.input_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": used.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": used.input_tokens + used.output_tokens,
        }
        ended = {"output": self._output, "usage": usage, "incomplete_details": {"reason": reason} if reason else None}
        return self._now("incomplete" if reason else "completed") | ended | {"luminai": closing.notes}

    def _now(self, status: str) -> dict[str, Any]:
        return {**self._response, "status": status, "output": [], "error": None, "incomplete_details": None, "usage": None}

    def _event(self, kind: str, **more: Any) -> bytes:
        self._number += 1
        return event({"type": kind, "sequence_number": self._number, **more}, kind)


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
