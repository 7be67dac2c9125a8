"""The plugin's side of rooms: ``ctx.live``, and how its channels are asked who may join."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable
from typing import Final

from msgspec import Struct
from sqlalchemy.orm import Session

from luminai.contracts.errors import Unprocessable
from luminai.contracts.identity import Actor
from luminai.data.after_commit import after_commit
from luminai.data.owners import Acting, acting
from luminai.host.calls import call_within
from luminai.http.rooms.channels import ChannelTable, Place
from luminai.http.rooms.messages import GAP
from luminai.http.rooms.rooms import ALLOWED, REFUSED, UNSAID, Rooms

_log = logging.getLogger("luminai.live")
ASK_SECONDS: Final = 5.0


class PluginLive:
    """Implements ``Live`` for one plugin.

    Args:
        rooms: The rooms of this process.
        channels: Channels of the generation that the plugin runs in.
    """

    __slots__ = ("_channels", "_owner", "_rooms")

    def __init__(self, owner: str, rooms: Rooms, channels: Callable[[], ChannelTable]) -> None:
        self._owner = owner
        self._rooms = rooms
        self._channels = channels

    def publish(self, room: str, kind: str, data: Struct | Callable[[], Struct], /, *, session: Session | None = None) -> None:
        """Tell everybody in ``room``."""
        place, rooms = self._place(room), self._rooms
        if not isinstance(data, Struct):
            if not rooms.is_followed(room):
                if session is not None:
                    after_commit(session, lambda _: rooms.publish(place, GAP, b"{}") if rooms.is_followed(room) else None)
                return
            data = data()
        raw = place.declared.encode(room, kind, data)
        if session is None:
            rooms.publish(place, kind, raw)
        else:  # where nobody knows whether it was committed, readers are told to look
            after_commit(session, lambda is_sure: rooms.publish(place, kind, raw) if is_sure else rooms.publish(place, GAP, b"{}"))

    def recheck(self, room: str, /, *, session: Session | None = None) -> None:
        """Ask again who may be in ``room``."""
        self._place(room)
        if session is None:
            self._rooms.recheck(room)
        else:
            after_commit(session, lambda _: self._rooms.recheck(room))

    def _place(self, room: str) -> Place:
        channels = self._channels()
        place = channels.find(room)
        if place is None or place.declared.owner != self._owner:
            mine = [f"{self._owner}.{one.channel.name}" for one in channels.all if one.owner == self._owner]
            near = difflib.get_close_matches(room, mine, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Declare it in the hook channels of {self._owner}."
            raise Unprocessable(f"{self._owner} declares no room {room[:120]!r}", code="unknown-room", hint=hint, plugin=self._owner)
        return place


async def ask(place: Place, actor: Actor) -> int:
    """Ask a room's channel whether ``actor`` may join, in the actor's name."""

    async def asked() -> bool:
        return await place.declared.channel.may_join(actor, place.params)

    token = acting.set(Acting(actor.subject, actor.organisation))
    try:
        said = await call_within(ASK_SECONDS, asked())
    except Exception as error:  # noqa: BLE001 - plugin code may raise anything
        _log.error("live.may-join.failed", extra={"plugin": place.declared.owner, "room": place.room}, exc_info=error)
        return UNSAID
    finally:
        acting.reset(token)
    return ALLOWED if said is True else REFUSED
