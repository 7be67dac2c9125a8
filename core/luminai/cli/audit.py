"""``luminai audit``: read the log, prove entries, verify it all over the API or on the database itself."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from luminai.cli.exits import FOUND_PROBLEMS
from luminai.cli.terminal import HubTerminal
from luminai.contracts.errors import InvalidInput, NotFound, Unavailable

if TYPE_CHECKING:
    from luminai.audit.verify import Verification

COLUMNS = ("at", "actor", "action", "object", "outcome", "id")
FOLLOW_SECONDS = 2.0
PAGE = 100
EVERYTHING = 2**53
_FILTERS = (
    click.option("--actor", metavar="ID", help="Who acted, e.g. key_018f…."),
    click.option("--action", metavar="PREFIX", help="Beginning of the action, e.g. key. or plugin.enable."),
    click.option("--object", "object_", metavar="ID", help="What it was done to, e.g. plugin:chat."),
    click.option("--outcome", type=click.Choice(["ok", "denied", "failed"]), help="How it ended."),
    click.option("--since", metavar="TIME", help="From this moment on, e.g. 2026-01-31T00:00:00Z."),
    click.option("--until", metavar="TIME", help="Before this moment."),
)


def _filtered(command: Any) -> Any:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@click.group()
def audit() -> None:
    """Read, prove and verify the audit log.

    \b
    Examples:
      luminai audit tail
      luminai audit search --action key. --outcome denied
      luminai audit verify --checkpoints /mnt/elsewhere/checkpoints.txt
    """


@audit.command()
@click.option("-n", "--lines", type=click.IntRange(1, PAGE), default=20, show_default=True, help="How many of the newest.")
@click.option("-f", "--follow", is_flag=True, help="Go on with new ones as they come, one line of JSON each.")
@click.pass_obj
def tail(terminal: HubTerminal, lines: int, follow: bool) -> None:
    """Show the newest entries, oldest of them first.

    \b
    Examples:
      luminai audit tail
      luminai audit tail -n 5 --follow
    """
    found = _page(terminal, {"limit": lines})[0][::-1]
    if not follow:
        terminal.emit(found, columns=COLUMNS)
        return
    shown = ""
    while True:
        for item in found:
            terminal.emit_line(item)
            shown = item["id"]
        time.sleep(FOLLOW_SECONDS)
        found = _newer(terminal, shown)


@audit.command()
@_filtered
@click.option("--limit", type=click.IntRange(1, 10_000), default=PAGE, show_default=True, help="At most so many.")
@click.pass_obj
def search(terminal: HubTerminal, /, limit: int, **filters: str | None) -> None:
    """List entries, newest first.

    \b
    Examples:
      luminai audit search --object plugin:chat
      luminai audit search --outcome denied --since 2026-01-31T00:00:00Z
    """
    found: list[Any] = []
    cursor: str | None = None
    while len(found) < limit:
        items, cursor = _page(terminal, {**_query(filters), "limit": min(PAGE, limit - len(found))}, cursor)
        found += items
        if cursor is None:
            break
    terminal.emit(found, columns=COLUMNS)


@audit.command()
@_filtered
@click.pass_obj
def export(terminal: HubTerminal, /, **filters: str | None) -> None:
    """Print sealed entries as JSON lines, as read and as stored: enough to check them anywhere. The export itself is recorded.

    \b
    Examples:
      luminai audit export > audit.jsonl
      luminai audit export --action payment. --since 2026-01-01T00:00:00Z > payments.jsonl
    """
    for line in terminal.client.lines("GET", "/api/admin/audit/export", query=_query(filters)):
        terminal.write(line.decode())


@audit.command()
@click.argument("entry")
@click.option("--key", metavar="KEY", help="The log's public key, from `luminai audit key` at another time.")
@click.pass_obj
def prove(terminal: HubTerminal, entry: str, key: str | None) -> int:
    """Fetch an entry with its proof and check it here: content, leaf, way to the signed root (exit code 8 when it does not hold).

    \b
    Examples:
      luminai audit prove aud_018f…
    """
    from luminai.audit.checkpoint import includes_entry
    from luminai.audit.entries import StoredEntry
    from luminai.audit.keychain import KeyChain
    from luminai.audit.tree import Inclusion

    answer = terminal.request("GET", f"/api/admin/audit/{entry}")
    row = msgspec.convert(answer["stored"], StoredEntry)
    inclusion = msgspec.convert(answer["inclusion"], Inclusion)
    marked = terminal.request("GET", "/api/admin/audit/checkpoints", query={"limit": 1})["marked"] if key else ()
    checkpoint = KeyChain(key or _own_word(terminal, answer["verifier"]), marked).open(inclusion.checkpoint)
    good_content = row.pruned_at is not None or row.content_digest() == row.digest
    good = row.id == entry and good_content and includes_entry(checkpoint, row.leaf(inclusion.index), inclusion.index, inclusion.hashes)
    terminal.emit({"id": row.id, "proven": good, "position": inclusion.index, "size": checkpoint.size, "entry": answer["entry"], "proof": answer})
    return 0 if good else FOUND_PROBLEMS


@audit.command()
@click.option("--checkpoints", type=click.Path(path_type=Path), help="File of checkpoints that lay elsewhere (default: [audit] checkpoints).")
@click.option("--key", metavar="KEY", help="The log's public key, from `luminai audit key` at another time.")
@click.option("--offline", is_flag=True, help="Read the database itself; no hub may run on it (PostgreSQL: any time).")
@click.pass_obj
def verify(terminal: HubTerminal, checkpoints: Path | None, key: str | None, offline: bool) -> int:
    """Check every entry of the log against signed checkpoints (exit code 8 when something was changed, or is not there).

    Everything is computed here, from what the hub or its database gives. A log that was rewritten or cut as a whole, and an old backup, are
    found only with checkpoints that lay outside the reach of whoever did it.

    \b
    Examples:
      luminai audit verify
      luminai audit verify --checkpoints /mnt/elsewhere/checkpoints.txt --key "$(cat audit.pub)"
      luminai audit verify --offline
    """
    outside = _outside(terminal, checkpoints)
    try:
        done = _verify_offline(terminal, outside, key) if offline else _verify_over_api(terminal, outside, key)
    except Unavailable as error:
        if error.code != "hub-unreachable" or terminal.options.url or os.environ.get("LUMINAI_URL"):
            raise
        done = _verify_offline(terminal, outside, key)
    if not done.outside:
        terminal.say("No checkpoint from outside was compared: a log that was rewritten or cut as a whole would not be found.")
    for one in done.restores:
        terminal.say(f"A restored backup was accepted: the log went on from {one.base} entries; {one.size} had been signed.")
    if done.verdict == "behind":
        terminal.say(f"Nothing was changed, but the log is behind: {done.newest} entries were signed, {done.sealed} are there.")
        terminal.say("If you restored a backup on purpose: `luminai audit accept-restore --reason …`. If nobody did, its end was cut off.")
    terminal.emit(msgspec.to_builtins(done))
    return 0 if done.ok else FOUND_PROBLEMS


@audit.command()
@click.pass_obj
def key(terminal: HubTerminal) -> None:
    """Print the log's public key. Keep it elsewhere: with it anybody can check checkpoints and proofs.

    \b
    Examples:
      luminai audit key > audit.pub
    """
    terminal.write(terminal.request("GET", "/api/admin/audit/checkpoints", query={"limit": 1})["verifier"] + "\n")


@audit.command("rotate-key")
@click.pass_obj
def rotate_key(terminal: HubTerminal) -> None:
    """Have the running hub sign with a new key, and print its public key. With an older public key everything verifies as before.

    \b
    Examples:
      luminai audit rotate-key > audit.pub
    """
    terminal.write(terminal.request("POST", "/api/admin/audit/rotate-key")["verifier"] + "\n")


@audit.command("accept-restore")
@click.option("--reason", required=True, help="Why a backup was restored; it is recorded.")
@click.pass_obj
def accept_restore(terminal: HubTerminal, reason: str) -> None:
    """Have the running hub go on after a restored backup. Every verification tells of it from then on.

    \b
    Examples:
      luminai audit accept-restore --reason "the disk broke on Monday"
    """
    done = terminal.request("POST", "/api/admin/audit/accept-restore", body={"reason": reason})
    terminal.emit({"accepted": True, "problem": done["problem"]})


@audit.command()
@click.option("--limit", type=click.IntRange(1, PAGE), default=PAGE, show_default=True)
@click.pass_obj
def holds(terminal: HubTerminal, limit: int) -> None:
    """List legal holds, newest first."""
    found = terminal.request("GET", "/api/admin/audit/holds", query={"limit": limit})["items"]
    terminal.emit(found, columns=("id", "object", "subject", "reason", "placed_at", "released_at"))


@audit.command()
@click.option("--object", "object_", default="", metavar="ID", help="Entries about this thing.")
@click.option("--subject", default="", metavar="ID", help="Entries about, or by, this person.")
@click.option("--reason", required=True, help="Why; it is recorded.")
@click.pass_obj
def hold(terminal: HubTerminal, object_: str, subject: str, reason: str) -> None:
    """Keep the content of entries beyond their time.

    \b
    Examples:
      luminai audit hold --subject user_018f… --reason "case 12/26"
    """
    body = {"object": object_, "subject": subject, "reason": reason}
    terminal.emit(terminal.request("POST", "/api/admin/audit/holds", body=body))


@audit.command()
@click.argument("hold_id")
@click.pass_obj
def release(terminal: HubTerminal, hold_id: str) -> None:
    """End a legal hold."""
    terminal.request("DELETE", f"/api/admin/audit/holds/{hold_id}")
    terminal.emit({"id": hold_id, "state": "released"})


def _query(filters: dict[str, str | None]) -> dict[str, Any]:
    return {name.rstrip("_"): value for name, value in filters.items() if value is not None}


def _page(terminal: HubTerminal, query: dict[str, Any], cursor: str | None = None) -> tuple[list[Any], str | None]:
    answer = terminal.request("GET", "/api/admin/audit", query=query | ({"cursor": cursor} if cursor else {}))
    return answer["items"], answer["next_cursor"]


def _newer(terminal: HubTerminal, than: str) -> list[Any]:
    """Return what came behind the entry ``than``, oldest first."""
    found: list[Any] = []
    cursor: str | None = None
    while True:
        items, cursor = _page(terminal, {"limit": PAGE}, cursor)
        found += [item for item in items if item["id"] > than]
        if cursor is None or any(item["id"] <= than for item in items):
            return found[::-1]


def _own_word(terminal: HubTerminal, verifier: str) -> str:
    terminal.say("The public key is the hub's own word; compare it with one that you kept: --key.")
    return verifier


def _outside(terminal: HubTerminal, given: Path | None) -> list[str] | None:
    """Return the notes of the file that was named (it must be there), or of the configured one."""
    from luminai.audit.checkpoint import split_notes

    if given is None:
        from luminai.audit.outside import places_of

        path = places_of(terminal.configuration()).checkpoints
        return split_notes(path.read_text()) if path.is_file() else None
    if not given.is_file():
        raise NotFound(f"There is no file {given}.", code="file-not-found")
    return split_notes(given.read_text())


def _verify_over_api(terminal: HubTerminal, outside: list[str] | None, key: str | None) -> Verification:
    from luminai.audit.entries import StoredEntry
    from luminai.audit.keychain import KeyChain
    from luminai.audit.verify import Checker
    from luminai.telemetry.clock import SystemClock

    given = terminal.request("GET", "/api/admin/audit/checkpoints", query={"limit": 1})
    verifier = key or _own_word(terminal, given["verifier"])
    try:
        size = KeyChain(verifier, [*(outside or ()), *given["marked"]]).open(given["items"][0]).size if given["items"] else 0
    except InvalidInput as error:
        if error.code != "bad-checkpoint":
            raise
        size = EVERYTHING  # the checker names the forged one
    checker = Checker(verifier, own=[*given["marked"], *given["items"]], outside=outside, now=SystemClock().now())
    for line in _lines(terminal, size):
        checker.add(msgspec.convert(msgspec.json.decode(line)["stored"], StoredEntry))
    return checker.finish(waiting=None)


def _lines(terminal: HubTerminal, size: int) -> Iterator[bytes]:
    lines = terminal.client.lines("GET", "/api/admin/audit/export", query={"size": size})
    return (line for line in lines if line.strip())


def _verify_offline(terminal: HubTerminal, outside: list[str] | None, key: str | None) -> Verification:
    from luminai.audit.checkpoint import read_key
    from luminai.audit.outside import places_of
    from luminai.audit.verify import verify_database
    from luminai.cli.db import on_database
    from luminai.telemetry.clock import SystemClock

    config = terminal.configuration()
    if key is None:
        try:
            key = read_key(places_of(config).key).verifier
        except FileNotFoundError:
            hint = "Give the public key with --key."
            raise NotFound("The key file of the audit log is not there.", code="audit-key-missing", hint=hint) from None
    verifier = key
    return on_database(config, lambda database: verify_database(database, SystemClock(), verifier, outside=outside))
