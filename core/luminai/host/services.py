"""Typed objects that plugins offer to those that require them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from luminai.contracts.runtime import Service
from luminai.host.providers import Collision

T = TypeVar("T")


class ServiceTable:
    """Services of one generation by type. Only plugins that name the owner in ``requires`` (or the owner) get one.

    Args:
        requires: Ids that each plugin requires.
    """

    def __init__(self, requires: Mapping[str, Iterable[str]]) -> None:
        self._requires = {plugin: frozenset(ids) for plugin, ids in requires.items()}
        self._found: dict[type[Any], tuple[str, Any]] = {}

    def add(self, owner: str, services: Iterable[Service]) -> None:
        """Add a plugin's services.

        Raises:
            Collision: the value is not of its type, or the type is taken.
        """
        for service in services:
            if not isinstance(service.value, service.type):
                raise Collision(f"service {service.type.__name__} is a {type(service.value).__name__}", plugin=owner)
            if service.type in self._found:
                raise Collision(f"service {service.type.__name__} is already offered by {self._found[service.type][0]}", plugin=owner)
            self._found[service.type] = (owner, service.value)

    def remove(self, owner: str) -> None:
        """Forget a plugin's services."""
        self._found = {kind: found for kind, found in self._found.items() if found[0] != owner}

    def find(self, plugin: str, kind: type[T]) -> T:
        """Return the service of type ``kind`` for ``plugin``.

        Raises:
            LookupError: not offered by a running plugin, or its owner is not in the manifest's ``requires``.
        """
        owner, value = self._found.get(kind, ("", None))
        if not owner:
            raise LookupError(f"no running plugin offers {kind.__module__}.{kind.__qualname__}")
        if owner != plugin and owner not in self._requires.get(plugin, ()):
            raise LookupError(f"{kind.__qualname__} belongs to {owner}: name it in `requires` of {plugin}'s manifest")
        found: T = value
        return found
