"""What an operator wished of plugins at run time: on, off, settings. It wins over config.toml, which the hub never writes.

Every change raises the revision by one and keeps the whole of the wishes, so that any earlier state can be brought back.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from luminai.contracts.context import Clock, Database
from luminai.contracts.errors import Conflict, NotFound
from luminai.data.tables import plugin_changes, plugin_desired

KEPT_CHANGES: Final = 200
BY_HUB: Final = "hub: "
"""What ``changed_by`` starts with when the hub itself turned a plugin off; the reason follows."""


class Desired(Struct, frozen=True, kw_only=True):
    """An operator's wish for one plugin; ``config`` is merged over the plugin's section of config.toml."""

    plugin_id: str
    enabled: bool
    config: dict[str, Any] | None = None
    changed_by: str
    changed_at: datetime


class Change(Struct, frozen=True, kw_only=True):
    """One step in the history of wishes; ``wishes`` is the state that it led to."""

    revision: int
    changed_by: str
    changed_at: datetime
    summary: str
    wishes: dict[str, Desired]


class DesiredStore:
    """The wishes kept in the database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._db = database
        self._clock = clock

    async def set(self, plugin_id: str, enabled: bool, *, by: str) -> None:
        """Note that ``plugin_id`` shall be on or off."""
        wish = self.wish(plugin_id, enabled, by=by)
        await self.commit({plugin_id: wish}, by=by, summary=f"{plugin_id} {'on' if enabled else 'off'}")

    def wish(self, plugin_id: str, enabled: bool, *, by: str, config: dict[str, Any] | None = None) -> Desired:
        """Return a wish of this moment."""
        return Desired(plugin_id=plugin_id, enabled=enabled, config=config, changed_by=by, changed_at=self._clock.now())

    async def all(self) -> dict[str, Desired]:
        """Return every wish by plugin id."""
        return await self._db.read(_wishes)

    async def revision(self) -> int:
        """Return the number of the last change, 0 before there is one."""
        return await self._db.read(_revision)

    async def state(self) -> tuple[int, dict[str, Desired]]:
        """Return revision and wishes of one moment."""
        return await self._db.read(lambda session: (_revision(session), _wishes(session)))

    async def commit(self, update: Mapping[str, Desired | None], *, by: str, summary: str, based_on: int | None = None) -> int:
        """Take wishes in (None takes one out) and return the new revision.

        Raises:
            Conflict: somebody else changed something since revision ``based_on`` (code ``revision-changed``).
        """
        now = self._clock.now()

        def unit(session: Session) -> int:
            revision = _revision(session)
            if based_on is not None and based_on != revision:
                hint = "Look at the state of now, and decide again."
                raise Conflict(f"Plugins were changed meanwhile: revision {revision}, not {based_on}.", code="revision-changed", hint=hint)
            wishes = {plugin_id: wish for plugin_id, wish in (_wishes(session) | dict(update)).items() if wish is not None}
            session.execute(delete(plugin_desired))
            if wishes:
                session.execute(insert(plugin_desired), [msgspec.structs.asdict(wish) for wish in wishes.values()])
            row = {"revision": revision + 1, "changed_by": by, "changed_at": now, "summary": summary[:300], "wishes": wishes}
            session.execute(insert(plugin_changes).values(**row))
            session.execute(delete(plugin_changes).where(plugin_changes.c.revision <= revision + 1 - KEPT_CHANGES))
            return revision + 1

        return await self._db.write(unit)

    async def changes(self, *, limit: int, before: int | None = None) -> list[Change]:
        """Return changes, newest first."""
        query = select(plugin_changes).order_by(plugin_changes.c.revision.desc()).limit(limit)
        if before is not None:
            query = query.where(plugin_changes.c.revision < before)
        return await self._db.read(lambda session: [_change(row) for row in session.execute(query)])

    async def at(self, revision: int) -> dict[str, Desired]:
        """Return the wishes as they were at ``revision``.

        Raises:
            NotFound: that change is not kept (any more).
        """
        if revision == 0:
            return {}
        query = select(plugin_changes).where(plugin_changes.c.revision == revision)
        row = await self._db.read(lambda session: session.execute(query).first())
        if row is None:
            raise NotFound(f"Change {revision} is not kept.", code="revision-unknown", hint="`luminai plugins history` lists what is kept.")
        return _change(row).wishes


def _revision(session: Session) -> int:
    return session.execute(select(func.max(plugin_changes.c.revision))).scalar_one() or 0


def _wishes(session: Session) -> dict[str, Desired]:
    return {row.plugin_id: Desired(**row._mapping) for row in session.execute(select(plugin_desired))}  # noqa: SLF001 - SQLAlchemy's public name


def _change(row: Any) -> Change:
    return Change(
        revision=row.revision,
        changed_by=row.changed_by,
        changed_at=row.changed_at,
        summary=row.summary,
        wishes=msgspec.convert(row.wishes, dict[str, Desired]),
    )
