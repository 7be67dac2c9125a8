"""Figures of a plugin: what ``ctx.metrics`` takes, and the rules that watch over any metric of the hub."""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct


class Metrics(Protocol):
    """Counts what the plugin declared in its hook ``metrics``; may be called in any thread.

    All three raise ``LookupError`` for a metric that is not declared, ``TypeError`` for one of another kind, ``ValueError`` for labels other than the
    declared ones. Labels are for a handful of known words: a metric has at most 200 series, what comes beyond is counted as ``(other)``. Never label
    by a person, an id or a text that somebody wrote.
    """

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        """Raise a counter."""
        ...

    def put(self, name: str, value: float, /, **labels: str) -> None:
        """Set a gauge."""
        ...

    def observe(self, name: str, value: float, /, **labels: str) -> None:
        """Note a value of a histogram, times in seconds."""
        ...


class AlertRule(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """Watches a metric. Its full name is ``<plugin id>.<name>``; the operator may set another threshold, or turn it off, under that name.

    Attributes:
        metric: Full name of a metric of the hub, such as ``luminai_request_seconds``; of a counter without ``_total``. In a plugin's own rules a name
            without ``luminai_`` is one of the plugin's own metrics.
        of: ``value``: the gauge, the largest of a group. ``increase``: how much a counter grew, ``share``: which part of that growth has the labels
            ``where``, ``p50``, ``p95``, ``p99``: below what so many of a histogram's values lie, all within the last ``over`` seconds.
        labels: Only series with these labels; a value such as ``5xx`` stands for all statuses from 500 to 599.
        by: Labels that make groups of their own, each with its own alert.
        above: Fires while the figure is greater than this; ``below``: while it is smaller. One of the two.
        at_least: With ``share`` and the quantiles: silent unless there were so many in all.
        hold: Seconds for which it must be so before it fires.
        message: One line for people; ``{value}`` and ``{group}`` are filled in.
    """

    name: str
    metric: str
    of: Literal["value", "increase", "share", "p50", "p95", "p99"] = "value"
    labels: dict[str, str] = {}
    where: dict[str, str] = {}
    by: tuple[str, ...] = ()
    above: float | None = None
    below: float | None = None
    at_least: int = 0
    over: float = 300.0
    hold: float = 60.0
    severity: Literal["notice", "warning", "critical"] = "warning"
    message: str
