"""``luminai endpoints``."""

from __future__ import annotations

from typing import Any, Final

import click

from luminai.cli.terminal import HubTerminal

_COLUMNS: Final = ("id", "subject", "url", "types", "state", "failures", "worked_at")


@click.group()
def endpoints() -> None:
    """Send events to other services as signed webhooks; see what came of it.

    \b
    Examples:
      luminai endpoints create https://example.org/hook --type chat.TurnClosed
      luminai endpoints log end_018f…
      luminai endpoints rotate end_018f…
    """


@endpoints.command("list")
@click.option("--all", "all_of_them", is_flag=True, help="Everybody's.")
@click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True)
@click.option("--cursor", metavar="ID", help="Those before this one.")
@click.pass_obj
def list_endpoints(terminal: HubTerminal, all_of_them: bool, limit: int, cursor: str | None) -> None:
    """List endpoints, newest first.

    \b
    Examples:
      luminai endpoints list
    """
    query: dict[str, Any] = {"limit": limit} | ({"cursor": cursor} if cursor else {})
    path = "/api/admin/endpoints" if all_of_them else "/api/endpoints"
    terminal.emit(terminal.request("GET", path, query=query)["items"], columns=_COLUMNS)


@endpoints.command()
@click.argument("url")
@click.option("--type", "types", multiple=True, required=True, metavar="NAME", help="Full name of an event type; * for all.")
@click.option("--title", default="", help="What it is for.")
@click.option("--everyone", is_flag=True, help="Everybody's events, not only the own ones.")
@click.pass_obj
def create(terminal: HubTerminal, url: str, types: tuple[str, ...], title: str, everyone: bool) -> None:
    """Make an endpoint. Its secret is shown this once.

    \b
    Examples:
      luminai endpoints create https://example.org/hook --type chat.TurnClosed --type github.Pushed
    """
    body = {"url": url, "types": list(types), "title": title, "everyone": everyone}
    terminal.emit(terminal.request("POST", "/api/endpoints", body=body))


@endpoints.command()
@click.argument("endpoint")
@click.pass_obj
def show(terminal: HubTerminal, endpoint: str) -> None:
    """Show an endpoint.

    \b
    Examples:
      luminai endpoints show end_018f…
    """
    terminal.emit(terminal.request("GET", f"/api/endpoints/{endpoint}"))


@endpoints.command()
@click.argument("endpoint")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@click.option("--cursor", metavar="ID", help="Those before this one.")
@click.pass_obj
def log(terminal: HubTerminal, endpoint: str, limit: int, cursor: str | None) -> None:
    """List what was sent to an endpoint and what it answered, newest first.

    \b
    Examples:
      luminai endpoints log end_018f…
    """
    query: dict[str, Any] = {"limit": limit} | ({"cursor": cursor} if cursor else {})
    columns = ("began_at", "message", "type", "attempt", "status", "milliseconds", "error", "answer")
    terminal.emit(terminal.request("GET", f"/api/endpoints/{endpoint}/calls", query=query)["items"], columns=columns)


@endpoints.command()
@click.argument("endpoint")
@click.pass_obj
def rotate(terminal: HubTerminal, endpoint: str) -> None:
    """Give an endpoint another secret, shown this once. For 24 hours messages are signed with both.

    \b
    Examples:
      luminai endpoints rotate end_018f…
    """
    terminal.emit(terminal.request("POST", f"/api/endpoints/{endpoint}/rotate"))


@endpoints.command()
@click.argument("endpoint")
@click.pass_obj
def enable(terminal: HubTerminal, endpoint: str) -> None:
    """Send to an endpoint again that is disabled.

    \b
    Examples:
      luminai endpoints enable end_018f…
    """
    terminal.emit(terminal.request("POST", f"/api/endpoints/{endpoint}/enable"))


@endpoints.command()
@click.argument("endpoint")
@click.pass_obj
def disable(terminal: HubTerminal, endpoint: str) -> None:
    """Send nothing more to an endpoint, whoever's it is.

    \b
    Examples:
      luminai endpoints disable end_018f…
    """
    terminal.emit(terminal.request("POST", f"/api/admin/endpoints/{endpoint}/disable"))


@endpoints.command()
@click.argument("endpoint")
@click.pass_obj
def ping(terminal: HubTerminal, endpoint: str) -> None:
    """Send a test message; `luminai endpoints log` tells how that went.

    \b
    Examples:
      luminai endpoints ping end_018f…
    """
    terminal.emit(terminal.request("POST", f"/api/endpoints/{endpoint}/ping"))


@endpoints.command()
@click.argument("endpoint")
@click.argument("event")
@click.pass_obj
def replay(terminal: HubTerminal, endpoint: str, event: str) -> None:
    """Send an event once more, under the same id.

    \b
    Examples:
      luminai endpoints replay end_018f… evt_018f…
    """
    terminal.emit(terminal.request("POST", f"/api/endpoints/{endpoint}/replay", body={"event": event}))


@endpoints.command()
@click.argument("endpoint")
@click.pass_obj
def delete(terminal: HubTerminal, endpoint: str) -> None:
    """Delete an endpoint; what waits for it is not sent.

    \b
    Examples:
      luminai endpoints delete end_018f…
    """
    terminal.request("DELETE", f"/api/endpoints/{endpoint}")
    terminal.say(f"{endpoint} is deleted.")
