"""The routes of Anthropic's API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Response, post
from litestar.params import JSONBody

from luminai import Streaming, client_address, signed_in
from luminai_ai_faces.answering import Faces
from luminai_ai_faces.anthropic_reply import MessageWriter
from luminai_ai_faces.anthropic_request import REFUSED, CountTokens, MessageCreate, estimated_tokens
from luminai_ai_faces.asking import passed_over
from luminai_ai_faces.listing import find
from luminai_ai_faces.openai_routes import CALL, Given
from luminai_ai_faces.streaming import streamed


def anthropic_handlers(faces: Faces) -> Sequence[Any]:
    """Return the route handlers."""
    ctx = faces.ctx

    @post("/v1/messages", operation_class=Streaming, **CALL)
    async def create_message(request: Given, data: JSONBody[MessageCreate]) -> Response[Any]:
        """Answer as Anthropic's messages do."""
        ask = data.ask(passed_over(await request.body(), MessageCreate, REFUSED))
        answer = await faces.open(ask, actor=signed_in(request), address=client_address(request))
        writer = MessageWriter(id=ctx.new_id("msg"), model=data.model, input_tokens=estimated_tokens(ask.messages, ask.tools))
        if data.stream:
            return await streamed(ctx, request, answer, writer, faces.config.heartbeat_seconds)
        return Response(writer.whole(await answer.whole()))

    @post("/v1/messages/count_tokens", **CALL)
    async def count_tokens(data: JSONBody[CountTokens]) -> Response[Any]:
        """Estimate the tokens of a request, four bytes each; no model is asked."""
        find(faces, data.model)
        return Response({"input_tokens": estimated_tokens(data.spoken(), data.offered()), "luminai": {"usage_origin": "estimated"}})

    return [create_message, count_tokens]
