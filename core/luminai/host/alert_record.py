"""What fires in any process of the hub, and when people were told: one table, so that of several processes one tells it, and one that it is over."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, convert
from msgspec.structs import replace
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from luminai.contracts.context import Clock, Database
from luminai.data.tables import alerts
from luminai.host.nodes import alive
from luminai.telemetry.alerts import Alert


class _Change(Struct, frozen=True):
    """A row as it is to be; without ``nodes`` it goes. ``tell`` is what people are to hear of it."""

    id: str
    nodes: list[str]
    said: Alert | None = None
    told_at: datetime | None = None
    is_new: bool = False
    tell: Alert | None = None


class AlertRecord:
    """The alerts of the hub as this process sees and holds them.

    Args:
        node: This process.
        repeat: After which time people are told again.
    """

    def __init__(self, database: Database, clock: Clock, node: str, repeat: timedelta) -> None:
        self._db = database
        self._clock = clock
        self._node = node
        self._repeat = repeat

    async def turn(self, mine: Sequence[Alert], unsure: Collection[str], letters: Callable[[Session, Alert], None]) -> list[Alert]:
        """Note what is open here, and return what this process is to tell now.

        Args:
            mine: What is pending or fires here.
            unsure: Rules that this process does not watch for long enough yet to say that what another process left behind is over.
            letters: Puts the letters of what is told into the unit that notes it.

        Raises:
            HubError: the database does not answer.
        """
        if not await self._db.read(lambda session: self._changes(session, mine, unsure)):
            return []

        def unit(session: Session) -> list[Alert]:
            tell = []
            for change in self._changes(session, mine, unsure):
                _write(session, change)
                if change.tell is not None:
                    letters(session, change.tell)
                    tell.append(change.tell)
            return tell

        return await self._db.write(unit)

    async def elsewhere(self, mine: Collection[str]) -> list[Alert]:
        """Return what fires in other processes and is not open here, each as it was when it was noted."""
        rows = await self._db.read(lambda session: session.execute(select(alerts.c.said).where(alerts.c.id.not_in(mine))).scalars().all())
        return [convert(said, Alert) for said in rows]

    def _changes(self, session: Session, mine: Sequence[Alert], unsure: Collection[str]) -> list[_Change]:
        now = self._clock.now()
        others = alive(session, now) - {self._node}
        rows: dict[str, Any] = {row.id: row for row in session.execute(select(alerts))}
        found = []
        for alert in mine:
            row = rows.pop(alert.id, None)
            if row is None and alert.state != "firing":
                continue
            nodes = sorted({self._node, *(others.intersection(row.nodes) if row is not None else ())})
            is_due = alert.state == "firing" and (row is None or now - row.told_at >= self._repeat)
            if is_due or nodes != row.nodes:
                told_at = now if is_due else row.told_at
                said = alert if is_due else convert(row.said, Alert)
                found.append(_Change(alert.id, nodes, said, told_at, is_new=row is None, tell=alert if is_due else None))
        for row in rows.values():
            nodes = sorted(others.intersection(row.nodes))
            said = convert(row.said, Alert)
            if nodes and nodes != row.nodes:
                found.append(_Change(row.id, nodes, said, row.told_at))
            elif not nodes and (self._node in row.nodes or said.rule not in unsure):
                found.append(_Change(row.id, [], tell=replace(said, state="resolved", resolved_at=now)))
        return found


def _write(session: Session, change: _Change) -> None:
    values = {"nodes": change.nodes, "said": change.said, "told_at": change.told_at}
    if change.is_new:
        session.execute(insert(alerts).values(id=change.id, **values))
    elif change.nodes:
        session.execute(update(alerts).where(alerts.c.id == change.id).values(**values))
    else:
        session.execute(delete(alerts).where(alerts.c.id == change.id))
