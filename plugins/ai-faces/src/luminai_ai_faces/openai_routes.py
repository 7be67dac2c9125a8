"""The routes of OpenAI's API: chat completions, responses, embeddings."""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from litestar import Request, Response, post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from luminai import InvalidInput, Streaming, client_address, policy, signed_in
from luminai_ai_faces import openai_request, responses_request
from luminai_ai_faces.answering import Faces
from luminai_ai_faces.asking import passed_over
from luminai_ai_faces.bounds import MAX_BODY, MAX_PROMPT, ModelName, Text
from luminai_ai_faces.failures import answer_failure
from luminai_ai_faces.openai_reply import ChatWriter
from luminai_ai_faces.openai_request import ChatCompletion
from luminai_ai_faces.responses_reply import ResponseWriter
from luminai_ai_faces.responses_request import ResponseCreate
from luminai_ai_faces.streaming import streamed
from luminai_ai_gateway import EmbeddingCall

SCOPE = "ai-faces:use"
FAILURES: Any = {Exception: answer_failure}
CALL: dict[str, Any] = {
    "opt": policy(SCOPE, max_text=MAX_PROMPT),
    "request_max_body_size": MAX_BODY,
    "status_code": 200,
    "exception_handlers": FAILURES,
}
"""What all routes share that call a model."""
Given = Request[Any, Any, Any]


class EmbeddingCreate(Struct, frozen=True, kw_only=True):
    """Texts to make vectors of; lists of tokens are not taken."""

    model: ModelName
    input: Text | Annotated[tuple[Text, ...], Meta(min_length=1, max_length=2048)]
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: Annotated[int, Meta(ge=1, le=100_000)] | None = None


def openai_handlers(faces: Faces) -> Sequence[Any]:
    """Return the route handlers."""
    ctx = faces.ctx

    @post("/v1/chat/completions", operation_class=Streaming, **CALL)
    async def create_chat_completion(request: Given, data: JSONBody[ChatCompletion]) -> Response[Any]:
        """Answer as OpenAI's chat completions do."""
        ask = data.ask(passed_over(await request.body(), ChatCompletion, openai_request.REFUSED))
        answer = await faces.open(ask, actor=signed_in(request), address=client_address(request))
        include_usage = data.stream_options is not None and bool(data.stream_options.include_usage)
        created = int(ctx.clock.now().timestamp())
        writer = ChatWriter(id=ctx.new_id("chatcmpl"), created=created, model=data.model, include_usage=include_usage)
        if data.stream:
            return await streamed(ctx, request, answer, writer, faces.config.heartbeat_seconds)
        return Response(writer.whole(await answer.whole()))

    @post("/v1/responses", operation_class=Streaming, **CALL)
    async def create_response(request: Given, data: JSONBody[ResponseCreate]) -> Response[Any]:
        """Answer as OpenAI's responses do. Nothing is stored: `previous_response_id` is refused."""
        ask = data.ask(passed_over(await request.body(), ResponseCreate, responses_request.REFUSED))
        answer = await faces.open(ask, actor=signed_in(request), address=client_address(request))
        writer = ResponseWriter(id=ctx.new_id("resp"), created=int(ctx.clock.now().timestamp()), model=data.model, mirrored=data.mirrored())
        if data.stream:
            return await streamed(ctx, request, answer, writer, faces.config.heartbeat_seconds)
        return Response(writer.whole(await answer.whole()))

    @post("/v1/embeddings", **CALL)
    async def create_embeddings(request: Given, data: JSONBody[EmbeddingCreate]) -> Response[Any]:
        """Return one vector a text."""
        texts = (data.input,) if isinstance(data.input, str) else data.input
        call = EmbeddingCall(actor=faces.caller(signed_in(request)), model=data.model, origin="openai.embeddings", texts=texts)
        reply = await faces.gateway.embed(call)
        check_dimensions(data.dimensions, reply.vectors)
        as_text = data.encoding_format == "base64"
        rows = [{"object": "embedding", "index": place, "embedding": _packed(one) if as_text else one} for place, one in enumerate(reply.vectors)]
        tokens = reply.usage.input_tokens
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return Response({"object": "list", "data": rows, "model": data.model, "usage": usage, "luminai": {"usage_origin": reply.usage.origin}})

    return [create_chat_completion, create_response, create_embeddings]


def check_dimensions(wanted: int | None, vectors: Sequence[Sequence[float]]) -> None:
    """Raise unless the vectors are as long as was asked for.

    Raises:
        InvalidInput: they are not (code ``ai-faces.dimensions``).
    """
    if wanted is not None and vectors and len(vectors[0]) != wanted:
        raise InvalidInput(f"This model's vectors have {len(vectors[0])} dimensions.", code="ai-faces.dimensions", hint="Leave dimensions out.")


def _packed(vector: Sequence[float]) -> str:
    """Return a vector as its 32-bit floats, low byte first, in base64: what OpenAI's clients ask for unasked."""
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
