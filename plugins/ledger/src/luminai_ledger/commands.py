"""``luminai ledger``."""

from __future__ import annotations

from typing import Any

import click

from luminai import Forbidden, Terminal

DAMAGED = 8
"""Exit code for books that are not right, as of ``luminai audit verify``."""


@click.group()
def ledger() -> None:
    """Look at the books, and check them.

    \b
    Examples:
      luminai ledger verify
      luminai ledger accounts --owner user_018f…
    """


@ledger.command()
@click.pass_obj
def verify(terminal: Terminal) -> None:
    """Make the books anew from their history and compare. With the scope hub:audit the newest seal is also compared with the audit log.

    \b
    Examples:
      luminai ledger verify
    """
    found: dict[str, Any] = terminal.request("POST", "/api/ledger/verify")
    found["seal_in_audit_log"] = _in_audit_log(terminal, found["seal"]) if found["seal"] else "none yet"
    terminal.emit(found)
    if found["count"] or found["seal_in_audit_log"] == "missing":
        raise click.exceptions.Exit(DAMAGED)


@ledger.command()
@click.pass_obj
def reconcile(terminal: Terminal) -> None:
    """Verify the books and keep the report; its digest goes into the audit log. It also runs every night.

    \b
    Examples:
      luminai ledger reconcile
    """
    found = terminal.request("POST", "/api/ledger/reconcile")
    terminal.emit(found)
    if found["report"]["verification"]["count"]:
        raise click.exceptions.Exit(DAMAGED)


@ledger.command()
@click.option("--owner", metavar="ID", help="Only this person's.")
@click.option("--purpose", metavar="NAME", help="Only those for this.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Accounts at most.")
@click.pass_obj
def accounts(terminal: Terminal, owner: str | None, purpose: str | None, limit: int) -> None:
    """List accounts with what is in them, in minor units.

    \b
    Examples:
      luminai ledger accounts --owner user_018f…
      luminai ledger accounts --purpose clearing --limit 1000
    """
    found = _pages(terminal, "/api/ledger/accounts", {"owner": owner, "purpose": purpose}, limit)
    columns = ("id", "owner", "purpose", "asset", "debits_posted", "credits_posted", "debits_pending", "credits_pending")
    terminal.emit(found, columns=columns)


@ledger.command()
@click.argument("account")
@click.option("--since", metavar="MOMENT", help="From then on, such as 2026-01-31T00:00:00Z.")
@click.option("--until", metavar="MOMENT", help="Before then.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Lines at most.")
@click.pass_obj
def statement(terminal: Terminal, account: str, since: str | None, until: str | None, limit: int) -> None:
    """Show what happened in an account, newest first.

    \b
    Examples:
      luminai ledger statement acc_5f3a…
    """
    found = _pages(terminal, f"/api/ledger/accounts/{account}/statement", {"since": since, "until": until}, limit)
    terminal.emit(found, columns=("seq", "at", "kind", "side", "amount", "held", "posted", "pending", "code", "reference"))


@ledger.command()
@click.pass_obj
def export(terminal: Terminal) -> None:
    """Print the whole books as a Beancount file.

    \b
    Examples:
      luminai ledger export > books.beancount
    """
    for line in terminal.lines("GET", "/api/ledger/export"):
        terminal.write(line.decode())


def _pages(terminal: Terminal, path: str, asked: dict[str, Any], most: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query = {name: value for name, value in asked.items() if value is not None}
    while len(found) < most:
        page = terminal.request("GET", path, query=query | {"limit": min(100, most - len(found))})
        found += page["items"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    return found


def _in_audit_log(terminal: Terminal, seal: str) -> str:
    """Tell whether the audit log has the seal: ``found``, ``missing``, or ``not allowed to look``."""
    try:
        page = terminal.request("GET", "/api/admin/audit", query={"action": "ledger.seal", "limit": 100})
    except Forbidden:
        return "not allowed to look"
    return "found" if any(str(entry["object"]).endswith(f":{seal}") for entry in page["items"]) else "missing"
