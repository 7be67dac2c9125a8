"""AI providers: chat, streams with explicit end states, embeddings, images, speech."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from typing import Any, Literal, Protocol, runtime_checkable

from msgspec import Struct


class EndState(StrEnum):
    """How a turn or stream ended. Only ``finished`` means the model said it was done; a stream that just stops is ``cut``."""

    FINISHED = "finished"
    LENGTH = "length"
    FILTERED = "filtered"
    CUT = "cut"
    STALLED = "stalled"
    CANCELLED = "cancelled"
    FAILED = "failed"


class AIErrorKind(StrEnum):
    """The six classes that every provider maps its errors to."""

    AUTH = "auth"
    QUOTA = "quota"
    RATE = "rate"
    INVALID = "invalid"
    UPSTREAM = "upstream"
    TIMEOUT = "timeout"


class AIError(Exception):
    """A provider failed. ``retry_after`` is seconds, from the provider where it said so. Never holds a prompt or a key."""

    def __init__(self, kind: AIErrorKind, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens used. ``origin`` says whether the provider reported them or they were counted here."""

    input_tokens: int
    output_tokens: int
    origin: Literal["reported", "estimated"]


class Source(Struct, frozen=True, kw_only=True):
    """What a reply rests on. ``quote`` stands word for word in the document ``id``; ``url`` opens it at the place."""

    id: str
    title: str
    url: str = ""
    quote: str = ""


class ToolCall(Struct, frozen=True):
    """The model asks for ``name`` with ``arguments`` (JSON text, as the model wrote it)."""

    id: str
    name: str
    arguments: str


class ChatMessage(Struct, frozen=True):
    """One message of a request. ``tool_calls`` are what an assistant asked for, ``tool_call_id`` says which of them a tool answers."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_call_id: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


class Tool(Struct, frozen=True):
    """A function the model may ask for; ``parameters`` is a JSON Schema."""

    name: str
    description: str
    parameters: dict[str, Any]


class Model(Struct, frozen=True, kw_only=True):
    """A model that a provider offers.

    Attributes:
        id: Name within the provider; the hub's full id is ``<provider>/<id>``.
        kinds: Which calls it answers: ``chat``, ``embedding``, ``image``, ``speech``.
        follows_instructions: False for retrieval and templates: then the persona's ``voice`` frames the reply.
        context_tokens: Largest input plus output, 0 when unknown.
    """

    id: str
    kinds: frozenset[str]
    title: str = ""
    follows_instructions: bool = True
    streams: bool = True
    tools: bool = False
    context_tokens: int = 0
    max_output_tokens: int = 0
    embedding_dimensions: int = 0


class ChatRequest(Struct, frozen=True, kw_only=True):
    """A chat call. ``timeout`` is seconds for the whole call; ``temperature`` None leaves the model's default."""

    model: str
    messages: tuple[ChatMessage, ...]
    timeout: float = 60.0
    max_output_tokens: int | None = None
    temperature: float | None = None
    tools: tuple[Tool, ...] = ()
    response_schema: dict[str, Any] | None = None
    locale: str = ""


class TextDelta(Struct, frozen=True, tag="text"):
    """A piece of the reply's text, as it comes."""

    text: str


class SourceFound(Struct, frozen=True, tag="source"):
    """A source that the reply cites; sent before or with the text that rests on it."""

    source: Source


class ToolCallFound(Struct, frozen=True, tag="tool"):
    """A whole tool call."""

    call: ToolCall


class End(Struct, frozen=True, tag="end", kw_only=True):
    """Always the last event of a stream, exactly once. ``reason`` is for people when the state is not ``finished``."""

    state: EndState
    usage: Usage | None = None
    reason: str = ""
    covered: bool = True


StreamEvent = TextDelta | SourceFound | ToolCallFound | End


class ChatReply(Struct, frozen=True, kw_only=True):
    """A whole reply. ``covered`` False: the provider says that it had nothing to answer from."""

    text: str
    end: EndState
    usage: Usage
    sources: tuple[Source, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    covered: bool = True


class EmbeddingReply(Struct, frozen=True):
    """One vector a text, in order, all of the model's dimension."""

    vectors: tuple[tuple[float, ...], ...]
    usage: Usage


class MediaReply(Struct, frozen=True, kw_only=True):
    """An image or a piece of speech. ``synthetic`` names how it was made where that must be shown."""

    content: bytes
    content_type: str
    usage: Usage | None = None
    synthetic: str = ""


@runtime_checkable
class AIProvider(Protocol):
    """Adapter to models.

    - ``models`` is cheap and does no I/O after start.
    - ``stream`` yields content events as they come and then exactly one ``End``; it raises ``AIError`` only before the first event,
      later failures are an ``End`` with ``cut``, ``stalled`` or ``failed``. Closing the iterator closes the upstream at once.
    - ``chat`` is the same call, whole. ``embed``, ``image`` and ``speak`` raise ``AIError(INVALID)`` for a model without that kind.
    - Every call ends within ``timeout`` seconds (``AIError(TIMEOUT)`` or ``End(stalled)``), passes cancellation on, and never logs
      prompts.
    """

    name: str
    title: str

    def models(self) -> Sequence[Model]: ...

    async def chat(self, request: ChatRequest) -> ChatReply: ...

    def stream(self, request: ChatRequest) -> AsyncIterator[StreamEvent]: ...

    async def embed(self, model: str, texts: Sequence[str], *, timeout: float = 30.0) -> EmbeddingReply: ...

    async def image(self, model: str, prompt: str, *, width: int, height: int, timeout: float = 120.0) -> MediaReply: ...

    async def speak(self, model: str, text: str, *, voice: str = "", timeout: float = 120.0) -> MediaReply: ...
