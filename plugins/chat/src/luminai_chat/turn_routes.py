"""HTTP: ask, follow, continue, approve, cancel."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter
from litestar.response import Stream
from msgspec import Struct

from luminai import Streaming, actor_of, client_address, log_field, policy, signed_in
from luminai_chat.schemas import Approval, ChatAsk, ContinueAsk, TurnView
from luminai_chat.service import Chat
from luminai_chat.turn_log import Log, merged
from luminai_chat.whole import TurnFailed, whole

STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
Key = Annotated[str | None, HeaderParameter(name="Idempotency-Key", min_length=1, max_length=255)]
LastEvent = Annotated[int, HeaderParameter(name="Last-Event-ID", ge=0, le=1_000_000)]
After = Annotated[int, QueryParameter(ge=0, le=1_000_000, description="The same, for clients that cannot send the header.")]


class Cancelled(Struct):
    """A turn was told to end."""

    turn_id: str
    state: str = "cancelling"


def turn_handlers(chat: Chat) -> Sequence[Any]:
    """Return the route handlers of turns."""

    @post("/api/chat", opt=policy("chat:write", anonymous=True, limit="playground", keyed=False), status_code=200, operation_class=Streaming)
    async def ask(request: Request[Any, Any, Any], data: JSONBody[ChatAsk], idempotency_key: Key = None) -> Response[Any]:
        """Ask. The answer is JSON, or a stream of events with `Accept: text/event-stream`."""
        log = await chat.open(data, actor=actor_of(request), address=client_address(request), idempotency_key=idempotency_key)
        return await _answered(request, log)

    @post("/api/chat/turns/{turn_id:str}/cancel", opt=policy("chat:write", anonymous=True), status_code=202)
    async def cancel(request: Request[Any, Any, Any], turn_id: FromPath[str]) -> Cancelled:
        """End a running turn; what was generated is kept."""
        await chat.cancel(turn_id, actor_of(request), client_address(request))
        return Cancelled(turn_id)

    @get("/api/chat/turns/{turn_id:str}", opt=policy("chat:read"))
    async def show_turn(request: Request[Any, Any, Any], turn_id: FromPath[str]) -> TurnView:
        """Show how a turn stands."""
        return await chat.turn(turn_id, signed_in(request))

    @get("/api/chat/turns/{turn_id:str}/events", opt=policy("chat:read", anonymous=True, stream=True))
    async def follow(request: Request[Any, Any, Any], turn_id: FromPath[str], last_event_id: LastEvent = 0, after: After = 0) -> Stream:
        """Follow a turn from any tab, from behind `Last-Event-ID` (or `after`) on, also when another process runs it, or it has ended."""
        log = await chat.log(turn_id, actor_of(request), client_address(request))
        return Stream(_server_events(log, max(last_event_id, after)), media_type="text/event-stream", headers=STREAM_HEADERS)

    @post("/api/chat/turns/{turn_id:str}/continue", opt=policy("chat:write", keyed=False), status_code=200, operation_class=Streaming)
    async def go_on(
        request: Request[Any, Any, Any], turn_id: FromPath[str], data: JSONBody[ContinueAsk], idempotency_key: Key = None
    ) -> Response[Any]:
        """Go on with a reply that broke off. What comes is a message of its own that follows it; nothing is said twice."""
        log = await chat.go_on(turn_id, data, actor=signed_in(request), address=client_address(request), idempotency_key=idempotency_key)
        return await _answered(request, log)

    @post("/api/chat/turns/{turn_id:str}/approvals", opt=policy("chat:write"), status_code=202)
    async def approve(request: Request[Any, Any, Any], turn_id: FromPath[str], data: JSONBody[Approval]) -> Approval:
        """Answer what a turn's model wants to change, once, for exactly the arguments that were shown."""
        await chat.approve(turn_id, data, signed_in(request))
        return data

    return [ask, cancel, show_turn, follow, go_on, approve]


async def _answered(request: Request[Any, Any, Any], log: Log) -> Response[Any]:
    """Answer with a turn's events as they come, or its whole answer."""
    if "text/event-stream" in request.headers.get("accept", ""):
        return Stream(_server_events(log), media_type="text/event-stream", headers=STREAM_HEADERS)
    try:
        answer = await whole(log)
    except TurnFailed as failed:
        problem = failed.problem
        return Response(msgspec.json.encode(problem), status_code=problem.status, media_type="application/problem+json")
    log_field(request, "R", answer.R)
    return Response(msgspec.json.encode(answer), media_type="application/json", headers={"Cache-Control": "no-store"})


async def _server_events(log: Log, after: int = 0) -> AsyncIterator[bytes]:
    """Yield a turn's log as server-sent events, with a comment every 15 s of silence."""
    async for batch in log.follow(after):
        if not batch:
            yield b": still here\n\n"
        for event in merged(batch):
            yield b"id: %d\nevent: %s\ndata: %s\n\n" % (event.id, event.kind.encode(), bytes(event.data))
