"""Requests of Anthropic's messages.

Source: https://docs.anthropic.com/en/api/messages
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from luminai import ChatMessage, Tool, ToolCall
from luminai_ai_faces.asking import Ask, chosen_tools, malformed, text_only, unsupported
from luminai_ai_faces.bounds import CallId, JSONObject, ModelName, Name, Stops, Text, Tokens, Word

REFUSED: Final = frozenset({"container", "mcp_servers"})
_PASSED_OVER: Final = frozenset({"thinking", "redacted_thinking"})


class Block(Struct, frozen=True, kw_only=True):
    """A part of a message: ``text``, ``tool_use`` or ``tool_result``; thoughts are passed over."""

    type: Word
    text: Text = ""
    id: CallId | None = None
    name: Name | None = None
    input: JSONObject | None = None
    tool_use_id: CallId | None = None
    content: Text | Annotated[tuple[InnerBlock, ...], Meta(max_length=1000)] | None = None
    is_error: bool | None = False


class InnerBlock(Struct, frozen=True, kw_only=True):
    """A part of a tool's result, or of the system's words; only text is taken."""

    type: Word
    text: Text = ""


class Message(Struct, frozen=True):
    """One message."""

    role: Literal["user", "assistant", "system"]
    content: Text | Annotated[tuple[Block, ...], Meta(max_length=1000)]


class ToolOffered(Struct, frozen=True, kw_only=True):
    """A tool of the client's; those that Anthropic runs itself are not there."""

    name: Name
    description: Text | None = None
    input_schema: JSONObject | None = None
    type: Word | None = None


class ToolChoice(Struct, frozen=True):
    """Which tool is to be called."""

    type: Literal["auto", "any", "tool", "none"]
    name: Name | None = None


class Format(Struct, frozen=True):
    """How the reply is written."""

    type: Literal["json_schema"]
    schema: JSONObject


class OutputSettings(Struct, frozen=True):
    """What the reply is to be like."""

    format: Format | None = None


class CountTokens(Struct, frozen=True, kw_only=True):
    """What tokens are counted of."""

    model: ModelName
    messages: Annotated[tuple[Message, ...], Meta(min_length=1, max_length=5000)]
    system: Text | Annotated[tuple[InnerBlock, ...], Meta(max_length=1000)] | None = None
    tools: Annotated[tuple[ToolOffered, ...], Meta(max_length=256)] | None = None
    tool_choice: ToolChoice | None = None
    output_config: OutputSettings | None = None

    def spoken(self) -> tuple[ChatMessage, ...]:
        """Return what was said, the system's words first. Raises as ``asking``."""
        system = self.system if isinstance(self.system, str) else _inner(self.system or ())
        head = (ChatMessage("system", system),) if system else ()
        return (*head, *(one for message in self.messages for one in _messages(message)))

    def offered(self) -> tuple[Tool, ...]:
        """Return the tools. Raises as ``asking``."""
        return tuple(_tool(one) for one in self.tools or ())


class MessageCreate(CountTokens, frozen=True, kw_only=True):
    """A chat."""

    max_tokens: Tokens
    stream: bool | None = False
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    stop_sequences: Stops | None = None

    def ask(self, ignored: tuple[str, ...]) -> Ask:
        """Return it as an ask. Raises as ``asking``."""
        choice = self.tool_choice or ToolChoice("auto")
        kept, called = chosen_tools(self.offered(), choice.type, (choice.name,) if choice.type == "tool" and choice.name else ())
        wanted = self.output_config.format if self.output_config is not None else None
        return Ask(
            model=self.model,
            messages=self.spoken(),
            origin="anthropic.messages",
            max_output_tokens=self.max_tokens,
            temperature=self.temperature,
            tools=kept,
            tool_choice=called,
            response_schema=wanted.schema if wanted is not None else None,
            stop=self.stop_sequences or (),
            ignored=ignored,
        )


def _tool(one: ToolOffered) -> Tool:
    if one.input_schema is None or one.type not in (None, "custom"):
        raise unsupported(f"the tool {one.type or one.name}", "Offer tools of your own, with input_schema.")
    return Tool(one.name, one.description or "", one.input_schema)


def _messages(message: Message) -> list[ChatMessage]:
    """Return a message as the hub has it: results of tools are messages of their own, before the words beside them."""
    if isinstance(message.content, str):
        return [ChatMessage(message.role, message.content)]
    results, text, calls = [], "", []
    for block in message.content:
        if block.type == "text":
            text += block.text
        elif block.type == "tool_use":
            if block.id is None or block.name is None:
                raise malformed("A tool_use lacks id or name.")
            calls.append(ToolCall(block.id, block.name, msgspec.json.encode(block.input or {}).decode()))
        elif block.type == "tool_result":
            if block.tool_use_id is None:
                raise malformed("A tool_result does not say which call it answers.", "Send tool_use_id.")
            said = block.content if isinstance(block.content, str) else _inner(block.content or ())
            results.append(ChatMessage("tool", f"Error: {said}" if block.is_error else said, block.tool_use_id))
        elif block.type not in _PASSED_OVER:
            raise text_only(block.type)
    is_empty = not text and not calls
    return results if results and is_empty else [*results, ChatMessage(message.role, text, tool_calls=tuple(calls))]


def _inner(blocks: tuple[InnerBlock, ...]) -> str:
    for block in blocks:
        if block.type != "text":
            raise text_only(block.type)
    return "\n\n".join(block.text for block in blocks)


def estimated_tokens(messages: tuple[ChatMessage, ...], tools: tuple[Tool, ...] = ()) -> int:
    """Return tokens for messages and tools: four bytes each, the rule by which the hub estimates elsewhere."""
    size = sum(len(one.content.encode(errors="replace")) + sum(len(call.arguments) for call in one.tool_calls) for one in messages)
    size += sum(len(msgspec.json.encode(tool)) for tool in tools)
    return max(1, (size + 3) // 4)
