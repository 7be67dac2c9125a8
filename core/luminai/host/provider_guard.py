"""What stands before a provider: a proxy that counts its calls, refuses them while the provider rests, and holds it to its deadline."""

from __future__ import annotations

import inspect
import time
from asyncio import CancelledError, get_running_loop
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn

from luminai.contracts.ai import AIError, AIErrorKind, AIProvider, ChatRequest, End, EndState, StreamEvent
from luminai.contracts.errors import HubError, Unavailable
from luminai.contracts.payment import PaymentError, PaymentProvider
from luminai.contracts.sms import SMS_POINT, ShortMessageTransport
from luminai.contracts.storage import StorageBackend
from luminai.contracts.verification import IDENTITY_CHECK_POINT, IdentityCheck
from luminai.host.calls import PluginRaised, call_within
from luminai.host.deadlines import Deadlines
from luminai.telemetry.breaker import Breaker
from luminai.telemetry.trace import Tracer

GRACE: Final = 1.0
"""Seconds after which a provider that did not keep its deadline is cut off: an honest one answers at its deadline by itself."""
WAITED_FOR: Final = 10.0
"""Seconds that a message or an identity check has: a person waits for it."""
SILENCE: Final = 10.0
"""A stream that its reader leaves after so many seconds without a word counts as failed, a sooner one tells nothing."""
_ANSWERS: Final = frozenset({AIErrorKind.AUTH, AIErrorKind.QUOTA, AIErrorKind.RATE, AIErrorKind.INVALID})
_BROKEN: Final = frozenset({EndState.CUT, EndState.STALLED, EndState.FAILED})


class Channel:
    """One channel (``ai``, ``payments``, ``storage``; ``ai <provider>`` where it offers several) of one plugin: its breaker and its figures."""

    __slots__ = ("_tracer", "breaker", "calls", "deadlines", "failures", "name", "owner", "seconds")

    def __init__(self, owner: str, name: str, breaker: Breaker, tracer: Tracer) -> None:
        self.owner = owner
        self.name = name
        self.breaker = breaker
        self.deadlines = Deadlines()
        self.calls = self.failures = 0
        self.seconds = 0.0
        self._tracer = tracer

    def refuse(self) -> NoReturn:
        """Say that the channel rests."""
        hint = "It is tried again after that; the operator sees why with `luminai repairs list`."
        detail = f"{self.name} of plugin {self.owner} failed too often and rests"
        raise Unavailable(detail, code="breaker-open", hint=hint, plugin=self.owner, retry_after=self.breaker.retry_after)

    def ended(self, call: str, began: float, error: BaseException | None = None, *, tells: bool = True) -> None:
        """Count a call; ``tells`` False: how it ended says nothing about the provider."""
        took = time.perf_counter() - began
        self.calls += 1
        self.seconds += took
        self._tracer.figures.providers.observe(took, self.owner, self.name, call)
        if self._tracer.is_on:
            self._tracer.note(self.owner, f"{self.name} {call}", took, error)
        if error is not None and tells and not is_answer(error):
            self.failures += 1
            self._tracer.figures.provider_failures.add(self.owner, self.name, call)
            self.breaker.failed()
        elif self.breaker.watching:
            if tells:
                self.breaker.succeeded()
            else:
                self.breaker.abandoned()


def is_answer(error: BaseException) -> bool:
    """Tell whether an error is a working provider's no: what the caller could cause at will must not open a breaker that stops everybody.

    An ``AIError`` of kind auth, quota, rate or invalid; a definite ``PaymentError`` (a forged webhook is one); a ``HubError`` below 500.
    """
    if isinstance(error, AIError):
        return error.kind in _ANSWERS
    if isinstance(error, PaymentError):
        return error.definite
    return isinstance(error, HubError) and error.status < 500


class Guarded:
    """A provider behind its channel. Everything that is no call of the contract is the provider's own."""

    __slots__ = ("_channel", "_provider")

    def __init__(self, provider: Any, channel: Channel) -> None:
        self._provider = provider
        self._channel = channel

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    def __repr__(self) -> str:
        return repr(self._provider)


def _keep_inside(error: BaseException) -> None:
    """Raise ``PluginRaised`` for what would end the process."""
    if not isinstance(error, Exception | CancelledError | GeneratorExit):
        raise PluginRaised(f"raised {type(error).__name__}: {error}") from error


def _tells(error: BaseException) -> bool:
    return not isinstance(error, CancelledError | GeneratorExit)


def _call(name: str, within: float = 0.0) -> Callable[..., Awaitable[Any]]:
    """Return the guard of a call; ``within`` seconds are its deadline where its contract leaves it none of its own."""

    async def call(self: Guarded, *args: Any, **named: Any) -> Any:
        channel = self._channel
        if channel.breaker.is_open and not channel.breaker.allows():
            channel.refuse()
        began = time.perf_counter()
        try:
            work = getattr(self._provider, name)(*args, **named)
            answer = await (call_within(within, work) if within else work)
        except BaseException as error:
            channel.ended(name, began, error, tells=_tells(error))
            _keep_inside(error)
            raise
        channel.ended(name, began)
        return answer

    return call


def _timed_call(name: str, default: float | None) -> Callable[..., Awaitable[Any]]:
    """Return the same for a call with a deadline: of its request, or its argument ``timeout``."""

    async def call(self: Guarded, *args: Any, **named: Any) -> Any:
        channel = self._channel
        seconds = _request(args, named).timeout if default is None else named.get("timeout", default)
        deadline = channel.deadlines.within(seconds + GRACE)
        if channel.breaker.is_open and not channel.breaker.allows():
            channel.refuse()
        began = time.perf_counter()
        try:
            with deadline:
                answer = await getattr(self._provider, name)(*args, **named)
        except BaseException as error:
            late = AIError(AIErrorKind.TIMEOUT, f"no answer within {seconds:g} s") if deadline.late and isinstance(error, TimeoutError) else None
            channel.ended(name, began, late or error, tells=_tells(error))
            _keep_inside(error)
            if late is not None:
                raise late from error
            raise
        channel.ended(name, began)
        return answer

    return call


def _stream(name: str) -> Callable[..., AsyncIterator[Any]]:
    """Return the guard of a stream of bytes or changes: counted by whether it came to its end, or gave something to a reader that left."""

    async def stream(self: Guarded, *args: Any, **named: Any) -> AsyncIterator[Any]:
        channel, has_begun = self._channel, False
        if channel.breaker.is_open and not channel.breaker.allows():
            channel.refuse()
        began = time.perf_counter()
        try:
            async with _closing(getattr(self._provider, name)(*args, **named)) as source:
                async for item in source:
                    has_begun = True
                    yield item
        except BaseException as error:
            channel.ended(name, began, error if _tells(error) else None, tells=has_begun or _tells(error))
            _keep_inside(error)
            raise
        channel.ended(name, began)

    return stream


async def _ai_stream(self: Guarded, request: ChatRequest) -> AsyncIterator[StreamEvent]:
    """Guard ``stream``: counted by its end state; one that falls silent or has no end counts as failed."""
    channel, is_counted = self._channel, False
    if channel.breaker.is_open and not channel.breaker.allows():
        channel.refuse()
    clock, began, asked = time.monotonic, time.perf_counter(), time.monotonic()
    try:
        async with _closing(_in_time(channel.deadlines, self._provider, request)) as events:
            async for event in events:
                if isinstance(event, End):  # counted now: most readers do not come back after it
                    is_counted = True
                    channel.ended("stream", began, _fault(event), tells=event.state is not EndState.CANCELLED)
                yield event
                asked = clock()
    except BaseException as error:
        if not is_counted:
            silent = isinstance(error, CancelledError) and clock() - asked >= SILENCE
            channel.ended("stream", began, TimeoutError("silent") if silent else error, tells=silent or _tells(error))
        _keep_inside(error)
        raise
    if not is_counted:
        channel.ended("stream", began, AIError(AIErrorKind.UPSTREAM, "a stream without an end"))


async def _in_time(deadlines: Deadlines, provider: Any, request: ChatRequest) -> AsyncIterator[StreamEvent]:
    """Yield a provider's events; past the deadline raise ``AIError(TIMEOUT)``, or end the stream as stalled once something came."""
    end_by, has_begun = get_running_loop().time() + request.timeout + GRACE, False
    async with _closing(provider.stream(request)) as source:
        deadline = deadlines.until(end_by)
        while True:
            try:
                with deadline:
                    event = await anext(source)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                if not deadline.late:
                    raise
                said = f"no end within {request.timeout:g} s"
                if not has_begun:
                    raise AIError(AIErrorKind.TIMEOUT, said) from error
                yield End(state=EndState.STALLED, reason=said)
                return
            has_begun = True
            yield event


@asynccontextmanager
async def _closing(source: Any) -> AsyncIterator[Any]:
    """Close an iterator at the end, if it can be closed."""
    try:
        yield source
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()


def _fault(end: End) -> AIError | None:
    return AIError(AIErrorKind.UPSTREAM, end.reason or str(end.state)) if end.state in _BROKEN else None


def _request(args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    return args[0] if args else named["request"]


def _forward(name: str) -> property:
    def of_the_provider(self: Guarded) -> Any:
        return getattr(self._provider, name)

    return property(of_the_provider)


def _guarded(contract: type, **own: Any) -> type[Guarded]:
    """Return the proxy class of a contract. Its members stand in the class itself: ``isinstance`` with a Protocol looks for them there."""
    members: dict[str, Any] = {"__slots__": (), "__doc__": f"``{contract.__name__}`` behind its channel."}
    for name in (*contract.__annotations__, *(name for name in vars(contract) if not name.startswith("_"))):
        spec = vars(contract).get(name)
        has_deadline = contract is AIProvider
        if inspect.iscoroutinefunction(spec):
            timeout = inspect.signature(spec).parameters.get("timeout")
            members[name] = _timed_call(name, timeout.default if timeout else None) if has_deadline else _call(name)
        elif callable(spec) and str(spec.__annotations__.get("return")).startswith("AsyncIterator"):
            members[name] = _stream(name)
        else:  # names and pure calls: models, capabilities, verify
            members[name] = _forward(name)
    return type(f"Guarded{contract.__name__}", (Guarded,), members | own)


class _Upload:
    """The content of a ``put``, as its caller streams it; tells whether it was the caller's side that broke."""

    __slots__ = ("_content", "broke")

    def __init__(self, content: AsyncIterator[bytes]) -> None:
        self._content = content
        self.broke = False

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._content:
                yield chunk
        except Exception:
            self.broke = True
            raise


async def _put(self: Guarded, key: str, content: AsyncIterator[bytes] | bytes, **more: Any) -> Any:
    """Guard ``put``: what an uploader's broken stream raises is no failure of the backend."""
    channel = self._channel
    if channel.breaker.is_open and not channel.breaker.allows():
        channel.refuse()
    upload = None if isinstance(content, bytes | bytearray | memoryview) else _Upload(content)
    began = time.perf_counter()
    try:
        answer = await self._provider.put(key, content if upload is None else upload.chunks(), **more)
    except BaseException as error:
        channel.ended("put", began, error, tells=_tells(error) and not (upload is not None and upload.broke))
        _keep_inside(error)
        raise
    channel.ended("put", began)
    return answer


GUARDS: Final[dict[str, tuple[str, type[Guarded]]]] = {
    "ai_providers": ("ai", _guarded(AIProvider, stream=_ai_stream)),
    "payment_providers": ("payments", _guarded(PaymentProvider)),
    "storage_backends": ("storage", _guarded(StorageBackend, put=_put)),
    SMS_POINT: ("sms", _guarded(ShortMessageTransport, send=_call("send", WAITED_FOR))),
    IDENTITY_CHECK_POINT: ("identity-check", _guarded(IdentityCheck, check=_call("check", WAITED_FOR))),
}
"""Channel and proxy of each family (or extension point of the hub) that talks to something outside; personas and calculators are pure."""
