"""What running plugins contributed, by family, each with its owner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from luminai.contracts.ai import AIProvider
from luminai.contracts.errors import HubError
from luminai.contracts.payment import PaymentProvider
from luminai.contracts.persona import Persona
from luminai.contracts.resonance import ResonanceCalculator
from luminai.contracts.storage import StorageBackend

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
    """The families of one generation. Contexts hold a view of it that fills while plugins are collected; lookups happen when work is done."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[str, Any]] = {family: {} for family in FAMILIES}
        self._owners: dict[tuple[str, str], str] = {}

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
            table[name] = value
            self._owners[family, name] = owner

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
