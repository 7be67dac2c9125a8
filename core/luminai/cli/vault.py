"""``luminai vault``: on this machine, by whoever may read the key file; a running hub follows the file by itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import click

from luminai.cli.exits import FOUND_PROBLEMS
from luminai.cli.terminal import HubTerminal
from luminai.contracts.errors import Conflict, DeadlineExceeded

if TYPE_CHECKING:
    from luminai.config.layers import Configuration
    from luminai.data.vault.ring import KeyRing

_LOOK_SECONDS: Final = 0.2
COLUMNS: Final = ("id", "state", "present", "data_keys")


@click.group()
def vault() -> None:
    """Look at the encryption of stored data, change its master key, check all keys.

    \b
    Examples:
      luminai vault status
      luminai vault rotate
      luminai vault verify
    """


@vault.command()
@click.pass_obj
def status(terminal: HubTerminal) -> int:
    """Show the master keys and what they protect; works when the hub refuses to start too (exit code 8 when it would).

    \b
    Examples:
      luminai vault status
      luminai --output json --pretty vault status
    """
    import msgspec

    from luminai.data.vault.look import look

    found = look(terminal.configuration())
    plain = msgspec.to_builtins(found)
    if terminal.is_tty:
        terminal.emit({name: value for name, value in plain.items() if name != "master_keys" and value != ""})
        terminal.emit(plain["master_keys"], columns=COLUMNS)
    else:
        terminal.emit(plain)
    return FOUND_PROBLEMS if found.code else 0


@vault.command()
@click.pass_obj
def rotate(terminal: HubTerminal) -> None:
    """Make a new master key and wrap every data key by it. The file keeps both keys until that is done; a running hub does it while it serves.

    \b
    Examples:
      luminai vault rotate
    """
    from luminai.audit.offline import noted
    from luminai.contracts.audit import AuditEntry
    from luminai.data.vault.look import look
    from luminai.data.vault.ring import ring_of

    config = terminal.configuration()
    ring, view = ring_of(config), look(config)
    if view.code:
        raise Conflict(view.detail, code=view.code, hint=view.hint)
    if not any(key.state == "active" for key in view.master_keys):
        raise Conflict("There is no master key yet.", code="no-master-key", hint="Start the hub once: `luminai serve`.")
    active = next(key.id for key in view.master_keys if key.state == "active")
    with noted(config, AuditEntry(action="vault.rotate", object=f"master-key:{active}", retention="7y")):
        if all(key.state != "next" for key in view.master_keys):
            terminal.say(f"New key {ring.add_next().id}: keep a copy of {ring.path} apart from the data.")
        _finish(terminal, config, ring)
    after = look(config)
    states = {state: sum(key.state == state for key in after.master_keys) for state in ("active", "retiring", "destroyed")}
    terminal.emit({"active": next(key.id for key in after.master_keys if key.state == "active"), "data_keys": after.data_keys, "keys": states})


@vault.command()
@click.pass_obj
def verify(terminal: HubTerminal) -> int:
    """Open every data key with the master key, and look for keys that are back although they were destroyed (exit code 8 when there are any).

    \b
    Examples:
      luminai vault verify
    """
    import msgspec

    from luminai.audit.offline import noted
    from luminai.contracts.audit import AuditEntry
    from luminai.data.vault.look import verify as check

    config = terminal.configuration()
    with noted(config, AuditEntry(action="vault.verify", object="vault")):
        found = check(config)
    terminal.emit(msgspec.to_builtins(found))
    return FOUND_PROBLEMS if found.broken or found.revived else 0


def _finish(terminal: HubTerminal, config: Configuration, ring: KeyRing) -> None:
    """Rotate here, or wait for the hub that holds the data folder."""
    import asyncio

    from luminai.data.database import open_database
    from luminai.data.vault.hub_vault import HubVault
    from luminai.telemetry.clock import SystemClock

    async def here() -> None:
        database = await open_database(config.settings.database.url, data_dir=config.data_dir, clock=SystemClock())
        try:
            await HubVault(ring, database, SystemClock()).rotate()
        finally:
            await database.close()

    try:
        asyncio.run(here())
    except Conflict as error:
        if error.code != "database-in-use":
            raise
        terminal.say("The running hub moves to the new key.")
        _wait(ring, terminal.options.timeout)


def _wait(ring: KeyRing, seconds: float) -> None:
    """Wait until the hub has taken the old key out of the file, which is the last thing that it does."""
    until = time.monotonic() + seconds
    while len(ring.ids) > 1:
        if time.monotonic() > until:
            hint = "`luminai vault status` shows how far it is; the hub's log tells what keeps it. Allow more with --timeout."
            raise DeadlineExceeded(f"The hub was not done within {seconds:g} s.", code="rotation-late", hint=hint)
        time.sleep(_LOOK_SECONDS)
        ring.reload()
