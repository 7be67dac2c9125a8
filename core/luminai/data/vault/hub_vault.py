"""The vault of a serving hub: the right master key at the start, rotation under load, tombstones that leave the database."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.orm import Session

from luminai.contracts.context import Clock
from luminai.contracts.errors import Conflict, HubError
from luminai.data.database import HubDatabase
from luminai.data.tables_vault import master_keys, subject_keys
from luminai.data.vault.ring import VARIABLE, KeyRing
from luminai.data.vault.sealing import SubjectVault
from luminai.data.vault.subject_keys import ACTIVE, DESTROYED, RETIRING, rewrap
from luminai.data.vault.tombstones import FILE_NAME, append_file, read_file, replay, tombstones

_log = logging.getLogger("luminai.vault")
POLL_SECONDS: Final = 1.0
LOOK_ROUNDS: Final = 10
"""Rounds from one look for tombstones of other processes to the next."""
BATCH: Final = 200
_OVERLAP: Final = timedelta(minutes=5)
"""Clocks differ, and a unit commits later than it reads the clock."""


class Masters(Struct, frozen=True):
    """Master keys of the database.

    Attributes:
        states: By id.
        needed: Ids of those that live data keys are wrapped by.
    """

    states: dict[str, str]
    needed: frozenset[str]

    @property
    def active(self) -> str:
        """Id of the key in use, "" when there is none yet."""
        return next((one for one, state in self.states.items() if state == ACTIVE), "")


def masters(session: Session) -> Masters:
    """Return what the database knows of its master keys."""
    states = {row.id: row.state for row in session.execute(select(master_keys.c.id, master_keys.c.state))}
    live = select(subject_keys.c.master_key).where(subject_keys.c.state == ACTIVE).distinct()
    return Masters(states, frozenset(session.execute(live).scalars()))


class HubVault(SubjectVault):
    """One a process."""

    def __init__(self, ring: KeyRing, database: HubDatabase, clock: Clock) -> None:
        super().__init__(ring, clock)
        self._db = database
        self._tombstones = ring.path.parent / FILE_NAME
        self._told: set[str] | None = None
        self._told_until: datetime | None = None
        self._lock = asyncio.Lock()
        self._untold = False
        self._settled: tuple[str, ...] = ()
        self.problem = ""

    async def start(self) -> None:
        """Make or check the master key, then destroy again what was destroyed before this database was restored.

        Raises:
            Conflict: the data's master key is not there (code ``master-key-missing``), or only another one is (code ``master-key-wrong``).
            ConfigRejected: others can read the key file (code ``key-file-readable``).
        """
        known = await self._db.read(masters)
        if (refused := refusal(self.ring, known)) is not None:
            raise refused
        is_lost = bool(known.active) and known.active not in self.ring.ids
        if is_lost and self._db.dialect != "sqlite":  # nothing is sealed yet, but another process may have the key and be about to
            _log.warning("vault.locked", extra={"reason": "the master key of this database is not in this process"})
            return
        if is_lost or not known.active:
            if not self.ring.ids:
                await asyncio.to_thread(self.ring.make)
            await self._db.write(lambda session: self._activate(session, self.ring.ids[0]))
        if told := await asyncio.to_thread(read_file, self._tombstones):
            again = await self._db.write(lambda session: replay(session, told, self._clock.now()), timeout=60)
            if again:
                _log.warning("vault.tombstones.replayed", extra={"keys": again})
                await self._overwrite()
        await self.tell()

    async def rotate(self) -> int:
        """Move to the key at the head of the ring and return how many data keys were wrapped anew; units go on meanwhile.

        Safe to repeat: one that was interrupted is taken up where it stood.
        """
        async with self._lock:
            known = await self._db.read(masters)
            wanted = next((one for one in self.ring.ids if known.states.get(one) != DESTROYED), "")
            if wanted and wanted != known.active and known.states.get(wanted) != RETIRING:
                await self._db.write(lambda session: self._activate(session, wanted))
                _log.warning("vault.rotation.began", extra={"key": wanted})
            count = 0
            while done := await self._db.write(lambda session: rewrap(session, self.ring, BATCH), timeout=60):
                count += done
            gone = await self._db.write(self._retire)
            await asyncio.to_thread(self.ring.drop, gone)
            if count:
                _log.warning("vault.rotation.done", extra={"data_keys": count})
                await self._overwrite()
            return count

    def destroy(self, session: Session, subject: str, /) -> int:
        """Destroy a subject's keys; the file of tombstones follows within seconds of the commit."""
        self._untold = True
        return super().destroy(session, subject)

    async def tell(self) -> None:
        """Write tombstones into the file that are not in it yet."""
        if self._told is None:
            self._told = set(await asyncio.to_thread(read_file, self._tombstones))
        told, since = self._told, self._told_until - _OVERLAP if self._told_until else None
        found = await self._db.read(lambda session: tombstones(session, since))
        fresh = {one: at for one, at in found.items() if one not in told}
        if fresh:
            await asyncio.to_thread(append_file, self._tombstones, fresh)
            told |= fresh.keys()
            self._untold = False
            await self._overwrite()
        self._told_until = max(found.values(), default=self._told_until)

    async def keep(self) -> None:
        """Follow the key file and the tombstones for as long as the hub serves."""
        rounds = 0
        while True:
            await self._round(rounds)
            rounds += 1
            await asyncio.sleep(POLL_SECONDS)

    async def _round(self, number: int) -> None:
        """Do what is due; what fails is told once and tried again."""
        try:
            await asyncio.to_thread(self.ring.reload)
            ids = self.ring.ids
            if ids != self._settled or self.problem:
                await self.rotate()
                self._settled = ids
            if self._untold or number % LOOK_ROUNDS == LOOK_ROUNDS - 1:
                await self.tell()
            self.ring.forget()
            self.cache.expire()
            self.problem = ""
        except Exception as error:  # noqa: BLE001 - one bad round must not end the upkeep
            code = error.code if isinstance(error, HubError) else "vault-round-failed"
            if code != self.problem:
                _log.error("vault.round.failed", exc_info=error, extra={"code": code})
            self.problem = code

    def _activate(self, session: Session, wanted: str) -> None:
        activate(session, wanted, self._clock.now())

    def _retire(self, session: Session) -> list[str]:
        """Call those keys destroyed that wrap nothing any more, and return all that are."""
        known = masters(session)
        idle = [one for one, state in known.states.items() if state == RETIRING and one not in known.needed]
        if idle:
            session.execute(update(master_keys).where(master_keys.c.id.in_(idle)).values(state=DESTROYED, changed_at=self._clock.now()))
        return idle + [one for one, state in known.states.items() if state == DESTROYED]

    async def _overwrite(self) -> None:
        """On SQLite, have the write-ahead log forget wrapped keys that are gone from the tables; readers may put that off to a later round."""
        if self._db.dialect == "sqlite":
            await self._db.migrate(_truncate)


def activate(session: Session, wanted: str, now: datetime) -> None:
    """Make a master key the one that wraps."""
    states = masters(session).states
    if states.get(wanted) == ACTIVE:
        return
    session.execute(update(master_keys).where(master_keys.c.state == ACTIVE).values(state=RETIRING, changed_at=now))
    if wanted in states:
        session.execute(update(master_keys).where(master_keys.c.id == wanted).values(state=ACTIVE, changed_at=now))
    else:
        session.execute(insert(master_keys).values(id=wanted, state=ACTIVE, created_at=now, changed_at=now))


def refusal(ring: KeyRing, known: Masters) -> Conflict | None:
    """Return why this ring does not open what the database holds, None when it does."""
    if not known.needed or not (known.needed | {known.active}) - {""} - set(ring.ids):
        return None
    if ring.ids and not known.states.keys() & set(ring.ids):
        hint = f"Put the key back that the data was sealed with, in {_source(ring)}. Another key opens nothing of it."
        return Conflict("The master key is another one than the data's.", code="master-key-wrong", hint=hint)
    hint = f"Restore it from its copy to {_source(ring)}. Without it nothing sealed can be read. `luminai vault status` shows its id."
    return Conflict("The master key of the data is not there.", code="master-key-missing", hint=hint)


def _source(ring: KeyRing) -> str:
    return str(ring.path) if ring.is_file else VARIABLE


def _truncate(connection: Connection) -> None:
    raw = connection.connection.driver_connection
    if isinstance(raw, sqlite3.Connection):
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
