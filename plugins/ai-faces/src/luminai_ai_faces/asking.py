"""What a request of any dialect asks for, and what in it this hub does not do."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from luminai import ChatMessage, ChatRequest, InvalidInput, Tool

Choice = Literal["auto", "required"]
MAX_IGNORED: Final = 50
_NAMES: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_EMPTY: Final = (b"null", b"false", b"[]", b"{}", b'""', b"0", b"1", b'"none"')


class Ask(Struct, frozen=True, kw_only=True):
    """A chat.

    Attributes:
        model: As the client names it.
        stop: Texts that end the reply; they are not part of it.
        ignored: What the client sent and this hub passes over, by name; the reply says so.
        origin: Which dialect it came by.
    """

    model: str
    messages: tuple[ChatMessage, ...]
    origin: str
    max_output_tokens: int | None = None
    temperature: float | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: Choice = "auto"
    response_schema: dict[str, Any] | None = None
    stop: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def request(self, timeout: float) -> ChatRequest:
        """Return it as the hub asks models; the gateway puts the model in."""
        return ChatRequest(
            model=self.model,
            messages=self.messages,
            timeout=timeout,
            max_output_tokens=self.max_output_tokens,
            temperature=self.temperature,
            tools=self.tools,
            tool_choice=self.tool_choice,
            response_schema=self.response_schema,
        )


def passed_over(body: bytes, known: type[Struct], refused: Collection[str]) -> tuple[str, ...]:
    """Return the names of the fields in ``body`` that ``known`` does not have.

    Raises:
        InvalidInput: one of them is among ``refused``: it would change what the answer is (code ``ai-faces.unsupported``).
    """
    given = _NAMES.decode(body)
    rest = [name for name in given if name not in known.__struct_encode_fields__]
    for name in rest:
        if name in refused and bytes(given[name]) not in _EMPTY:
            raise unsupported(name)
    return tuple(name[:64] for name in rest[:MAX_IGNORED])


def unsupported(what: str, hint: str = "Leave it out.") -> InvalidInput:
    """Return the refusal of something that this hub cannot do and must not pass over."""
    return InvalidInput(f"This hub does not do {what[:80]!r}.", code="ai-faces.unsupported", hint=hint)


def text_only(kind: str) -> InvalidInput:
    """Return the refusal of a part that is no text."""
    return InvalidInput(f"A part of type {kind[:40]!r} stands where text is meant.", code="ai-faces.text-only", hint="Send text.")


def malformed(detail: str, hint: str = "") -> InvalidInput:
    """Return the refusal of messages that do not fit together."""
    return InvalidInput(detail, code="ai-faces.bad-message", hint=hint)


def chosen_tools(tools: tuple[Tool, ...], choice: str, names: Collection[str] = ()) -> tuple[tuple[Tool, ...], Choice]:
    """Return the tools to offer, and whether one of them has to be called.

    Args:
        choice: ``auto``, ``none``, or that one must be called: any other word.
        names: The tools that may be called; empty for all.

    Raises:
        InvalidInput: a name is no tool's (code ``ai-faces.unknown-tool``).
    """
    if choice == "none":
        return (), "auto"
    unknown = set(names) - {tool.name for tool in tools}
    if unknown:
        raise InvalidInput(f"The choice names a tool {min(unknown)[:80]!r} that is not there.", code="ai-faces.unknown-tool")
    kept = tuple(tool for tool in tools if not names or tool.name in names)
    return kept, "auto" if choice == "auto" else "required"
