"""``luminai keys`` and ``luminai setup``."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

import click
import msgspec

from luminai.cli.profile import save_key
from luminai.cli.terminal import HubTerminal
from luminai.contracts.errors import Unavailable


@click.group()
def keys() -> None:
    """Make, list and revoke API keys. While no hub runs, they work on the data folder itself.

    \b
    Examples:
      luminai keys create --name laptop --scope chat:read --scope chat:write --save
      luminai keys list
      luminai keys revoke key_018f…
    """


@keys.command()
@click.option("--name", required=True, help="What the key is for.")
@click.option("--scope", "scopes", multiple=True, metavar="SCOPE", help="What it may do, e.g. chat:write; * for everything.")
@click.option("--expires-in-days", type=click.IntRange(1, 3650), help="When it ends by itself.")
@click.option("--save", is_flag=True, help="Keep it in the user's file for this command.")
@click.pass_obj
def create(terminal: HubTerminal, name: str, scopes: tuple[str, ...], expires_in_days: int | None, save: bool) -> None:
    """Make a key. Its text is shown this once."""
    wanted = list(scopes) or ["*"]
    try:
        made = terminal.request("POST", "/api/keys", body={"name": name, "scopes": wanted, "expires_in_days": expires_in_days})
    except Unavailable as error:
        if error.code != "hub-unreachable":
            raise
        made = _create_offline(terminal, name, wanted, expires_in_days)
    _show(terminal, made, save)


@keys.command("list")
@click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True)
@click.pass_obj
def list_keys(terminal: HubTerminal, limit: int) -> None:
    """List keys, newest first."""
    try:
        items = terminal.request("GET", "/api/keys", query={"limit": limit})["items"]
    except Unavailable as error:
        if error.code != "hub-unreachable":
            raise
        items = _on_store(terminal, lambda store: _list(store, limit))
    terminal.emit(items, columns=("id", "name", "scopes", "created_at", "expires_at", "revoked_at"))


@keys.command()
@click.argument("key_id")
@click.pass_obj
def revoke(terminal: HubTerminal, key_id: str) -> None:
    """End a key for good."""
    try:
        terminal.request("DELETE", f"/api/keys/{key_id}")
    except Unavailable as error:
        if error.code != "hub-unreachable":
            raise
        _on_store(terminal, lambda store: store.revoke(key_id))
    terminal.emit({"id": key_id, "state": "revoked"})


@click.command()
@click.option("--token-stdin", is_flag=True, help="Read the token from stdin.")
@click.option("--name", default="operator", show_default=True, help="What the key is called.")
@click.option("--save/--no-save", default=True, show_default=True, help="Keep the key in the user's file.")
@click.pass_obj
def setup(terminal: HubTerminal, token_stdin: bool, name: str, save: bool) -> None:
    """Become the operator with the one-time token that `luminai serve` printed.

    \b
    Examples:
      luminai setup
      echo TOKEN | luminai setup --token-stdin
      luminai setup --no-save
    """
    if token_stdin:
        token = sys.stdin.readline().strip()
    elif sys.stdin.isatty():
        token = click.prompt("Set-up token", hide_input=True, err=True)
    else:
        raise click.UsageError("Give the token with --token-stdin.")
    _show(terminal, terminal.request("POST", "/api/setup", body={"token": token, "name": name}), save)


def _show(terminal: HubTerminal, made: dict[str, Any], save: bool) -> None:
    if save:
        path = save_key(terminal.profile.url, made["key"])
        terminal.say(f"Saved to {path}.")
    terminal.emit(made)


def _create_offline(terminal: HubTerminal, name: str, scopes: list[str], days: int | None) -> dict[str, Any]:
    async def work(store: Any) -> dict[str, Any]:
        from luminai.telemetry.clock import SystemClock

        expires = SystemClock().now() + timedelta(days=days) if days else None
        info, text = await store.create(name, scopes, expires_at=expires)
        return {"id": info.id, "key": text, "name": info.name, "scopes": list(info.scopes)}

    made: dict[str, Any] = _on_store(terminal, work)
    return made


async def _list(store: Any, limit: int) -> Any:
    found, _ = await store.list(limit=limit)
    return msgspec.to_builtins(found)


def _on_store(terminal: HubTerminal, work: Any) -> Any:
    from luminai.cli.offline import with_database
    from luminai.identity.keys import KeyStore

    return with_database(terminal.configuration(), lambda database, clock: work(KeyStore(database, clock)))
