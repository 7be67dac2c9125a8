"""What is published of turns."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Id = Annotated[str, Meta(max_length=40)]


class TurnOpened(Struct, frozen=True):
    """A question was stored, or a reply is continued: then ``message_id`` is that reply."""

    session_id: Id
    message_id: Id
    turn_id: Id


class TurnClosed(Struct, frozen=True):
    """A reply was stored."""

    session_id: Id
    message_id: Id
    turn_id: Id
    end_state: Annotated[str, Meta(max_length=20)]
    R: float
