"""Tickets for clients that cannot send a credential when they open a socket or an event stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from litestar import Request, Response, post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from luminai.contracts.errors import NotSignedIn
from luminai.contracts.identity import policy
from luminai.http.requests import signed_in, state_of
from luminai.identity.tickets import LIFETIME, MAX_PATH

if TYPE_CHECKING:
    from luminai.host.hub import Hub


class TicketRequest(Struct, forbid_unknown_fields=True):
    """The path of the socket or event stream, without a query."""

    path: Annotated[str, Meta(pattern=r"^/[^?#\s\x00-\x1f\x7f]*\Z", max_length=MAX_PATH)]


class Ticket(Struct):
    """Goes into the address as ``?ticket=…``, once."""

    ticket: str
    expires_in_seconds: int


def ticket_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handler over ``hub``."""

    @post("/api/auth/ticket", opt=policy(keyed=False))
    async def issue_ticket(request: Request[Any, Any, Any], data: JSONBody[TicketRequest]) -> Response[Ticket]:
        """Give a ticket that opens one socket or event stream with the caller's credential: once, within 30 seconds, from the same origin."""
        actor, state = signed_in(request), state_of(request.scope)
        if state.authorization is None:
            raise NotSignedIn("A ticket stands for a credential.", hint="Send the credential that the ticket is to stand for.")
        ticket = await hub.tickets.issue(actor, state.authorization, path=data.path, origin=state.origin or b"")
        answer = Ticket(ticket, round(LIFETIME.total_seconds()))
        return Response(answer, headers={"Cache-Control": "no-store"})

    return [issue_ticket]
