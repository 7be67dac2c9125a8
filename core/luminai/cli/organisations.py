"""``luminai organisations``."""

from __future__ import annotations

import sys
from typing import Any

import click

from luminai.cli.people import find_person
from luminai.cli.terminal import HubTerminal

_COLUMNS = ("id", "name", "members", "owners", "created_at")
_PATH = "/api/admin/organisations"


@click.group()
def organisations() -> None:
    """See organisations and who belongs to them, make and delete them, give members roles. WHO is an id or an e-mail address.

    \b
    Examples:
      luminai organisations list
      luminai organisations create "Blue Whale" --owner someone@example.org
      luminai organisations members org_018f…
      luminai organisations give org_018f… someone@example.org member owner
    """


@organisations.command("list")
@click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True)
@click.option("--cursor", metavar="ID", help="Those before this one.")
@click.pass_obj
def list_organisations(terminal: HubTerminal, limit: int, cursor: str | None) -> None:
    """List organisations, newest first. One without owners needs an operator: give somebody the role.

    \b
    Examples:
      luminai organisations list
    """
    terminal.emit(terminal.request("GET", _PATH, query=_page(limit, cursor))["items"], columns=_COLUMNS)


@organisations.command()
@click.argument("organisation")
@click.pass_obj
def show(terminal: HubTerminal, organisation: str) -> None:
    """Show one organisation.

    \b
    Examples:
      luminai organisations show org_018f…
    """
    terminal.emit(terminal.request("GET", f"{_PATH}/{organisation}"))


@organisations.command()
@click.argument("name")
@click.option("--owner", "who", required=True, metavar="WHO", help="Who owns it.")
@click.pass_obj
def create(terminal: HubTerminal, name: str, who: str) -> None:
    """Make an organisation that somebody owns.

    \b
    Examples:
      luminai organisations create "Blue Whale" --owner someone@example.org
    """
    terminal.emit(terminal.request("POST", _PATH, body={"name": name, "owner": find_person(terminal, who)["id"]}))


@organisations.command()
@click.argument("organisation")
@click.argument("name")
@click.pass_obj
def rename(terminal: HubTerminal, organisation: str, name: str) -> None:
    """Give an organisation another name.

    \b
    Examples:
      luminai organisations rename org_018f… "Grey Whale"
    """
    terminal.emit(terminal.request("PATCH", f"{_PATH}/{organisation}", body={"name": name}))


@organisations.command()
@click.argument("organisation")
@click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True)
@click.option("--cursor", metavar="ID", help="Those behind this one.")
@click.pass_obj
def members(terminal: HubTerminal, organisation: str, limit: int, cursor: str | None) -> None:
    """List who belongs to an organisation.

    \b
    Examples:
      luminai organisations members org_018f…
    """
    found = terminal.request("GET", f"{_PATH}/{organisation}/members", query=_page(limit, cursor))["items"]
    terminal.emit(found, columns=("id", "email", "name", "roles"))


@organisations.command()
@click.argument("organisation")
@click.argument("who")
@click.argument("roles", nargs=-1, required=True, metavar="ROLE...")
@click.pass_obj
def give(terminal: HubTerminal, organisation: str, who: str, roles: tuple[str, ...]) -> None:
    """Let somebody hold exactly these roles in an organisation; who was no member becomes one.

    \b
    Examples:
      luminai organisations give org_018f… someone@example.org member owner
    """
    person = find_person(terminal, who)["id"]
    terminal.emit(terminal.request("PUT", f"{_PATH}/{organisation}/members/{person}/roles", body={"roles": list(roles)}))


@organisations.command()
@click.argument("organisation")
@click.argument("who")
@click.pass_obj
def remove(terminal: HubTerminal, organisation: str, who: str) -> None:
    """End somebody's membership at once.

    \b
    Examples:
      luminai organisations remove org_018f… someone@example.org
    """
    terminal.request("DELETE", f"{_PATH}/{organisation}/members/{find_person(terminal, who)['id']}")
    terminal.say("Removed.")


@organisations.command()
@click.argument("organisation")
@click.option("--yes", is_flag=True, help="Do not ask: delete it with all members and rows.")
@click.pass_obj
def delete(terminal: HubTerminal, organisation: str, yes: bool) -> None:
    """Delete an organisation. One with several members, or with rows of plugins, goes only after a question, or with --yes.

    \b
    Examples:
      luminai organisations delete org_018f…
    """
    path, confirmed = f"{_PATH}/{organisation}", yes or terminal.options.yes
    if not confirmed and sys.stdin.isatty():
        found = terminal.request("GET", path)
        confirmed = click.confirm(f"Delete {found['name']}, with {found['members']} members and everything in it, for good?", abort=True, err=True)
    terminal.emit(terminal.request("DELETE", path, query={"confirm": "true"} if confirmed else None))


def _page(limit: int, cursor: str | None) -> dict[str, Any]:
    return {"limit": limit} | ({"cursor": cursor} if cursor else {})
