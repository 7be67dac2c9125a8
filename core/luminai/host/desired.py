"""On and off as an operator set it at run time. It wins over ``enabled`` of config.toml, which the hub never writes."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from luminai.contracts.context import Clock, Database
from luminai.data.tables import plugin_desired


class Desired(Struct, frozen=True):
    """An operator's wish for one plugin."""

    plugin_id: str
    enabled: bool
    changed_by: str
    changed_at: datetime


class DesiredStore:
    """The wishes kept in the database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._db = database
        self._clock = clock

    async def set(self, plugin_id: str, enabled: bool, *, by: str) -> None:
        """Note that ``plugin_id`` shall be on or off."""
        now = self._clock.now()

        def unit(session: Session) -> None:
            session.execute(delete(plugin_desired).where(plugin_desired.c.plugin_id == plugin_id))
            session.execute(insert(plugin_desired).values(plugin_id=plugin_id, enabled=enabled, changed_by=by, changed_at=now))

        await self._db.write(unit)

    async def all(self) -> dict[str, Desired]:
        """Return every wish by plugin id."""

        def unit(session: Session) -> dict[str, Desired]:
            rows = session.execute(select(plugin_desired))
            return {row.plugin_id: Desired(row.plugin_id, row.enabled, row.changed_by, row.changed_at) for row in rows}

        return await self._db.read(unit)
