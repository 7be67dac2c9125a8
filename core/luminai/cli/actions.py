"""``luminai actions``."""

from __future__ import annotations

import json
from typing import Any

import click

from luminai.cli.exits import FOUND_PROBLEMS
from luminai.cli.terminal import HubTerminal
from luminai.contracts.errors import InvalidInput

_COLUMNS = ("name", "summary", "scope", "concurrency", "retries", "timeout")


@click.group()
def actions() -> None:
    """See what plugins can do beside requests, and have it done.

    \b
    Examples:
      luminai actions list
      luminai actions run github.sync repository=luminai/hub
    """


@actions.command("list")
@click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True)
@click.option("--cursor", metavar="NAME", help="Those behind this one.")
@click.pass_obj
def list_actions(terminal: HubTerminal, limit: int, cursor: str | None) -> None:
    """List the actions that you may run.

    \b
    Examples:
      luminai actions list
    """
    query: dict[str, Any] = {"limit": limit} | ({"cursor": cursor} if cursor else {})
    terminal.emit(terminal.request("GET", "/api/actions", query=query)["items"], columns=_COLUMNS)


@actions.command()
@click.argument("name")
@click.pass_obj
def show(terminal: HubTerminal, name: str) -> None:
    """Show an action with the shapes of its input and output.

    \b
    Examples:
      luminai actions show github.sync
    """
    terminal.emit(terminal.request("GET", f"/api/actions/{name}"))


@actions.command()
@click.argument("name")
@click.argument("values", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--input", "given", metavar="JSON", help="The whole input as JSON, instead of single values.")
@click.option("--at", metavar="MOMENT", help="Not before this moment, such as 2026-01-31T08:00:00Z.")
@click.option("--priority", type=click.IntRange(0, 9), default=5, show_default=True, help="9 is most urgent.")
@click.option("--wait", type=click.IntRange(0, 60), default=0, metavar="S", help="Wait so many seconds for its end.")
@click.pass_context
def run(ctx: click.Context, name: str, values: tuple[str, ...], given: str | None, at: str | None, priority: int, wait: int) -> None:
    """Ask for an action. With --wait the exit code is 8 when it did not succeed.

    \b
    Examples:
      luminai actions run github.sync repository=luminai/hub --wait 30
      luminai actions run knowledge.index --input '{"folder": "docs"}'
    """
    terminal: HubTerminal = ctx.obj
    query: dict[str, Any] = {"priority": priority} | ({"run_at": at} if at else {})
    headers = {"Prefer": f"wait={wait}"} if wait else {}
    job = terminal.request("POST", f"/api/actions/{name}", body=read_input(values, given), query=query, headers=headers)
    terminal.emit(job)
    if wait and job["state"] != "succeeded":
        ctx.exit(FOUND_PROBLEMS)


def read_input(values: tuple[str, ...], given: str | None) -> dict[str, Any]:
    """Return the input of an action; a value that is no JSON is text."""
    try:
        found: Any = json.loads(given) if given is not None else {}
    except ValueError as error:
        raise InvalidInput("--input is no JSON.", code="bad-action-input", hint=str(error)) from error
    if not isinstance(found, dict):
        raise InvalidInput("--input is no JSON object.", code="bad-action-input", hint='Write {"key": value}.')
    for value in values:
        key, sign, text = value.partition("=")
        if not sign or not key:
            raise InvalidInput(f"{value!r} is no KEY=VALUE.", code="bad-action-input", hint="For example count=3.")
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
    return found
