"""A provider for one service that speaks the Gemini API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from luminai import ChatMessage, ChatRequest, EmbeddingReply, HttpAIProvider, HttpCall, Model
from luminai_ai_gemini.reader import Reader

_KINDS = {"generateContent": "chat", "embedContent": "embedding"}


class _Values(Struct):
    values: list[float]


class _Vectors(Struct):
    embeddings: list[_Values]


class _Listed(Struct, rename="camel"):
    name: str
    display_name: str = ""
    input_token_limit: int = 0
    output_token_limit: int = 0
    supported_generation_methods: list[str] = []


class _List(Struct):
    models: list[_Listed]


class GeminiProvider(HttpAIProvider):
    """Speaks ``generateContent``, ``streamGenerateContent``, ``batchEmbedContents`` and ``models``."""

    def headers(self) -> Mapping[str, str]:
        """Return the key; never in the address, which others log."""
        key = self.instance.secret
        return {"x-goog-api-key": key} if key else {}

    def chat_call(self, request: ChatRequest, *, stream: bool) -> HttpCall:
        """Return how a reply is asked for."""
        body: dict[str, Any] = {"contents": _contents(request.messages)}
        if system := "\n\n".join(one.content for one in request.messages if one.role == "system" and one.content):
            body["systemInstruction"] = {"parts": [{"text": system}]}
        settings: dict[str, Any] = {}
        if request.max_output_tokens is not None:
            settings["maxOutputTokens"] = request.max_output_tokens
        if request.temperature is not None:
            settings["temperature"] = request.temperature
        if request.response_schema is not None:
            settings |= {"responseMimeType": "application/json", "responseJsonSchema": request.response_schema}
        if settings:
            body["generationConfig"] = settings
        if request.tools:
            tools = [{"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.parameters} for tool in request.tools]
            body["tools"] = [{"functionDeclarations": tools}]
            if request.tool_choice == "required":
                body["toolConfig"] = {"functionCallingConfig": {"mode": "ANY"}}
        return _call(request.model, "streamGenerateContent?alt=sse" if stream else "generateContent", body)

    def reader(self, request: ChatRequest) -> Reader:
        """Return a reader of chunks."""
        return Reader(request)

    def list_call(self) -> HttpCall:
        """Return how models are listed."""
        return HttpCall("models?pageSize=1000")

    def read_models(self, data: bytes) -> Sequence[Model]:
        """Return the listed models that chat or make embeddings."""
        found = []
        for one in msgspec.json.decode(data, type=_List).models:
            kinds = frozenset(_KINDS[method] for method in one.supported_generation_methods if method in _KINDS)
            name = one.name.removeprefix("models/")
            if kinds and name and len(name) <= 200:
                more = Model(id=name, kinds=kinds, title=one.display_name or name, tools="chat" in kinds)
                found.append(replace(more, context_tokens=one.input_token_limit, max_output_tokens=one.output_token_limit))
        return found

    async def embed(self, model: str, texts: Sequence[str], *, timeout: float = 30.0) -> EmbeddingReply:
        """Return one vector a text; the API reports no tokens for them."""
        self.model(model, "embedding")
        asked = [{"model": f"models/{model}", "content": {"parts": [{"text": text}]}} for text in texts]
        answer = await self.asked(_call(model, "batchEmbedContents", {"requests": asked}), _Vectors, timeout)
        return self.vectors([row.values for row in answer.embeddings], texts, None)


def _call(model: str, method: str, body: dict[str, Any]) -> HttpCall:
    return HttpCall(f"models/{quote(model, safe='')}:{method}", body)


def _contents(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Return all but the system's words. The API knows a tool's answer by the tool's name, and wants answers given together in one content."""
    names = {call.id: call.name for one in messages for call in one.tool_calls}
    found: list[dict[str, Any]] = []
    for before, one in zip((None, *messages), messages, strict=False):
        if one.role == "tool":
            answer = {"functionResponse": {"name": names.get(one.tool_call_id, one.tool_call_id), "response": {"result": one.content}}}
            if before is not None and before.role == "tool":
                found[-1]["parts"].append(answer)
            else:
                found.append({"role": "user", "parts": [answer]})
        elif one.role != "system":
            parts: list[dict[str, Any]] = [{"text": one.content}] if one.content or not one.tool_calls else []
            parts += [{"functionCall": {"name": call.name, "args": _arguments(call.arguments)}} for call in one.tool_calls]
            found.append({"role": "model" if one.role == "assistant" else "user", "parts": parts})
    return found


def _arguments(text: str) -> dict[str, Any]:
    """Return arguments decoded, and none where the model wrote no JSON object."""
    try:
        given: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}
    return given
