"""What may run beside what runs."""

from __future__ import annotations

from collections import Counter

from luminai.config.settings import JobSettings
from luminai.host.actions import ActionTable


class Room:
    """What may run beside what runs: so many jobs of a plugin, and of an action."""

    def __init__(self, running: Counter[str], settings: JobSettings, actions: ActionTable) -> None:
        self._actions = +running
        self._plugins = Counter(name.partition(".")[0] for name in running.elements())
        self._slots = settings.plugin_slots
        self._limits = {one.name: one.action.at_once for one in actions.all if one.action.at_once}
        self._computed = {one.name for one in actions.all if one.computation is not None}
        self._processes = settings.processes - sum(self._actions[name] for name in self._computed)

    def busy(self) -> set[str]:
        """Plugins without room."""
        return {plugin for plugin, count in self._plugins.items() if count >= self._slots}

    def full(self) -> set[str]:
        """Actions without room."""
        full = {name for name, limit in self._limits.items() if self._actions[name] >= limit}
        return full | self._computed if self._processes <= 0 else full  # a job must not wait for a process while its time runs

    def admits(self, plugin: str, action: str) -> bool:
        """Take a place if there is one, and tell whether there was."""
        name = f"{plugin}.{action}"
        if self._plugins[plugin] >= self._slots or self._actions[name] >= self._limits.get(name, self._slots):
            return False
        if name in self._computed:
            if self._processes <= 0:
                return False
            self._processes -= 1
        self._plugins[plugin] += 1
        self._actions[name] += 1
        return True
