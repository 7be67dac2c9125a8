"""``luminai keys`` and ``luminai setup``."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from typing import Any, Final

import click
import msgspec

from luminai.cli.profile import save_key
from luminai.cli.terminal import HubTerminal
from luminai.contracts.errors import Unavailable

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _days(_: click.Context, __: click.Parameter, value: str | None) -> int | str | None:
    """Return days as a number, or ``none``."""
    if value is None or value == "none":
        return value
    if not re.fullmatch("[0-9]{1,5}", value):
        raise click.BadParameter("write a number of days, or none")
    return int(value)


def _seconds(_: click.Context, __: click.Parameter, value: str) -> int:
    """Return ``90m``, ``24h`` or ``7d`` in seconds."""
    found = re.fullmatch("([0-9]{1,7})([smhd])", value)
    if found is None:
        raise click.BadParameter("write a number with its unit, such as 90m, 24h or 7d")
    return int(found[1]) * _UNITS[found[2]]


@click.group()
def keys() -> None:
    """Make, list, rotate and revoke API keys. While no hub runs, they work on the data folder itself.

    \b
    Examples:
      luminai keys create --name laptop --scope chat:read --scope chat:write --save
      luminai keys list
      luminai keys rotate key_018f… --overlap 24h
      luminai keys revoke key_018f…
    """


@keys.command()
@click.option("--name", required=True, help="What the key is for.")
@click.option("--scope", "scopes", multiple=True, metavar="SCOPE", help="What it may do, e.g. chat:write; * for everything.")
@click.option("--expires-in-days", callback=_days, metavar="DAYS", help="When it ends by itself, at most 365; none for never.  [default: 90]")
@click.option("--save", is_flag=True, help="Keep it in the user's file for this command.")
@click.pass_obj
def create(terminal: HubTerminal, name: str, scopes: tuple[str, ...], expires_in_days: Any, save: bool) -> None:
    """Make a key. Its text is shown this once."""
    wanted = list(scopes) or ["*"]
    try:
        made = terminal.request("POST", "/api/keys", body={"name": name, "scopes": wanted, "expires_in_days": expires_in_days})
    except Unavailable as error:
        if error.code != "hub-unreachable":
            raise
        made = _on_store(terminal, lambda store: _create(store, name, wanted, expires_in_days))
    _show(terminal, made, save)


@keys.command("list")
@click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True)
@click.pass_obj
def list_keys(terminal: HubTerminal, limit: int) -> None:
    """List keys, newest first. One that ends within 14 days is `ending`."""
    try:
        items = terminal.request("GET", "/api/keys", query={"limit": limit})["items"]
    except Unavailable as error:
        if error.code != "hub-unreachable":
            raise
        items = _on_store(terminal, lambda store: _list(store, limit))
    terminal.emit(items, columns=("id", "name", "last_four", "state", "expires_at", "last_used_at", "scopes"))
    for one in items:
        if one["state"] == "ending":
            terminal.say(f"{one['name']} ends at {one['expires_at']}: `luminai keys rotate {one['id']}` makes a successor.")


@keys.command()
@click.argument("key_id")
@click.option(
    "--overlap", callback=_seconds, metavar="TIME", default="24h", show_default=True, help="How long the old one holds beside it, at most 7d."
)
@click.option("--expires-in-days", callback=_days, metavar="DAYS", help="When the new one ends; none for never.  [default: as long as the old one]")
@click.option("--save", is_flag=True, help="Keep it in the user's file for this command.")
@click.pass_obj
def rotate(terminal: HubTerminal, key_id: str, overlap: int, expires_in_days: Any, save: bool) -> None:
    """Make a successor with the same name and scopes. Its text is shown this once; the old key holds until the overlap is over."""
    body = {"overlap_seconds": overlap, "expires_in_days": expires_in_days}
    try:
        made = terminal.request("POST", f"/api/keys/{key_id}/rotate", body=body)
    except Unavailable as error:
        if error.code != "hub-unreachable":
            raise
        made = _on_store(terminal, lambda store: _rotate(store, key_id, overlap, expires_in_days))
    _show(terminal, made, save)


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


async def _create(store: Any, name: str, scopes: list[str], days: Any) -> dict[str, Any]:
    return _made(*await store.create(name, scopes, expires_at=store.expiry(days)))


async def _rotate(store: Any, key_id: str, overlap: int, days: Any) -> dict[str, Any]:
    old, info, text = await store.rotate(key_id, overlap=timedelta(seconds=overlap), expires_in_days=days)
    return _made(info, text) | {"replaces": old.id, "old_holds_until": msgspec.to_builtins(old.expires_at)}


async def _list(store: Any, limit: int) -> Any:
    found, _ = await store.list(limit=limit)
    return msgspec.to_builtins(found)


def _made(info: Any, text: str) -> dict[str, Any]:
    """Return what the hub would have answered."""
    return {"id": info.id, "key": text, "name": info.name, "scopes": list(info.scopes), "expires_at": msgspec.to_builtins(info.expires_at)}


def _on_store(terminal: HubTerminal, work: Any) -> Any:
    from luminai.audit.offline import offline_log
    from luminai.cli.offline import with_database
    from luminai.identity.keys import KeyStore

    configuration = terminal.configuration()
    return with_database(
        configuration,
        lambda database, clock: work(KeyStore(database, clock, offline_log(configuration, database, clock), settings=configuration.settings)),
    )
