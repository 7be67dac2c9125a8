"""Live channels: what a plugin tells those who watch, and who may."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from luminai.contracts.identity import Actor

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


class LiveMessage(Struct, frozen=True, kw_only=True):
    """A message of a room, as ``may_see`` judges it: ``params`` are the room's, ``data`` is the Struct of its kind."""

    room: str
    params: Mapping[str, str]
    kind: str
    data: Struct


class Channel(Struct, frozen=True, kw_only=True):
    """A family of rooms. Nobody is in a room whose channel no running plugin declares, or whose ``may_join`` does not say yes.

    Attributes:
        name: Words joined by dots, ``{…}`` among them: ``conversation.{id}`` of plugin ``chat`` has the rooms ``chat.conversation.<id>``. A value
            has 1 to 80 letters, digits, ``_`` and ``-``.
        kinds: Kinds of messages with the Struct type of their data.
        may_join: ``async (actor, params) -> bool``, asked in the actor's name before somebody reads, again every minute, when the actor's rights
            change, and after ``Live.recheck``. No, a raise and more than 5 s all keep the actor out; who is kept out cannot tell from that answer
            whether there is such a room.
        scope: Scope that is needed beside it.
        may_see: ``(actor, message) -> bool``, quick and plain, asked for each reader of each message; a raise is a no. None: all see all.
        history: How many messages are kept for those who come back, 1 to 1000.
        keep: For how many seconds after the room's last message, at most 86,400.
    """

    name: str
    kinds: Mapping[str, type[Struct]]
    may_join: Callable[[Actor, Mapping[str, str]], Awaitable[bool]]
    scope: str | None = None
    may_see: Callable[[Actor, LiveMessage], bool] | None = None
    history: int = 64
    keep: float = 300.0
    summary: str = ""


class Live(Protocol):
    """Tells rooms of the plugin's own channels what happened. What must not be lost belongs in a table: a message is a hint to look there."""

    def publish(self, room: str, kind: str, data: Struct | Callable[[], Struct], /, *, session: Session | None = None) -> None:
        """Tell everybody in ``room`` (its full name). With ``session``, in a unit of work, it is said after the commit, and not at all when the
        unit or the part of it that said so is rolled back. Callable in any thread; does not wait.

        Args:
            data: What is told, or what makes it: called at once, and only where somebody may hear it. Who comes into the room between that and the
                commit is told to look.

        Raises:
            Unprocessable: no channel of the plugin has such a room (code ``unknown-room``), or such a kind with such data (``message-does-not-fit``).
            TooLarge: its JSON has more than 16 KiB (code ``message-too-large``).
        """
        ...

    def recheck(self, room: str, /, *, session: Session | None = None) -> None:
        """Ask ``may_join`` again for everybody in ``room``, on every node: somebody was taken out."""
        ...
