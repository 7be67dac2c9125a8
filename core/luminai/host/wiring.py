"""What the plugins of one generation contributed to one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from luminai.contracts.errors import Conflict
from luminai.host.decisions import DecisionTable
from luminai.host.providers import FAMILIES, ProviderTable
from luminai.host.runtime import Runtime
from luminai.host.services import ServiceTable


class Wiring:
    """Providers, services, decision chains and extensions of one generation. Contexts look things up here; a swap gives them the next one.

    Args:
        number: The generation's number.
        requires: Ids that each plugin requires.
    """

    def __init__(self, number: int, runtime: Runtime, requires: Mapping[str, Mapping[str, str]]) -> None:
        self.number = number
        self.providers = ProviderTable()
        self.decisions = DecisionTable(runtime.make_breaker, runtime.tracer)
        self.services = ServiceTable(requires)
        self.extensions: dict[str, tuple[Any, ...]] = {}
        self._extension_points: dict[str, type] = {}
        self._runtime = runtime

    def add(self, owner: str, hook: str, items: Sequence[Any]) -> None:
        """Enter what a plugin contributed through ``hook``.

        Raises:
            HubError: a name is taken, or an item does not fit.
        """
        if hook in FAMILIES:
            self.providers.add(hook, owner, items)
        elif hook == "services":
            self.services.add(owner, items)
        elif hook == "decisions":
            self.decisions.add(owner, items)
        elif hook == "secret_backends":
            self._runtime.secret_backends.update({backend.scheme: backend for backend in items})
        elif hook == "extension_points":
            self._extension_points.update({f"{owner}.{point.name}/{point.version}": point.type for point in items})
        elif hook == "extensions":
            for extension in items:
                self._extend(extension)

    def take_over(self, owner: str, contributions: Mapping[str, Sequence[Any]], before: Wiring) -> None:
        """Enter what a plugin contributed to the generation before; its decision steps keep their counts."""
        for hook, items in contributions.items():
            if hook == "decisions":
                self.decisions.take_over(owner, before.decisions)
            else:
                self.add(owner, hook, items)

    def remove(self, owner: str) -> None:
        """Forget what a plugin contributed."""
        self.providers.remove(owner)
        self.decisions.remove(owner)
        self.services.remove(owner)

    def _extend(self, extension: Any) -> None:
        kind = self._extension_points.get(extension.point)
        if kind is None:
            raise Conflict(f"there is no extension point {extension.point}", code="no-extension-point", hint="Name its plugin in requires.")
        if not isinstance(extension.value, kind):
            raise Conflict(f"{extension.point} takes {kind.__name__}, got {type(extension.value).__name__}", code="bad-extension")
        self.extensions[extension.point] = (*self.extensions.get(extension.point, ()), extension.value)
