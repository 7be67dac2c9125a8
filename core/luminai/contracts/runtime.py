"""What plugins contribute to the runtime besides the five named families. Declarations are cheap; the objects in them do the work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Any, Literal, Protocol, runtime_checkable

from msgspec import Struct

from luminai.contracts.identity import Actor


class Action(Struct, frozen=True, kw_only=True):
    """The only thing that runs in the background. Full name ``<plugin id>.<name>``; ``input`` and ``output`` are Struct types.

    Attributes:
        run: ``async (ctx, input) -> output``.
        timeout: Seconds for one run.
        concurrency: What happens when a run is asked for while one with the same key is going.
    """

    name: str
    summary: str
    input: type[Struct]
    output: type[Struct]
    run: Callable[..., Awaitable[Struct]]
    scope: str
    timeout: float = 60.0
    concurrency: Literal["allow", "skip", "queue", "replace"] = "allow"
    retries: int = 0


class Schedule(Struct, frozen=True, kw_only=True):
    """Runs the plugin's action ``action`` with ``input`` by ``trigger`` (``cron: mon-fri 08:00``, ``every: 15m``) in time zone ``zone``."""

    name: str
    action: str
    trigger: str
    zone: str = "UTC"
    input: dict[str, Any] = {}
    misfire: Literal["skip", "once", "all"] = "once"


class EventType(Struct, frozen=True, kw_only=True):
    """An event the plugin publishes: full name ``<plugin id>.<Name>``; ``payload`` is its Struct type, ``version`` rises on change."""

    name: str
    payload: type[Struct]
    version: int = 1
    summary: str = ""


class Event(Struct, frozen=True, kw_only=True):
    """A fact that happened. ``id`` and ``at`` are given by the host when it is published inside a unit of work."""

    type: str
    payload: dict[str, Any]
    subject: str = ""
    version: int = 1


class Subscription(Struct, frozen=True, kw_only=True):
    """``handle(event)`` is awaited for every event of full type name ``event``; durable ones survive a restart."""

    event: str
    handle: Callable[[Event], Awaitable[None]]
    name: str = ""
    durable: bool = False
    timeout: float = 10.0


class DecisionRule(StrEnum):
    """How a chain combines its steps, by the prefix of its name. The rule also fixes what a failing step means.

    ``guard.*`` all must allow, a failure denies. ``filter.*`` folds the value, a failing step is skipped.
    ``choose.*`` first answer that is not None, a failing step is skipped. ``price.*`` amounts are added, a failure denies.
    """

    GUARD = "guard"
    FILTER = "filter"
    CHOOSE = "choose"
    PRICE = "price"


class Denied(Struct, frozen=True):
    """A guard's no: ``code`` and ``reason`` reach the client."""

    code: str
    reason: str
    hint: str = ""


class Decision(Struct, frozen=True, kw_only=True):
    """A step in the chain ``point`` (``guard.turn``, ``choose.persona`` …).

    ``decide`` is ``async (subject) -> answer``: a guard returns None or ``Denied``, a filter the new value, a chooser a value or None,
    a price an int.
    Order: plugin order, then ``before``/``after`` (plugin ids). ``timeout`` is seconds.
    """

    point: str
    decide: Callable[[Any], Awaitable[Any]]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    timeout: float = 5.0


class HealthState(StrEnum):
    """Health of a plugin or a part of it."""

    OK = "ok"
    DEGRADED = "degraded"
    FAILING = "failing"
    UNKNOWN = "unknown"


class Health(Struct, frozen=True):
    """A health answer with its reason."""

    state: HealthState
    reason: str = ""


class HealthCheck(Struct, frozen=True, kw_only=True):
    """``check()`` is awaited at most every ``interval`` seconds; a raise or a time-out counts as ``failing``."""

    name: str
    check: Callable[[], Awaitable[Health]]
    interval: float = 10.0
    timeout: float = 2.0


class Metric(Struct, frozen=True, kw_only=True):
    """A metric the plugin owns: exported as ``luminai_plugin_<id>_<name>``."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


@runtime_checkable
class Authenticator(Protocol):
    """Turns a credential into an actor. None: not mine, ask the next. A credential that is mine but does not hold raises ``NotSignedIn``."""

    name: str

    async def authenticate(self, scheme: str, credential: str) -> Actor | None: ...


@runtime_checkable
class SecretBackend(Protocol):
    """Resolves references ``<scheme>:<name>``. Errors never hold values."""

    scheme: str

    def resolve(self, name: str) -> str: ...


class Webhook(Struct, frozen=True, kw_only=True):
    """An inbound webhook at ``/api/webhook/<plugin id>[/<name>]``: ``verify(body, headers)`` is pure and raises ``NotSignedIn`` for a
    forgery;
    ``receive(event)`` handles one delivery at least once, keyed by the delivery id that ``verify`` returned."""

    name: str
    verify: Callable[[bytes, Mapping[str, str]], tuple[str, Any]]
    receive: Callable[[Any], Awaitable[None]]


class Service(Struct, frozen=True):
    """A typed object for plugins that require this one: looked up by its ``type``."""

    type: type[Any]
    value: Any


class ExtensionPoint(Struct, frozen=True, kw_only=True):
    """A point that the plugin opens to others: full name ``<plugin id>.<name>/<version>``; every extension must be an instance of ``type``."""

    name: str
    type: type[Any]
    version: int = 1
    summary: str = ""


class Extension(Struct, frozen=True):
    """A value for another plugin's extension point, named in full."""

    point: str
    value: Any


class ExportItem(Struct, frozen=True):
    """One record of a subject's data export."""

    name: str
    data: dict[str, Any]


class EraseReport(Struct, frozen=True):
    """What an erase did or would do: rows by table, and what stays with its reason."""

    erased: dict[str, int]
    kept: dict[str, str] = {}


class PurgeItem(Struct, frozen=True):
    """Something outside the hub that purge removes, e.g. a remote webhook."""

    name: str
    detail: str = ""
