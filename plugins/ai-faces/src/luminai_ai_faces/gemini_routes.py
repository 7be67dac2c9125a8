"""The routes of Gemini's API. Google's clients call it below /v1beta and, since their third version, below /v1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec
from litestar import Response, post
from litestar.params import FromPath, JSONBody, QueryParameter

from luminai import Actor, NotFound, Streaming, client_address, signed_in
from luminai_ai_faces.answering import Faces
from luminai_ai_faces.anthropic_request import estimated_tokens
from luminai_ai_faces.asking import passed_over
from luminai_ai_faces.bounds import JSONObject
from luminai_ai_faces.gemini_reply import ContentWriter
from luminai_ai_faces.gemini_request import REFUSED, BatchEmbedContents, CountTokens, EmbedContent, GenerateContent
from luminai_ai_faces.listing import find
from luminai_ai_faces.openai_routes import CALL, Given, check_dimensions
from luminai_ai_faces.streaming import streamed
from luminai_ai_gateway import EmbeddingCall

T = TypeVar("T")
Alt = Annotated[str, QueryParameter(max_length=10)]
VERBS: Final = "generateContent, streamGenerateContent, countTokens, embedContent, batchEmbedContents"


def gemini_handlers(faces: Faces) -> Sequence[Any]:
    """Return the route handlers."""
    ctx = faces.ctx

    @post(["/v1/models/{model:path}", "/v1beta/models/{model:path}"], operation_class=Streaming, **CALL)
    async def call_model(request: Given, model: FromPath[str], data: JSONBody[JSONObject], alt: Alt = "") -> Response[Any]:
        """Answer as Gemini's `generateContent`, `streamGenerateContent`, `countTokens`, `embedContent` and `batchEmbedContents` do."""
        name, _, verb = model.removeprefix("/").rpartition(":")
        if verb in ("generateContent", "streamGenerateContent"):
            ask = _read(data, GenerateContent).ask(name, passed_over(await request.body(), GenerateContent, REFUSED))
            answer = await faces.open(ask, actor=signed_in(request), address=client_address(request))
            writer = ContentWriter(id=ctx.new_id("gen"), model=name, as_array=alt != "sse")
            if verb == "streamGenerateContent":
                return await streamed(ctx, request, answer, writer, faces.config.heartbeat_seconds)
            return Response(writer.whole(await answer.whole()))
        if verb == "countTokens":
            find(faces, name)
            return Response({"totalTokens": _counted(_read(data, CountTokens)), "luminai": {"usage_origin": "estimated"}})
        if verb == "embedContent":
            return Response({"embedding": (await _vectors(faces, signed_in(request), name, [_read(data, EmbedContent)]))[0]})
        if verb == "batchEmbedContents":
            requests = _read(data, BatchEmbedContents).requests
            return Response({"embeddings": await _vectors(faces, signed_in(request), name, requests)})
        raise NotFound(f"There is no method {verb[:60]!r}.", code="ai-faces.unknown-method", hint=f"There are {VERBS}.")

    return [call_model]


async def _vectors(faces: Faces, actor: Actor, model: str, requests: Sequence[EmbedContent]) -> list[dict[str, Any]]:
    texts = tuple(one.text() for one in requests)
    reply = await faces.gateway.embed(EmbeddingCall(actor=faces.caller(actor), model=model, origin="gemini.embeddings", texts=texts))
    for one in requests:
        check_dimensions(one.output_dimensionality, reply.vectors)
    return [{"values": vector} for vector in reply.vectors]


def _counted(asked: CountTokens) -> int:
    given = asked.generate_content_request or GenerateContent(contents=asked.contents or ())
    return estimated_tokens(given.spoken(), given.offered())


def _read(data: dict[str, Any], kind: type[T]) -> T:
    """Return a body as what its method takes. Raises ``msgspec.ValidationError``, which is answered as invalid input."""
    return msgspec.convert(data, kind)
