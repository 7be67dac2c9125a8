"""A log on a database of its own, with a vault, for tests that look at what lies in it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from luminai import Actor, HubError, NotFound
from luminai.audit.checkpoint import split_notes
from luminai.audit.log import AuditLog
from luminai.audit.outside import Places
from luminai.audit.seal import Sealer
from luminai.audit.verify import Verification, verify_database
from luminai.contracts.audit import AuditEntry
from luminai.data.database import HubDatabase, open_database
from luminai.data.migrations import core_source, pending, upgrade
from luminai.data.tables_audit import audit_checkpoints, audit_entries, audit_holds, audit_nodes
from luminai.testing import FrozenClock

OPERATOR = Actor("key_operator", "operator", frozenset("*"))
TABLES = (audit_entries, audit_nodes, audit_checkpoints, audit_holds)


class SubjectVault:
    """AES-256-GCM under a key a subject, keys in memory."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}

    def seal(self, session: Session, /, *, subject: str, place: str, value: bytes) -> bytes:
        key = self.keys.setdefault(subject, os.urandom(32))
        nonce = os.urandom(12)
        return nonce + AESGCM(key).encrypt(nonce, value, place.encode())

    def open(self, session: Session, /, *, subject: str, place: str, sealed: bytes) -> bytes:
        if subject not in self.keys:
            raise NotFound("The key is destroyed.", code="shredded")
        try:
            return AESGCM(self.keys[subject]).decrypt(sealed[:12], sealed[12:], place.encode())
        except InvalidTag as error:
            raise HubError("Changed.", code="not-sealed-here") from error


class Logbook:
    """The parts of a log, and shortcuts."""

    def __init__(self, database: HubDatabase, folder: Path, clock: FrozenClock) -> None:
        self.database = database
        self.clock = clock
        self.vault = SubjectVault()
        self.places = Places(folder / "keys" / "audit.key", folder / "elsewhere" / "checkpoints.txt")
        self.log = AuditLog(database, clock, self.vault)
        self.sealer = self.new_sealer()

    def new_sealer(self) -> Sealer:
        """Return the sealer of a process that has just started."""
        return Sealer(self.log, self.database, self.clock, self.places)

    async def record(self, entry: AuditEntry, actor: Actor | str = OPERATOR) -> str:
        return await self.database.write(lambda session: self.log.record(session, actor, entry))

    async def fill(self, *rounds: int) -> None:
        """Record and seal so many entries a round."""
        for number in rounds:
            for _ in range(number):
                await self.record(AuditEntry(action="payment.send", object="account:1", subject="user_a", detail={"cents": 1200}))
            await self.sealer.seal()

    async def fill_unsealed(self, number: int) -> None:
        """Record so many entries."""
        for _ in range(number):
            await self.record(AuditEntry(action="payment.send", subject="user_a", detail={"cents": 1}))

    async def record_and_try_to_seal(self, code: str) -> None:
        """Record one more; a sealer that has just started refuses with ``code``."""
        await self.record(AuditEntry(action="payment.send"))
        with pytest.raises(HubError) as refused:
            await self.new_sealer().seal()
        assert refused.value.code == code

    def notes(self) -> list[str]:
        return split_notes(self.places.checkpoints.read_text())

    async def verify(self, *, outside: bool = True) -> Verification:
        verifier = (await self.new_sealer().key()).verifier
        return await verify_database(self.database, self.clock, verifier, outside=self.notes() if outside else None)

    async def codes(self, *, outside: bool = True) -> set[str]:
        return {found.code for found in (await self.verify(outside=outside)).findings}

    async def change(self, unit: Callable[[Session], Any]) -> None:
        """Write past the log, as somebody with the database does."""
        await self.database.write(lambda session: unit(session) and None)

    async def copy(self) -> list[list[dict[str, Any]]]:
        """Return all rows of all tables."""
        return await self.database.read(lambda session: [[dict(row._mapping) for row in session.execute(select(table))] for table in TABLES])

    async def restore(self, backup: list[list[dict[str, Any]]]) -> None:
        def unit(session: Session) -> None:
            for table, rows in zip(TABLES, backup, strict=True):
                session.execute(delete(table))
                if rows:
                    session.execute(insert(table), rows)

        await self.change(unit)


def with_log(url: str, folder: Path, work: Callable[[Logbook], Awaitable[Any]]) -> Any:
    """Run ``work`` on a fresh log (on PostgreSQL the tables are emptied first)."""

    async def main() -> Any:
        clock = FrozenClock()
        database = await open_database(url, data_dir=folder / "data", clock=clock)
        try:
            if await pending(database, [core_source()]):
                await upgrade(database, core_source())
            book = Logbook(database, folder, clock)
            await book.restore([[], [], [], []])
            return await work(book)
        finally:
            await database.close()

    return asyncio.run(main())
