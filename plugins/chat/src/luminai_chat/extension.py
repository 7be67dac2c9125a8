"""What other plugins put into turns: context that a reply may rest on, and tools that a model may ask for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from luminai import Actor, Source

CONTEXT_POINT: Final = "chat.context/1"
TOOL_POINT: Final = "chat.tool/1"
ToolName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,62}\Z")]


class ContextItem(Struct, frozen=True, kw_only=True):
    """A text that the reply may rest on, at most 16,000 characters of it, and where it is from. A model is told that it is data."""

    text: str
    source: Source


class ContextSource(Struct, frozen=True, kw_only=True):
    """Finds context for a question.

    Attributes:
        find: ``async (actor, question) -> items``, best first, within 5 s, with the actor's rights: the unit of work sees the actor's rows alone.
    """

    name: str
    find: Callable[[Actor, str], Awaitable[Sequence[ContextItem]]]


class ChatTool(Struct, frozen=True, kw_only=True):
    """A function that a model may ask for, once the operator lists it in ``tools``.

    Attributes:
        input: Struct type of its arguments; bounded, for a model fills it.
        run: ``async (actor, input) -> text``, with the rights of the person who asked, never those of the hub.
        scope: What the person needs for it.
        changes: False only for what reads: everything else waits for the person's yes to exactly these arguments.
        timeout: Seconds, at most 60.
    """

    name: ToolName
    description: str
    input: type[Struct]
    run: Callable[[Actor, Any], Awaitable[str]]
    scope: str
    changes: bool = True
    timeout: float = 10.0
