"""``luminai alerts``."""

from __future__ import annotations

import click

from luminai.cli.exits import FOUND_PROBLEMS
from luminai.cli.terminal import HubTerminal


@click.group()
def alerts() -> None:
    """See what the hub warns of, by which rules, and try who is told.

    \b
    Examples:
      luminai alerts list
      luminai alerts test
    """


@alerts.command("list")
@click.option("--ended", is_flag=True, help="Also those that are over.")
@click.pass_obj
def list_alerts(terminal: HubTerminal, ended: bool) -> int:
    """List what is pending or fires (exit code 8 when something critical fires).

    \b
    Examples:
      luminai alerts list --ended
    """
    found = terminal.request("GET", "/api/admin/alerts", query={"ended": str(ended).lower(), "limit": 100})["items"]
    terminal.emit(found, columns=("state", "severity", "message", "rule", "since"))
    return FOUND_PROBLEMS if any(one["state"] == "firing" and one["severity"] == "critical" for one in found) else 0


@alerts.command()
@click.pass_obj
def rules(terminal: HubTerminal) -> None:
    """List the rules that are watched.

    \b
    Examples:
      luminai alerts rules
    """
    found = terminal.request("GET", "/api/admin/alerts/rules", query={"limit": 100})["items"]
    terminal.emit([{"name": one["name"], **one["rule"], **one} for one in found], columns=("name", "severity", "hold", "promql", "has_data"))


@alerts.command()
@click.pass_obj
def prometheus(terminal: HubTerminal) -> None:
    """Print the rules as a rule file of Prometheus (JSON, which is YAML).

    \b
    Examples:
      luminai alerts prometheus > luminai.rules.yml
    """
    terminal.emit(terminal.request("GET", "/api/admin/alerts/prometheus"))


@alerts.command()
@click.argument("channel", default="")
@click.pass_obj
def test(terminal: HubTerminal, channel: str) -> int:
    """Send a test message through CHANNEL, or through all (exit code 8 when one does not take it).

    \b
    Examples:
      luminai alerts test
      luminai alerts test on-call
    """
    found = terminal.request("POST", "/api/admin/alerts/test", body={"channel": channel})
    terminal.emit(found, columns=("channel", "kind", "ok", "detail"))
    return 0 if all(one["ok"] for one in found) else FOUND_PROBLEMS
