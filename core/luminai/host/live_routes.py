"""Rooms over HTTP: an event stream, and polls for those who can keep none open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from litestar import Request, get
from litestar.enums import MediaType
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send
from msgspec import Struct

from luminai.contracts.identity import policy
from luminai.http.requests import signed_in, state_of
from luminai.http.rooms.channels import MAX_ROOM
from luminai.http.rooms.messages import Position, position
from luminai.http.rooms.outlet import StreamOutlet
from luminai.http.rooms.rooms import Rooms

if TYPE_CHECKING:
    from luminai.host.hub import Hub

MAX_ID: Final = 31
POLL_SECONDS: Final = 5.0
_START: Final[Any] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")],
}
AnyRequest = Request[Any, Any, Any]
RoomName = Annotated[str, QueryParameter(min_length=1, max_length=MAX_ROOM, description="Full name of the room: `chat.conversation.<id>`.")]
After = Annotated[str, QueryParameter(max_length=MAX_ID, description="Id of the last event that you got; empty: from now on.")]
LastEvent = Annotated[str, HeaderParameter(name="Last-Event-ID", max_length=MAX_ID, description="The same, as an EventSource sends it.")]


class LiveEvent(Struct):
    """A message of a room."""

    id: str
    kind: str
    data: msgspec.Raw


class Polled(Struct):
    """What came since. ``last`` goes into the next poll; ``gap``: something may be missing, read the state anew; wait ``poll_seconds``."""

    room: str
    last: str
    gap: bool
    events: list[LiveEvent]
    poll_seconds: float = POLL_SECONDS


class _Followed(ASGIResponse):
    """An event stream of one room: no task and no generator of its own, the room writes."""

    def __init__(self, rooms: Rooms, room: str, after: Position | None) -> None:
        super().__init__()
        self._rooms = rooms
        self._room = room
        self._after = after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = state_of(scope)
        stream = state.stream
        outlet = StreamOutlet(stream, self._rooms.figures, self._rooms.settings.backlog)
        try:
            seat, found = await self._rooms.join(outlet, self._room, self._after)
            await send(dict(_START))  # type: ignore[arg-type]
            if state.method == "HEAD":
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            stream.share()
            self._rooms.enter(outlet)
            self._rooms.begin(seat, found)
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            self._rooms.exit(outlet)


class Followed(Response[None]):
    """Makes the stream when the request goes on to it."""

    def __init__(self, rooms: Rooms, room: str, after: Position | None) -> None:
        super().__init__(None, media_type="text/event-stream")
        self._made = _Followed(rooms, room, after)

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:
        """Return the stream."""
        return self._made


def live_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""

    @get("/api/live", opt=policy(stream=True), media_type=MediaType.TEXT)
    async def follow_room(room: RoomName, after: After = "", last_event_id: LastEvent = "") -> Followed:
        """Follow a room: an event `joined`, then one of each message's kind. `gap` says that something may be missing, `dropped` that the client was
        too slow, `reconnect` to connect again, `closed` why it may not stay.
        """
        return Followed(hub.rooms, room, position(last_event_id or after))

    @get("/api/live/poll", opt=policy())
    async def poll_room(request: AnyRequest, room: RoomName, after: After = "") -> Response[Polled]:
        """Return what came in a room since an event, for clients behind proxies that cut streams."""
        actor, since = signed_in(request), position(after)
        place = await hub.rooms.admit(room, actor)
        found = await hub.rooms.log.after(room, since, place.declared.kept)
        events = [LiveEvent(str(one.at), one.kind, msgspec.Raw(one.data)) for one in found.messages if hub.rooms.may_see(place, actor, one)]
        return Response(Polled(room, str(found.now), not found.is_whole, events), headers={"Cache-Control": "no-store"})

    return [follow_room, poll_room]
