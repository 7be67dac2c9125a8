"""What operators see of webhook deliveries, and what they can do about one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from luminai.audit.log import AuditLog
from luminai.contracts.audit import AuditEntry
from luminai.contracts.context import Clock, Database
from luminai.contracts.errors import Conflict, NotFound
from luminai.contracts.identity import Actor
from luminai.data.tables_webhooks import webhook_inbox as inbox
from luminai.host.webhook_inbox import OPEN_STATES


class DeliveryInfo(Struct, frozen=True, kw_only=True):
    """A delivery without its content. ``state``: waiting, failed (is tried again at ``next_at``), done, dead, discarded."""

    id: str
    plugin: str
    webhook: str
    delivery_id: str
    summary: str
    state: str
    handling: bool
    attempts: int
    received_at: datetime
    next_at: datetime | None
    settled_at: datetime | None
    error: str


class DeliveryList:
    """The inbox as operators use it; what they do is recorded in the audit log."""

    def __init__(self, database: Database, clock: Clock, audit: AuditLog) -> None:
        self._db = database
        self._clock = clock
        self._audit = audit

    async def page(self, *, plugin: str, state: str, limit: int, before: str | None) -> list[DeliveryInfo]:
        """Return deliveries, newest first; an empty ``plugin`` or ``state`` stands for all."""
        query = select(inbox).order_by(inbox.c.id.desc()).limit(limit)
        for column, value in ((inbox.c.plugin, plugin), (inbox.c.state, state)):
            query = query.where(column == value) if value else query
        query = query.where(inbox.c.id < before) if before else query
        return await self._db.read(lambda session: [_info(row, self._clock.now()) for row in session.execute(query)])

    async def find(self, row_id: str) -> DeliveryInfo:
        """Return one.

        Raises:
            NotFound: there is none.
        """
        return await self._db.read(lambda session: _info(_row(session, row_id), self._clock.now()))

    async def retry(self, row_id: str, *, by: Actor) -> DeliveryInfo:
        """Have a delivery handled as soon as possible, with all its attempts before it.

        Raises:
            NotFound: there is none.
            Conflict: it is done or discarded (code ``delivery-settled``), or is being handled (``delivery-busy``).
        """
        now = self._clock.now()
        return await self._change(by, "webhook.retry", row_id, {"state": "waiting", "attempts": 0, "next_at": now, "settled_at": None, "lease": None})

    async def discard(self, row_id: str, *, by: Actor) -> DeliveryInfo:
        """Give a delivery up and delete its content; its id stays known, so that it is not taken in again.

        Raises:
            NotFound, Conflict: as for ``retry``.
        """
        now = self._clock.now()
        return await self._change(
            by, "webhook.discard", row_id, {"state": "discarded", "event": None, "settled_at": now, "lease": None, "error": f"discarded by {by.id}"}
        )

    async def _change(self, by: Actor, action: str, row_id: str, values: dict[str, Any]) -> DeliveryInfo:
        def unit(session: Session) -> DeliveryInfo:
            row = _row(session, row_id)
            if row.event is None:
                raise Conflict(
                    f"The delivery is {row.state}.", code="delivery-settled", hint="Its content was deleted, so it cannot be handled again."
                )
            if _info(row, self._clock.now()).handling:
                raise Conflict("The delivery is being handled.", code="delivery-busy", hint="Try again in a moment.", retry_after=30)
            session.execute(update(inbox).where(inbox.c.id == row_id).values(**values))
            self._audit.record(session, by, AuditEntry(action=action, object=row_id, detail={"plugin": row.plugin, "was": row.state}))
            return _info(_row(session, row_id), self._clock.now())

        return await self._db.write(unit)


def _info(row: Any, now: datetime) -> DeliveryInfo:
    return DeliveryInfo(
        id=row.id,
        plugin=row.plugin,
        webhook=row.name,
        delivery_id=row.delivery_id,
        summary=row.summary,
        state=row.state,
        handling=row.lease is not None and row.next_at > now,
        attempts=row.attempts,
        received_at=row.received_at,
        next_at=row.next_at if row.state in OPEN_STATES else None,
        settled_at=row.settled_at,
        error=row.error,
    )


def _row(session: Session, row_id: str) -> Any:
    row = session.execute(select(inbox).where(inbox.c.id == row_id)).first()
    if row is None:
        raise NotFound(f"There is no delivery {row_id}.", code="delivery-not-found", hint="`luminai webhooks list` shows them.")
    return row
