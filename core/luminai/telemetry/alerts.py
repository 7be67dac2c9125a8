"""Watches figures by rules: what is too much for long enough fires, and is resolved when it is not so any more."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from luminai.contracts.metrics import AlertRule
from luminai.telemetry.alert_rules import fits
from luminai.telemetry.figures import Family, Labels, Spread, Value, quantile

MAX_GROUPS: Final = 50
MAX_ENDED: Final = 200
MAX_ID: Final = 400
_STEPS: Final = 60
"""Into so many steps the time is cut that a rule looks back on."""
_SHARES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
Vector = tuple[float, ...]


class Alert(Struct, frozen=True, kw_only=True):
    """What a rule says of one group. ``id`` is stable while it is about the same.

    Attributes:
        state: ``pending``: too much, but not for long enough yet; ``firing``; ``resolved``.
        value: The figure at the last look; of a resolved one, the last that was too much.
    """

    id: str
    rule: str
    group: dict[str, str]
    state: Literal["pending", "firing", "resolved"]
    severity: Literal["notice", "warning", "critical"]
    message: str
    value: float
    threshold: float
    since: datetime
    fired_at: datetime | None = None
    resolved_at: datetime | None = None


class Watch:
    """One rule with what it remembers of the past."""

    def __init__(self, name: str, rule: AlertRule) -> None:
        self.name = name
        self.rule = rule
        self._past: deque[tuple[float, dict[Labels, Vector]]] = deque()
        self.has_data = False
        self.too_many = False

    def look(self, family: Family | None, now: float) -> dict[Labels, float]:
        """Return the figure of each group; a group without enough values has none. ``now`` is seconds that never go back."""
        rule = self.rule
        vectors = self._vectors(family) if family is not None else {}
        self.has_data = bool(vectors)
        if rule.of == "value":
            return {group: vector[0] for group, vector in vectors.items()}
        while len(self._past) > 1 and self._past[1][0] <= now - rule.over:
            self._past.popleft()
        base = self._past[0][1] if self._past else vectors
        if not self._past or now - self._past[-1][0] >= rule.over / _STEPS:
            self._past.append((now, vectors))
        found = {}
        for group, vector in vectors.items():
            figure = self._figure(_grown(vector, base.get(group)), family)
            if figure is not None:
                found[group] = figure
        return found

    def _figure(self, grown: Vector, family: Family | None) -> float | None:
        least = max(1, self.rule.at_least)
        if self.rule.of == "increase":
            return grown[0]
        if self.rule.of == "share":
            return grown[0] / grown[1] if grown[1] >= least else None
        counts = [int(one) for one in grown]
        return quantile(counts, family.bounds, _SHARES[self.rule.of]) if family is not None and sum(counts) >= least else None

    def _vectors(self, family: Family) -> dict[Labels, Vector]:
        rule, found = self.rule, dict[Labels, Vector]()
        self.too_many = False
        for key, value in list(family.rows.items()):
            labels = dict(zip(family.labels, key, strict=True))
            if not fits(labels, rule.labels):
                continue
            group = tuple(labels.get(name, "") for name in rule.by)
            vector = self._vector(value, labels)
            if vector is None:
                continue
            if group not in found and len(found) >= MAX_GROUPS:
                self.too_many = True
                continue
            before = found.get(group)
            if before is None:
                found[group] = vector
            elif rule.of == "value":
                found[group] = (max(before[0], vector[0]) if rule.above is not None else min(before[0], vector[0]),)
            else:
                found[group] = tuple(a + b for a, b in zip(before, vector, strict=True))
        return found

    def _vector(self, value: Value, labels: Mapping[str, str]) -> Vector | None:
        if self.rule.of in _SHARES:
            return tuple(value.counts) if isinstance(value, Spread) else None
        number = float(value.count) if isinstance(value, Spread) else value
        if self.rule.of == "share":
            return (number if fits(labels, self.rule.where) else 0.0, number)
        return (number,)


class AlertBoard:
    """All rules of a generation, and what fires.

    Args:
        rules: By full name.
        before: The board of the generation before: rules that did not change go on where they were.
    """

    def __init__(self, rules: Mapping[str, AlertRule], before: AlertBoard | None = None) -> None:
        same = {name: watch for name, watch in before.watches.items() if rules.get(name) == watch.rule} if before is not None else {}
        self.watches: dict[str, Watch] = {name: same.get(name) or Watch(name, rule) for name, rule in rules.items()}
        self._open: dict[str, Alert] = before._open if before is not None else {}  # noqa: SLF001 - of its own kind
        self._began: dict[str, float] = before._began if before is not None else {}  # noqa: SLF001 - as above
        self.ended: deque[Alert] = before.ended if before is not None else deque(maxlen=MAX_ENDED)

    @property
    def open(self) -> list[Alert]:
        """What is pending or fires, the worst first."""
        return worst_first(self._open.values())

    def round(self, families: Iterable[Family], now: datetime, monotonic: float) -> list[Alert]:
        """Look at every rule, and return the alerts that began to fire or were resolved."""
        by_name = {family.name: family for family in families}
        changes, seen = [], set()
        for watch in self.watches.values():
            for group, value in watch.look(by_name.get(watch.rule.metric), monotonic).items():
                if _is_too_much(watch.rule, value):
                    alert, begins = self._too_much(watch, group, value, now, monotonic)
                    seen.add(alert.id)
                    if begins:
                        changes.append(alert)
        for alert_id in self._open.keys() - seen:
            alert = self._open.pop(alert_id)
            del self._began[alert_id]
            if alert.state == "firing":
                ended = replace(alert, state="resolved", resolved_at=now)
                self.ended.append(ended)
                changes.append(ended)
        return changes

    def _too_much(self, watch: Watch, group: Labels, value: float, now: datetime, monotonic: float) -> tuple[Alert, bool]:
        """Note it, and tell whether it begins to fire now."""
        rule = watch.rule
        labels = dict(zip(rule.by, group, strict=True))
        alert_id = (watch.name + (f":{','.join(group)}" if group else ""))[:MAX_ID]
        known = self._open.get(alert_id)
        began = self._began.setdefault(alert_id, monotonic)
        fires = monotonic - began >= rule.hold
        message = rule.message.replace("{value}", f"{value:.4g}").replace("{group}", " ".join(group) or "the hub")
        alert = Alert(
            id=alert_id,
            rule=watch.name,
            group=labels,
            state="firing" if fires else "pending",
            severity=rule.severity,
            message=message,
            value=value,
            threshold=rule.above if rule.above is not None else rule.below or 0.0,
            since=known.since if known is not None else now,
            fired_at=(known.fired_at if known is not None and known.fired_at else now) if fires else None,
        )
        self._open[alert_id] = alert
        return alert, fires and (known is None or known.state != "firing")


def worst_first(alerts: Iterable[Alert]) -> list[Alert]:
    """Return alerts in the order in which people should look at them."""
    rank = {"critical": 0, "warning": 1, "notice": 2}
    return sorted(alerts, key=lambda one: (one.state != "firing", rank[one.severity], one.id))


def _is_too_much(rule: AlertRule, value: float) -> bool:
    return value > rule.above if rule.above is not None else rule.below is not None and value < rule.below


def _grown(now: Vector, base: Vector | None) -> Vector:
    """Return how much each number grew; numbers that went down began anew, as those of a plugin that was replaced do."""
    if base is None or len(base) != len(now) or any(new < old for new, old in zip(now, base, strict=True)):
        return now
    return tuple(new - old for new, old in zip(now, base, strict=True))
