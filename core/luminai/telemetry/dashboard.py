"""A Grafana dashboard of the hub's metrics, made from a list of panels."""

from __future__ import annotations

from typing import Any, Final

WIDTH: Final = 24
PANEL_WIDTH: Final = 8
PANEL_HEIGHT: Final = 8
_OF: Final = '{instance=~"$instance"}'
_FAILED: Final = 'sum by (plugin) (rate(luminai_requests_total{instance=~"$instance",status=~"5.."}[$__rate_interval]))'
_ERRORS: Final = f"{_FAILED} / sum by (plugin) (rate(luminai_requests_total{_OF}[$__rate_interval]))"

PANELS: Final[tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...]] = (
    ("Requests a second", "reqps", ((f"sum by (plugin) (rate(luminai_requests_total{_OF}[$__rate_interval]))", "{{plugin}}"),)),
    ("Share of errors", "percentunit", ((_ERRORS, "{{plugin}}"),)),
    (
        "Time of requests",
        "s",
        tuple(
            (f"histogram_quantile({share}, sum by (le) (rate(luminai_request_seconds_bucket{_OF}[$__rate_interval])))", name)
            for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
        ),
    ),
    (
        "Slowest routes (p95)",
        "s",
        (
            (
                f"topk(10, histogram_quantile(0.95, sum by (le, plugin, route) (rate(luminai_request_seconds_bucket{_OF}[$__rate_interval]))))",
                "{{plugin}} {{route}}",
            ),
        ),
    ),
    (
        "Jobs that wait",
        "short",
        ((f"max by (state) (luminai_jobs{_OF})", "{{state}}"), (f"max(luminai_jobs_oldest_seconds{_OF})", "oldest, seconds")),
    ),
    (
        "Attempts of jobs",
        "ops",
        ((f"sum by (outcome) (rate(luminai_job_attempts_total{_OF}[$__rate_interval]))", "{{outcome}}"),),
    ),
    (
        "Time of jobs (p95)",
        "s",
        (
            (
                f"histogram_quantile(0.95, sum by (le, plugin, action) (rate(luminai_job_seconds_bucket{_OF}[$__rate_interval])))",
                "{{plugin}}.{{action}}",
            ),
            (f"histogram_quantile(0.95, sum by (le) (rate(luminai_job_wait_seconds_bucket{_OF}[$__rate_interval])))", "wait"),
        ),
    ),
    (
        "Use of workers",
        "percentunit",
        ((f"sum by (instance) (luminai_jobs_running{_OF}) / sum by (instance) (luminai_job_slots{_OF})", "{{instance}}"),),
    ),
    (
        "Time of providers (p95)",
        "s",
        (
            (
                f"histogram_quantile(0.95, sum by (le, plugin, channel, call) (rate(luminai_provider_seconds_bucket{_OF}[$__rate_interval])))",
                "{{plugin}} {{channel}} {{call}}",
            ),
        ),
    ),
    (
        "Failures of providers",
        "ops",
        (
            (f"sum by (plugin, channel) (rate(luminai_provider_failures_total{_OF}[$__rate_interval]))", "{{plugin}} {{channel}}"),
            (f"max by (plugin, channel) (luminai_breaker_open{_OF})", "{{plugin}} {{channel}} rests"),
        ),
    ),
    (
        "Database",
        "s",
        tuple(
            (f"histogram_quantile({share}, sum by (le, kind) (rate(luminai_database_seconds_bucket{_OF}[$__rate_interval])))", f"{{{{kind}}}} {name}")
            for share, name in ((0.5, "p50"), (0.99, "p99"))
        ),
    ),
    (
        "Database connections and queue",
        "short",
        ((f"sum by (state) (luminai_database_connections{_OF})", "{{state}}"), (f"sum(luminai_database_writes_waiting{_OF})", "writes that wait")),
    ),
    (
        "Event loop, how late (p99)",
        "s",
        ((f"histogram_quantile(0.99, sum by (le, instance) (rate(luminai_loop_lag_seconds_bucket{_OF}[$__rate_interval])))", "{{instance}}"),),
    ),
    ("Memory", "bytes", ((f"process_resident_memory_bytes{_OF}", "{{instance}}"),)),
    ("Processor", "percentunit", ((f"luminai_process_cpu_share{_OF}", "{{instance}}"), (f"luminai_machine_cpu_share{_OF}", "{{instance}} machine"))),
    ("Open files and sockets", "short", ((f"process_open_fds{_OF}", "{{instance}}"), (f"luminai_streams_open{_OF}", "{{instance}} {{kind}}"))),
    ("Disk", "Bps", ((f"rate(luminai_process_disk_bytes_total{_OF}[$__rate_interval])", "{{instance}} {{direction}}"),)),
    ("Network", "Bps", ((f"rate(luminai_machine_network_bytes_total{_OF}[$__rate_interval])", "{{instance}} {{direction}}"),)),
    ("Free room on the disk", "percentunit", ((f"luminai_disk_free_share{_OF}", "{{instance}}"),)),
    ("Health checks (3 is failing)", "short", ((f"max by (plugin, check) (luminai_health{_OF})", "{{plugin}} {{check}}"),)),
    ("Alerts", "short", ((f"max by (rule, severity) (luminai_alerts_firing{_OF})", "{{severity}} {{rule}}"),)),
    ("Generation", "short", ((f"luminai_generation{_OF}", "{{instance}}"),)),
    ("Cache", "ops", ((f"sum by (plugin, outcome) (rate(luminai_cache_lookups_total{_OF}[$__rate_interval]))", "{{plugin}} {{outcome}}"),)),
)
"""Title, unit as Grafana names it, and the lines: what is asked of Prometheus, and what each is called."""


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it; it asks which Prometheus to take, and shows one hub process or all."""
    source = {"type": "prometheus", "uid": "${source}"}
    panels = [
        {
            "id": number + 1,
            "type": "timeseries",
            "title": title,
            "datasource": source,
            "gridPos": {"x": number * PANEL_WIDTH % WIDTH, "y": number * PANEL_WIDTH // WIDTH * PANEL_HEIGHT, "w": PANEL_WIDTH, "h": PANEL_HEIGHT},
            "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
            "targets": [
                {"refId": chr(ord("A") + place), "datasource": source, "expr": expr, "legendFormat": legend}
                for place, (expr, legend) in enumerate(lines)
            ],
        }
        for number, (title, unit, lines) in enumerate(PANELS)
    ]
    instance = {
        "name": "instance",
        "label": "Process",
        "type": "query",
        "datasource": source,
        "query": {"query": "label_values(luminai_ready, instance)", "refId": "instance"},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }
    return {
        "title": "LuminAI Hub",
        "uid": "luminai-hub",
        "tags": ["luminai"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}, instance]},
        "panels": panels,
    }
