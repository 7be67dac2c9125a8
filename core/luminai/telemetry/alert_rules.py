"""Alert rules as data: the hub's own, what operators write, and the same in Prometheus' language."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct, structs

from luminai.contracts.errors import ProblemItem
from luminai.contracts.metrics import AlertRule

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_METRIC: Final = re.compile(r"[a-z][a-z0-9_]{0,120}")
_CLASS: Final = re.compile(r"[1-5]xx")
_QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_PLUGIN: Final = ("plugin",)

HUB_RULES: Final = (
    AlertRule(
        name="error-rate",
        metric="luminai_requests",
        of="share",
        where={"status": "5xx"},
        by=_PLUGIN,
        above=0.01,
        at_least=50,
        message="{value} of the requests of {group} end in an error.",
    ),
    AlertRule(
        name="slow", metric="luminai_request_seconds", of="p95", by=_PLUGIN, above=0.5, at_least=50, hold=300, message="p95 of {group} is {value} s."
    ),
    AlertRule(name="queue", metric="luminai_jobs", labels={"state": "queued"}, above=100, message="{value} jobs wait for a worker."),
    AlertRule(name="queue-age", metric="luminai_jobs_oldest_seconds", above=300, message="The oldest job waits {value} s for a worker."),
    AlertRule(
        name="jobs-fail",
        metric="luminai_job_attempts",
        of="share",
        where={"outcome": "dead"},
        by=_PLUGIN,
        above=0.05,
        at_least=20,
        message="{value} of the job attempts of {group} are given up.",
    ),
    AlertRule(
        name="jobs-dead",
        metric="luminai_job_attempts",
        of="increase",
        labels={"outcome": "dead"},
        by=("plugin", "action"),
        above=0,
        hold=0,
        severity="notice",
        message="{value} jobs of {group} are dead; `luminai jobs list --state dead` shows them.",
    ),
    AlertRule(name="database-busy", metric="luminai_database_in_use_share", above=0.8, message="{value} of the database connections are in use."),
    AlertRule(name="database-slow", metric="luminai_database_seconds", of="p95", above=0.5, at_least=20, message="p95 of the database is {value} s."),
    AlertRule(name="cpu", metric="luminai_process_cpu_share", above=0.8, hold=300, message="The hub takes {value} of all processors."),
    AlertRule(
        name="memory", metric="luminai_process_memory_share", above=0.8, hold=300, message="The hub takes {value} of the memory that it may have."
    ),
    AlertRule(name="disk", metric="luminai_disk_free_share", below=0.1, severity="critical", message="Only {value} of the disk is free."),
    AlertRule(name="descriptors", metric="luminai_process_descriptors_share", above=0.8, message="{value} of the descriptors are in use."),
    AlertRule(name="loop", metric="luminai_loop_lag_seconds", of="p99", above=0.25, at_least=100, message="The event loop is {value} s late (p99)."),
    AlertRule(
        name="provider-fails",
        metric="luminai_provider_failures",
        of="increase",
        by=("plugin", "channel"),
        above=5,
        hold=0,
        message="{group} failed {value} times.",
    ),
    AlertRule(
        name="resting", metric="luminai_breaker_open", by=("plugin", "channel"), above=0, hold=0, message="{group} rests after failing too often."
    ),
    AlertRule(name="unhealthy", metric="luminai_health", by=("plugin", "check"), above=2, severity="critical", message="{group} is failing."),
    AlertRule(
        name="plugin-failed",
        metric="luminai_plugin_state",
        labels={"state": "failed"},
        by=_PLUGIN,
        above=0,
        hold=0,
        severity="critical",
        message="{group} does not run although it should.",
    ),
    AlertRule(
        name="refused-credentials",
        metric="luminai_requests",
        of="increase",
        labels={"status": "401"},
        above=300,
        hold=0,
        message="{value} requests within five minutes came without a credential that holds.",
    ),
)
"""What every hub watches over; thresholds are the products' strictest that all of them can live with."""


class RuleSettings(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[alerts.rules.<name>]``: changes a rule of the hub (``hub.slow``) or of a plugin (``chat.slow``), or is one of the operator's own."""

    enabled: Annotated[bool, Meta(description="Whether it is watched.")] = True
    metric: Annotated[str, Meta(max_length=120, description="What is watched: a name of /metrics, of a counter without _total.")] = ""
    of: Annotated[
        Literal["value", "increase", "share", "p50", "p95", "p99"] | None,
        Meta(description="value of a gauge; increase of a counter; share of its increase that fits where; p50, p95, p99 of a histogram."),
    ] = None
    labels: Annotated[dict[str, str] | None, Meta(description="Only series with these labels.")] = None
    where: Annotated[dict[str, str] | None, Meta(description="Of a share: the labels of the part.")] = None
    by: Annotated[tuple[str, ...] | None, Meta(description="Labels whose values have an alert each.")] = None
    above: Annotated[float | None, Meta(description="Fires while it is greater.")] = None
    below: Annotated[float | None, Meta(description="Fires while it is smaller.")] = None
    at_least: Annotated[int | None, Meta(description="Of shares and quantiles: silent below so many.")] = None
    over: Annotated[float | None, Meta(description="Seconds that are looked back on, 30 to 3600.")] = None
    hold: Annotated[float | None, Meta(description="Seconds for which it must be so, at most a day.")] = None
    severity: Annotated[Literal["notice", "warning", "critical"] | None, Meta(description="How bad it is.")] = None
    message: Annotated[str, Meta(max_length=200, description="One line for people; {value} and {group} are filled in.")] = ""

    def given(self) -> dict[str, Any]:
        """Return what is set."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__ if name != "enabled"}
        return {name: value for name, value in fields.items() if value is not None and value != ""}


def apply(known: Mapping[str, AlertRule], settings: Mapping[str, RuleSettings]) -> dict[str, AlertRule]:
    """Return the rules by full name as the operator wants them. Settings for a plugin's rule that is not there wait for the plugin."""
    found = dict(known)
    for name, one in settings.items():
        given = one.given()
        if not one.enabled:
            found.pop(name, None)
        elif name in known:
            other_side = {"below": None} if "above" in given else {"above": None} if "below" in given else {}
            found[name] = structs.replace(known[name], **{**other_side, **given})
        elif "metric" in given and "message" in given:
            found[name] = AlertRule(name=name, **given)
    return found


def problems_of(rules: Iterable[AlertRule]) -> list[ProblemItem]:
    """Return what is wrong with rules."""
    return [problem for rule in rules for problem in _problems(rule)]


def problems_of_settings(settings: Mapping[str, RuleSettings]) -> list[tuple[str, ProblemItem]]:
    """Return what is wrong with ``[alerts.rules]``, each with the rule's name, as far as it can be told before any plugin runs."""
    known = {f"hub.{rule.name}": rule for rule in HUB_RULES}
    found = []
    for name, one in settings.items():
        if name.startswith("hub.") and name not in known:
            hint = f"Known: {', '.join(known)}."
            found.append((name, ProblemItem(pointer=name, detail="there is no such rule", hint=hint, code="bad-alert-rule")))
        elif "." not in name and one.enabled and not {"metric", "message"} <= one.given().keys():
            hint = "A rule of your own needs metric and message."
            found.append((name, ProblemItem(pointer=name, detail="metric or message is missing", hint=hint, code="bad-alert-rule")))
    made = apply(known, settings)
    return found + [(name, problem) for name in settings if name in made for problem in _problems(made[name])]


def _problems(rule: AlertRule) -> Iterator[ProblemItem]:
    quantile, share = rule.of in _QUANTILES, rule.of == "share"
    few = len(rule.by) <= 4 and len(rule.labels) <= 8 and len(rule.where) <= 8
    checks = (
        (all(_NAME.fullmatch(part) for part in rule.name.split(".")), "name", "is no name of a rule", "Small letters, digits and -."),
        (bool(_METRIC.fullmatch(rule.metric)), "metric", "is no name of a metric", "As luminai_jobs; /metrics shows them all."),
        (not rule.metric.endswith(("_bucket", "_total")), "metric", "names a single series", "Leave _bucket and _total away."),
        ((rule.above is None) != (rule.below is None), "above", "goes alone: one of above and below", "Write above = 100."),
        (share == bool(rule.where), "where", "goes with of = share, and only with it", 'Write of = "share" and where = {status = "5xx"}.'),
        (30 <= rule.over <= 3600, "over", f"is {rule.over:g}, expected 30 to 3600 seconds", ""),
        (0 <= rule.hold <= 86_400, "hold", f"is {rule.hold:g}, expected 0 to 86,400 seconds", ""),
        (rule.at_least == 0 or quantile or share, "at-least", "goes with shares and quantiles", "Leave it away."),
        (few, "by", "names too many labels", "At most 4 to group by."),
        (bool(rule.message.strip()) and len(rule.message) <= 200, "message", "is missing, or longer than 200 characters", "Say it in one line."),
    )
    for good, key, detail, hint in checks:
        if not good:
            yield ProblemItem(pointer=f"{rule.name}.{key}", detail=f"{key} {detail}", hint=hint, code="bad-alert-rule")


def fits(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Tell whether a series has the wanted labels; ``5xx`` stands for the statuses of a class."""
    return all(
        labels.get(name, "") == value or (_CLASS.fullmatch(value) is not None and len(labels.get(name, "")) == 3 and labels[name][0] == value[0])
        for name, value in wanted.items()
    )


def promql(rule: AlertRule) -> str:
    """Return the rule's condition as Prometheus reads it."""
    by = f" by ({', '.join(rule.by)})" if rule.by else ""
    span = f"[{rule.over:g}s]"
    compared = f"> {rule.above:g}" if rule.above is not None else f"< {rule.below:g}"
    total = f"{rule.metric}_total"
    if rule.of == "value":
        return f"{'max' if rule.above is not None else 'min'}{by} ({rule.metric}{_selector(rule.labels)}) {compared}"
    if rule.of == "increase":
        return f"sum{by} (increase({total}{_selector(rule.labels)}{span})) {compared}"
    if rule.of == "share":
        whole = f"sum{by} (increase({total}{_selector(rule.labels)}{span}))"
        part = f"sum{by} (increase({total}{_selector({**rule.labels, **rule.where})}{span}))"
        enough = f" and {whole} >= {rule.at_least}" if rule.at_least else ""
        return f"{part} / {whole} {compared}{enough}"
    groups = ", ".join(("le", *rule.by))
    measured = f"histogram_quantile({_QUANTILES[rule.of]}, sum by ({groups}) (rate({rule.metric}_bucket{_selector(rule.labels)}{span}))) {compared}"
    enough = f" and sum{by} (increase({rule.metric}_count{_selector(rule.labels)}{span})) >= {rule.at_least}" if rule.at_least else ""
    return measured + enough


def prometheus_rules(rules: Mapping[str, AlertRule]) -> dict[str, Any]:
    """Return the content of a rule file of Prometheus; JSON is YAML, so it can be written as it is."""
    alerts = [
        {
            "alert": "Luminai" + "".join(part.title() for part in re.split(r"[.-]", name)),
            "expr": promql(rule),
            "for": f"{rule.hold:g}s",
            "labels": {"severity": rule.severity, "rule": name},
            "annotations": {"summary": rule.message.replace("{value}", "{{ $value }}").replace("{group}", _group_template(rule.by))},
        }
        for name, rule in sorted(rules.items())
    ]
    return {"groups": [{"name": "luminai", "rules": alerts}]}


def _group_template(by: tuple[str, ...]) -> str:
    return " ".join(f"{{{{ $labels.{name} }}}}" for name in by) or "the hub"


def _selector(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    said = [
        f'{name}=~"{value[0]}.."' if _CLASS.fullmatch(value) else '{}="{}"'.format(name, value.replace("\\", "\\\\").replace('"', '\\"'))
        for name, value in sorted(labels.items())
    ]
    return "{" + ",".join(said) + "}"
