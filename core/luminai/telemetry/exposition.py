"""Families in the text formats of Prometheus, by its own library; it is imported when somebody first asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from luminai.telemetry.figures import Family, Spread


class _Collector:
    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        for family in self._families:
            made: Any
            if family.kind == "histogram":
                made = HistogramMetricFamily(family.name, family.help, labels=family.labels)
                for labels, spread in list(family.rows.items()):
                    if isinstance(spread, Spread):
                        made.add_metric(labels, list(_buckets(spread, family.bounds)), spread.total)
            else:
                kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
                made = kind(family.name, family.help, labels=family.labels)
                for labels, value in list(family.rows.items()):
                    made.add_metric(labels, value)
            yield made


def _buckets(spread: Spread, bounds: Sequence[float]) -> Iterator[tuple[str, float]]:
    so_far = 0
    for bound, count in zip((*bounds, float("inf")), list(spread.counts), strict=True):
        so_far += count
        yield "+Inf" if bound == float("inf") else str(float(bound)), so_far


def exposition(families: Iterable[Family], accept: str = "") -> tuple[bytes, str]:
    """Return body and content type: OpenMetrics for a reader that accepts it, else Prometheus' text. The process's own figures are among them."""
    from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
    from prometheus_client.exposition import choose_encoder

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    PlatformCollector(registry=registry)
    registry.register(_Collector(list(families)))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
