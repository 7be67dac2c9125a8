"""The sealer: takes what was recorded into the tree, signs, hands checkpoints out, changes its key, blanks what has expired."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy.orm import Session

from luminai.audit.checkpoint import SigningKey, make_key, read_key, refuse_exposed
from luminai.audit.keychain import KeyChain
from luminai.audit.log import HUB, AuditLog
from luminai.audit.outside import Outside, Places, all_notes
from luminai.audit.restore import accept_restore
from luminai.audit.retention import prune
from luminai.audit.tree import BATCH, append, is_waiting, key_since, marked_notes, newest_note, sealed_from
from luminai.contracts.audit import AuditEntry
from luminai.contracts.context import Clock, Database
from luminai.contracts.errors import Conflict, HubError
from luminai.contracts.identity import Actor
from luminai.contracts.outbound import HttpClient
from luminai.telemetry.log_copy import LogCopy

_log = logging.getLogger("luminai.audit")
SEAL_SECONDS: Final = 10.0
PRUNE_ROUNDS: Final = 360
"""Rounds from one look for expired entries, and at the key's age, to the next: an hour."""


class Sealer:
    """One a process. ``problem`` is the code of what keeps it from sealing or handing out, "" when all is well.

    Args:
        http: Reaches the witness; None when there is none.
        key_days: Days after which the key is changed; 0 for never.
        copy: Told each entry that is sealed, without its detail; after a crash a few may be missing there.

    Raises:
        ConfigRejected: others can read the key file (code ``audit-key-exposed``).
    """

    def __init__(
        self,
        log: AuditLog,
        database: Database,
        clock: Clock,
        places: Places,
        http: HttpClient | None = None,
        *,
        key_days: int = 0,
        copy: LogCopy | None = None,
    ) -> None:
        self._log = log
        self._db = database
        self._clock = clock
        self._outside = Outside(database, places, http)
        self._key_days = key_days
        self._copy = copy
        self._key: SigningKey | None = None
        self._lock = asyncio.Lock()
        self.places = places
        self.problem = ""
        refuse_exposed(places.key)

    async def keep(self) -> None:
        """Seal every ten seconds, prune and look at the key's age every hour, for as long as the hub serves."""
        rounds = 0
        while True:
            await asyncio.sleep(SEAL_SECONDS)
            rounds += 1
            await self.round(prune_too=rounds % PRUNE_ROUNDS == 1)

    async def round(self, *, prune_too: bool = False) -> None:
        """Do what is due; what fails is told in the log and in ``problem``, and is tried again in the next round."""
        try:
            await self.seal()
            if prune_too:
                await prune(self._db, self._clock)
                await self._rotate_by_age()
        except Exception as error:  # noqa: BLE001 - one bad round must not end the upkeep
            code = error.code if isinstance(error, HubError) else "audit-round-failed"
            if code != self.problem:
                _log.error("audit.round.failed", exc_info=error, extra={"code": code})
            self.problem = code

    async def seal(self) -> None:
        """Take everything that waits into the tree under a signed checkpoint, and hand the newest one out.

        Nothing is sealed while the log contradicts the checkpoints outside: that would make a second history under the same key.

        Raises:
            Conflict: the log or its key is not the one that was signed last; or it is not what the checkpoints outside say.
            Upstream: the witness did not take it.
            OSError: the file of checkpoints cannot be read or written.
        """
        async with self._lock:
            await self._log.record_noted()
            await self._seal()
            self.problem = ""

    async def key(self) -> SigningKey:
        """Return the log's key; a log that has no checkpoint yet gets a new one.

        Raises:
            Conflict: the key file is gone (code ``audit-key-missing``).
            ConfigRejected: others can read it, or it holds no key.
        """
        if self._key is None:
            try:
                key = await asyncio.to_thread(read_key, self.places.key)
            except FileNotFoundError:
                size, _ = await self._db.read(newest_note)
                if size:
                    hint = "Restore keys/audit.key from a backup; several processes on one database share one key file."
                    raise Conflict("The key of the audit log is not there.", code="audit-key-missing", hint=hint) from None
                key = await asyncio.to_thread(make_key, self.places.key)
            self._key = await self._newest(key)
        return self._key

    async def rotate(self, by: Actor | str) -> SigningKey:
        """Have the log go on under a new key, which the old one vouches for, and return it. The old private key is overwritten.

        Raises:
            Conflict: as of ``seal``; nothing was changed then.
        """
        async with self._lock:
            await self._log.record_noted()
            await self._seal()
            old = await self.key()
            new = await asyncio.to_thread(_make_next, self.places.key, old.name)
            entry = AuditEntry(action="audit.rotate-key", object=f"key:{new.id}", detail={"before": old.id}, retention="7y")

            def unit(session: Session) -> None:
                self._log.record(session, by, entry)
                append(session, old, self._clock.now(), sign=lambda size, root: old.hand_over(new, size, root))

            await self._db.write(unit, timeout=60)  # if it fails, a key file that nothing names is left: it may still be committed
            self._key = None
            key = await self.key()
        await self.round()
        return key

    async def accept_restore(self, by: Actor | str, reason: str) -> None:
        """Record that a backup was restored on purpose, and go on from there. Whoever verifies is told of it for good.

        Raises:
            Conflict: the log is not behind its checkpoints outside (code ``audit-not-behind``), is no true older state of what was signed
                (``audit-history-differs``), or its key is not the newest (``audit-key-retired``).
        """
        async with self._lock:
            key = await self.key()
            notes = await asyncio.to_thread(all_notes, self.places.checkpoints)
            await self._db.write(lambda session: accept_restore(session, self._log, key, notes, self._clock.now(), by=by, reason=reason), timeout=60)
        await self.round()

    async def _seal(self) -> None:
        waiting, (size, _) = await self._db.read(is_waiting), await self._db.read(newest_note)
        if not waiting and not size and not self.places.key.exists():
            await self._outside.check(None)
            return
        key = await self.key()
        await self._outside.check(key)
        if waiting:
            key = await self._append_by(key)
        await self._outside.hand_out(key)

    async def _append_by(self, key: SigningKey) -> SigningKey:
        """Append with the key, or with the one that another process changed it for; return which."""
        try:
            await self._append_all(key)
        except Conflict as error:
            if error.code not in ("audit-key-retired", "audit-key-differs"):
                raise
            self._key = None
            key = await self.key()
            await self._append_all(key)
        return key

    async def _append_all(self, key: SigningKey) -> None:
        count = BATCH
        while count == BATCH:
            size, _ = await self._db.read(newest_note)
            count = await self._db.write(lambda session: append(session, key, self._clock.now()), timeout=60)
            if self._copy is not None and count:
                for fields in await self._db.read(partial(sealed_from, size=size, count=count)):
                    self._copy.put(fields)

    async def _rotate_by_age(self) -> None:
        since = await self._db.read(key_since) if self._key_days else None
        if since is not None and self._clock.now() - since >= timedelta(days=self._key_days):
            await self.rotate(HUB)

    async def _newest(self, key: SigningKey) -> SigningKey:
        """Return the key that ``key`` was handed over to: a rotation was cut short before the file had its name, or the next one is there too."""
        keys = await self._db.read(lambda session: KeyChain(key.verifier, (note for _, note in marked_notes(session))))
        while successor := keys.successor(key.verifier):
            place = _next_of(self.places.key, successor.split("+", 2)[1])
            with suppress(FileNotFoundError):  # another process has just done it
                await asyncio.to_thread(place.replace, self.places.key)
            found = await asyncio.to_thread(read_key, self.places.key)
            if found.verifier == key.verifier:
                break  # the next one is not there: sealing is refused with ``audit-key-retired``
            key = found
        return key


def _next_of(path: Path, key_id: str) -> Path:
    return path.with_name(f"{path.name}.{key_id}")


def _make_next(path: Path, name: str) -> SigningKey:
    """Make a key in a file that is named by its id: it lies safe on the disk before the log names it."""
    made = path.with_name(f"{path.name}.new")
    made.unlink(missing_ok=True)
    key = make_key(made, name)
    made.replace(_next_of(path, key.id))
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return key
