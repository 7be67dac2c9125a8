"""HTTP: read and delete conversations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Request, delete, get
from litestar.params import FromPath

from luminai import Page, PluginContext, page_cursor, page_limit, policy, signed_in
from luminai_chat import store, turn_rows
from luminai_chat.schemas import SessionSummary, SessionView
from luminai_chat.sealed import open_title


def handlers(ctx: PluginContext) -> Sequence[Any]:
    """Return the route handlers of conversations."""

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
                "running_turns": turn_rows.running_turns(session, subject, session_id),
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

    return [list_sessions, show_session, delete_session]
