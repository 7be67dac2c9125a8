"""``luminai repairs``."""

from __future__ import annotations

import click

from luminai.cli.exits import FOUND_PROBLEMS
from luminai.cli.terminal import HubTerminal


@click.group()
def repairs() -> None:
    """See what needs a look in the running hub, fix it, or put it aside.

    \b
    Examples:
      luminai repairs list
      luminai repairs fix plugin:chat:parked
      luminai repairs ignore wishes-not-in-files --reason "on purpose until Monday"
    """


@repairs.command("list")
@click.option("--all", "every", is_flag=True, help="Also those that were put aside.")
@click.pass_obj
def list_repairs(terminal: HubTerminal, every: bool) -> int:
    """List what needs a look, errors first (exit code 8 when there is an error).

    \b
    Examples:
      luminai repairs list
    """
    found = [item for item in terminal.request("GET", "/api/admin/repairs")["items"] if every or item["ignored"] is None]
    if not terminal.is_tty:
        terminal.emit(found)
    elif not found:
        terminal.write("Nothing needs a look.\n")
    for item in found if terminal.is_tty else ():
        act = f"luminai repairs fix {item['id']}" if item["fix"]["action"] else ""
        lines = [f"{item['severity'].upper()}  {item['title']}   [{item['id']}]", f"  why     {item['cause']}", f"  effect  {item['effect']}"]
        lines += [f"  do      {step}" for step in (*([act] if act else []), *item["fix"]["steps"])]
        lines += [f"  ignored {item['ignored']['reason']}"] if item["ignored"] else []
        terminal.write("\n".join(lines) + "\n\n")
    return FOUND_PROBLEMS if any(item["severity"] == "error" and item["ignored"] is None for item in found) else 0


@repairs.command()
@click.argument("item")
@click.pass_obj
def fix(terminal: HubTerminal, item: str) -> None:
    """Take the action of an item.

    \b
    Examples:
      luminai repairs fix plugin:chat:start-failed
    """
    terminal.emit(terminal.request("POST", f"/api/admin/repairs/{item}/fix"))


@repairs.command()
@click.argument("item")
@click.option("--reason", required=True, help="Why it may stay so; the others read it.")
@click.pass_obj
def ignore(terminal: HubTerminal, item: str, reason: str) -> None:
    """Put an item aside.

    \b
    Examples:
      luminai repairs ignore health:storage-local:disk --reason "the disk comes on Friday"
    """
    terminal.emit(terminal.request("POST", f"/api/admin/repairs/{item}/ignore", body={"reason": reason}))


@repairs.command()
@click.argument("item")
@click.pass_obj
def show(terminal: HubTerminal, item: str) -> None:
    """Show an item again that was put aside.

    \b
    Examples:
      luminai repairs show wishes-not-in-files
    """
    terminal.request("DELETE", f"/api/admin/repairs/{item}/ignore")
    terminal.say(f"{item} is shown again.")
