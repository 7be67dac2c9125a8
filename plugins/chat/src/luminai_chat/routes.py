"""HTTP: ask, follow, cancel, read and delete."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.params import FromPath, HeaderParameter, JSONBody
from litestar.response import Stream
from msgspec import Struct

from luminai import Page, PluginContext, Problem, actor_of, client_address, log_field, page_cursor, page_limit, policy, signed_in
from luminai_chat import store
from luminai_chat.schemas import ChatAsk, SessionSummary, SessionView
from luminai_chat.sealed import open_title
from luminai_chat.service import Chat, TurnFailed, whole
from luminai_chat.turn_log import TurnLog

STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
Key = Annotated[str | None, HeaderParameter(name="Idempotency-Key", min_length=1, max_length=255)]


class Cancelled(Struct):
    """A turn was told to end."""

    turn_id: str
    state: str = "cancelling"


def handlers(ctx: PluginContext, chat: Chat) -> Sequence[Any]:
    """Return the route handlers over ``chat``."""

    @post("/api/chat", opt=policy("chat:write", anonymous=True, limit="playground", keyed=False), status_code=200)
    async def ask(request: Request[Any, Any, Any], data: JSONBody[ChatAsk], idempotency_key: Key = None) -> Response[Any]:
        """Ask. The answer is JSON, or a stream of events with `Accept: text/event-stream`."""
        log = await chat.open(data, actor=actor_of(request), address=client_address(request), idempotency_key=idempotency_key)
        if "text/event-stream" in request.headers.get("accept", ""):
            return Stream(_server_events(log), media_type="text/event-stream", headers=STREAM_HEADERS)
        try:
            answer = await whole(log)
        except TurnFailed as failed:
            problem: Problem = failed.problem
            return Response(msgspec.json.encode(problem), status_code=problem.status, media_type="application/problem+json")
        log_field(request, "R", answer.R)
        return Response(msgspec.json.encode(answer), media_type="application/json", headers={"Cache-Control": "no-store"})

    @post("/api/chat/turns/{turn_id:str}/cancel", opt=policy("chat:write", anonymous=True), status_code=202)
    async def cancel(request: Request[Any, Any, Any], turn_id: FromPath[str]) -> Cancelled:
        """End a running turn; what was generated is kept."""
        chat.cancel(turn_id, actor_of(request), client_address(request))
        return Cancelled(turn_id)

    @get("/api/sessions", opt=policy("chat:read"))
    async def list_sessions(request: Request[Any, Any, Any], limit: page_limit = 20, cursor: page_cursor = None) -> Page[SessionSummary]:
        """List your sessions, newest first."""
        subject = signed_in(request).subject
        found = await ctx.db.read(lambda session: store.list_sessions(session, ctx.vault, subject, limit=limit + 1, before=cursor))
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @get("/api/session/{session_id:str}", opt=policy("chat:read"))
    async def show_session(
        request: Request[Any, Any, Any], session_id: FromPath[str], limit: page_limit = 100, cursor: page_cursor = None
    ) -> SessionView:
        """Show a session for replay: messages oldest first, R over time."""
        subject = signed_in(request).subject

        def unit(session: Any) -> SessionView:
            row = store.find_session(session, subject, session_id)
            found = store.page_of_messages(session, ctx.vault, row, limit=limit + 1, after=cursor)
            metadata = {
                "title": open_title(session, ctx.vault, row),
                "persona": row.persona,
                "created_at": row.created_at,
                "updated_at": row.updated_at,
                "messages": row.messages,
            }
            following = found[limit - 1].id if len(found) > limit else None
            return SessionView(
                id=row.id,
                chat_history=found[:limit],
                R_timeline=store.timeline(session, subject, session_id),
                metadata=metadata,
                next_cursor=following,
            )

        return await ctx.db.read(unit)

    @delete("/api/session/{session_id:str}", opt=policy("chat:write"))
    async def delete_session(request: Request[Any, Any, Any], session_id: FromPath[str]) -> None:
        """Delete a session with everything in it."""
        subject = signed_in(request).subject

        def unit(session: Any) -> None:
            store.delete_session(session, subject, session_id)
            ctx.live.recheck(f"chat.conversation.{session_id}", session=session)

        await ctx.db.write(unit)

    return [ask, cancel, list_sessions, show_session, delete_session]


async def _server_events(log: TurnLog) -> AsyncIterator[bytes]:
    """Yield a turn's log as server-sent events, with a comment every 15 s of silence."""
    async for event in log.follow():
        if event is None:
            yield b": still here\n\n"
        else:
            yield b"id: %d\nevent: %s\ndata: %s\n\n" % (event.id, event.kind.encode(), msgspec.json.encode(event.data))
