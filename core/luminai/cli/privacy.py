"""``luminai privacy``."""

from __future__ import annotations

import sys
from typing import Any

import click

from luminai.cli.exits import FOUND_PROBLEMS
from luminai.cli.terminal import HubTerminal
from luminai.contracts.errors import NotFound

_PERSONAL = ("personal", "sensitive", "special")


@click.group()
def privacy() -> None:
    """See what the hub holds about people, export and erase them. WHO is a person's id or e-mail address, or <plugin>:<name> for somebody whom a
    plugin knows by a name elsewhere, such as github:octocat.

    \b
    Examples:
      luminai privacy map
      luminai privacy export someone@example.org > export.json
      luminai privacy erase someone@example.org --dry-run
    """


@privacy.command("map")
@click.pass_obj
def show_map(terminal: HubTerminal) -> None:
    """Show every table: which columns are personal, whose they are, how long they stay, and what outlives an erasure.

    \b
    Examples:
      luminai privacy map
      luminai privacy map --output json
    """
    found = terminal.request("GET", "/api/admin/privacy/map")
    if not terminal.is_tty:
        terminal.emit(found)
        return
    rows = [
        {
            "table": table["name"],
            "personal": ", ".join(column["name"] for column in table["columns"] if column["data"] in _PERSONAL),
            "subject": ", ".join(table["subject"]),
            "retention": table["retention"],
            "kept": table["kept"],
        }
        for table in found["tables"]
    ]
    terminal.emit(rows, columns=("table", "personal", "subject", "retention", "kept"))
    for one in found["untold"]:
        terminal.say(f"{one['owner']}: its tables cannot be told: {one['why']}.")


@privacy.command()
@click.argument("who")
@click.pass_obj
def export(terminal: HubTerminal, who: str) -> None:
    """Write everything that the hub holds about somebody to stdout, as one JSON document. The audit log tells of it.

    \b
    Examples:
      luminai privacy export someone@example.org > export.json
    """
    for line in terminal.client.lines("POST", f"/api/admin/privacy/{_subject(terminal, who)}/export"):
        sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


@privacy.command()
@click.argument("who")
@click.option("--dry-run", is_flag=True, help="Change nothing; tell rows by table, and what is kept and why.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def erase(terminal: HubTerminal, who: str, dry_run: bool, yes: bool) -> int:
    """Erase somebody for good: rows of all plugins and of the hub, and the key of what is sealed, in backups too. A legal hold forbids it.

    Exit code 8 when something could not be erased, or a dry run meets a hold.

    \b
    Examples:
      luminai privacy erase someone@example.org --dry-run
      luminai privacy erase someone@example.org --yes
    """
    subject = _subject(terminal, who)
    path = f"/api/admin/privacy/{subject}/erase"
    if not (dry_run or yes or terminal.options.yes):
        if not sys.stdin.isatty():
            raise click.UsageError("Give --yes to erase without being asked, or --dry-run to look.")
        _show(terminal, terminal.request("POST", path, body={"dry_run": True}))
        click.confirm(f"Erase {who} for good?", abort=True, err=True)
    done = terminal.request("POST", path, body={"dry_run": True} if dry_run else {"confirm": subject})
    _show(terminal, done)
    return FOUND_PROBLEMS if done["left"] or done["held"] else 0


def _show(terminal: HubTerminal, done: dict[str, Any]) -> None:
    if not terminal.is_tty:
        terminal.emit(done)
        return
    rows = [{"what": name, "rows": f"{count:,}", "why": ""} for name, count in done["erased"].items()]
    rows += [{"what": name, "rows": "kept", "why": why} for name, why in done["kept"].items()]
    rows += [{"what": name, "rows": "left", "why": why} for name, why in done["left"].items()]
    terminal.emit(rows, columns=("what", "rows", "why"))
    if done["held"]:
        terminal.say("A legal hold stands: `luminai audit holds`.")


def _subject(terminal: HubTerminal, who: str) -> str:
    if "@" not in who or ":" in who:
        return who
    items = terminal.request("GET", "/api/admin/people", query={"email": who})["items"]
    if not items:
        raise NotFound(f"Nobody has the address {who}.", code="person-not-found", hint="`luminai people list` shows everybody.")
    found: str = items[0]["id"]
    return found
