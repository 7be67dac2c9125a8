"""``luminai backup``: on this machine; ``create`` and ``verify`` also while a hub runs."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from luminai.cli.exits import FOUND_PROBLEMS
from luminai.cli.terminal import HubTerminal
from luminai.contracts.errors import ConfigRejected, Conflict, InvalidInput

if TYPE_CHECKING:
    from luminai.config.layers import Configuration
    from luminai.data.backup.create import Source
    from luminai.data.backup.restore import Opening
    from luminai.data.migrations import MigrationSource
    from luminai.data.vault.ring import KeyRing

MIN_PASSPHRASE = 15


def _moment(_: click.Context, __: click.Parameter, value: str | None) -> datetime | None:
    """Return a moment; one without an offset is of UTC."""
    try:
        found = datetime.fromisoformat(value) if value is not None else None
    except ValueError:
        raise click.BadParameter("write a moment such as 2026-01-01T02:59:00Z") from None
    return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found


_passphrase = click.option(
    "--passphrase", "by_passphrase", is_flag=True, help="Close it by a passphrase, which is asked for, instead of the master key."
)
_from_stdin = click.option("--passphrase-stdin", is_flag=True, help="Read the passphrase from the first line of stdin.")
_key_file = click.option("--key-file", type=click.Path(path_type=Path), help="Another file of master keys, for a backup from before a rotation.")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_archive = click.argument("archive", type=_FILE)


@click.group()
def backup() -> None:
    """Back up everything into one encrypted file, check it, bring it back.

    \b
    Examples:
      luminai backup create
      luminai backup verify backups/hub-20260101T030000Z.luminai-backup
      luminai backup restore backups/hub-20260101T030000Z.luminai-backup
    """


@backup.command()
@click.option("--to", "target", type=click.Path(dir_okay=False, path_type=Path), help="The new file (default: named by time, in backup.folder).")
@_passphrase
@_from_stdin
@click.option("--include-keys", is_flag=True, help="The master key too: then file and passphrase bring everything back.")
@click.pass_obj
def create(terminal: HubTerminal, target: Path | None, by_passphrase: bool, passphrase_stdin: bool, include_keys: bool) -> None:
    """Write a backup while the hub serves: database, files of plugins, audit checkpoints.

    It is closed by the master key, so keep a copy of that apart from it; or by a passphrase.

    \b
    Examples:
      luminai backup create
      luminai backup create --to /mnt/usb/hub.luminai-backup --passphrase --include-keys
    """
    import msgspec

    from luminai.audit.offline import noted
    from luminai.contracts.audit import AuditEntry
    from luminai.data.backup.create import create as write
    from luminai.data.backup.create import file_name
    from luminai.data.vault.ring import ring_of
    from luminai.data.vault.tombstones import FILE_NAME, carry
    from luminai.telemetry.clock import SystemClock

    config, now = terminal.configuration(), SystemClock().now()
    ring = ring_of(config)
    closed_by_passphrase = by_passphrase or passphrase_stdin
    if include_keys and not closed_by_passphrase:
        raise InvalidInput("A key cannot be closed by itself.", code="keys-need-passphrase", hint="Add --passphrase.")
    if not closed_by_passphrase and not ring.ids:
        raise Conflict("There is no master key to close the backup by.", code="master-key-missing", hint="Start the hub once, or add --passphrase.")
    place = target or _folder(config) / file_name(now)
    by = _ask(passphrase_stdin, confirm=True) if closed_by_passphrase else ring.find(ring.ids[0])
    if by is None:
        raise Conflict("The master key is not there.", code="master-key-missing")
    with noted(config, AuditEntry(action="backup.create", object=f"backup:{place.name}"[:200])):
        made = write(_source(config), place, by, at=now, with_keys=include_keys, progress=_progress(terminal))
    carry(ring.path.with_name(FILE_NAME), place.with_name(FILE_NAME))
    terminal.emit(msgspec.to_builtins(made))


@backup.command()
@_archive
@_from_stdin
@_key_file
@click.pass_obj
def verify(terminal: HubTerminal, archive: Path, passphrase_stdin: bool, key_file: Path | None) -> int:
    """Decrypt a backup and compute everything anew, without restoring it (exit code 8 when something differs).

    \b
    Examples:
      luminai backup verify backups/hub-20260101T030000Z.luminai-backup
    """
    from luminai.data.backup.unpack import unpack

    config = terminal.configuration()
    opening = _opening(config, key_file, passphrase_stdin)
    with archive.open("rb") as file, tempfile.TemporaryDirectory(prefix="luminai-backup-") as folder:
        done = unpack(file, opening.ring, opening.passphrase, Path(folder), keep=False, progress=_progress(terminal))
    manifest = done.manifest
    shown: dict[str, Any] = {"made_at": manifest.made_at, "hub": manifest.hub, "engine": manifest.engine, "tables": len(manifest.tables)}
    shown |= {"rows": sum(table.rows for table in manifest.tables.values()), "files": len(manifest.files), "differences": list(done.differences)}
    terminal.emit(shown)
    return FOUND_PROBLEMS if done.differences else 0


@backup.command()
@click.argument("archive", type=_FILE, required=False)
@click.option("--until", callback=_moment, metavar="TIME", help="The newest backup in backup.folder of this moment or before, instead of a file.")
@_from_stdin
@_key_file
@click.pass_obj
def restore(terminal: HubTerminal, archive: Path | None, until: datetime | None, passphrase_stdin: bool, key_file: Path | None) -> None:
    """Bring a backup back into an empty data folder or database, and prove by hashes that everything is there.

    What was erased since stays erased: tombstones beside the key file and beside the backup are applied.

    \b
    Examples:
      luminai backup restore backups/hub-20260101T030000Z.luminai-backup
      luminai backup restore --until 2026-01-01T02:59:00Z
      LUMINAI_DATA=/srv/restored luminai backup restore hub.luminai-backup
    """
    import msgspec

    from luminai.audit.offline import note
    from luminai.contracts.audit import AuditEntry
    from luminai.data.backup.age import as_of
    from luminai.data.backup.restore import After
    from luminai.data.backup.restore import restore as bring_back
    from luminai.data.vault.tombstones import FILE_NAME, read_file
    from luminai.telemetry.clock import SystemClock

    config = terminal.configuration()
    if archive is None and until is not None:
        archive = as_of(_folder(config), until)
    elif archive is None or until is not None:
        raise click.UsageError("Name a file, or a moment with --until.")
    terminal.say(f"Restoring {archive.name}.")
    opening = _opening(config, key_file, passphrase_stdin)
    told = {**read_file(_own_ring(config).path.with_name(FILE_NAME)), **read_file(archive.with_name(FILE_NAME))}
    owners = _owners() if config.settings.database.url else []
    entry = AuditEntry(action="backup.restore", object=f"backup:{archive.name}"[:200], retention="7y")
    after = After(told, lambda session: note(session, config, entry))
    with archive.open("rb") as file:
        done = bring_back(file, _source(config), opening, owners=owners, after=after, clock=SystemClock(), progress=_progress(terminal))
    if done.master_key and done.master_key not in _own_ring(config).ids:
        terminal.say(f"The hub needs the master key {done.master_key} at its place before it starts: `luminai vault status`.")
    terminal.emit(msgspec.to_builtins(done))


def _source(config: Configuration) -> Source:
    from luminai.data.backup.create import Source

    return Source(config.settings.database.url, config.data_dir)


def _folder(config: Configuration) -> Path:
    if not config.settings.backup.folder:
        raise ConfigRejected(
            "There is no folder for backups.", code="no-backup-folder", hint="Set backup.folder in config.toml, or name a file with --to."
        )
    return config.base_dir / config.settings.backup.folder


def _own_ring(config: Configuration) -> KeyRing:
    from luminai.data.vault.ring import ring_of

    return ring_of(config)


def _opening(config: Configuration, key_file: Path | None, passphrase_stdin: bool) -> Opening:
    from luminai.data.backup.restore import Opening
    from luminai.data.vault.ring import KeyRing

    ring = KeyRing(key_file) if key_file else _own_ring(config)
    ring.reload()
    return Opening(ring, lambda: _ask(passphrase_stdin, confirm=False))


def _ask(from_stdin: bool, *, confirm: bool) -> str:
    if from_stdin:
        given = sys.stdin.readline(4096).rstrip("\r\n")
    else:
        given = str(click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True))
    if confirm and len(given) < MIN_PASSPHRASE:
        raise InvalidInput(f"A passphrase has at least {MIN_PASSPHRASE} characters.", code="passphrase-too-short", hint="Five random words do well.")
    return given


def _owners() -> list[MigrationSource]:
    """Return whoever has migrations here, on or off, each behind those that it requires."""
    from luminai.data.migrations import core_source
    from luminai.host.discovery import installed_plugins
    from luminai.host.order import start_order
    from luminai.host.sources import source_of

    known = {one.id: one for one in installed_plugins() if one.manifest is not None}
    order, _ = start_order({name: (*found.requires, *found.after) for name, one in known.items() if (found := one.manifest)})
    names = [name for name in [*order, *sorted(known.keys() - set(order))] if known[name].versions_dir.is_dir()]
    return [core_source(), *(source_of(known[name]) for name in names)]


def _progress(terminal: HubTerminal) -> Callable[[str], None]:
    return terminal.say
