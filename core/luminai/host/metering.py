"""The plugin's side of metering: ``ctx.metering`` passes its calls on to all meters of the generation, in the caller's unit of work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from msgspec import structs
from sqlalchemy.orm import Session

from luminai.contracts.errors import Unavailable
from luminai.contracts.metering import Held, Meter, Quote, Work, WorkFailure
from luminai.host.providers import Collision

T = TypeVar("T")
K = TypeVar("K", Work, Held)


class MeterTable:
    """The meters of one generation.

    Attributes:
        missing: Plugins that meter and are turned on, but do not run.
    """

    def __init__(self) -> None:
        self.missing: tuple[str, ...] = ()
        self._found: dict[str, tuple[str, Meter]] = {}

    def add(self, owner: str, meters: Iterable[Meter]) -> None:
        """Add a plugin's meters.

        Raises:
            Collision: a name is taken.
        """
        for meter in meters:
            if meter.name in self._found:
                raise Collision(f"meter {meter.name!r} is already offered by plugin {self._found[meter.name][0]}", plugin=owner)
            self._found[meter.name] = (owner, meter)

    def remove(self, owner: str) -> None:
        """Forget a plugin's meters."""
        self._found = {name: found for name, found in self._found.items() if found[0] != owner}

    @property
    def all(self) -> list[Meter]:
        """The meters, in plugin order."""
        return [meter for _, meter in self._found.values()]


class PluginMetering:
    """Implements ``Metering`` for one plugin.

    Args:
        table: Returns the meters of the generation that the plugin runs in now.
    """

    __slots__ = ("_plugin", "_table")

    def __init__(self, plugin: str, table: Callable[[], MeterTable]) -> None:
        self._plugin = plugin
        self._table = table

    @property
    def is_on(self) -> bool:
        """Whether anything meters."""
        table = self._table()
        return bool(table.missing or table.all)

    def quote(self, session: Session, work: Work, /) -> Sequence[Quote]:
        """Tell what work would cost."""
        return self._ask(work, lambda meter, own: meter.quote(session, own))

    def hold(self, session: Session, work: Work, /) -> Held | None:
        """Set aside the most that work may cost."""
        found = self._ask(work, lambda meter, own: meter.hold(session, own))
        return Held(work.key, work.subject, frozenset[str]().union(*(held.grows_by for held in found))) if found else None

    def extend(self, session: Session, held: Held, quantities: Mapping[str, int], /, *, lease: float = 300.0) -> None:
        """Set aside more, and renew the lease."""
        for meter in self._meters():
            meter.extend(session, self._own(held), quantities, lease)

    def settle(self, session: Session, held: Held, used: Mapping[str, int], /) -> None:
        """Charge for what was used."""
        for meter in self._table().all:  # a meter that is off ends its holds by their leases: what was made must be kept all the same
            meter.settle(session, self._own(held), used)

    def release(self, session: Session, held: Held, failure: WorkFailure, /) -> None:
        """End the hold of work that gave no result."""
        for meter in self._table().all:
            meter.release(session, self._own(held), failure)

    def _ask(self, work: Work, call: Callable[[Meter, Work], T | None]) -> list[T]:
        if not self.is_on:
            return []
        if work.action.partition(".")[0] != self._plugin:
            raise ValueError(f"{self._plugin} cannot be paid for {work.action}")
        own = self._own(work)
        return [answer for meter in self._meters() if (answer := call(meter, own)) is not None]

    def _meters(self) -> list[Meter]:
        """Return the meters.

        Raises:
            Unavailable: one is missing.
        """
        table = self._table()
        if table.missing:
            hint = "Try again later; the operator sees why with `luminai plugins list`."
            more: dict[str, Any] = {"code": "metering-off", "hint": hint, "plugin": table.missing[0], "retry_after": 30}
            raise Unavailable("What counts paid work does not run.", **more)
        return table.all

    def _own(self, one: K) -> K:
        """Return the work, or what is held for it, under a key that is this plugin's own."""
        return structs.replace(one, key=f"{self._plugin}:{one.key}")
