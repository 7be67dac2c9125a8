"""``luminai mail``."""

from __future__ import annotations

import click

from luminai.cli.terminal import HubTerminal

_COLUMNS = ("id", "to", "title", "state", "attempts", "created_at", "error")


@click.group()
def mail() -> None:
    """See the hub's letters: those that wait, and those that could not be sent.

    \b
    Examples:
      luminai mail list --state waiting
      luminai mail show mail_018f…
      luminai mail retry mail_018f…
    """


@mail.command("list")
@click.option("--state", default="", type=click.Choice(["waiting", "sent", "failed", "expired", "discarded", ""]), help="Only those in this state.")
@click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True)
@click.option("--cursor", metavar="ID", help="Those before this one.")
@click.pass_obj
def list_letters(terminal: HubTerminal, state: str, limit: int, cursor: str | None) -> None:
    """List letters without what they say, newest first.

    \b
    Examples:
      luminai mail list
      luminai mail list --state failed
    """
    query = {"state": state, "limit": limit} | ({"cursor": cursor} if cursor else {})
    terminal.emit(terminal.request("GET", "/api/admin/mail", query=query)["items"], columns=_COLUMNS)


@mail.command()
@click.argument("letter")
@click.pass_obj
def show(terminal: HubTerminal, letter: str) -> None:
    """Show one letter. An operator (scope *) also reads what it says, to hand a link over where no mail is set up; the audit log tells of it.

    \b
    Examples:
      luminai mail show mail_018f…
    """
    found = terminal.request("GET", f"/api/admin/mail/{letter}")
    if not terminal.is_tty or terminal.options.output == "jsonl":
        terminal.emit(found)
        return
    terminal.emit(found["letter"])
    if found["text"]:
        terminal.write(f"\n{found['text']}\n")
    else:
        terminal.say("What it says is not there any more." if found["text"] is not None else "Only an operator's key reads what it says.")


@mail.command()
@click.argument("letter")
@click.pass_obj
def retry(terminal: HubTerminal, letter: str) -> None:
    """Have a waiting or failed letter sent now.

    \b
    Examples:
      luminai mail retry mail_018f…
    """
    terminal.emit(terminal.request("POST", f"/api/admin/mail/{letter}/retry"))


@mail.command()
@click.argument("letter")
@click.pass_obj
def discard(terminal: HubTerminal, letter: str) -> None:
    """Give a waiting or failed letter up. What it says is deleted.

    \b
    Examples:
      luminai mail discard mail_018f…
    """
    terminal.emit(terminal.request("POST", f"/api/admin/mail/{letter}/discard"))
