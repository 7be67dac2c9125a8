"""The channels that the plugins of one generation declare, and which of them a room belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from luminai.contracts.errors import Conflict, TooLarge, Unprocessable
from luminai.contracts.live import Channel, LiveMessage
from luminai.http.rooms.log import Kept
from luminai.http.rooms.messages import Message

MAX_ROOM: Final = 240
MAX_DATA: Final = 16 * 1024
MAX_HISTORY: Final = 1000
MAX_KEEP: Final = 86_400.0
OWN_KINDS: Final = frozenset({"closed", "dropped", "gap", "joined", "reconnect", "message", "error", "open"})
"""Names that the hub, or a browser's EventSource, uses itself."""
_PART: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
_PARAMETER: Final = re.compile(r"\{([a-z][a-z0-9_]{0,39})\}")
_VALUE: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
_KIND: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}")


class Place(Struct, frozen=True, eq=False):
    """A room and the channel that it is of."""

    room: str
    params: Mapping[str, str]
    declared: Declared


class Declared:
    """A channel of ``owner``, checked, and ready to tell its rooms apart."""

    __slots__ = ("_decoders", "_parts", "channel", "kept", "owner")

    def __init__(self, owner: str, channel: Channel) -> None:
        self.owner = owner
        self.channel = channel
        self.kept = Kept(channel.history, channel.keep)
        parts = channel.name.split(".")
        found = [(_PARAMETER.fullmatch(part), part) for part in parts]
        if len(channel.name) > MAX_ROOM // 2 or any(is_name is None and not _PART.fullmatch(part) for is_name, part in found):
            raise _bad(f"{channel.name[:80]!r} is no name of a channel", "Join words by dots, with {…} among them: conversation.{id}.")
        self._parts = tuple((is_name[1] if is_name else "", part) for is_name, part in found)
        names = [name for name, _ in self._parts if name]
        if len(names) != len(set(names)):
            raise _bad(f"{channel.name} has a parameter twice", "Give each a name of its own.")
        if not 1 <= channel.history <= MAX_HISTORY or not 0 < channel.keep <= MAX_KEEP:
            raise _bad(f"{channel.name} keeps {channel.history} messages for {channel.keep:g} s", f"Keep 1 to {MAX_HISTORY}, at most a day.")
        for kind, given in channel.kinds.items():
            type_: Any = given
            if _KIND.fullmatch(kind) is None or kind in OWN_KINDS:
                raise _bad(f"{kind[:80]!r} is no kind of message", f"Use small letters, digits, - and _; not {', '.join(sorted(OWN_KINDS))}.")
            if not (isinstance(type_, type) and issubclass(type_, Struct)):
                raise _bad(f"the data of {channel.name}'s {kind} is no Struct", "Name the data's msgspec Struct.")
        self._decoders: dict[str, msgspec.json.Decoder[Any]] = {kind: msgspec.json.Decoder(type_) for kind, type_ in channel.kinds.items()}

    def params(self, values: list[str]) -> dict[str, str] | None:
        """Return the parameters of a room whose name has these parts; None when it is not of this channel."""
        if len(values) != len(self._parts):
            return None
        found: dict[str, str] = {}
        for (name, part), value in zip(self._parts, values, strict=True):
            if name and _VALUE.fullmatch(value):
                found[name] = value
            elif name or part != value:
                return None
        return found

    def overlaps(self, other: Declared) -> bool:
        """Tell whether a room could be of both."""
        return len(self._parts) == len(other._parts) and all(a[0] or b[0] or a[1] == b[1] for a, b in zip(self._parts, other._parts, strict=True))

    def encode(self, room: str, kind: str, data: Struct) -> bytes:
        """Return a message's data as JSON.

        Raises:
            Unprocessable: there is no such kind, or the data does not fit it (code ``message-does-not-fit``).
            TooLarge: it has more than 16 KiB (code ``message-too-large``).
        """
        type_ = self.channel.kinds.get(kind)
        if type_ is None or not isinstance(data, type_):
            hint = f"Its kinds: {', '.join(self.channel.kinds)}." if type_ is None else f"Give a {type_.__name__}."
            raise Unprocessable(f"{room} takes no {kind[:40]!r} of {type(data).__name__}", code="message-does-not-fit", hint=hint, plugin=self.owner)
        raw = msgspec.json.encode(data)
        if len(raw) > MAX_DATA:
            hint = "Send ids, and let readers fetch the rest."
            raise TooLarge(f"a message to {room} is above {MAX_DATA // 1024} KiB", code="message-too-large", hint=hint, plugin=self.owner)
        return raw

    def seen(self, place: Place, message: Message) -> LiveMessage:
        """Return a message as ``may_see`` judges it; a kind that this version of the plugin does not know raises ``KeyError``."""
        data = self._decoders[message.kind].decode(message.data)
        return LiveMessage(room=place.room, params=place.params, kind=message.kind, data=data)


class ChannelTable:
    """Channels by their plugin."""

    def __init__(self) -> None:
        self._declared: dict[str, list[Declared]] = {}

    def declare(self, owner: str, channels: Iterable[Channel]) -> None:
        """Enter the channels of a plugin.

        Raises:
            Conflict: a name, kind, type or bound that will not do, or a room could be of two (code ``bad-channel``).
        """
        mine = self._declared.setdefault(owner, [])
        for channel in channels:
            declared = Declared(owner, channel)
            for other in mine:
                if other.overlaps(declared):
                    raise _bad(f"a room could be of {other.channel.name} and of {channel.name}", "Put different words into their names.")
            mine.append(declared)

    def take_over(self, owner: str, before: ChannelTable) -> None:
        """Enter a plugin's channels of another table: their rooms go on."""
        self._declared[owner] = before._declared.get(owner, [])

    def remove(self, owner: str) -> None:
        """Forget what a plugin declared."""
        self._declared.pop(owner, None)

    def find(self, room: str) -> Place | None:
        """Return the place of a room, None where no running plugin declares it."""
        if len(room) > MAX_ROOM:
            return None
        owner, *values = room.split(".")
        for declared in self._declared.get(owner, ()):
            params = declared.params(values)
            if params is not None:
                return Place(room, params, declared)
        return None

    @property
    def all(self) -> Iterable[Declared]:
        """Every channel, by plugin."""
        return (one for every in self._declared.values() for one in every)


def _bad(detail: str, hint: str) -> Conflict:
    return Conflict(detail, code="bad-channel", hint=hint)
