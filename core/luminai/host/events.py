"""The events of one generation: what plugins declare, what they publish, who is told after the commit, and who gets a job for it."""

from __future__ import annotations

import asyncio
import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, cast

import msgspec
from msgspec import Struct

from luminai.contracts.errors import Conflict, TooLarge, Unprocessable
from luminai.contracts.runtime import Event, EventType, Subscription
from luminai.data.event_log import Origin, Published
from luminai.host.deadlines import Deadlines
from luminai.host.durable import DeclaredDelivery, fault_of
from luminai.host.subscriber import Subscriber
from luminai.telemetry.breaker import Breaker
from luminai.telemetry.trace import Tracer
from luminai.work.event_jobs import FanOut, Target
from luminai.work.subscriptions import Kept

CHANNEL: Final = "events"
MAX_PAYLOAD: Final = 64 * 1024
MAX_SUBJECT: Final = 120
MAX_KEY: Final = 200
MAX_TIMEOUT: Final = 300.0
KEEPS: Final = ("short", "standard", "lasting")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,79}")
_FULL_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}\.[A-Za-z][A-Za-z0-9_-]{0,79}")


class _Declared:
    """A declared event type, ready to check what is published."""

    __slots__ = ("decoder", "kind", "origin", "owner", "version")

    def __init__(self, owner: str, kind: EventType, generation: int) -> None:
        self.owner = owner
        self.kind = kind
        self.version = kind.version
        self.origin = Origin(owner, generation, kind.keep)
        self.decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind.payload)


class EventTable:
    """Event types and subscriptions of one generation.

    Args:
        make_breaker: ``(plugin, channel)`` to a breaker; the subscriptions of a plugin share one.
    """

    def __init__(self, make_breaker: Callable[[str, str], Breaker], tracer: Tracer, generation: int = 0) -> None:
        self._make_breaker = make_breaker
        self._tracer = tracer
        self._generation = generation
        self._deadlines = Deadlines()
        self._declared: dict[str, _Declared] = {}
        self._subscribers: dict[str, tuple[Subscriber, ...]] = {}
        self._durable: dict[str, DeclaredDelivery] = {}
        self._kept: tuple[Kept, ...] = ()
        self._fans: dict[str, FanOut | None] = {}

    def declare(self, owner: str, kinds: Iterable[EventType]) -> None:
        """Enter the event types of a plugin.

        Raises:
            Conflict: a name that is no plain name or is given twice, a payload that is no Struct, a version below 1 (code ``bad-event-type``).
        """
        for kind in kinds:
            full, payload = f"{owner}.{kind.name}", cast("Any", kind.payload)
            if not _NAME.fullmatch(kind.name):
                raise _bad_type(f"{kind.name!r} is no name of an event type", f"Give the plain name; the hub puts {owner} before it.")
            if full in self._declared:
                raise _bad_type(f"event type {full} is declared twice", "Declare its newest version only.")
            if not (isinstance(payload, type) and issubclass(payload, Struct)):
                raise _bad_type(f"the payload of {full} is no Struct", "Name the payload's msgspec Struct.")
            if kind.version < 1:
                raise _bad_type(f"{full} has version {kind.version}", "Versions begin with 1.")
            if kind.keep not in KEEPS:
                raise _bad_type(f"{full} is kept {kind.keep!r}", f"It is one of {', '.join(KEEPS)}.")
            self._declared[full] = _Declared(owner, kind, self._generation)

    def subscribe(self, owner: str, subscriptions: Iterable[Subscription]) -> list[DeclaredDelivery]:
        """Enter the subscriptions of a plugin, and return those that are durable. What they listen to may be declared by a plugin that is off.

        Raises:
            Conflict: no full name of an event type, a number out of bounds, or two that cannot be told apart (code ``bad-subscription``).
        """
        breaker = next((one.breaker for one in self.subscribers if one.owner == owner), None)
        durable = []
        for wanted in subscriptions:
            if not _FULL_NAME.fullmatch(wanted.event):
                raise _bad_subscription(f"{wanted.event[:120]!r} is no full name of an event type", "Write <plugin id>.<Name>.")
            if not wanted.versions or min(wanted.versions) < 1:
                raise _bad_subscription(f"it knows no version of {wanted.event}", "Versions begin with 1.")
            if not 0 < wanted.timeout <= MAX_TIMEOUT:
                raise _bad_subscription(f"the time-out of {wanted.event} is {wanted.timeout:g} s", f"It is above 0 and at most {MAX_TIMEOUT:g} s.")
            if wanted.durable:
                durable.append(self._subscribe_for_good(owner, wanted))
                continue
            known = self._subscribers.get(wanted.event, ())
            if any(one.owner == owner and one.subscription.name == wanted.name for one in known):
                raise _bad_subscription(f"it subscribes to {wanted.event} twice", "Give each subscription a name of its own.")
            breaker = breaker or self._make_breaker(owner, CHANNEL)
            self._subscribers[wanted.event] = (*known, Subscriber(owner, wanted, breaker, self._tracer, self._deadlines))
        return durable

    def _subscribe_for_good(self, owner: str, wanted: Subscription) -> DeclaredDelivery:
        if fault := fault_of(wanted):
            raise _bad_subscription(f"the durable one to {wanted.event}: {fault}", "See Subscription in the reference.")
        found = DeclaredDelivery(owner, wanted)
        if found.name in self._durable:
            raise _bad_subscription(f"two of its jobs would be called {found.name}", "Give each durable subscription a name of its own.")
        self._durable[found.name] = found
        self._fans.clear()
        return found

    def remember(self, kept: Iterable[Kept]) -> None:
        """Put jobs for these too: durable subscriptions of plugins that may be off."""
        self._kept = tuple(kept)
        self._fans.clear()

    def take_over(self, owner: str, before: EventTable) -> list[DeclaredDelivery]:
        """Enter a plugin's subscriptions of another table, with what waits for them, their counts and their breaker. Return the durable ones."""
        for one in before.subscribers:
            if one.owner == owner:
                self._subscribers[one.subscription.event] = (*self._subscribers.get(one.subscription.event, ()), one)
        durable = [one for one in before.durable if one.owner == owner]
        self._durable |= {one.name: one for one in durable}
        self._fans.clear()
        return durable

    def remove(self, owner: str) -> None:
        """Take out what a plugin declared and subscribed to."""
        self._declared = {name: kind for name, kind in self._declared.items() if kind.owner != owner}
        self._subscribers = {name: tuple(one for one in every if one.owner != owner) for name, every in self._subscribers.items()}
        self._durable = {name: one for name, one in self._durable.items() if one.owner != owner}
        self._fans.clear()

    def check(self, owner: str, event: Event) -> tuple[Origin, bytes]:
        """Refuse an event that ``owner`` must not publish; return where it comes from, and its payload as JSON.

        Raises:
            Unprocessable: it declares no such type (code ``unknown-event-type``), or version, subject or payload do not fit the declared ones
                (code ``event-does-not-fit``).
            TooLarge: the payload's JSON is above 64 KiB (code ``event-too-large``).
        """
        kind = self._declared.get(event.type)
        if kind is None or kind.owner != owner:
            mine = [name for name, one in self._declared.items() if one.owner == owner]
            near = difflib.get_close_matches(event.type, mine, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Declare it in the hook event_types of {owner}."
            raise Unprocessable(f"{owner} declares no event type {event.type[:120]!r}", code="unknown-event-type", hint=hint, plugin=owner)
        if event.version != kind.version:
            raise _no_fit(owner, f"{event.type} is at version {kind.version}, not {event.version}", "Publish the declared version.")
        if len(event.subject) > MAX_SUBJECT or len(event.key) > MAX_KEY:
            what = f"subject or key of {event.type} have more than {MAX_SUBJECT} or {MAX_KEY} characters"
            raise _no_fit(owner, what, "Put ids there.")
        try:
            payload = msgspec.json.encode(event.payload)
            if len(payload) > MAX_PAYLOAD:
                hint = "Publish ids, and let subscribers read the rest."
                raise TooLarge(f"the payload of {event.type} is above {MAX_PAYLOAD // 1024} KiB", code="event-too-large", hint=hint, plugin=owner)
            kind.decoder.decode(payload)
        except (msgspec.MsgspecError, TypeError, ValueError) as error:
            raise _no_fit(owner, f"the payload of {event.type} does not fit its type", str(error)[:300]) from error
        return kind.origin, payload

    def fan_out(self, event_type: str) -> FanOut | None:
        """Return what puts the jobs of the durable subscriptions to an event type, None where there are none."""
        try:
            return self._fans[event_type]
        except KeyError:
            running = {one.owner for one in self._durable.values()}
            targets = {Target(one.owner, one.action.name) for one in self._durable.values() if one.subscription.event == event_type}
            targets |= {Target(one.plugin, one.action) for one in self._kept if one.event == event_type and one.plugin not in running}
            found = FanOut(sorted(targets, key=lambda one: (one.plugin, one.action))) if targets else None
            self._fans[event_type] = found
            return found

    def deliver(self, events: Sequence[Published]) -> None:
        """Queue committed events, in order, for those who subscribed."""
        for event in events:
            for subscriber in self._subscribers.get(event.type, ()):
                subscriber.put(event)

    async def drain(self, owner: str, seconds: float) -> None:
        """End the subscriptions of a plugin: what waits is handled within ``seconds``, together, or given up."""
        await asyncio.gather(*(one.drain(seconds) for one in self.subscribers if one.owner == owner))

    @property
    def subscribers(self) -> Iterator[Subscriber]:
        """Every subscription, by event type, in the start order of the plugins."""
        return (one for every in self._subscribers.values() for one in every)

    @property
    def durable(self) -> list[DeclaredDelivery]:
        """Every durable subscription, in the start order of the plugins."""
        return list(self._durable.values())

    @property
    def kinds(self) -> dict[str, EventType]:
        """Every declared event type by full name."""
        return {name: one.kind for name, one in sorted(self._declared.items())}

    def undeclared(self) -> dict[str, tuple[str, ...]]:
        """Return the event types that are subscribed to and that no running plugin declares, with the subscribing plugins."""
        listening = [(one.subscription.event, one.owner) for one in self.subscribers]
        listening += [(one.subscription.event, one.owner) for one in self._durable.values()]
        waited = dict.fromkeys(event for event, _ in listening if event not in self._declared)
        return {event: tuple(dict.fromkeys(owner for other, owner in listening if other == event)) for event in waited}


def _bad_type(detail: str, hint: str) -> Conflict:
    return Conflict(detail, code="bad-event-type", hint=hint)


def _bad_subscription(detail: str, hint: str) -> Conflict:
    return Conflict(detail, code="bad-subscription", hint=hint)


def _no_fit(owner: str, detail: str, hint: str) -> Unprocessable:
    return Unprocessable(detail, code="event-does-not-fit", hint=hint, plugin=owner)
