"""Requests of OpenAI's chat completions.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from luminai import ChatMessage, Tool, ToolCall
from luminai_ai_faces.asking import Ask, chosen_tools, malformed, text_only
from luminai_ai_faces.bounds import CallId, JSONObject, ModelName, Name, Stop, Stops, Text, Tokens, Warmth, Word

REFUSED: Final = frozenset({"n", "logprobs", "top_logprobs", "audio", "functions", "function_call", "web_search_options"})
"""Fields that would change what the answer is: passing over them would be a lie."""


class FunctionCalled(Struct, frozen=True):
    """A function with its arguments as JSON text."""

    name: Name
    arguments: Text = "{}"


class Called(Struct, frozen=True):
    """A call that the assistant asked for."""

    id: CallId
    function: FunctionCalled
    type: Literal["function"] = "function"


class Part(Struct, frozen=True):
    """A part of a message; only ``text`` and ``refusal`` are taken."""

    type: Word
    text: Text = ""
    refusal: Text = ""


Parts = Annotated[tuple[Part, ...], Meta(max_length=1000)]


class Message(Struct, frozen=True):
    """One message."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | Parts | None = None
    tool_calls: Annotated[tuple[Called, ...], Meta(max_length=256)] | None = None
    tool_call_id: CallId | None = None


class Function(Struct, frozen=True):
    """A function that the model may call."""

    name: Name
    description: Text | None = None
    parameters: JSONObject | None = None


class ToolOffered(Struct, frozen=True):
    """A tool; only functions are taken."""

    type: Literal["function"]
    function: Function


class FunctionName(Struct, frozen=True):
    """Names a function."""

    name: Name


class ToolNamed(Struct, frozen=True):
    """Chooses one tool."""

    function: FunctionName
    type: Literal["function"] = "function"


class SchemaNamed(Struct, frozen=True):
    """A JSON Schema that the reply keeps to."""

    name: Word
    schema: JSONObject | None = None


class ResponseFormat(Struct, frozen=True):
    """How the reply is written."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaNamed | None = None


class StreamOptions(Struct, frozen=True):
    """What a stream brings."""

    include_usage: bool | None = False


class ChatCompletion(Struct, frozen=True, kw_only=True):
    """A chat."""

    model: ModelName
    messages: Annotated[tuple[Message, ...], Meta(min_length=1, max_length=5000)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    temperature: Warmth | None = None
    stop: Stop | Stops | None = None
    tools: Annotated[tuple[ToolOffered, ...], Meta(max_length=256)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolNamed | None = None
    response_format: ResponseFormat | None = None

    def ask(self, ignored: tuple[str, ...]) -> Ask:
        """Return it as an ask.

        Raises:
            InvalidInput: see ``asking``.
        """
        tools = tuple(Tool(one.function.name, one.function.description or "", one.function.parameters or {}) for one in self.tools or ())
        choice = self.tool_choice or "auto"
        named = (choice.function.name,) if isinstance(choice, ToolNamed) else ()
        kept, called = chosen_tools(tools, choice if isinstance(choice, str) else "required", named)
        return Ask(
            model=self.model,
            messages=tuple(_message(one) for one in self.messages),
            origin="openai.chat",
            max_output_tokens=self.max_completion_tokens or self.max_tokens,
            temperature=self.temperature,
            tools=kept,
            tool_choice=called,
            response_schema=response_schema(self.response_format),
            stop=(self.stop,) if isinstance(self.stop, str) else self.stop or (),
            ignored=ignored,
        )


def response_schema(wanted: ResponseFormat | None) -> dict[str, Any] | None:
    """Return the schema that a reply keeps to, None when it is free."""
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return {"type": "object"}
    if wanted.json_schema is None or wanted.json_schema.schema is None:
        raise malformed("response_format is json_schema, and there is no schema.", "Send json_schema.schema.")
    return wanted.json_schema.schema


def _message(one: Message) -> ChatMessage:
    text = _text(one.content)
    if one.role == "tool":
        if one.tool_call_id is None:
            raise malformed("A tool's message does not say which call it answers.", "Send tool_call_id.")
        return ChatMessage("tool", text, one.tool_call_id)
    if one.role != "assistant":
        return ChatMessage("system" if one.role in ("system", "developer") else "user", text)
    calls = tuple(ToolCall(call.id, call.function.name, call.function.arguments) for call in one.tool_calls or ())
    return ChatMessage("assistant", text, tool_calls=calls)


def _text(content: Text | Parts | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    for part in content:
        if part.type not in ("text", "refusal"):
            raise text_only(part.type)
    return "".join(part.text or part.refusal for part in content)
