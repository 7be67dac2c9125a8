"""Where checkpoints are handed to: a file that is only appended to, and a witness over HTTP.

Whoever can write to the database can rewrite all of it; only a signed size and root that lies elsewhere shows that.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from sqlalchemy.orm import Session

from luminai.audit.checkpoint import Checkpoint, SigningKey, current_branch, split_notes
from luminai.audit.keychain import KeyChain
from luminai.audit.tree import marked_notes, newest_note, root_at
from luminai.contracts.context import Database
from luminai.contracts.errors import Conflict, InvalidInput, Upstream
from luminai.contracts.outbound import HttpClient

if TYPE_CHECKING:
    from luminai.config.layers import Configuration

BEHIND: Final = "audit-log-behind"
_TAIL: Final = 64 * 1024


class Places(Struct, frozen=True):
    """Where the log's key lies, and where its checkpoints go. ``witness_url`` is "" for none."""

    key: Path
    checkpoints: Path
    witness_url: str = ""


def places_of(config: Configuration) -> Places:
    """Return the places that the configuration names; without one the file lies in a folder of its own beside the data folder, not in it."""
    given = config.settings.audit
    beside = config.data_dir.with_name(f"{config.data_dir.name}-checkpoints") / "audit.txt"
    return Places(config.data_dir / "keys" / "audit.key", config.base_dir / given.checkpoints if given.checkpoints else beside, given.witness_url)


class Outside:
    """What a process knows of the checkpoints outside, and what it has to hand out."""

    def __init__(self, database: Database, places: Places, http: HttpClient | None = None) -> None:
        self._db = database
        self._places = places
        self._http = http
        self._last: Checkpoint | None = None
        self._witnessed = 0

    async def check(self, key: SigningKey | None) -> list[str]:
        """Return the notes that the file lacks, oldest first. ``key`` is None for a log that has none yet.

        Raises:
            Conflict: the log is a true but older state of what was signed (code ``audit-log-behind``), or contradicts it
                (``audit-history-differs``).
        """
        last = "" if self._last else await asyncio.to_thread(last_note, self._places.checkpoints)
        if key is None:
            if last:
                raise contradicts("the log is empty and has no key")
            return []
        try:
            return await self._db.read(lambda session: self._missing(session, key, last))
        except Conflict as error:
            if error.code != BEHIND:
                raise
            notes = await asyncio.to_thread(all_notes, self._places.checkpoints)
            await self._db.read(lambda session: refuse_other_history(session, known_branch(session, key, notes)[1], newest_note(session)[0]))
            raise

    async def hand_out(self, key: SigningKey) -> None:
        """Append what the file lacks, and send the witness what it has not taken.

        Raises:
            Conflict: as of ``check``.
            Upstream: the witness did not take it.
            OSError: the file cannot be written.
        """
        for note in await self.check(key):
            await asyncio.to_thread(append_note, self._places.checkpoints, note)
        size, newest = await self._db.read(newest_note)
        if size:
            self._last = await self._db.read(lambda session: _chain(session, key).open(newest))
        if self._http is not None and self._places.witness_url and size > self._witnessed:
            marked = await self._db.read(marked_notes)
            for note in [*(note for at, note in marked if self._witnessed < at < size), newest]:
                await post_note(self._http, self._places.witness_url, note)
            self._witnessed = size

    def _missing(self, session: Session, key: SigningKey, text: str) -> list[str]:
        size, newest = newest_note(session)
        marked = marked_notes(session)
        keys = KeyChain(key.verifier, [*(note for _, note in marked), text])
        try:
            last = keys.open(text) if text else self._last
        except InvalidInput as error:
            raise contradicts(f"the file is by another key ({error.detail})") from error
        if last is None:
            due = marked
        elif last.size <= size and root_at(session, last.size) == last.root:
            due = [one for one in marked if one[0] > last.size]
        else:
            due = _after_restore(marked, keys, last)
            if not due and last.size > size:
                raise _behind(last.size, size)
            if not due:
                raise contradicts(f"the first {last.size} entries are not those that were sealed")
        notes = [note for _, note in due]
        return notes if not size or newest in notes or (not due and last is not None and last.size == size) else [*notes, newest]


def append_note(path: Path, note: str) -> None:
    """Append a note and wait until it is on the disk; a note that was cut off by a crash is ended first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    with os.fdopen(handle, "rb+") as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            note = note if file.read(1) == b"\n" else f"\n{note}"
        file.write(note.encode())
        file.flush()
        os.fsync(file.fileno())


def last_note(path: Path) -> str:
    """Return the last whole note of the file, "" when there is none."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - _TAIL))
            tail = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    notes = split_notes(tail)
    return notes[-1] if notes else ""


def all_notes(path: Path) -> list[str]:
    """Return the notes of the file in their order; none when it is not there."""
    try:
        return split_notes(path.read_text(errors="replace"))
    except FileNotFoundError:
        return []


async def post_note(http: HttpClient, url: str, note: str) -> None:
    """Send a note to the witness.

    Raises:
        HubError: it does not answer, or did not take it (code ``audit-witness-failed``).
    """
    reply = await http.request("POST", url, body=note.encode(), headers={"content-type": "text/plain; charset=utf-8"}, max_bytes=65_536)
    if not 200 <= reply.status < 300:
        raise Upstream(f"The audit witness answered {reply.status}.", code="audit-witness-failed")


def known_branch(session: Session, key: SigningKey, notes: Sequence[str]) -> tuple[KeyChain, list[Checkpoint]]:
    """Return the log's keys, and what the notes of the place outside say of its present history.

    Raises:
        Conflict: a note is not by the log's keys (code ``audit-history-differs``).
    """
    try:
        keys = KeyChain(key.verifier, [*(note for _, note in marked_notes(session)), *notes])
        return keys, current_branch(map(keys.open, notes))
    except InvalidInput as error:
        raise contradicts(error.detail) from error


def refuse_other_history(session: Session, branch: Sequence[Checkpoint], base: int) -> None:
    """Refuse unless the log begins as the largest checkpoint outside says that it covers: then it begins as all of them say.

    Raises:
        Conflict: it does not (code ``audit-history-differs``).
    """
    known = max((one for one in branch if one.size <= base), key=lambda one: one.size, default=None)
    if known is not None and root_at(session, known.size) != known.root:
        raise contradicts(f"the first {known.size} entries are not those that were sealed")


def contradicts(why: str) -> Conflict:
    """Return the refusal to seal on top of a log that is not the one whose checkpoints lie outside."""
    hint = "Run `luminai audit verify`. Of a log that was begun anew on purpose, put the file of checkpoints aside and keep it."
    return Conflict(f"The audit log contradicts its checkpoints outside: {why}.", code="audit-history-differs", hint=hint)


def _behind(signed: int, there: int) -> Conflict:
    hint = "Run `luminai audit verify`. After a backup was restored on purpose: `luminai audit accept-restore`."
    why = f"{signed} entries were signed, {there} of them are there"
    return Conflict(f"The audit log is an older state than its checkpoints outside: {why}.", code=BEHIND, hint=hint)


def _chain(session: Session, key: SigningKey) -> KeyChain:
    return KeyChain(key.verifier, (note for _, note in marked_notes(session)))


def _after_restore(marked: list[tuple[int, str]], keys: KeyChain, last: Checkpoint) -> list[tuple[int, str]]:
    """Return the accepted restore that explains ``last``, and the marked notes behind it; nothing when none does."""
    for number, (_, note) in enumerate(marked):
        restored = keys.open(note).restored
        if restored is not None and (restored.size, restored.root) == (last.size, last.root):
            return marked[number:]
    return []
