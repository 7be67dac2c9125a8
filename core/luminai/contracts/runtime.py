"""What plugins contribute to the runtime besides the five named families. Declarations are cheap; the objects in them do the work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from msgspec import Struct

from luminai.contracts.identity import Actor

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


class EventType(Struct, frozen=True, kw_only=True):
    """An event the plugin publishes: full name ``<plugin id>.<Name>``; ``payload`` is its Struct type, ``version`` rises on change.

    ``keep`` is how long it stays in the log: ``short`` and ``standard`` as the operator sets them (7 and 365 days), ``lasting`` for good. Events of
    streams always last.
    """

    name: str
    payload: type[Struct]
    version: int = 1
    summary: str = ""
    keep: Literal["short", "standard", "lasting"] = "standard"


class Event(Struct, frozen=True, kw_only=True):
    """A fact that happened. The publisher gives ``type``, ``payload``, ``version``, and where they mean something ``subject`` and ``key``.

    Attributes:
        subject: Id of the person or thing that it is about, at most 120 characters.
        key: Each durable subscription gets the events of one key in order, one after the other; at most 200 characters.
        number: Its place in the stream ``key``, from 1; 0 outside of streams.
        id: ``evt_…``.
        owner: In whose name it was published, "" for the hub's.
        correlation: The same for all that follows from one beginning: a request's id, a job's, or the first event's.
        causation: Id of the job or event whose handling published it, "" at a beginning.
    """

    type: str
    payload: dict[str, Any]
    subject: str = ""
    version: int = 1
    key: str = ""
    number: int = 0
    id: str = ""
    at: datetime | None = None
    owner: str = ""
    correlation: str = ""
    causation: str = ""


class Subscription(Struct, frozen=True, kw_only=True):
    """Has ``handle`` awaited for events of the full type name ``event``.

    By default ``handle(event)`` is told what this process publishes while it runs, at most once. A ``durable`` one is a job for each event, written
    with it: ``handle(event, delivery)`` comes at least once, also after a restart and for what happened while the plugin was off. With
    ``delivery.finish(session)`` in its unit of work the effect happens exactly once. It works in the name of the event's owner.

    Attributes:
        name: Tells two subscriptions of a plugin to one event apart; lower-case words with dashes.
        timeout: Seconds for one call, at most 300.
        retries: Of a durable one: attempts after the first that failed, at most 50. What fails for good is a dead job.
        backoff: Seconds before the second attempt; they double, up to an hour.
        since: What a durable one gets that was never there before: what happens from ``now`` on, or all that the log holds from its ``start``.
        versions: Versions of the event that ``handle`` understands. It is not called with another: that is a failure, of a durable one a dead job
            (code ``unknown-event-version``) that can be retried once the plugin knows better.
    """

    event: str
    handle: Callable[..., Awaitable[None]]
    name: str = ""
    durable: bool = False
    timeout: float = 10.0
    retries: int = 8
    backoff: float = 10.0
    since: Literal["now", "start"] = "now"
    versions: tuple[int, ...] = (1,)


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
    """A metric the plugin owns, counted by ``ctx.metrics``: exported as ``luminai_plugin_<id>_<name>``, a counter with ``_total``."""

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


class Verified(Struct, frozen=True, kw_only=True):
    """What ``Webhook.verify`` found in a genuine request.

    Attributes:
        id: The sender's delivery id, 1 to 200 printable ASCII characters. The same id is taken in once.
        event: What ``receive`` gets, an instance of ``Webhook.event``; None when there is nothing to do.
        summary: What it is, in a few words for operators (cut at 200 characters): no personal data.
        id_is_signed: The signature covers the id. Otherwise the same body under another id also counts as a repetition, because whoever
            saw one request could send it again with a new id.
    """

    id: str
    event: Struct | None
    summary: str = ""
    id_is_signed: bool = False


class Delivery(Protocol):
    """One delivery in the hands of ``Webhook.receive`` or of a durable ``Subscription.handle``. ``attempt`` counts from 1."""

    @property
    def id(self) -> str: ...

    @property
    def received_at(self) -> datetime: ...

    @property
    def attempt(self) -> int: ...

    def finish(self, session: Session, /) -> None:
        """Mark the delivery as done in the plugin's own unit of work: effect and mark are committed together, so the effect happens once.

        Raises:
            Conflict: another worker has the delivery by now (code ``lease-lost``); let it pass, so that the unit is rolled back.
        """
        ...


class Webhook(Struct, frozen=True, kw_only=True):
    """An inbound webhook at ``/api/webhook/<plugin id>[/<name>]``; the manifest asks for the grant ``webhooks``.

    Attributes:
        event: Struct type of what is kept between ``verify`` and ``receive``; msgspec encodes it as JSON.
        verify: ``(body, headers, now) -> Verified``, plain and pure: the raw body, headers by lower-case name (one that came twice raises
            when it is read), aware UTC time. Raises ``NotSignedIn`` for a forgery, ``InvalidInput`` for what it cannot read. Called in a
            thread for bodies above 64 KiB.
        receive: ``async (event, delivery)``, at least once for each delivery that has an event, in no order that may be relied on. Eight
            attempts with growing pauses, then the delivery waits for an operator. With ``delivery.finish(session)`` in its unit of work
            the effect happens exactly once.
        max_bytes: Largest body, at most 25 MiB.
        timeout: Seconds for one ``receive``, at most 600.
    """

    name: str = ""
    event: type[Struct]
    verify: Callable[[bytes, Mapping[str, str], datetime], Verified]
    receive: Callable[[Any, Delivery], Coroutine[Any, Any, None]]
    max_bytes: int = 1024 * 1024
    timeout: float = 30.0


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
