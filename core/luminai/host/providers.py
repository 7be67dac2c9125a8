"""What running plugins contributed, by family, each with its owner."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from luminai.contracts.ai import AIProvider
from luminai.contracts.errors import HubError
from luminai.contracts.payment import PaymentProvider
from luminai.contracts.persona import Persona
from luminai.contracts.resonance import ResonanceCalculator
from luminai.contracts.storage import StorageBackend
from luminai.host.provider_guard import GUARDS, Channel, Guarded
from luminai.telemetry.breaker import Breaker
from luminai.telemetry.trace import Tracer

FAMILIES: Final[Mapping[str, type]] = MappingProxyType(
    {
        "personas": Persona,
        "resonance_calculators": ResonanceCalculator,
        "ai_providers": AIProvider,
        "payment_providers": PaymentProvider,
        "storage_backends": StorageBackend,
    }
)


class Collision(HubError):
    """A plugin contributes a name that another one owns, or one of another shape."""

    status, default_code, title = 422, "collision", "Contribution refused"


class ProviderTable:
    """The families of one generation. Contexts hold a view of it that fills while plugins are collected; lookups happen when work is done.

    Providers that talk to something outside (AI, payments, storage) stand behind a guard, one channel a plugin and kind, or one for each of several
    of a kind; so does what is put into the hub's own extension points for messages and identity checks.

    Args:
        make_breaker: ``(plugin, channel)`` to a breaker.
        tracer: Told each guarded call while somebody listens.
    """

    def __init__(self, make_breaker: Callable[[str, str], Breaker], tracer: Tracer) -> None:
        self._make_breaker = make_breaker
        self._tracer = tracer
        self._tables: dict[str, dict[str, Any]] = {family: {} for family in FAMILIES}
        self._owners: dict[tuple[str, str], str] = {}
        self._channels: dict[tuple[str, str], Channel] = {}

    def add(self, family: str, owner: str, values: Iterable[Any]) -> None:
        """Add what ``owner`` contributes to ``family``, all or nothing.

        Raises:
            Collision: a value of another shape, or a name (a persona's alias included) that is taken.
        """
        table, kind = self._tables[family], FAMILIES[family]
        added: dict[str, Any] = {}
        taken: set[str] = set()
        for value in values:
            if not isinstance(value, kind):
                raise Collision(f"{family} returned {type(value).__name__}, expected {kind.__name__}", plugin=owner)
            name: str = getattr(value, "id" if isinstance(value, Persona) else "name")
            for wanted in (name, *(value.aliases if isinstance(value, Persona) else ())):
                taken_by = owner if wanted in taken else self._name_owner(family, wanted)
                if taken_by is not None:
                    raise Collision(f"{family} {wanted!r} is already offered by plugin {taken_by}", hint="Choose another name.", plugin=owner)
                taken.add(wanted)
            added[name] = value
        for name, value in added.items():
            table[name] = self.behind_guard(family, owner, value, name if len(added) > 1 else "")
            self._owners[family, name] = owner

    def take_over(self, family: str, owner: str, before: ProviderTable) -> None:
        """Add what ``owner`` has in another table, with its channel's breaker and counts.

        Raises:
            Collision: another plugin took one of its names meanwhile.
        """
        self.take_over_channels(owner, before)
        self.add(family, owner, [value for name, value in before._tables[family].items() if before._owners[family, name] == owner])

    def take_over_channels(self, owner: str, before: ProviderTable) -> None:
        """Go on with the breakers and counts that ``owner`` has in another table."""
        self._channels |= {key: channel for key, channel in before._channels.items() if key[0] == owner}

    def behind_guard(self, family: str, owner: str, value: Any, of: str = "") -> Any:
        """Return what stands before ``value`` where its family (or the hub's own extension point) talks to something outside itself.

        One that only passes calls on to other providers of the hub has none: each of those is guarded, and a breaker of its own would have one that
        fails stop them all. ``of`` names one of several that a plugin offers: each has a channel of its own, so that one does not stop another.
        """
        if family not in GUARDS or isinstance(value, Guarded) or getattr(value, "delegates", False):
            return value
        name, proxy = GUARDS[family]
        name = f"{name} {of}" if of else name
        if (owner, name) not in self._channels:
            self._channels[owner, name] = Channel(owner, name, self._make_breaker(owner, name), self._tracer)
        return proxy(value, self._channels[owner, name])

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels of all plugins that offer guarded providers."""
        return tuple(self._channels.values())

    def _name_owner(self, family: str, wanted: str) -> str | None:
        for name, value in self._tables[family].items():
            if wanted == name or (isinstance(value, Persona) and wanted in value.aliases):
                return self._owners[family, name]
        return None

    def remove(self, owner: str) -> None:
        """Forget everything that ``owner`` added."""
        for (family, name), held_by in list(self._owners.items()):
            if held_by == owner:
                del self._owners[family, name], self._tables[family][name]
        self._channels = {key: channel for key, channel in self._channels.items() if key[0] != owner}

    def owner(self, family: str, name: str) -> str:
        """Return the id of the plugin that contributed ``name``.

        Raises:
            LookupError: nobody did.
        """
        try:
            return self._owners[family, name]
        except KeyError:
            raise LookupError(f"nothing named {name!r} in {family}") from None

    @property
    def personas(self) -> Mapping[str, Persona]:
        """Personas by id."""
        return MappingProxyType(self._tables["personas"])

    @property
    def resonance_calculators(self) -> Mapping[str, ResonanceCalculator]:
        """Resonance calculators by name."""
        return MappingProxyType(self._tables["resonance_calculators"])

    @property
    def ai_providers(self) -> Mapping[str, AIProvider]:
        """AI providers by name."""
        return MappingProxyType(self._tables["ai_providers"])

    @property
    def payment_providers(self) -> Mapping[str, PaymentProvider]:
        """Payment providers by name."""
        return MappingProxyType(self._tables["payment_providers"])

    @property
    def storage_backends(self) -> Mapping[str, StorageBackend]:
        """Storage backends by name."""
        return MappingProxyType(self._tables["storage_backends"])
