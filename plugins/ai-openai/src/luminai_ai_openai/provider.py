"""A provider for one service that speaks OpenAI's API."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from luminai import (
    AIError,
    AIErrorKind,
    ChatMessage,
    ChatRequest,
    EmbeddingReply,
    HttpAIProvider,
    HttpCall,
    HttpClient,
    MediaReply,
    Model,
    picture_type,
    provider_error,
)
from luminai_ai_openai.config import OPENAI, OpenAIInstance
from luminai_ai_openai.reader import Figures, Reader

MAX_MEDIA: Final = 33_554_432
_KINDS: Final = (("embed", "embedding"), ("dall-e", "image"), ("image", "image"), ("tts", "speech"))
_OTHER: Final = ("whisper", "transcribe", "moderation", "realtime", "rerank", "sora", "audio")
"""The list of models does not say what they do: their names do. What is not spoken to in text is left out."""


class _Picture(Struct):
    b64_json: str | None = None


class _Pictures(Struct):
    data: list[_Picture] = []
    error: Any = None


class _Vector(Struct):
    embedding: list[float]
    index: int = 0


class _Vectors(Struct):
    data: list[_Vector]
    usage: Figures | None = None


class _Listed(Struct):
    id: str


class _List(Struct):
    data: list[_Listed]


class OpenAIProvider(HttpAIProvider):
    """Speaks ``/chat/completions``, ``/embeddings``, ``/images/generations``, ``/audio/speech`` and ``/models``."""

    def __init__(self, http: HttpClient, instance: OpenAIInstance) -> None:
        super().__init__(http, instance)
        is_new = instance.base_url == OPENAI if instance.limit_field == "auto" else instance.limit_field == "max_completion_tokens"
        self._limit = "max_completion_tokens" if is_new else "max_tokens"
        self._asks_usage = instance.usage_in_streams

    def headers(self) -> Mapping[str, str]:
        """Return the key as a bearer token."""
        key = self.instance.secret
        return {"Authorization": f"Bearer {key}"} if key else {}

    def chat_call(self, request: ChatRequest, *, stream: bool) -> HttpCall:
        """Return how a reply is asked for; figures are always asked for."""
        body: dict[str, Any] = {"model": request.model, "messages": [_message(one) for one in request.messages]}
        if stream:
            body["stream"] = True
            if self._asks_usage:
                body["stream_options"] = {"include_usage": True}
        if request.max_output_tokens is not None:
            body[self._limit] = request.max_output_tokens
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.tools:
            kinds = ("name", "description", "parameters")
            body["tools"] = [{"type": "function", "function": {kind: getattr(tool, kind) for kind in kinds}} for tool in request.tools]
            if request.tool_choice == "required":  # by name it is not known to all services: who wants one tool called offers that one alone
                body["tool_choice"] = "required"
        if request.response_schema is not None:
            schema = {"name": "reply", "schema": request.response_schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return HttpCall("chat/completions", body)

    def reader(self, request: ChatRequest) -> Reader:
        """Return a reader of chunks."""
        return Reader(request)

    def list_call(self) -> HttpCall:
        """Return how models are listed."""
        return HttpCall("models")

    def read_models(self, data: bytes) -> Sequence[Model]:
        """Return the listed models, each of the kind that its name tells, chat when it tells none."""
        found = []
        for one in msgspec.json.decode(data, type=_List).data[:2000]:
            name = one.id.lower()
            kind = next((kind for sign, kind in _KINDS if sign in name), "chat")
            if one.id and len(one.id) <= 200 and not (kind == "chat" and any(sign in name for sign in _OTHER)):
                found.append(Model(id=one.id, kinds=frozenset({kind}), title=one.id, tools=kind == "chat"))
        return found

    async def embed(self, model: str, texts: Sequence[str], *, timeout: float = 30.0) -> EmbeddingReply:
        """Return one vector a text."""
        self.model(model, "embedding")
        call = HttpCall("embeddings", {"model": model, "input": list(texts), "encoding_format": "float"})
        answer = await self.asked(call, _Vectors, timeout, most=MAX_MEDIA)
        rows = sorted(answer.data, key=lambda row: row.index)
        return self.vectors([row.embedding for row in rows], texts, answer.usage.prompt_tokens if answer.usage is not None else None)

    async def image(self, model: str, prompt: str, *, width: int, height: int, timeout: float = 120.0) -> MediaReply:
        """Return a picture."""
        self.model(model, "image")
        body: dict[str, Any] = {"model": model, "prompt": prompt, "n": 1, "size": f"{width}x{height}"}
        if not model.startswith("gpt-image"):  # which always answers with the picture itself, and refuses to be told so
            body["response_format"] = "b64_json"
        answer = await self.asked(HttpCall("images/generations", body), _Pictures, timeout, most=MAX_MEDIA)
        if answer.error is not None:
            raise provider_error(answer.error)
        content = _decoded(answer.data[0].b64_json if answer.data else None)
        kind = picture_type(content)
        if not kind:
            raise AIError(AIErrorKind.UPSTREAM, "the provider answered with no picture")
        return MediaReply(content=content, content_type=kind, synthetic=f"made by {model}")

    async def speak(self, model: str, text: str, *, voice: str = "", timeout: float = 120.0) -> MediaReply:
        """Return speech as MP3, or as what the service makes of it."""
        self.model(model, "speech")
        call = HttpCall("audio/speech", {"model": model, "input": text, "voice": voice or "alloy", "response_format": "mp3"})
        headers, body = await self.whole(call, timeout, most=MAX_MEDIA)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if not body or not (kind.startswith("audio/") or kind == "application/octet-stream"):
            raise AIError(AIErrorKind.UPSTREAM, "the provider answered something that is no speech")
        return MediaReply(content=body, content_type=kind if kind.startswith("audio/") else "audio/mpeg", synthetic=f"spoken by {model}")


def _message(one: ChatMessage) -> dict[str, Any]:
    message: dict[str, Any] = {"role": one.role, "content": one.content}
    if one.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}} for call in one.tool_calls
        ]
    if one.tool_call_id:
        message["tool_call_id"] = one.tool_call_id
    return message


def _decoded(text: str | None) -> bytes:
    try:
        return b64decode(text or "", validate=True)
    except ValueError:
        return b""
