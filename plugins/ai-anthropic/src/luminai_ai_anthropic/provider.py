"""A provider for one service that speaks the Messages API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from luminai import ChatMessage, ChatRequest, HttpAIProvider, HttpCall, HttpClient, Model, ToolCall
from luminai_ai_anthropic.config import AnthropicInstance
from luminai_ai_anthropic.reader import Reader

VERSION: Final = "2023-06-01"


class _Listed(Struct):
    id: str
    display_name: str = ""
    max_input_tokens: int | None = None
    max_tokens: int | None = None


class _List(Struct):
    data: list[_Listed]


class AnthropicProvider(HttpAIProvider):
    """Speaks ``/messages`` and ``/models``."""

    def __init__(self, http: HttpClient, instance: AnthropicInstance) -> None:
        super().__init__(http, instance)
        self._default_limit = instance.default_max_tokens

    def headers(self) -> Mapping[str, str]:
        """Return version and key."""
        key = self.instance.secret
        return {"anthropic-version": VERSION, **({"x-api-key": key} if key else {})}

    def chat_call(self, request: ChatRequest, *, stream: bool) -> HttpCall:
        """Return how a reply is asked for. A schema is enforced by the service (``output_config``)."""
        limit = request.max_output_tokens or self.model(request.model, "chat").max_output_tokens or self._default_limit
        body: dict[str, Any] = {"model": request.model, "max_tokens": limit, "messages": _messages(request.messages)}
        if system := "\n\n".join(one.content for one in request.messages if one.role == "system" and one.content):
            body["system"] = system
        if stream:
            body["stream"] = True
        if request.temperature is not None:
            body["temperature"] = min(request.temperature, 1.0)  # its scale ends there
        if request.tools:
            body["tools"] = [{"name": tool.name, "description": tool.description, "input_schema": tool.parameters} for tool in request.tools]
            if request.tool_choice == "required":
                body["tool_choice"] = {"type": "any"}
        if request.response_schema is not None:
            body["output_config"] = {"format": {"type": "json_schema", "schema": request.response_schema}}
        return HttpCall("messages", body)

    def reader(self, request: ChatRequest) -> Reader:
        """Return a reader of events."""
        return Reader(request)

    def list_call(self) -> HttpCall:
        """Return how models are listed."""
        return HttpCall("models?limit=1000")

    def read_models(self, data: bytes) -> Sequence[Model]:
        """Return the listed models; all of them chat and call tools."""
        return [
            Model(
                id=one.id,
                kinds=frozenset({"chat"}),
                title=one.display_name or one.id,
                tools=True,
                context_tokens=one.max_input_tokens or 0,
                max_output_tokens=one.max_tokens or 0,
            )
            for one in msgspec.json.decode(data, type=_List).data
            if one.id and len(one.id) <= 200
        ]


def _messages(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Return all but the system's words. Results of tools go together into one message of the user, as the API wants them."""
    found: list[dict[str, Any]] = []
    for one in messages:
        if one.role == "tool":
            result = {"type": "tool_result", "tool_use_id": one.tool_call_id, "content": one.content}
            if found and found[-1]["role"] == "user" and isinstance(found[-1]["content"], list):
                found[-1]["content"].append(result)
            else:
                found.append({"role": "user", "content": [result]})
        elif one.role == "assistant" and one.tool_calls:
            text = [{"type": "text", "text": one.content}] if one.content else []
            found.append({"role": "assistant", "content": [*text, *map(_call, one.tool_calls)]})
        elif one.role != "system":
            found.append({"role": one.role, "content": one.content})
    return found


def _call(call: ToolCall) -> dict[str, Any]:
    """Return a tool call as the API has it: with its arguments decoded, and none where the model wrote no JSON object."""
    try:
        given = msgspec.json.decode(call.arguments, type=dict[str, Any])
    except msgspec.MsgspecError:
        given = {}
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": given}
