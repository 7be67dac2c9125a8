"""``luminai plugins``: the commands that change the running hub."""

from __future__ import annotations

import tomllib
from typing import Any

import click

from luminai.cli.exits import FOUND_PROBLEMS
from luminai.cli.terminal import HubTerminal
from luminai.contracts.errors import HubError, InvalidInput, NotFound

cascade_option = click.option("--cascade", is_flag=True, help="Also stop the plugins that require it.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only tell what would happen.")
wait_option = click.option("--wait", type=click.IntRange(0, 60), metavar="S", help="Wait so many seconds for the other processes of this hub.")


@click.command()
@click.argument("plugin")
@dry_run_option
@wait_option
@click.pass_obj
def enable(terminal: HubTerminal, plugin: str, dry_run: bool, wait: int | None) -> None:
    """Turn a plugin on in the running hub; without one, from its next start.

    \b
    Examples:
      luminai plugins enable chat
      luminai plugins enable chat --dry-run
    """
    _wish(terminal, plugin, {"enabled": True, "dry_run": dry_run}, wait)


@click.command()
@click.argument("plugin")
@cascade_option
@dry_run_option
@wait_option
@click.pass_obj
def disable(terminal: HubTerminal, plugin: str, cascade: bool, dry_run: bool, wait: int | None) -> None:
    """Turn a plugin off in the running hub; without one, from its next start. Its data stays.

    \b
    Examples:
      luminai plugins disable chat
      luminai plugins disable personas --cascade
    """
    _wish(terminal, plugin, {"enabled": False, "cascade": cascade, "dry_run": dry_run}, wait)


@click.command("set")
@click.argument("plugin")
@click.argument("settings", nargs=-1, metavar="[KEY=VALUE]...")
@dry_run_option
@wait_option
@click.pass_obj
def set_settings(terminal: HubTerminal, plugin: str, settings: tuple[str, ...], dry_run: bool, wait: int | None) -> None:
    """Change a plugin's settings in the running hub, over those of config.toml; without any, take the changes back.

    A value is written as in TOML; what is no TOML is taken as text.

    \b
    Examples:
      luminai plugins set chat playground=false
      luminai plugins set chat
    """
    _wish(terminal, plugin, {"config": _table(settings), "dry_run": dry_run}, wait)


@click.command()
@click.argument("plugin")
@wait_option
@click.pass_obj
def restart(terminal: HubTerminal, plugin: str, wait: int | None) -> None:
    """Build a plugin anew with the settings that it has, for example after what it waited for came back.

    \b
    Examples:
      luminai plugins restart chat
    """
    _emit(terminal, terminal.request("POST", f"/api/admin/plugins/{plugin}/restart", headers=_prefer(wait)))


@click.command()
@click.pass_obj
def reload(terminal: HubTerminal) -> None:
    """Read the configuration files of the running hub again and serve by them. Nothing changes when they are wrong.

    \b
    Examples:
      luminai plugins reload
    """
    _emit(terminal, terminal.request("POST", "/api/admin/reload"))


@click.command()
@click.option("--to", type=click.IntRange(0), metavar="REVISION", help="Which state (default: the one before the last change).")
@dry_run_option
@wait_option
@click.pass_obj
def rollback(terminal: HubTerminal, to: int | None, dry_run: bool, wait: int | None) -> None:
    """Go back to the state before the last change, or to a state of the history. A rollback can be rolled back too.

    \b
    Examples:
      luminai plugins rollback
      luminai plugins rollback --to 4 --dry-run
    """
    body = {"to": to, "dry_run": dry_run}
    _emit(terminal, terminal.request("POST", "/api/admin/rollback", body=body, headers=_prefer(wait)))


@click.command()
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="How many.")
@click.pass_obj
def history(terminal: HubTerminal, limit: int) -> None:
    """List what was changed at run time, newest first.

    \b
    Examples:
      luminai plugins history
    """
    found = terminal.request("GET", "/api/admin/changes", query={"limit": limit})["items"]
    terminal.emit(found, columns=("revision", "changed_at", "changed_by", "summary"))


@click.command()
@click.pass_obj
def generations(terminal: HubTerminal) -> int:
    """Show what is wished and what each process of this hub serves (exit code 8 when one does not follow).

    \b
    Examples:
      luminai plugins generations
    """
    found = terminal.request("GET", "/api/admin/generations")
    if terminal.is_tty:
        terminal.say(f"Revision {found['revision']} is wished.")
        terminal.emit(found["nodes"], columns=("name", "revision", "generation", "seen_at", "problem"))
    else:
        terminal.emit(found)
    return 0 if found["converged"] else FOUND_PROBLEMS


def _wish(terminal: HubTerminal, plugin: str, body: dict[str, Any], wait: int | None) -> None:
    try:
        answer = terminal.request("PUT", f"/api/admin/plugins/{plugin}/desired", body=body, headers=_prefer(wait))
    except HubError as error:
        if error.code != "hub-unreachable" or "enabled" not in body or body["dry_run"]:
            raise
        answer = _wish_offline(terminal, plugin, enabled=body["enabled"])
    _emit(terminal, answer)


def _emit(terminal: HubTerminal, answer: dict[str, Any]) -> None:
    if not terminal.is_tty:
        terminal.emit(answer)
        return
    verb = "would be" if answer["dry_run"] or answer["restart_required"] else "were"
    lines = [f"{word} {', '.join(answer[key])}" for key, word in (("built", f"{verb} built:"), ("stopped", f"{verb} stopped:")) if answer[key]]
    lines = lines or ["Nothing changes."]
    if answer["restart_required"]:
        lines += ["It takes effect at the next start:", *(f"  {reason}" for reason in answer["reasons"])]
    elif not answer["dry_run"]:
        lines.append(f"Generation {answer['generation']} serves, revision {answer['revision']}.")
    terminal.write("\n".join(line[0].upper() + line[1:] for line in lines) + "\n")


def _wish_offline(terminal: HubTerminal, plugin: str, *, enabled: bool) -> dict[str, Any]:
    from luminai.audit.offline import offline_log
    from luminai.cli.offline import with_database
    from luminai.host.desired import DesiredStore
    from luminai.host.discovery import installed_plugins

    if plugin not in {one.id for one in installed_plugins()}:
        raise NotFound(f"Plugin {plugin} is not installed.", code="plugin-not-found", hint=f"Install luminai-{plugin} first.")

    async def work(database: Any, clock: Any) -> int:
        store = DesiredStore(database, clock, offline_log(terminal.configuration(), database, clock))
        await store.set(plugin, enabled, by="command line")
        return await store.revision()

    revision = with_database(terminal.configuration(), work)
    reasons = ["no hub runs now"]
    return {
        "revision": revision, "generation": 0, "built": [plugin] if enabled else [], "stopped": [] if enabled else [plugin],
        "restart_required": True, "reasons": reasons, "dry_run": False,
    }  # fmt: skip


def _prefer(wait: int | None) -> dict[str, str]:
    return {"Prefer": f"wait={wait}"} if wait is not None else {}


def _table(settings: tuple[str, ...]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator or not key.strip():
            raise InvalidInput(f"{setting!r} is not KEY=VALUE.", code="bad-setting", hint="For example: playground=false.")
        try:
            value = tomllib.loads(f"x = {text}")["x"]
        except tomllib.TOMLDecodeError:
            value = text
        *parents, last = key.strip().split(".")
        place = table
        for name in parents:
            place = place.setdefault(name, {})
        place[last] = value
    return table
