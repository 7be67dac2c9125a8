"""A provider for one Ollama server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import msgspec
from msgspec import Struct

from luminai import AIError, AIErrorKind, ChatMessage, ChatRequest, EmbeddingReply, HttpAIProvider, HttpCall, Model, provider_error
from luminai_ai_ollama.reader import Reader


class Pulling(Struct):
    """How far a pull is: ``completed`` of ``total`` bytes of one layer, 0 of 0 between layers."""

    status: str = ""
    total: int = 0
    completed: int = 0
    error: Any = None


class _Vectors(Struct):
    embeddings: list[list[float]]
    prompt_eval_count: int | None = None


class _Details(Struct):
    family: str = ""
    families: list[str] | None = None
    parameter_size: str = ""


class _Listed(Struct):
    name: str
    details: _Details | None = None
    capabilities: list[str] | None = None


class _List(Struct):
    models: list[_Listed]


class OllamaProvider(HttpAIProvider):
    """Speaks ``/api/chat``, ``/api/embed``, ``/api/tags`` and ``/api/pull``."""

    framing: ClassVar[Literal["events", "lines"]] = "lines"

    def headers(self) -> Mapping[str, str]:
        """Return the key of a server behind a proxy, if there is one."""
        key = self.instance.secret
        return {"Authorization": f"Bearer {key}"} if key else {}

    def chat_call(self, request: ChatRequest, *, stream: bool) -> HttpCall:
        """Return how a reply is asked for."""
        body: dict[str, Any] = {"model": request.model, "messages": _messages(request.messages), "stream": stream}
        options: dict[str, Any] = {}
        if request.max_output_tokens is not None:
            options["num_predict"] = request.max_output_tokens
        if request.temperature is not None:
            options["temperature"] = request.temperature
        if options:
            body["options"] = options
        if request.tools:
            kinds = ("name", "description", "parameters")
            body["tools"] = [{"type": "function", "function": {kind: getattr(tool, kind) for kind in kinds}} for tool in request.tools]
        if request.response_schema is not None:
            body["format"] = request.response_schema
        return HttpCall("api/chat", body)

    def reader(self, request: ChatRequest) -> Reader:
        """Return a reader of lines."""
        return Reader(request)

    def list_call(self) -> HttpCall:
        """Return how models are listed."""
        return HttpCall("api/tags")

    def read_models(self, data: bytes) -> Sequence[Model]:
        """Return the models that are there; their families tell which make embeddings."""
        found = []
        for one in msgspec.json.decode(data, type=_List).models:
            families = (one.details.families or [one.details.family]) if one.details is not None else []
            embeds = "embed" in one.name or any("bert" in family for family in families)
            if one.name and len(one.name) <= 200:
                kinds = frozenset({"embedding" if embeds else "chat"})
                found.append(
                    Model(id=one.name, kinds=kinds, title=one.name, tools=not embeds and (one.capabilities is None or "tools" in one.capabilities))
                )
        return found

    async def embed(self, model: str, texts: Sequence[str], *, timeout: float = 30.0) -> EmbeddingReply:
        """Return one vector a text."""
        self.model(model, "embedding")
        answer = await self.asked(HttpCall("api/embed", {"model": model, "input": list(texts)}), _Vectors, timeout)
        return self.vectors(answer.embeddings, texts, answer.prompt_eval_count)

    async def pull(self, model: str, *, timeout: float) -> AsyncGenerator[Pulling]:
        """Have the server fetch a model, and yield how far it is.

        Raises:
            AIError: it cannot, or the connection broke before it said ``success``.
        """
        async with self.opened(HttpCall("api/pull", {"model": model, "stream": True}), timeout) as answer:
            async for line in answer.lines():
                pulling = self.decoded(line, Pulling)
                if pulling.error is not None:
                    raise provider_error(pulling.error)
                yield pulling
                if pulling.status == "success":
                    return
        raise AIError(AIErrorKind.UPSTREAM, "the connection ended before the model was there")


def _messages(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Return messages; the server knows a tool's answer by the tool's name."""
    names = {call.id: call.name for one in messages for call in one.tool_calls}
    found = []
    for one in messages:
        message: dict[str, Any] = {"role": one.role, "content": one.content}
        if one.tool_calls:
            message["tool_calls"] = [{"function": {"name": call.name, "arguments": _arguments(call.arguments)}} for call in one.tool_calls]
        if one.role == "tool" and one.tool_call_id:
            message["tool_name"] = names.get(one.tool_call_id, one.tool_call_id)
        found.append(message)
    return found


def _arguments(text: str) -> dict[str, Any]:
    """Return arguments decoded, and none where the model wrote no JSON object."""
    try:
        given: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}
    return given
