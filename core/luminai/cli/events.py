"""``luminai events``."""

from __future__ import annotations

from typing import Any, Final

import click

from luminai.cli.terminal import HubTerminal

_COLUMNS: Final = ("id", "type", "subject", "owner", "key", "number", "correlation", "at")


@click.group()
def events() -> None:
    """See what happened, follow a chain of events, catch a subscription up.

    \b
    Examples:
      luminai events list --type chat.TurnClosed
      luminai events list --all --chain req_018f…
      luminai events replay note.on-chat-turn-closed
    """


@events.command("list")
@click.option("--type", "of_type", default="", metavar="NAME", help="Only those of this type, or of this plugin.")
@click.option("--key", default="", help="Only those with this key.")
@click.option("--chain", default="", metavar="ID", help="Only those that follow from this request, job or event.")
@click.option("--about", default="", metavar="ID", help="Only those about this person or thing; with --all.")
@click.option("--all", "all_of_them", is_flag=True, help="Everybody's.")
@click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True)
@click.option("--cursor", metavar="ID", help="Those before this one.")
@click.pass_obj
def list_events(terminal: HubTerminal, of_type: str, key: str, chain: str, about: str, all_of_them: bool, limit: int, cursor: str | None) -> None:
    """List events, newest first.

    \b
    Examples:
      luminai events list
      luminai events list --all --type github --about octo/hello
    """
    query: dict[str, Any] = {"type": of_type, "key": key, "correlation": chain, "limit": limit} | ({"cursor": cursor} if cursor else {})
    query |= {"subject": about} if all_of_them else {}
    path = "/api/admin/events" if all_of_them else "/api/events"
    terminal.emit(terminal.request("GET", path, query=query)["items"], columns=_COLUMNS)


@events.command()
@click.argument("event")
@click.pass_obj
def show(terminal: HubTerminal, event: str) -> None:
    """Show one event with its payload, and to operators what became of it.

    \b
    Examples:
      luminai events show evt_018f…
    """
    terminal.emit(terminal.request("GET", f"/api/events/{event}"))


@events.command()
@click.pass_obj
def types(terminal: HubTerminal) -> None:
    """List the event types of running plugins.

    \b
    Examples:
      luminai events types
    """
    found = terminal.request("GET", "/api/event-types", query={"limit": 100})["items"]
    terminal.emit(found, columns=("type", "version", "keep", "summary"))


@events.command()
@click.option("--days", type=click.IntRange(1, 366), default=7, show_default=True)
@click.pass_obj
def count(terminal: HubTerminal, days: int) -> None:
    """Count events by type.

    \b
    Examples:
      luminai events count --days 30
    """
    columns = ("type", "count", "subjects", "first", "last")
    terminal.emit(terminal.request("GET", "/api/admin/event-counts", query={"days": days}), columns=columns)


@events.command()
@click.pass_obj
def subscriptions(terminal: HubTerminal) -> None:
    """List durable subscriptions.

    \b
    Examples:
      luminai events subscriptions
    """
    found = terminal.request("GET", "/api/admin/event-subscriptions", query={"limit": 100})["items"]
    terminal.emit(found, columns=("subscription", "event", "running"))


@events.command()
@click.argument("plugin")
@click.argument("aggregate")
@click.argument("key")
@click.option("--number", type=click.IntRange(0), help="After so many events.")
@click.option("--at", metavar="TIME", help="As it was at this moment, such as 2026-11-01T08:00:00Z.")
@click.option("--full", is_flag=True, help="Apply every event, as if there were no snapshots.")
@click.pass_obj
def state(terminal: HubTerminal, plugin: str, aggregate: str, key: str, number: int | None, at: str | None, full: bool) -> None:
    """Show the state that follows from a plugin's stream of events: now, or at any time before.

    \b
    Examples:
      luminai events state phoenix energy usr_018f… --at 2026-11-01T08:00:00Z
    """
    query: dict[str, Any] = {"plugin": plugin, "aggregate": aggregate, "key": key, "full": "true" if full else "false"}
    query |= {name: value for name, value in (("number", number), ("at", at)) if value is not None}
    terminal.emit(terminal.request("GET", "/api/admin/event-state", query=query))


@events.command()
@click.argument("subscription")
@click.option("--since", default="", metavar="EVENT", help="Only what happened after this event.")
@click.pass_obj
def replay(terminal: HubTerminal, subscription: str, since: str) -> None:
    """Have a durable subscription get the events of the log that it did not get.

    \b
    Examples:
      luminai events replay note.on-chat-turn-closed
    """
    body = {"subscription": subscription, "since": since}
    terminal.emit(terminal.request("POST", "/api/admin/event-subscriptions/replay", body=body))
