"""The inbox of webhooks: deliveries are kept before they are answered, taken under a lease, and settled once.

A lease is a fence: whoever lost it (the process stalled, somebody else took the delivery) cannot settle any more, and the unit of work in which
it tries is rolled back. So an effect that is written together with ``Delivery.finish`` happens exactly once.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import Executable, delete, false, func, or_, select, update
from sqlalchemy.orm import Session

from luminai.contracts.context import Clock, Database
from luminai.contracts.errors import Conflict, Unavailable
from luminai.contracts.runtime import Verified
from luminai.contracts.vault import HUB_SUBJECT, Vault
from luminai.data.ids import new_id
from luminai.data.tables_webhooks import webhook_inbox as inbox
from luminai.data.upsert import insert_for

ATTEMPTS: Final = 8
MAX_WAITING: Final = 10_000
"""Unsettled deliveries of one plugin. The count is taken before the insert, so parallel requests may pass it by their own number."""
KEEP: Final = timedelta(days=30)
LEASE_SPARE: Final = timedelta(seconds=30)
_FIRST: Final = timedelta(seconds=10)
_LONGEST: Final = timedelta(hours=6)
OPEN_STATES: Final = ("waiting", "failed")
Key = tuple[str, str]
"""Plugin id and name of a webhook."""


class Receipt(Struct, frozen=True):
    """The answer to a delivery: ``queued`` is 1 when there is something to do, else 0. A repeated delivery gets the first one's."""

    queued: int
    id: str


class Lease:
    """Implements ``Delivery``: one delivery in the hands of one worker."""

    __slots__ = ("_clock", "attempt", "id", "key", "received_at", "row_id", "sealed", "token")

    def __init__(self, clock: Clock, row: Any, token: str) -> None:
        self._clock = clock
        self.row_id: str = row.id
        self.key: Key = (row.plugin, row.name)
        self.id: str = row.delivery_id
        self.sealed = bytes(row.event)
        self.attempt: int = row.attempts + 1
        self.received_at: datetime = row.received_at
        self.token = token

    def finish(self, session: Session, /) -> None:
        """Mark the delivery as done in the caller's unit of work.

        Raises:
            Conflict: somebody else has it now, or it is settled (code ``lease-lost``); the unit must not be committed.
        """
        if not self.settle(session, state="done"):
            hint = "It took longer than its timeout, or finish was called twice."
            raise Conflict(f"The delivery {self.id} is no longer this worker's.", code="lease-lost", hint=hint)

    def settle(self, session: Session, *, state: str, error: str = "") -> bool:
        """End it with ``state``; return False, and change nothing, without the lease."""
        values = {"state": state, "lease": None, "settled_at": self._clock.now(), "error": error, "event": None if state == "done" else inbox.c.event}
        return self._release(session, values)

    def put_back(self, session: Session, *, state: str, error: str, next_at: datetime, attempts: int) -> bool:
        """Have it tried again at ``next_at``; return False without the lease."""
        return self._release(session, {"state": state, "lease": None, "next_at": next_at, "error": error, "attempts": attempts})

    def _release(self, session: Session, values: dict[str, Any]) -> bool:
        mine = (inbox.c.id == self.row_id) & (inbox.c.lease == self.token)
        return _changed(session, update(inbox).where(mine).values(**values)) == 1


class Inbox:
    """Keeps deliveries."""

    def __init__(self, database: Database, clock: Clock, vault: Vault) -> None:
        self._db = database
        self._clock = clock
        self._vault = vault

    async def take_in(self, plugin: str, name: str, found: Verified, body: bytes) -> tuple[Receipt, bool]:
        """Keep a delivery durably; return the receipt, and whether it is new.

        Raises:
            Unavailable: the plugin has too many unsettled ones (code ``webhook-inbox-full``).
        """
        has_work, now = found.event is not None, self._clock.now()
        content = msgspec.json.encode(found.event) if has_work else None
        row: dict[str, Any] = {
            "id": new_id("whd"),
            "plugin": plugin,
            "name": name,
            "delivery_id": found.id,
            "digest": None if found.id_is_signed else hashlib.sha256(body).digest(),
            "summary": "".join(sign if sign.isprintable() else " " for sign in found.summary)[:200],
            "queued": int(has_work),
            "state": "waiting" if has_work else "done",
            "attempts": 0,
            "received_at": now,
            "next_at": now,
            "settled_at": None if has_work else now,
            "error": "",
        }
        same_body = false() if found.id_is_signed else inbox.c.digest == row["digest"]  # compared with None it would be every signed id's
        same = (inbox.c.plugin == plugin) & (inbox.c.name == name) & or_(inbox.c.delivery_id == found.id, same_body)
        known = select(inbox.c.id, inbox.c.queued).where(same).order_by(inbox.c.id).limit(1)

        def look(session: Session) -> tuple[Any, int]:
            waiting = select(inbox.c.id).where(inbox.c.plugin == plugin, inbox.c.state.in_(OPEN_STATES)).limit(MAX_WAITING).subquery()
            return session.execute(known).first(), session.execute(select(func.count()).select_from(waiting)).scalar_one()

        def unit(session: Session) -> tuple[Receipt, bool]:
            first = session.execute(known).first()
            if first is None:
                sealed = self._vault.seal(session, subject=HUB_SUBJECT, place=_place(row["id"]), value=content) if content is not None else None
                session.execute(insert_for(session)(inbox).values(**row, event=sealed).on_conflict_do_nothing())
                first = session.execute(known).one()
            return Receipt(first.queued, first.id), first.id == row["id"]

        before, waiting = await self._db.read(look)
        if before is not None:  # a replay costs no write
            return Receipt(before.queued, before.id), False
        if waiting >= MAX_WAITING:
            detail = f"{plugin} has {MAX_WAITING} deliveries that wait."
            raise Unavailable(detail, code="webhook-inbox-full", hint="`luminai webhooks list` shows them.", retry_after=300, plugin=plugin)
        return await self._db.write(unit)

    async def due(self, keys: Sequence[Key]) -> dict[Key, datetime]:
        """Return when the first open delivery of each of these webhooks may be taken; webhooks without one are left out."""
        plugins = sorted({plugin for plugin, _ in keys})
        first = func.min(inbox.c.next_at, type_=inbox.c.next_at.type).label("at")
        query = select(inbox.c.plugin, inbox.c.name, first)
        query = query.where(inbox.c.plugin.in_(plugins), inbox.c.state.in_(OPEN_STATES)).group_by(inbox.c.plugin, inbox.c.name)

        def unit(session: Session) -> dict[Key, datetime]:
            return {(row.plugin, row.name): row.at for row in session.execute(query)}

        found = await self._db.read(unit)
        return {key: at for key, at in found.items() if key in keys}

    async def claim(self, key: Key, *, most: int, seconds: float) -> list[Lease]:
        """Take up to ``most`` due deliveries, oldest first, each for ``seconds`` and some to spare."""
        now, token = self._clock.now(), secrets.token_hex(16)
        mine = (inbox.c.plugin == key[0]) & (inbox.c.name == key[1]) & inbox.c.state.in_(OPEN_STATES) & (inbox.c.next_at <= now)
        query = select(inbox).where(mine).order_by(inbox.c.next_at, inbox.c.id).limit(most).with_for_update(skip_locked=True)

        def unit(session: Session) -> list[Lease]:
            leases = []
            for row in session.execute(query).all():
                if row.attempts >= ATTEMPTS:
                    values = {"state": "dead", "lease": None, "settled_at": now, "error": "the process ended each time that it was handled"}
                else:
                    leases.append(Lease(self._clock, row, token))
                    until = now + timedelta(seconds=seconds) + LEASE_SPARE
                    values = {"lease": token, "attempts": row.attempts + 1, "next_at": until}
                session.execute(update(inbox).where(inbox.c.id == row.id).values(**values))
            return leases

        return await self._db.write(unit)

    async def content(self, lease: Lease) -> bytes:
        """Return the event as it was encoded.

        Raises:
            HubError: it cannot be unsealed (see ``Vault.open``).
        """
        return await self._db.read(lambda session: self._vault.open(session, subject=HUB_SUBJECT, place=_place(lease.row_id), sealed=lease.sealed))

    async def done(self, lease: Lease) -> None:
        """Settle a delivery whose ``receive`` returned; nothing happens if it finished by itself."""
        await self._db.write(lambda session: lease.settle(session, state="done"))

    async def failed(self, lease: Lease, error: str, *, wait: float | None = None) -> str:
        """Note a failed attempt and return the state: ``failed``, to be tried again later, or after the last one ``dead``.

        Args:
            wait: Seconds that the handler asked to be left alone for.
        """
        now = self._clock.now()
        pause = max(backoff(lease.attempt), timedelta(seconds=min(wait or 0, _LONGEST.total_seconds())))

        def unit(session: Session) -> str:
            if lease.attempt >= ATTEMPTS:
                return "dead" if lease.settle(session, state="dead", error=error[:500]) else ""
            return "failed" if lease.put_back(session, state="failed", error=error[:500], next_at=now + pause, attempts=lease.attempt) else ""

        return await self._db.write(unit)

    async def give_back(self, lease: Lease) -> None:
        """Let another worker have it at once: this one was told to stop, which is no failed attempt."""
        now = self._clock.now()
        await self._db.write(lambda session: lease.put_back(session, state="waiting", error="", next_at=now, attempts=lease.attempt - 1))

    async def forget_leases(self) -> None:
        """Free every delivery, for a process that is the only one on its database and has just begun."""
        now = self._clock.now()
        await self._db.write(lambda session: _changed(session, update(inbox).where(inbox.c.lease.is_not(None)).values(lease=None, next_at=now)))

    async def sweep(self) -> None:
        """Delete what was settled 30 days ago; a delivery repeated after that is a new one."""
        before = self._clock.now() - KEEP
        await self._db.write(lambda session: _changed(session, delete(inbox).where(inbox.c.settled_at < before)))


def _place(row_id: str) -> str:
    return f"{inbox.name}.event:{row_id}"


def _changed(session: Session, statement: Executable) -> int:
    """Return how many rows an update or delete changed."""
    result: Any = session.execute(statement)
    return int(result.rowcount)


def backoff(attempt: int) -> timedelta:
    """Return the pause after a failed attempt (1 is the first): 10 s, 40 s, 160 s … at most 6 hours; about ten hours in all."""
    return min(_LONGEST, _FIRST * int(4 ** (attempt - 1)))
