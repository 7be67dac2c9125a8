"""AI providers: chat, streams with explicit end states, embeddings, images, speech."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

from msgspec import Meta, Struct


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
    """A provider failed. ``retry_after`` is seconds, from the provider where it said so. Never holds a prompt or a key.

    ``code`` tells failures of one kind apart where that is known: ``error-in-answer``, ``unreadable``, ``cut``, and ``not-installed`` when what
    the provider runs on this machine is not there; "" otherwise.
    """

    def __init__(self, kind: AIErrorKind, message: str, *, retry_after: float | None = None, code: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after
        self.code = code


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens used. ``origin`` says whether the provider reported them or they were counted here.

    Attributes:
        cached_input_tokens: Of the input, what the provider had kept from before; reported or 0, as those below.
        cache_write_tokens: Of the input, what the provider keeps for later.
        reasoning_tokens: Of the output, what is no part of the reply.
    """

    input_tokens: int
    output_tokens: int
    origin: Literal["reported", "estimated"]
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


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
        structured: The provider itself makes replies keep to ``response_schema``.
        context_tokens: Largest input plus output, 0 when unknown.
    """

    id: str
    kinds: frozenset[str]
    title: str = ""
    follows_instructions: bool = True
    streams: bool = True
    tools: bool = False
    structured: bool = False
    context_tokens: int = 0
    max_output_tokens: int = 0
    embedding_dimensions: int = 0


class ChatRequest(Struct, frozen=True, kw_only=True):
    """A chat call. ``timeout`` is seconds for the whole call; ``temperature`` None leaves the model's default.

    ``tool_choice`` is ``required`` when the model has to call one of ``tools``: a provider passes that on where its service knows such a thing.
    """

    model: str
    messages: tuple[ChatMessage, ...]
    timeout: float = 60.0
    max_output_tokens: int | None = None
    temperature: float | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: Literal["auto", "required"] = "auto"
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


class Seam(Struct, frozen=True, tag="seam", kw_only=True):
    """The model that answered broke off, and ``model`` goes on. Only what routes a call among providers sends it.

    Attributes:
        model: ``<provider>/<model>`` that goes on.
        keep: True: what came stays, and what comes follows it. False: everything that came is void, the reply begins anew.
        state: How the one before ended.
    """

    model: str
    keep: bool
    state: EndState
    reason: str = ""


class Leg(Struct, frozen=True, kw_only=True):
    """One try of a call: one provider asked once, or passed over.

    Attributes:
        model: ``<provider>/<model>``.
        state: How it ended. None: nothing came of it, ``code`` says why.
        code: ``AIErrorKind``, ``breaker-open``, ``not-there``, or the finer code of an ``AIError`` or ``End``; "" when all went well.
        began: Seconds after the call's beginning.
        seconds: How long it took.
        first: Seconds from its beginning to its first content; None when none came.
        usage: Of this try alone; None when nothing was generated.
    """

    model: str
    state: EndState | None
    began: float
    seconds: float
    code: str = ""
    first: float | None = None
    usage: Usage | None = None


class Trace(Struct, frozen=True, kw_only=True):
    """What became of a call on its way: which providers were asked, and where its time went, in seconds.

    Attributes:
        call: Id of the stored record, "" when none is stored.
        legs: The tries, in order.
        queue: Until the first provider was asked.
        first: Until the first content reached the reader; None when none did.
        longest_gap: The longest silence between two pieces of content.
        own: Time that the hub itself took: neither waiting for a provider, nor for the reader, nor between tries.
        total: From the beginning to the end.
        enforced: Who saw to the reply's schema: the ``provider`` (and the hub's check agrees), the ``hub``, which checked it, or nobody: it was only
            ``asked`` for. "" when there was none.
        cache: ``hit`` for a reply that was kept from before, ``kept`` for one that is kept now, "" otherwise.
    """

    call: str = ""
    legs: tuple[Leg, ...] = ()
    queue: float = 0.0
    first: float | None = None
    longest_gap: float = 0.0
    own: float = 0.0
    total: float = 0.0
    enforced: Literal["", "provider", "hub", "asked"] = ""
    cache: Literal["", "hit", "kept"] = ""


class End(Struct, frozen=True, tag="end", kw_only=True):
    """Always the last event of a stream, exactly once. ``reason`` is for people when the state is not ``finished``, ``code`` for programs."""

    state: EndState
    usage: Usage | None = None
    reason: str = ""
    covered: bool = True
    code: str = ""
    trace: Trace | None = None


StreamEvent = TextDelta | SourceFound | ToolCallFound | Seam | End
"""A reader passes over kinds of events that it does not know."""


class ChatReply(Struct, frozen=True, kw_only=True):
    """A whole reply. ``covered`` False: the provider says that it had nothing to answer from."""

    text: str
    end: EndState
    usage: Usage
    sources: tuple[Source, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    covered: bool = True
    trace: Trace | None = None


class EmbeddingReply(Struct, frozen=True):
    """One vector a text, in order, all of the model's dimension."""

    vectors: tuple[tuple[float, ...], ...]
    usage: Usage
    trace: Trace | None = None


class MediaReply(Struct, frozen=True, kw_only=True):
    """An image or a piece of speech. ``synthetic`` names how it was made where that must be shown."""

    content: bytes
    content_type: str
    usage: Usage | None = None
    synthetic: str = ""
    trace: Trace | None = None


class Voice(Struct, frozen=True, kw_only=True):
    """A voice that a provider speaks with. ``id`` is what ``speak`` takes; ``language`` a tag such as ``en-GB``, "" when it speaks several."""

    id: Annotated[str, Meta(max_length=200)]
    title: Annotated[str, Meta(max_length=200)] = ""
    language: Annotated[str, Meta(max_length=40)] = ""


@runtime_checkable
class Voices(Protocol):
    """What a provider with the kind ``speech`` offers besides, when its voices can be listed.

    ``voices`` raises ``AIError`` as its calls do; at most 1,000 are given.
    """

    async def voices(self, *, timeout: float = 30.0) -> Sequence[Voice]: ...


@runtime_checkable
class AIProvider(Protocol):
    """Adapter to models.

    - ``models`` is cheap and does no I/O after start.
    - ``stream`` yields content events as they come and then exactly one ``End``; it raises ``AIError`` only before the first event,
      later failures are an ``End`` with ``cut``, ``stalled`` or ``failed``. Closing the iterator closes the upstream at once.
    - ``chat`` is the same call, whole. ``embed``, ``image`` and ``speak`` raise ``AIError(INVALID)`` for a model without that kind.
    - One with an attribute ``delegates`` that is True only passes calls on to other providers of the hub, which are guarded themselves.
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
