"""``luminai webhooks``."""

from __future__ import annotations

import click

from luminai.cli.terminal import HubTerminal

_COLUMNS = ("id", "plugin", "webhook", "summary", "state", "attempts", "received_at", "error")


@click.group()
def webhooks() -> None:
    """See what outside services delivered, and what could not be handled.

    \b
    Examples:
      luminai webhooks list --state dead
      luminai webhooks retry whd_018f…
      luminai webhooks discard whd_018f…
    """


@webhooks.command("list")
@click.option("--plugin", default="", metavar="ID", help="Only this plugin's.")
@click.option("--state", default="", type=click.Choice(["waiting", "failed", "done", "dead", "discarded", ""]), help="Only those in this state.")
@click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True)
@click.option("--cursor", metavar="ID", help="Those before this one.")
@click.pass_obj
def list_deliveries(terminal: HubTerminal, plugin: str, state: str, limit: int, cursor: str | None) -> None:
    """List deliveries, newest first.

    \b
    Examples:
      luminai webhooks list
      luminai webhooks list --plugin github --state failed
    """
    query = {"plugin": plugin, "state": state, "limit": limit} | ({"cursor": cursor} if cursor else {})
    terminal.emit(terminal.request("GET", "/api/admin/webhooks", query=query)["items"], columns=_COLUMNS)


@webhooks.command()
@click.argument("delivery")
@click.pass_obj
def show(terminal: HubTerminal, delivery: str) -> None:
    """Show one delivery.

    \b
    Examples:
      luminai webhooks show whd_018f…
    """
    terminal.emit(terminal.request("GET", f"/api/admin/webhooks/{delivery}"))


@webhooks.command()
@click.argument("delivery")
@click.pass_obj
def retry(terminal: HubTerminal, delivery: str) -> None:
    """Have a failed or dead delivery handled again now.

    \b
    Examples:
      luminai webhooks retry whd_018f…
    """
    terminal.emit(terminal.request("POST", f"/api/admin/webhooks/{delivery}/retry"))


@webhooks.command()
@click.argument("delivery")
@click.pass_obj
def discard(terminal: HubTerminal, delivery: str) -> None:
    """Give a delivery up. Its content is deleted; its id stays known, so that it is not taken in again.

    \b
    Examples:
      luminai webhooks discard whd_018f…
    """
    terminal.emit(terminal.request("POST", f"/api/admin/webhooks/{delivery}/discard"))
