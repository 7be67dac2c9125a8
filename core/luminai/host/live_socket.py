"""Rooms over one WebSocket: ``/ws``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import msgspec
from litestar import WebSocket, websocket
from msgspec import Meta, Struct

from luminai.config.settings import Rate
from luminai.contracts.errors import HubError, InvalidInput, RateLimited, TooLarge
from luminai.contracts.identity import policy
from luminai.http.requests import state_of
from luminai.http.rooms.channels import MAX_ROOM
from luminai.http.rooms.messages import Word, frame, position
from luminai.http.rooms.outlet import SocketOutlet
from luminai.http.rooms.rooms import Rooms
from luminai.http.streams import Ending

if TYPE_CHECKING:
    from luminai.host.hub import Hub

MAX_SAID: Final = 1024
"""Bytes of a client's message."""
TOO_BIG: Final = 1009
Ref = Annotated[str, Meta(max_length=40)]
RoomName = Annotated[str, Meta(min_length=1, max_length=MAX_ROOM)]


class Subscribe(Struct, tag="subscribe", forbid_unknown_fields=True):
    """Tell me what happens in ``room``, from event ``after`` on, or from now on. ``ref`` comes back with the answer."""

    room: RoomName
    after: str = ""
    ref: Ref = ""


class Unsubscribe(Struct, tag="unsubscribe", forbid_unknown_fields=True):
    """Tell me no more of ``room``."""

    room: RoomName
    ref: Ref = ""


class Ping(Struct, tag="ping", forbid_unknown_fields=True):
    """Are you there?"""

    ref: Ref = ""


_DECODER: Final = msgspec.json.Decoder(Subscribe | Unsubscribe | Ping)


def live_socket(hub: Hub) -> Any:
    """Return the handler over ``hub``."""

    @websocket("/ws", opt=policy())
    async def follow_rooms(socket: WebSocket[Any, Any, Any]) -> None:
        """Follow rooms, several by one connection."""
        stream = state_of(socket.scope).stream
        outlet = SocketOutlet(stream, hub.rooms.figures, hub.settings.live.backlog)
        await socket.accept()
        stream.share()
        hub.rooms.enter(outlet)
        try:
            while (got := cast("Any", await socket.receive()))["type"] != "websocket.disconnect":
                said: str | bytes = got.get("text") or got.get("bytes") or b""
                if len(said) > MAX_SAID:
                    stream.end(Ending(TOO_BIG, "message-too-large", b""))
                    continue
                await _answer(hub, outlet, said)
        finally:
            hub.rooms.exit(outlet)

    return follow_rooms


async def _answer(hub: Hub, outlet: SocketOutlet, said: str | bytes) -> None:
    """Do what a client asks; what cannot be done is answered, and the socket stays."""
    ref = room = ""
    try:
        try:
            asked = _DECODER.decode(said)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidInput("This is no message of a client.", code="bad-message", hint=str(error)[:200]) from error
        ref = asked.ref
        if isinstance(asked, Ping):
            _say(outlet, type="pong", ref=ref)
            return
        room = asked.room
        if isinstance(asked, Unsubscribe):
            seat = outlet.seats.get(room)
            if seat is not None:
                hub.rooms.leave(seat)
            _say(outlet, type="left", room=room, ref=ref)
            return
        await _count(hub, outlet)
        if len(outlet.seats) >= hub.settings.live.rooms_per_socket:
            raise TooLarge(f"A socket is in at most {hub.settings.live.rooms_per_socket} rooms.", code="too-many-rooms", hint="Leave one.")
        await _subscribe(hub.rooms, outlet, asked)
    except HubError as refused:
        _say(outlet, type="error", room=room, ref=ref, problem=refused.problem())


async def _subscribe(rooms: Rooms, outlet: SocketOutlet, asked: Subscribe) -> None:
    seat, found = await rooms.join(outlet, asked.room, position(asked.after))
    _say(outlet, type="subscribed", room=asked.room, ref=asked.ref)
    rooms.begin(seat, found)


async def _count(hub: Hub, outlet: SocketOutlet) -> None:
    if hub.limits.is_on:
        taken = await hub.rates.take(f"live:{outlet.actor.subject}", Rate(requests=hub.settings.live.requests))
        if not taken.passed:
            hint = "Wait as long as retry_after says."
            raise RateLimited("Too many rooms were asked for.", code="rate-limited", hint=hint, retry_after=max(1.0, taken.retry))


def _say(outlet: SocketOutlet, **said: Any) -> None:
    outlet.put(Word(None, frame({name: value for name, value in said.items() if value != ""})))
