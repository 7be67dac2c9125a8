"""The shared half of a provider over HTTP: calls, deadlines, end states, errors. A subclass says how its dialect asks and reads."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, ClassVar, Final, Literal, TypeVar

import msgspec
from msgspec import Struct

from luminai.contracts.ai import (
    AIError,
    AIErrorKind,
    ChatReply,
    ChatRequest,
    EmbeddingReply,
    End,
    EndState,
    MediaReply,
    Model,
    StreamEvent,
    TextDelta,
    ToolCallFound,
)
from luminai.contracts.errors import HubError
from luminai.contracts.outbound import HttpClient, HttpStream
from luminai.http.ai.bodies import TRAILER_SECONDS, body_of, error_body
from luminai.http.ai.errors import UNREADABLE, refused, unreachable, unreadable
from luminai.http.ai.reader import ChatReader, input_usage
from luminai.http.ai.settings import ProviderInstance

T = TypeVar("T")
MAX_CALL: Final = 300.0
MAX_REPLY: Final = 16_777_216
MAX_MEDIA: Final = 33_554_432
MAX_MODELS: Final = 2000


class HttpCall(Struct, frozen=True):
    """What is sent: ``json`` as the body of a POST, or a GET without one. ``path`` follows the instance's ``base_url``, without a slash before it.

    ``base_url``: in place of the instance's, where the service has a second address; it is sent the key too.
    """

    path: str
    json: Any = None
    base_url: str = ""


class HttpAIProvider:
    """Keeps the contract of ``AIProvider`` for a service that is called with ``ctx.http``.

    A stream ends as the model says, and else as what happened: ``cut`` when the connection ends without a word, ``stalled`` when nothing but signs
    of life comes for ``idle`` seconds or the time is over, ``failed`` when the service reports an error or cannot be read. Nothing is tried twice.

    Args:
        instance: The service. Its ``idle_seconds`` hold within a reply; before the first content the call's own time counts. Its models are offered
            from the first moment, ``refresh`` adds what the service lists.

    Attributes:
        trouble: Why the last call failed, if it was by the service's fault or for want of a right; "" once one went well.
    """

    framing: ClassVar[Literal["events", "lines"]] = "events"

    def __init__(self, http: HttpClient, instance: ProviderInstance) -> None:
        self.name = instance.name
        self.title = instance.title or instance.name
        self.instance = instance
        self._http = http
        self._named = {one.id: one.model() for one in instance.models}
        self._models = self._named
        self.trouble = ""

    def headers(self) -> Mapping[str, str]:
        """Return the headers of each call, the key among them."""
        raise NotImplementedError

    def chat_call(self, request: ChatRequest, *, stream: bool) -> HttpCall:
        """Return how the dialect asks."""
        raise NotImplementedError

    def reader(self, request: ChatRequest) -> ChatReader:
        """Return a reader of the dialect for one reply."""
        raise NotImplementedError

    def list_call(self) -> HttpCall:
        """Return how the dialect asks for its models."""
        raise NotImplementedError

    def read_models(self, data: bytes) -> Sequence[Model]:
        """Return the models of an answer to ``list_call``."""
        raise NotImplementedError

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> AIError:
        """Return the error for an answer that is none, by its status and what the services of OpenAI, Anthropic and Google say in it."""
        return refused(status, headers, body)

    def models(self) -> Sequence[Model]:
        """Return what is known by now."""
        return tuple(self._models.values())

    async def refresh(self, *, timeout: float = 10.0) -> int:
        """Ask the service for its models and return how many are known now; those that the operator named stay as named.

        Raises:
            AIError: it did not answer; what was known stays.
        """
        _, body = await self.whole(self.list_call(), timeout)
        try:
            listed = self.read_models(body)
        except UNREADABLE:
            raise unreadable() from None
        self._models = {model.id: model for model in listed[:MAX_MODELS]} | self._named
        return len(self._models)

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Return the whole reply."""
        self.model(request.model, "chat")
        reader = self.reader(request)
        _, body = await self.whole(self.chat_call(request, stream=False), request.timeout)
        try:
            content = reader.read_whole(body)
        except UNREADABLE:
            raise unreadable() from None
        return ChatReply(
            text="".join(event.text for event in content if isinstance(event, TextDelta)),
            end=reader.state or EndState.CUT,
            usage=reader.usage(),
            tool_calls=tuple(event.call for event in content if isinstance(event, ToolCallFound)),
        )

    async def stream(self, request: ChatRequest) -> AsyncIterator[StreamEvent]:
        """Yield the reply as it comes."""
        self.model(request.model, "chat")
        reader = self.reader(request)
        has_begun = False
        failure: AIError | None = None
        try:
            async with (
                self.opened(self.chat_call(request, stream=True), request.timeout) as answer,
                aclosing(self._content(answer, reader)) as content,
            ):
                async for event in content:
                    has_begun = True
                    yield event
        except AIError as error:
            failure = error
        if reader.state is None and failure is None:
            failure = _Cut()
            self._note(failure)
        if failure is not None and reader.state is None and not has_begun:
            raise failure
        yield _end(reader, failure)

    async def embed(self, model: str, texts: Sequence[str], *, timeout: float = 30.0) -> EmbeddingReply:  # noqa: ARG002 - the contract's shape
        """Refuse, unless the dialect has embeddings."""
        raise self.lacks(model, "embedding")

    async def image(self, model: str, prompt: str, *, width: int, height: int, timeout: float = 120.0) -> MediaReply:  # noqa: ARG002 - same
        """Refuse, unless the dialect has images."""
        raise self.lacks(model, "image")

    async def speak(self, model: str, text: str, *, voice: str = "", timeout: float = 120.0) -> MediaReply:  # noqa: ARG002 - same
        """Refuse, unless the dialect has speech."""
        raise self.lacks(model, "speech")

    def model(self, name: str, kind: str) -> Model:
        """Return the model.

        Raises:
            AIError: there is none of that name and kind (INVALID).
        """
        found = self._models.get(name)
        if found is None or kind not in found.kinds:
            raise self.lacks(name, kind)
        return found

    def lacks(self, model: str, kind: str) -> AIError:
        """Return the error for a call that the model does not answer."""
        return AIError(AIErrorKind.INVALID, f"{self.name} has no model {model[:80]!r} for {kind}")

    async def whole(self, call: HttpCall, timeout: float, *, most: int = MAX_REPLY) -> tuple[Mapping[str, str], bytes]:
        """Return headers and body of an answer.

        Raises:
            AIError: there is none, or the service reports an error.
        """
        async with self.opened(call, timeout, most=most) as answer:
            return answer.headers, await body_of(answer)

    async def asked(self, call: HttpCall, kind: type[T], timeout: float, *, most: int = MAX_REPLY) -> T:
        """Return an answer in JSON as ``kind``. Raises as ``whole``."""
        _, body = await self.whole(call, timeout, most=most)
        return self.decoded(body, kind)

    def decoded(self, data: bytes, kind: type[T]) -> T:
        """Return JSON as ``kind``.

        Raises:
            AIError: it is none, or of another shape (UPSTREAM).
        """
        try:
            return msgspec.json.decode(data, type=kind)
        except UNREADABLE:
            raise unreadable() from None

    def vectors(self, rows: Sequence[Sequence[float]], texts: Sequence[str], reported: int | None) -> EmbeddingReply:
        """Return vectors as a reply, with ``reported`` tokens.

        Raises:
            AIError: they are not one a text, all of one length (UPSTREAM).
        """
        if len(rows) != len(texts) or len({len(row) for row in rows}) > 1 or any(not row for row in rows):
            raise AIError(AIErrorKind.UPSTREAM, "the provider answered with other vectors than were asked for")
        return EmbeddingReply(tuple(map(tuple, rows)), input_usage(texts, reported))

    @asynccontextmanager
    async def opened(self, call: HttpCall, timeout: float, *, most: int = MAX_REPLY) -> AsyncIterator[HttpStream]:
        """Give a good answer to the block. Whatever ``ctx.http`` raises, also in the block, is an ``AIError``."""
        if timeout <= 0:
            raise AIError(AIErrorKind.TIMEOUT, "there was no time left")
        begin, total = min(timeout, MAX_CALL), min(timeout, 3600.0)
        method = "GET" if call.json is None else "POST"
        bounds: dict[str, Any] = {"timeout": begin, "idle": begin, "total": total, "max_bytes": most}
        is_open = False
        try:
            url = f"{call.base_url or self.instance.base_url}/{call.path}"
            async with self._http.stream(method, url, headers=self.headers(), json=call.json, **bounds) as answer:
                if not 200 <= answer.status < 300:
                    raise self.refusal(answer.status, answer.headers, await error_body(answer))
                is_open = True
                self.trouble = ""
                yield answer
        except AIError as error:
            self._note(error)
            raise
        except HubError as error:
            failure = unreachable(error)
            if is_open and error.code == "outbound-failed":
                failure = _Cut()
            elif is_open and error.code == "outbound-too-large":
                failure = AIError(AIErrorKind.UPSTREAM, "the reply is larger than may be", code="too-large")
            self._note(failure)
            raise failure from None

    def _note(self, failure: AIError) -> None:
        if failure.kind not in (AIErrorKind.INVALID, AIErrorKind.RATE):
            self.trouble = str(failure)

    async def _content(self, answer: HttpStream, reader: ChatReader) -> AsyncGenerator[StreamEvent]:
        """Yield what the dialect reads. An answer in JSON in place of a stream is a whole reply, or an error under a good status."""
        try:
            if answer.headers.get("content-type", "").startswith("application/json"):
                for event in reader.read_whole(await body_of(answer)):
                    yield event
                return
            read, has_begun = reader.read, False
            async for data in answer.events() if self.framing == "events" else answer.lines():
                reader.has_moved = False
                events = read(data)
                for event in events:
                    yield event
                if reader.is_complete:
                    return
                if reader.state is not None:
                    answer.idle = min(answer.idle, TRAILER_SECONDS)
                elif not (events or reader.has_moved):
                    answer.still_silent()
                elif not has_begun:
                    has_begun = True
                    answer.idle = self.instance.idle_seconds
        except UNREADABLE:
            raise unreadable() from None


class _Cut(AIError):
    """The connection broke within an answer."""

    def __init__(self) -> None:
        super().__init__(AIErrorKind.UPSTREAM, "the connection ended before the model said that it was done", code="cut")


def _end(reader: ChatReader, failure: AIError | None) -> End:
    """Return how a reply that had begun ended: the model's own word, or what happened instead of one."""
    if reader.state is not None:
        return End(state=reader.state, usage=reader.usage(), reason=reader.reason, code="wrong-count" if reader.is_miscounted else "")
    if isinstance(failure, _Cut):
        state = EndState.CUT
    else:
        state = EndState.STALLED if failure is not None and failure.kind is AIErrorKind.TIMEOUT else EndState.FAILED
    return End(state=state, usage=reader.usage(), reason=str(failure), code=failure.code if failure is not None else "")
