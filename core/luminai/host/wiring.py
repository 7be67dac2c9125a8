"""What the plugins of one generation contributed to one another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from luminai.contracts.errors import Conflict
from luminai.contracts.mail import MAIL_POINT, MailTransport
from luminai.contracts.sms import SMS_POINT, ShortMessageTransport
from luminai.contracts.spans import SPAN_POINT, SpanSink
from luminai.contracts.verification import IDENTITY_CHECK_POINT, IdentityCheck
from luminai.host.actions import ActionTable
from luminai.host.aggregates import AggregateTable
from luminai.host.decisions import DecisionTable
from luminai.host.events import EventTable
from luminai.host.job_engines import EngineTable
from luminai.host.metering import MeterTable
from luminai.host.providers import FAMILIES, ProviderTable
from luminai.host.runtime import Runtime
from luminai.host.schedule_sync import ScheduleTable
from luminai.host.services import ServiceTable
from luminai.http.rooms.channels import ChannelTable

HUB_POINTS: Final[dict[str, type]] = {
    MAIL_POINT: MailTransport,
    SMS_POINT: ShortMessageTransport,
    IDENTITY_CHECK_POINT: IdentityCheck,
    SPAN_POINT: SpanSink,
}
"""Extension points that the core itself opens."""


class Wiring:
    """Providers, services, decision chains, events, channels and extensions of one generation. Contexts look things up here, in the next one after a
    swap.

    Args:
        number: The generation's number.
        requires: Ids that each plugin requires.
    """

    def __init__(self, number: int, runtime: Runtime, requires: Mapping[str, Mapping[str, str]]) -> None:
        self.number = number
        self.requires = requires
        self.actions = ActionTable()
        self.schedules = ScheduleTable(self.actions)
        self.providers = ProviderTable(runtime.make_breaker, runtime.tracer)
        self.decisions = DecisionTable(runtime.make_breaker, runtime.tracer)
        self.actions.add_internal(runtime.own_actions)
        self.events = EventTable(runtime.make_breaker, runtime.tracer, number)
        self.aggregates = AggregateTable()
        self.engines = EngineTable()
        self.meters = MeterTable()
        self.channels = ChannelTable()
        self.channels.take_over("core", runtime.core_channels)
        self.services = ServiceTable(requires)
        self.extensions: dict[str, tuple[Any, ...]] = {}
        self._extended: list[tuple[str, str, Any]] = []  # owner, point, value
        self._extension_points: dict[str, type] = dict(HUB_POINTS)
        self._runtime = runtime
        self._tables: dict[str, Callable[[str, Sequence[Any]], None]] = {
            "services": self.services.add,
            "decisions": self.decisions.add,
            "meters": self.meters.add,
            "actions": self.actions.add,
            "schedules": self.schedules.add,
            "aggregates": self.aggregates.add,
            "event_types": self.events.declare,
            "channels": self.channels.declare,
            "job_engines": self.engines.add,
        }

    def add(self, owner: str, hook: str, items: Sequence[Any]) -> None:
        """Enter what a plugin contributed through ``hook``.

        Raises:
            HubError: a name is taken, or an item does not fit.
        """
        if hook in FAMILIES:
            self.providers.add(hook, owner, items)
        elif hook in self._tables:
            self._tables[hook](owner, items)
        elif hook == "subscriptions":
            self.actions.add_internal(self.events.subscribe(owner, items))
        elif hook == "secret_backends":
            self._runtime.secret_backends.update({backend.scheme: backend for backend in items})
        elif hook == "extension_points":
            self._extension_points.update({f"{owner}.{point.name}/{point.version}": point.type for point in items})
        elif hook == "extensions":
            for extension in items:
                self._extend(owner, extension)

    def take_over(self, owner: str, contributions: Mapping[str, Sequence[Any]], before: Wiring) -> None:
        """Enter what a plugin contributed to the generation before; its steps, subscriptions and providers keep their counts."""
        for hook, items in contributions.items():
            if hook == "decisions":
                self.decisions.take_over(owner, before.decisions)
            elif hook == "subscriptions":
                self.actions.add_internal(self.events.take_over(owner, before.events))
            elif hook == "channels":
                self.channels.take_over(owner, before.channels)
            elif hook in FAMILIES:
                self.providers.take_over(hook, owner, before.providers)
            else:
                self.providers.take_over_channels(owner, before.providers)
                self.add(owner, hook, items)

    def remove(self, owner: str) -> None:
        """Forget what a plugin contributed."""
        self.providers.remove(owner)
        self.decisions.remove(owner)
        self.meters.remove(owner)
        self.actions.remove(owner)
        self.schedules.remove(owner)
        self.events.remove(owner)
        self.aggregates.remove(owner)
        self.channels.remove(owner)
        self.services.remove(owner)
        self.engines.remove(owner)
        self._extended = [one for one in self._extended if one[0] != owner]
        self._gather()

    def extenders(self, point: str) -> frozenset[str]:
        """Return the plugins that put something into ``point``."""
        return frozenset(owner for owner, other, _ in self._extended if other == point)

    def _extend(self, owner: str, extension: Any) -> None:
        kind = self._extension_points.get(extension.point)
        if kind is None:
            raise Conflict(f"there is no extension point {extension.point}", code="no-extension-point", hint="Name its plugin in requires.")
        if not isinstance(extension.value, kind):
            raise Conflict(f"{extension.point} takes {kind.__name__}, got {type(extension.value).__name__}", code="bad-extension")
        self._extended.append((owner, extension.point, self.providers.behind_guard(extension.point, owner, extension.value)))
        self._gather()

    def _gather(self) -> None:
        self.extensions = {point: tuple(value for _, other, value in self._extended if other == point) for _, point, _ in self._extended}
