"""``luminai metrics``."""

from __future__ import annotations

import click

from luminai.cli.terminal import HubTerminal


@click.group()
def metrics() -> None:
    """See how long things take, and get a dashboard.

    \b
    Examples:
      luminai metrics timings
      luminai metrics dashboard > luminai.json
    """


@metrics.command()
@click.option("--metric", default="", help="Only this one, e.g. request, job, provider, database.")
@click.pass_obj
def timings(terminal: HubTerminal, metric: str) -> None:
    """List p50, p95 and p99 of requests, jobs, providers and the database since the start, the most used first.

    \b
    Examples:
      luminai metrics timings --metric request
    """
    found = [one for one in terminal.request("GET", "/api/admin/timings") if not metric or one["metric"] == metric]
    for one in found if terminal.is_tty else ():
        one["labels"] = " ".join(one["labels"].values())
    terminal.emit(found, columns=("metric", "labels", "count", "p50_ms", "p95_ms", "p99_ms"))


@metrics.command()
@click.pass_obj
def dashboard(terminal: HubTerminal) -> None:
    """Print a dashboard to import into Grafana; it asks for the Prometheus that scrapes the hub.

    \b
    Examples:
      luminai metrics dashboard > luminai.json
    """
    from luminai.telemetry.dashboard import dashboard as made

    terminal.emit(made())
