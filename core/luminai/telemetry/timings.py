"""How long things took, for people: quantiles of the hub's own histograms, without a Prometheus."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from luminai.telemetry.figures import Family, Spread, quantile

MAX_ROWS: Final = 1000


class Timing(Struct, frozen=True, kw_only=True):
    """A series: ``metric`` without prefix, its labels, how many values, and milliseconds below which half, 95 % and 99 % of them lie.

    They are read from buckets: exact to the bucket, evenly spread within it.
    """

    metric: str
    labels: dict[str, str]
    count: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


def timings(families: Iterable[Family]) -> list[Timing]:
    """Return each series of times, and for requests also each plugin's as a whole, the most used first."""
    found = []
    for family in families:
        if family.kind != "histogram" or not family.name.endswith("_seconds"):
            continue
        rows = {key: spread for key, spread in family.rows.items() if isinstance(spread, Spread)}
        found += [_timing(family, dict(zip(family.labels, key, strict=True)), [spread]) for key, spread in rows.items()]
        if family.name == "luminai_request_seconds":
            owners = sorted({key[0] for key in rows})
            found += [_timing(family, {"plugin": owner}, [spread for key, spread in rows.items() if key[0] == owner]) for owner in owners]
    return sorted((one for one in found if one.count), key=lambda one: -one.count)[:MAX_ROWS]


def _timing(family: Family, labels: dict[str, str], spreads: list[Spread]) -> Timing:
    counts = [sum(column) for column in zip(*(spread.counts for spread in spreads), strict=True)]
    count, total = sum(counts), sum(spread.total for spread in spreads)
    p50, p95, p99 = (round((quantile(counts, family.bounds, share) or 0.0) * 1000, 3) for share in (0.5, 0.95, 0.99))
    name = family.name.removeprefix("luminai_").removesuffix("_seconds")
    return Timing(
        metric=name, labels=labels, count=count, mean_ms=round(total / count * 1000, 3) if count else 0.0, p50_ms=p50, p95_ms=p95, p99_ms=p99
    )
