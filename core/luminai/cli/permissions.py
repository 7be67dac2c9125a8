"""``luminai permissions``."""

from __future__ import annotations

from typing import Any, Final

import click

from luminai.cli.terminal import HubTerminal

_MARKS: Final = {"allows": "✓", "denies": "✗", "notes": "·"}


@click.group()
def permissions() -> None:
    """Explain who may do what.

    \b
    Examples:
      luminai permissions why anonymous "POST /api/chat"
      luminai permissions why key_018f… chat:read
      luminai permissions why usr_018f… "GET /api/session/ses_018f…" ses_018f…
    """


@permissions.command()
@click.argument("actor")
@click.argument("action")
@click.argument("object_id", metavar="[OBJECT]", default="")
@click.pass_obj
def why(terminal: HubTerminal, actor: str, action: str, object_id: str) -> None:
    """Explain why somebody may do something, or may not: credential, roles, scopes, route, owner, in the order in which they are asked.

    ACTOR is the id of a key or a person, or `anonymous`. ACTION is a scope, or a method and a path. OBJECT is the id of a row with an owner.

    \b
    Examples:
      luminai permissions why key_018f… "DELETE /api/session/ses_018f…" ses_018f…
      luminai --output json permissions why usr_018f… hub:people
    """
    query = {"actor": actor, "action": action} | ({"object": object_id} if object_id else {})
    found: dict[str, Any] = terminal.request("GET", "/api/admin/permissions/why", query=query)
    if not terminal.is_tty:
        terminal.emit(found)
        return
    for reason in found["reasons"]:
        terminal.write(f"{_MARKS[reason['verdict']]} {reason['step']:<10}  {reason['detail']}\n")
    terminal.write(("Allowed." if found["allowed"] else f"Denied ({found['code']}).") + "\n")
