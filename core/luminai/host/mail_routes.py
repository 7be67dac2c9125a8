"""The core's routes for letters: what waits, what failed, and what one says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from litestar import Request, get, post
from litestar.params import PathParameter, QueryParameter
from msgspec import Struct

from luminai.contracts.identity import policy
from luminai.http.pages import Page, page_cursor, page_limit
from luminai.http.requests import signed_in
from luminai.work.letters import LetterInfo

if TYPE_CHECKING:
    from luminai.host.hub import Hub

LetterId = Annotated[str, PathParameter(pattern=r"^mail_[0-9a-f]{32}\Z")]
StateFilter = Annotated[
    Literal["", "waiting", "sent", "failed", "expired", "discarded"], QueryParameter(name="state", description="Only those in this state.")
]


class Letter(Struct, frozen=True, kw_only=True):
    """A letter. ``text`` and ``html`` are null for everybody but operators (scope ``*``), and empty once the letter is settled."""

    letter: LetterInfo
    text: str | None = None
    html: str | None = None


def mail_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""

    @get("/api/admin/mail", opt=policy("hub:mail"))
    async def list_letters(wanted: StateFilter = "", limit: page_limit = 20, cursor: page_cursor = None) -> Page[LetterInfo]:
        """List letters without what they say, newest first."""
        found = await hub.mail.queue.list(state=wanted, limit=limit + 1, before=cursor)
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @get("/api/admin/mail/{letter:str}", opt=policy("hub:mail"))
    async def show_letter(request: Request[Any, Any, Any], letter: LetterId) -> Letter:
        """Show one letter, to an operator also what it says; that is recorded in the audit log."""
        actor = signed_in(request)
        found = await hub.mail.queue.find(letter)
        if "*" not in actor.scopes:
            return Letter(letter=found)
        said = await hub.mail.queue.read(letter, by=actor)
        return Letter(letter=found, text=said.text, html=said.html)

    @post("/api/admin/mail/{letter:str}/retry", opt=policy("hub:mail", step_up=True), status_code=200)
    async def retry_letter(request: Request[Any, Any, Any], letter: LetterId) -> LetterInfo:
        """Have a waiting or failed letter sent as soon as possible."""
        found = await hub.mail.queue.retry(letter, by=signed_in(request))
        hub.mail.wake()
        return found

    @post("/api/admin/mail/{letter:str}/discard", opt=policy("hub:mail", step_up=True), status_code=200)
    async def discard_letter(request: Request[Any, Any, Any], letter: LetterId) -> LetterInfo:
        """Give a waiting or failed letter up; what it says is deleted."""
        return await hub.mail.queue.discard(letter, by=signed_in(request))

    return [list_letters, show_letter, retry_letter, discard_letter]
