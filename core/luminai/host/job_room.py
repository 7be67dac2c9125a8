"""What may run beside what runs, here and everywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from luminai.config.settings import JobSettings
from luminai.host.actions import ActionTable


class Room:
    """What may run beside what runs: so many jobs of a plugin, and of an action.

    Args:
        running: How many run in this process, by the full name of their action.
        everywhere: How many run in all processes; only asked where a limit of ``[jobs] everywhere`` is set.
        starts: How many may begin now, of each limit of ``[jobs] rates``.
    """

    def __init__(
        self, running: Counter[str], settings: JobSettings, actions: ActionTable, everywhere: Counter[str], starts: Mapping[str, int]
    ) -> None:
        self._left = dict(settings.everywhere)
        for name, count in everywhere.items():
            self._take(name, count)
        self._left |= {target: min(count, self._left.get(target, count)) for target, count in starts.items()}
        self._actions = +running
        self._plugins = Counter(name.partition(".")[0] for name in running.elements())
        self._slots = settings.plugin_slots
        self._limits = {one.name: one.action.at_once for one in actions.all if one.action.at_once}
        self._computed = {one.name for one in actions.all if one.computation is not None}
        self._processes = settings.processes - sum(self._actions[name] for name in self._computed)

    def busy(self) -> set[str]:
        """Plugins without room."""
        spent = {target for target, left in self._left.items() if left <= 0 and "." not in target}
        return spent | {plugin for plugin, count in self._plugins.items() if count >= self._slots}

    def full(self) -> set[str]:
        """Actions without room."""
        full = {name for name, limit in self._limits.items() if self._actions[name] >= limit}
        full |= {target for target, left in self._left.items() if left <= 0 and "." in target}
        return full | self._computed if self._processes <= 0 else full  # a job must not wait for a process while its time runs

    def admits(self, plugin: str, action: str) -> bool:
        """Take a place if there is one, and tell whether there was."""
        name = f"{plugin}.{action}"
        if self._plugins[plugin] >= self._slots or self._actions[name] >= self._limits.get(name, self._slots):
            return False
        if min(self._left.get(plugin, 1), self._left.get(name, 1)) <= 0:
            return False
        if name in self._computed:
            if self._processes <= 0:
                return False
            self._processes -= 1
        self._plugins[plugin] += 1
        self._actions[name] += 1
        self._take(name, 1)
        return True

    def _take(self, name: str, count: int) -> None:
        for target in (name, name.partition(".")[0]):
            if target in self._left:
                self._left[target] -= count
