"""Requests of Gemini's generateContent.

Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from luminai import ChatMessage, Tool, ToolCall
from luminai_ai_faces.asking import Ask, chosen_tools, malformed, text_only, unsupported
from luminai_ai_faces.bounds import CallId, JSONObject, ModelName, Name, Stops, Text, Tokens, Warmth, Word
from luminai_ai_faces.gemini_schema import json_schema

REFUSED: Final = frozenset({"cachedContent"})


class FunctionCall(Struct, frozen=True, rename="camel"):
    """A call that the model asked for."""

    name: Name
    args: JSONObject | None = None
    id: CallId | None = None


class FunctionResponse(Struct, frozen=True, rename="camel"):
    """What a function answered."""

    name: Name
    response: JSONObject | None = None
    id: CallId | None = None


class Part(Struct, frozen=True, kw_only=True, rename="camel"):
    """A part of what was said: text, a call or a response; thoughts are passed over."""

    text: Text | None = None
    thought: bool | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    inline_data: JSONObject | None = None
    file_data: JSONObject | None = None


class Content(Struct, frozen=True):
    """Something said."""

    parts: Annotated[tuple[Part, ...], Meta(max_length=1000)] | None = None
    role: Word | None = None


class FunctionDeclaration(Struct, frozen=True, kw_only=True, rename="camel"):
    """A function that the model may call."""

    name: Name
    description: Text | None = None
    parameters: JSONObject | None = None
    parameters_json_schema: JSONObject | None = None


class ToolOffered(Struct, frozen=True, rename="camel"):
    """Tools; only functions are taken."""

    function_declarations: Annotated[tuple[FunctionDeclaration, ...], Meta(max_length=256)] | None = None


class FunctionCalling(Struct, frozen=True, rename="camel"):
    """Whether and which functions are to be called."""

    mode: Word | None = None
    allowed_function_names: Annotated[tuple[Name, ...], Meta(max_length=256)] | None = None


class ToolConfig(Struct, frozen=True, rename="camel"):
    """How tools are used."""

    function_calling_config: FunctionCalling | None = None


class GenerationConfig(Struct, frozen=True, kw_only=True, rename="camel"):
    """How the reply is made."""

    temperature: Warmth | None = None
    max_output_tokens: Tokens | None = None
    stop_sequences: Stops | None = None
    candidate_count: Annotated[int, Meta(ge=1, le=8)] | None = None
    response_mime_type: Word | None = None
    response_schema: JSONObject | None = None
    response_json_schema: JSONObject | None = None
    response_modalities: Annotated[tuple[Word, ...], Meta(max_length=8)] | None = None


class GenerateContent(Struct, frozen=True, kw_only=True, rename="camel"):
    """A chat."""

    contents: Annotated[tuple[Content, ...], Meta(min_length=1, max_length=5000)]
    system_instruction: Content | None = None
    tools: Annotated[tuple[ToolOffered, ...], Meta(max_length=64)] | None = None
    tool_config: ToolConfig | None = None
    generation_config: GenerationConfig | None = None

    def ask(self, model: str, ignored: tuple[str, ...]) -> Ask:
        """Return it as an ask. Raises as ``asking``."""
        config = self.generation_config or GenerationConfig()
        if (config.candidate_count or 1) > 1:
            raise unsupported("candidateCount above 1")
        if any(kind.upper() != "TEXT" for kind in config.response_modalities or ()):
            raise unsupported("responseModalities besides TEXT")
        calling = (self.tool_config.function_calling_config if self.tool_config is not None else None) or FunctionCalling()
        choice = {"NONE": "none", "ANY": "required"}.get((calling.mode or "").upper(), "auto")
        kept, called = chosen_tools(self.offered(), choice, calling.allowed_function_names or ())
        return Ask(
            model=model,
            messages=self.spoken(),
            origin="gemini.generate",
            max_output_tokens=config.max_output_tokens,
            temperature=config.temperature,
            tools=kept,
            tool_choice=called,
            response_schema=_schema(config),
            stop=config.stop_sequences or (),
            ignored=ignored,
        )

    def spoken(self) -> tuple[ChatMessage, ...]:
        """Return what was said, the system's words first. Raises as ``asking``."""
        head = [ChatMessage("system", _text(self.system_instruction.parts or ()))] if self.system_instruction is not None else []
        return (*head, *_Conversation().read(self.contents))

    def offered(self) -> tuple[Tool, ...]:
        """Return the functions. Raises as ``asking``."""
        found = []
        for offer in self.tools or ():
            if not offer.function_declarations:
                raise unsupported("a tool without functionDeclarations", "Offer functions.")
            for one in offer.function_declarations:
                schema = one.parameters_json_schema or json_schema(one.parameters or {})
                found.append(Tool(one.name, one.description or "", schema))
        return tuple(found)


class _Conversation:
    """Gives calls that have no id one, and finds it again for their responses: older clients know calls by name only."""

    def __init__(self) -> None:
        self._open: list[tuple[str, str]] = []
        self._count = 0

    def read(self, contents: tuple[Content, ...]) -> list[ChatMessage]:
        found: list[ChatMessage] = []
        for content in contents:
            parts = content.parts or ()
            calls = tuple(self._called(part.function_call) for part in parts if part.function_call is not None)
            found += [self._answered(part.function_response) for part in parts if part.function_response is not None]
            text = _text(tuple(part for part in parts if part.function_call is None and part.function_response is None))
            if text or calls or not any(part.function_response for part in parts):
                role = "assistant" if content.role == "model" else "user"
                found.append(ChatMessage(role, text, tool_calls=calls))  # type: ignore[arg-type]
        return found

    def _called(self, call: FunctionCall) -> ToolCall:
        self._count += 1
        name = call.id or f"call_{self._count}"
        self._open.append((call.name, name))
        return ToolCall(name, call.name, msgspec.json.encode(call.args or {}).decode())

    def _answered(self, response: FunctionResponse) -> ChatMessage:
        known = next((pair for pair in self._open if pair[1] == response.id or (response.id is None and pair[0] == response.name)), None)
        if known is None:
            raise malformed(f"A response of {response.name!r} answers no call.", "Send the functionCall before it.")
        self._open.remove(known)
        return ChatMessage("tool", msgspec.json.encode(response.response or {}).decode(), known[1])


def _schema(config: GenerationConfig) -> dict[str, Any] | None:
    if config.response_json_schema is not None:
        return config.response_json_schema
    if config.response_schema is not None:
        return json_schema(config.response_schema)
    return {"type": "object"} if config.response_mime_type == "application/json" else None


def _text(parts: tuple[Part, ...]) -> str:
    for part in parts:
        if part.inline_data is not None or part.file_data is not None:
            raise text_only("inlineData" if part.inline_data is not None else "fileData")
    return "".join(part.text or "" for part in parts if not part.thought)


class EmbedContent(Struct, frozen=True, rename="camel"):
    """A text to make a vector of."""

    content: Content
    model: ModelName | None = None
    output_dimensionality: Annotated[int, Meta(ge=1, le=100_000)] | None = None

    def text(self) -> str:
        """Return the text. Raises as ``asking``."""
        return _text(self.content.parts or ())


class BatchEmbedContents(Struct, frozen=True):
    """Several texts."""

    requests: Annotated[tuple[EmbedContent, ...], Meta(min_length=1, max_length=2048)]


class CountTokens(Struct, frozen=True, kw_only=True, rename="camel"):
    """What tokens are counted of: contents alone, or a whole request."""

    contents: Annotated[tuple[Content, ...], Meta(max_length=5000)] | None = None
    generate_content_request: GenerateContent | None = None
