"""``luminai people`` and ``luminai identity``."""

from __future__ import annotations

from typing import Any

import click

from luminai.cli.terminal import HubTerminal
from luminai.contracts.errors import NotFound

_COLUMNS = ("id", "email", "name", "status", "roles", "has_second_factor", "created_at")


@click.group()
def people() -> None:
    """See who has an account, invite, suspend and restore people, give them roles. WHO is an id or an e-mail address.

    \b
    Examples:
      luminai people list --status suspended
      luminai people invite someone@example.org --role member
      luminai people suspend someone@example.org
      luminai people roles give someone@example.org admin
    """


@people.command("list")
@click.option("--status", default="", type=click.Choice(["invited", "active", "suspended", "erased", ""]), help="Only those.")
@click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True)
@click.option("--cursor", metavar="ID", help="Those before this one.")
@click.pass_obj
def list_people(terminal: HubTerminal, status: str, limit: int, cursor: str | None) -> None:
    """List people, newest first.

    \b
    Examples:
      luminai people list
    """
    query = {"status": status, "limit": limit} | ({"cursor": cursor} if cursor else {})
    terminal.emit(terminal.request("GET", "/api/admin/people", query=query)["items"], columns=_COLUMNS)


@people.command()
@click.argument("who")
@click.pass_obj
def show(terminal: HubTerminal, who: str) -> None:
    """Show one person.

    \b
    Examples:
      luminai people show someone@example.org
    """
    terminal.emit(find_person(terminal, who))


@people.command()
@click.argument("email")
@click.option("--name", default="", help="How the person is called.")
@click.option("--role", "given", multiple=True, metavar="ROLE", help="What the person may do; without one: member.")
@click.pass_obj
def invite(terminal: HubTerminal, email: str, name: str, given: tuple[str, ...]) -> None:
    """Invite somebody by letter; where the hub cannot send letters, hand the printed token over.

    \b
    Examples:
      luminai people invite someone@example.org --role member
    """
    terminal.emit(terminal.request("POST", "/api/admin/people", body={"email": email, "name": name, "roles": list(given)}))


@people.command()
@click.argument("who")
@click.pass_obj
def suspend(terminal: HubTerminal, who: str) -> None:
    """Shut somebody out at once: sessions end, keys stop to hold.

    \b
    Examples:
      luminai people suspend someone@example.org
    """
    terminal.emit(terminal.request("POST", f"/api/admin/people/{find_person(terminal, who)['id']}/suspend"))


@people.command()
@click.argument("who")
@click.pass_obj
def restore(terminal: HubTerminal, who: str) -> None:
    """Let somebody in again.

    \b
    Examples:
      luminai people restore someone@example.org
    """
    terminal.emit(terminal.request("POST", f"/api/admin/people/{find_person(terminal, who)['id']}/restore"))


@people.group()
def roles() -> None:
    """See roles, change what they allow, give them to people.

    \b
    Examples:
      luminai people roles list
      luminai people roles give someone@example.org member editor
      luminai people roles set editor --title "Writes the knowledge base" --scope knowledge:manage
    """


@roles.command("list")
@click.pass_obj
def list_roles(terminal: HubTerminal) -> None:
    """List roles with their scopes.

    \b
    Examples:
      luminai people roles list
    """
    terminal.emit(terminal.request("GET", "/api/admin/roles"), columns=("name", "title", "scopes"))


@roles.command()
@click.argument("who")
@click.argument("names", nargs=-1, metavar="[ROLE]...")
@click.pass_obj
def give(terminal: HubTerminal, who: str, names: tuple[str, ...]) -> None:
    """Let somebody hold exactly these roles; without any, none.

    \b
    Examples:
      luminai people roles give someone@example.org member admin
    """
    terminal.emit(terminal.request("PUT", f"/api/admin/people/{find_person(terminal, who)['id']}/roles", body={"roles": list(names)}))


@roles.command("set")
@click.argument("role")
@click.option("--title", required=True, help="What it is for.")
@click.option("--scope", "scopes", multiple=True, metavar="SCOPE", help="What it allows, e.g. chat:write.")
@click.pass_obj
def set_role(terminal: HubTerminal, role: str, title: str, scopes: tuple[str, ...]) -> None:
    """Make a role, or change it for everybody who holds it.

    \b
    Examples:
      luminai people roles set editor --title "Writes the knowledge base" --scope knowledge:manage
    """
    terminal.emit(terminal.request("PUT", f"/api/admin/roles/{role}", body={"title": title, "scopes": list(scopes)}))


@click.group()
def identity() -> None:
    """See and rotate the keys that sign access tokens.

    \b
    Examples:
      luminai identity keys
      luminai identity rotate-keys
    """


@identity.command()
@click.pass_obj
def keys(terminal: HubTerminal) -> None:
    """List signing keys, newest first.

    \b
    Examples:
      luminai identity keys
    """
    terminal.emit(terminal.request("GET", "/api/admin/identity/keys"), columns=("id", "state", "created_at", "changed_at"))


@identity.command("rotate-keys")
@click.pass_obj
def rotate_keys(terminal: HubTerminal) -> None:
    """Sign with the next key from now on. Nobody is signed out: tokens of the old key hold until they expire, 10 minutes at most.

    \b
    Examples:
      luminai identity rotate-keys
    """
    terminal.emit(terminal.request("POST", "/api/admin/identity/rotate-keys"))


def find_person(terminal: HubTerminal, who: str) -> dict[str, Any]:
    """Return the person of an id or an e-mail address."""
    if "@" not in who:
        by_id: dict[str, Any] = terminal.request("GET", f"/api/admin/people/{who}")
        return by_id
    items: list[dict[str, Any]] = terminal.request("GET", "/api/admin/people", query={"email": who})["items"]
    if not items:
        raise NotFound(f"Nobody has the address {who}.", code="person-not-found", hint="`luminai people list` shows everybody.")
    return items[0]
