"""Numbers that this process counts: plain lists and dicts while work goes on, given their names for Prometheus only when somebody reads them.

A count costs well under a microsecond and takes no lock: the hub's own families are counted in the event loop's thread alone. The number of series
is bounded; what comes beyond is counted as ``(other)``, so that no client and no plugin can make the hub's memory, or a scrape, grow without end.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the buckets in seconds; a value equal to one belongs to it."""
LONG_BOUNDS: Final = (*BOUNDS, 60.0, 300.0, 1800.0)
"""The same for what may take minutes."""
MAX_SERIES: Final = 500
MAX_ROUTES: Final = 2000
OTHER: Final = "(other)"
Labels = tuple[str, ...]
Kind = Literal["counter", "gauge", "histogram"]


class Spread:
    """One series of a histogram: how many values fell into each bucket (the last has no bound), and their sum."""

    __slots__ = ("counts", "total")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * (buckets + 1)
        self.total = 0.0

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)


Value = float | Spread


class Family(Struct, frozen=True, kw_only=True):
    """A metric as it stands now: its full name without ``_total``, its rows by the values of ``labels``; ``bounds`` are a histogram's."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    rows: Mapping[Labels, Value]
    bounds: Sequence[float] = ()


class Counted:
    """A counter or gauge with labels."""

    __slots__ = ("_most", "help", "kind", "labels", "name", "rows")

    def __init__(self, name: str, help: str, labels: Sequence[str] = (), *, kind: Kind = "counter", most: int = MAX_SERIES) -> None:  # noqa: A002
        self.name, self.help, self.labels, self.kind = name, help, tuple(labels), kind
        self.rows: dict[Labels, float] = {}
        self._most = most

    def add(self, *labels: str, amount: float = 1) -> None:
        """Count."""
        labels = _roomy(self.rows, labels, self._most)
        self.rows[labels] = self.rows.get(labels, 0) + amount

    def put(self, *labels: str, value: float) -> None:
        """Set a gauge."""
        self.rows[_roomy(self.rows, labels, self._most)] = value

    def family(self) -> Family:
        """Return what was counted."""
        return Family(name=self.name, kind=self.kind, help=self.help, labels=self.labels, rows=self.rows)


class Measured:
    """A histogram with labels."""

    __slots__ = ("_most", "bounds", "help", "labels", "name", "rows")

    def __init__(self, name: str, help: str, labels: Sequence[str] = (), *, bounds: Sequence[float] = BOUNDS, most: int = MAX_SERIES) -> None:  # noqa: A002
        self.name, self.help, self.labels, self.bounds = name, help, tuple(labels), tuple(bounds)
        self.rows: dict[Labels, Spread] = {}
        self._most = most

    def observe(self, value: float, *labels: str) -> None:
        """Note a value."""
        row = self.rows.get(labels)
        if row is None:
            labels = _roomy(self.rows, labels, self._most)
            row = self.rows.setdefault(labels, Spread(len(self.bounds)))
        row.counts[bisect_left(self.bounds, value)] += 1
        row.total += value

    def family(self) -> Family:
        """Return what was measured."""
        return Family(name=self.name, kind="histogram", help=self.help, labels=self.labels, rows=self.rows, bounds=self.bounds)


class _Route(Spread):
    __slots__ = ("statuses",)

    def __init__(self) -> None:
        super().__init__(len(BOUNDS))
        self.statuses: dict[int, int] = {}


class RequestFigures:
    """Requests by plugin, method and route template, never by path. A stream is counted when it ends, without how long it was open."""

    def __init__(self) -> None:
        self._rows: dict[Labels, _Route] = {}

    def note(self, plugin: str, method: str, route: str, status: int, seconds: float, *, is_stream: bool = False) -> None:
        """Count a request that ended; an empty ``route`` is one that no route answered."""
        row = self._rows.get((plugin, method, route)) or self._row(plugin, method, route)
        statuses = row.statuses
        statuses[status] = statuses.get(status, 0) + 1
        if not is_stream:
            row.counts[bisect_left(BOUNDS, seconds)] += 1
            row.total += seconds

    def families(self) -> list[Family]:
        """Return the times, and how many ended with which status."""
        labels = ("plugin", "method", "route")
        measured = {key: row for key, row in self._rows.items() if any(row.counts)}
        times: dict[Labels, Value] = {(plugin, method, route or "(none)"): row for (plugin, method, route), row in measured.items()}
        counts: dict[Labels, Value] = {
            (plugin, method, route or "(none)", str(status)): float(count)
            for (plugin, method, route), row in self._rows.items()
            for status, count in list(row.statuses.items())
        }
        return [
            Family(
                name="luminai_request_seconds",
                kind="histogram",
                help="Seconds from a request's head to the end of its answer.",
                labels=labels,
                rows=times,
                bounds=BOUNDS,
            ),
            Family(name="luminai_requests", kind="counter", help="Requests by the status of the answer.", labels=(*labels, "status"), rows=counts),
        ]

    def _row(self, plugin: str, method: str, route: str) -> _Route:
        known = (plugin, method if method in _METHODS else OTHER, route)
        if known not in self._rows and len(self._rows) >= MAX_ROUTES:
            known = (plugin, OTHER, OTHER)
        return self._rows.setdefault(known, _Route())


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WS"})


class Figures:
    """What a process counts, over all generations."""

    def __init__(self) -> None:
        self.requests = RequestFigures()
        self.jobs = Measured("luminai_job_seconds", "Seconds of an attempt of a job.", ("plugin", "action"), bounds=LONG_BOUNDS)
        self.job_waits = Measured(
            "luminai_job_wait_seconds", "Seconds from when a job may run until it does.", ("plugin", "action"), bounds=LONG_BOUNDS
        )
        self.job_ends = Counted("luminai_job_attempts", "Attempts of jobs by how they ended.", ("plugin", "action", "outcome"))
        self.providers = Measured("luminai_provider_seconds", "Seconds of a call of a provider.", ("plugin", "channel", "call"), bounds=LONG_BOUNDS)
        self.provider_failures = Counted("luminai_provider_failures", "Calls that were the provider's failure.", ("plugin", "channel", "call"))
        self.loop_lag = Measured("luminai_loop_lag_seconds", "How late the event loop came to a timer.")
        self.cache = Counted("luminai_cache_lookups", "Looks into the cache by what they found.", ("plugin", "outcome"))

    def families(self) -> list[Family]:
        """Return everything."""
        own: Iterable[Counted | Measured] = (
            self.jobs,
            self.job_waits,
            self.job_ends,
            self.providers,
            self.provider_failures,
            self.loop_lag,
            self.cache,
        )
        return [*self.requests.families(), *(one.family() for one in own)]


def quantile(counts: Sequence[int], bounds: Sequence[float], share: float) -> float | None:
    """Return the value below which ``share`` of all lie, as Prometheus' ``histogram_quantile`` does: evenly spread in its bucket.

    Above the last bound it is that bound; None where there is no value.
    """
    rank, seen = share * sum(counts), 0
    if not sum(counts):
        return None
    for place, count in enumerate(counts[: len(bounds)]):
        if count and seen + count >= rank:
            below = bounds[place - 1] if place else 0.0
            return below + (bounds[place] - below) * (rank - seen) / count
        seen += count
    return float(bounds[-1])


def _roomy(rows: Mapping[Labels, object], labels: Labels, most: int) -> Labels:
    return labels if labels in rows or len(rows) < most else (OTHER,) * len(labels)
