"""A plugin's own metrics: declared, bounded, counted under its name."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Final

from luminai.contracts.errors import HubError, ProblemItem
from luminai.contracts.runtime import Metric
from luminai.telemetry.figures import BOUNDS, Counted, Family, Measured

MAX_METRICS: Final = 50
MAX_LABELS: Final = 4
MAX_BUCKETS: Final = 30
MAX_OWN_SERIES: Final = 200
MAX_VALUE: Final = 100
"""Characters of a label's value; a longer one is cut."""
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,60}")
_RESERVED: Final = frozenset({"le", "quantile", "plugin"})


class BadMetrics(HubError):
    """A plugin declares metrics that nobody could read; ``errors`` names each."""

    status, default_code, title = 422, "bad-metrics", "Metrics refused"


class OwnFigures:
    """Implements ``Metrics`` for one plugin."""

    def __init__(self, plugin: str) -> None:
        self._prefix = own_name(plugin, "")
        self._families: dict[str, Counted | Measured] = {}
        self._kinds: dict[str, str] = {}
        self._lock = threading.Lock()

    def declare(self, metrics: Sequence[Metric]) -> None:
        """Take what the plugin's hook returned.

        Raises:
            BadMetrics: there are wrong ones.
        """
        if problems := _problems(metrics):
            raise BadMetrics(f"{len(problems)} problems with its metrics", errors=problems, hint=problems[0].hint)
        for one in metrics:
            name = f"{self._prefix}{one.name.removesuffix('_total')}"
            self._kinds[one.name] = one.kind
            if one.kind == "histogram":
                self._families[one.name] = Measured(name, one.help, one.labels, bounds=one.buckets or BOUNDS, most=MAX_OWN_SERIES)
            else:
                self._families[one.name] = Counted(name, one.help, one.labels, kind=one.kind, most=MAX_OWN_SERIES)
            if not one.labels and one.kind == "counter":
                self.count(one.name, 0)  # a counter that is there from the start can be seen to rise

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        """Raise a counter."""
        if amount < 0:
            raise ValueError(f"{name}: a counter only rises")
        found = self._found(name, "counter")
        with self._lock:
            found.add(*_values(found, labels), amount=amount)  # type: ignore[union-attr]

    def put(self, name: str, value: float, /, **labels: str) -> None:
        """Set a gauge."""
        found = self._found(name, "gauge")
        with self._lock:
            found.put(*_values(found, labels), value=float(value))  # type: ignore[union-attr]

    def observe(self, name: str, value: float, /, **labels: str) -> None:
        """Note a value of a histogram."""
        found = self._found(name, "histogram")
        with self._lock:
            found.observe(float(value), *_values(found, labels))  # type: ignore[union-attr]

    def families(self) -> list[Family]:
        """Return what was counted."""
        return [one.family() for one in self._families.values()]

    def _found(self, name: str, kind: str) -> Counted | Measured:
        found = self._families.get(name)
        if found is None:
            raise LookupError(f"no metric {name!r} is declared; declared are {', '.join(self._families) or 'none'}")
        if self._kinds[name] != kind:
            raise TypeError(f"{name} is a {self._kinds[name]}")
        return found


def own_name(plugin: str, name: str) -> str:
    """Return the full name of a plugin's metric."""
    return f"luminai_plugin_{plugin.replace('-', '_')}_{name}"


def _values(found: Counted | Measured, labels: dict[str, str]) -> tuple[str, ...]:
    if labels.keys() != set(found.labels):
        raise ValueError(f"{found.name} has the labels {', '.join(found.labels) or '(none)'}, got {', '.join(labels) or '(none)'}")
    return tuple(str(labels[name])[:MAX_VALUE] for name in found.labels)


def _problems(metrics: Sequence[Metric]) -> list[ProblemItem]:
    found = []
    names = [one.name.removesuffix("_total") for one in metrics]
    if len(metrics) > MAX_METRICS:
        found.append(("metrics", f"{len(metrics)} metrics, at most {MAX_METRICS}", "Use labels for what differs in one word."))
    for one, name in zip(metrics, names, strict=True):
        if not _NAME.fullmatch(one.name) or name.endswith(("_bucket", "_sum", "_count", "_created", "_info")):
            found.append((one.name, "its name cannot be", "Small letters, digits and _, as in turns or turn_seconds."))
        if names.count(name) > 1:
            found.append((one.name, "there are two of the name", "Give each a name of its own."))
        if one.kind not in ("counter", "gauge", "histogram"):
            found.append((one.name, f"its kind is {one.kind!r}", "counter, gauge or histogram."))
        if len(one.labels) > MAX_LABELS or len(set(one.labels)) < len(one.labels) or not all(map(_NAME.fullmatch, one.labels)):
            found.append((one.name, "its labels cannot be", f"At most {MAX_LABELS}, each once, small letters, digits and _."))
        if _RESERVED.intersection(one.labels):
            found.append((one.name, f"these labels are the hub's: {', '.join(sorted(_RESERVED.intersection(one.labels)))}", "Choose another word."))
        if len(one.buckets) > MAX_BUCKETS or list(one.buckets) != sorted(set(one.buckets)):
            found.append((one.name, "its buckets cannot be", f"At most {MAX_BUCKETS}, each greater than the one before."))
        if not one.help.strip():
            found.append((one.name, "it has no help", "Say in one line what it counts."))
    return [ProblemItem(pointer=pointer, detail=detail, hint=hint) for pointer, detail, hint in found]
