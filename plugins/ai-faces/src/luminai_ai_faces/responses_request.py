"""Requests of OpenAI's responses.

Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from luminai import ChatMessage, Tool, ToolCall
from luminai_ai_faces.asking import Ask, chosen_tools, malformed, text_only, unsupported
from luminai_ai_faces.bounds import CallId, JSONObject, ModelName, Name, Text, Tokens, Warmth, Word

REFUSED: Final = frozenset({"background", "conversation", "previous_response_id", "prompt", "top_logprobs"})
"""The hub keeps no responses for these: a client sends what was said with each request."""


class Part(Struct, frozen=True):
    """A part of a message; only text is taken."""

    type: Word
    text: Text = ""
    refusal: Text = ""


Parts = Annotated[tuple[Part, ...], Meta(max_length=1000)]


class Item(Struct, frozen=True, kw_only=True):
    """Something said or done: a message, a function call or its output. ``reasoning`` is passed over."""

    type: Word = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: Text | Parts | None = None
    call_id: CallId | None = None
    name: Name | None = None
    arguments: Text | None = None
    output: Text | Parts | None = None


class ToolOffered(Struct, frozen=True):
    """A tool; only functions are taken."""

    type: Word
    name: Name | None = None
    description: Text | None = None
    parameters: JSONObject | None = None


class ToolNamed(Struct, frozen=True):
    """Chooses one function."""

    type: Literal["function"]
    name: Name


class Format(Struct, frozen=True):
    """How the reply is written."""

    type: Literal["text", "json_object", "json_schema"]
    name: Word | None = None
    schema: JSONObject | None = None


class TextSettings(Struct, frozen=True):
    """What the text is to be like."""

    format: Format | None = None


class ResponseCreate(Struct, frozen=True, kw_only=True):
    """A chat."""

    model: ModelName
    input: Text | Annotated[tuple[Item, ...], Meta(min_length=1, max_length=5000)]
    instructions: Text | None = None
    stream: bool | None = False
    max_output_tokens: Tokens | None = None
    temperature: Warmth | None = None
    tools: Annotated[tuple[ToolOffered, ...], Meta(max_length=256)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolNamed | None = None
    text: TextSettings | None = None
    store: bool | None = False

    def ask(self, ignored: tuple[str, ...]) -> Ask:
        """Return it as an ask. Raises as ``asking``."""
        choice = self.tool_choice or "auto"
        named = (choice.name,) if isinstance(choice, ToolNamed) else ()
        kept, called = chosen_tools(tuple(_tool(one) for one in self.tools or ()), choice if isinstance(choice, str) else "required", named)
        head = (ChatMessage("system", self.instructions),) if self.instructions else ()
        return Ask(
            model=self.model,
            messages=(*head, *_messages(self.input)),
            origin="openai.responses",
            max_output_tokens=self.max_output_tokens,
            temperature=self.temperature,
            tools=kept,
            tool_choice=called,
            response_schema=_schema(self.text.format if self.text is not None else None),
            ignored=(*ignored, *(("store",) if self.store else ())),
        )

    def mirrored(self) -> dict[str, Any]:
        """Return what a response repeats of its request."""
        return {
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "metadata": {},
            "parallel_tool_calls": True,
            "store": False,
            "temperature": self.temperature,
            "text": self.text or {"format": {"type": "text"}},
            "tool_choice": self.tool_choice or "auto",
            "tools": self.tools or (),
            "top_p": None,
        }


def _tool(one: ToolOffered) -> Tool:
    if one.type != "function" or not one.name:
        raise unsupported(f"the tool {one.type}", "Offer functions.")
    return Tool(one.name, one.description or "", one.parameters or {})


def _schema(wanted: Format | None) -> dict[str, Any] | None:
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return {"type": "object"}
    if wanted.schema is None:
        raise malformed("text.format is json_schema, and there is no schema.", "Send text.format.schema.")
    return wanted.schema


def _messages(given: Text | tuple[Item, ...]) -> tuple[ChatMessage, ...]:
    """Return what was said; calls that stand one after the other, or behind the assistant's words, are one message."""
    if isinstance(given, str):
        return (ChatMessage("user", given),)
    found: list[ChatMessage] = []
    for item in given:
        if item.type == "message":
            role: Any = "system" if item.role in ("system", "developer") else item.role or "user"
            found.append(ChatMessage(role, _text(item.content)))
        elif item.type == "function_call":
            if item.call_id is None or item.name is None:
                raise malformed("A function_call lacks call_id or name.")
            call = ToolCall(item.call_id, item.name, item.arguments or "{}")
            before = found.pop() if found and found[-1].role == "assistant" else ChatMessage("assistant", "")
            found.append(ChatMessage("assistant", before.content, tool_calls=(*before.tool_calls, call)))
        elif item.type == "function_call_output":
            if item.call_id is None:
                raise malformed("A function_call_output does not say which call it answers.", "Send call_id.")
            found.append(ChatMessage("tool", _text(item.output), item.call_id))
        elif item.type != "reasoning":
            raise unsupported(f"the item {item.type}", "Send messages, function calls and their outputs.")
    return tuple(found)


def _text(content: Text | Parts | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    for part in content:
        if part.type not in ("input_text", "output_text", "text", "refusal"):
            raise text_only(part.type)
    return "".join(part.text or part.refusal for part in content)
