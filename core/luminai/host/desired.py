"""What an operator wished of plugins at run time: on, off, settings. It wins over config.toml, which the hub never writes.

Every change raises the revision by one and keeps the whole of the wishes, so that any earlier state can be brought back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from luminai.audit.log import HUB, AuditLog
from luminai.contracts.audit import AuditEntry
from luminai.contracts.context import Clock, Database
from luminai.contracts.errors import Conflict, NotFound
from luminai.data.tables import plugin_changes, plugin_desired

KEPT_CHANGES: Final = 200
ROLLBACK: Final = "back to "
"""What the summary of a rollback starts with; the revision follows."""
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
    """One step in the history of wishes; ``wishes`` is the state that it led to, ``renewed`` the plugins that were built anew without a new wish."""

    revision: int
    changed_by: str
    changed_at: datetime
    summary: str
    wishes: dict[str, Desired]
    renewed: tuple[str, ...] = ()


class DesiredStore:
    """The wishes kept in the database."""

    def __init__(self, database: Database, clock: Clock, audit: AuditLog | None = None) -> None:
        self._db = database
        self._clock = clock
        self._audit = audit or AuditLog(database, clock)

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

    async def since(self, revision: int) -> tuple[int, dict[str, Desired], frozenset[str]]:
        """Return revision and wishes of one moment, and the plugins that were built anew after ``revision``."""

        def unit(session: Session) -> tuple[int, dict[str, Desired], frozenset[str]]:
            later = session.execute(select(plugin_changes.c.renewed).where(plugin_changes.c.revision > revision)).scalars()
            return _revision(session), _wishes(session), frozenset(name for renewed in later for name in renewed or ())

        return await self._db.read(unit)

    async def commit(
        self,
        update: Mapping[str, Desired | None],
        *,
        by: str,
        summary: str,
        based_on: int | None = None,
        renewed: Collection[str] = (),
    ) -> int:
        """Take wishes in (None takes one out), note which plugins are built anew, and return the new revision.

        Raises:
            Conflict: somebody else changed something since revision ``based_on`` (code ``revision-changed``).
        """
        now = self._clock.now()

        def unit(session: Session) -> int:
            revision = _revision(session)
            if based_on is not None and based_on != revision:
                hint = "Look at the state of now, and decide again."
                raise Conflict(f"Plugins were changed meanwhile: revision {revision}, not {based_on}.", code="revision-changed", hint=hint)
            known = _wishes(session)
            wishes = {plugin_id: wish for plugin_id, wish in (known | dict(update)).items() if wish is not None}
            session.execute(delete(plugin_desired))
            if wishes:
                session.execute(insert(plugin_desired), [msgspec.structs.asdict(wish) for wish in wishes.values()])
            row = {"revision": revision + 1, "changed_by": by, "changed_at": now, "summary": summary[:300], "wishes": wishes}
            session.execute(insert(plugin_changes).values(**row, renewed=sorted(renewed)))
            session.execute(delete(plugin_changes).where(plugin_changes.c.revision <= revision + 1 - KEPT_CHANGES))
            for entry in _entries(update, known, revision + 1, by=by, summary=summary, renewed=renewed):
                self._audit.record(session, HUB if by.startswith(BY_HUB) else by, entry)
            return revision + 1

        return await self._db.write(unit)

    async def note_adoption(self, *, by: str) -> None:
        """Record that the wishes were taken over as configuration."""

        def unit(session: Session) -> None:
            detail: dict[str, Any] = {"revision": _revision(session), "plugins": sorted(_wishes(session))[:64]}
            self._audit.record(session, by, AuditEntry(action="config.adopt", object="config", detail=detail))

        await self._db.write(unit)

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


def _entries(
    update: Mapping[str, Desired | None], known: Mapping[str, Desired], revision: int, *, by: str, summary: str, renewed: Collection[str]
) -> Iterator[AuditEntry]:
    """Yield what is recorded of a change, by plugin. Settings are named; their values may be private."""
    for plugin_id, wish in update.items():
        before = known.get(plugin_id)
        old, new = (one.config or {} if one else {} for one in (before, wish))
        changed = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
        detail: dict[str, Any] = {"revision": revision, "summary": summary[:300]}
        detail |= {"settings": [key[:100] for key in changed[:20]]} if changed else {}
        detail |= {"reason": by.removeprefix(BY_HUB)} if by.startswith(BY_HUB) else {}
        actions = ["plugin.settings"] if changed else []
        if wish is None or summary.startswith(ROLLBACK):
            actions = ["plugin.rollback"]
        elif not changed or (before is not None and before.enabled != wish.enabled):
            actions.append("plugin.enable" if wish.enabled else "plugin.disable")
        for action in actions:
            yield AuditEntry(action=action, object=f"plugin:{plugin_id}"[:200], detail=detail)
    for plugin_id in sorted(set(renewed) - update.keys()):
        yield AuditEntry(action="plugin.restart", object=f"plugin:{plugin_id}"[:200], detail={"revision": revision})


def _change(row: Any) -> Change:
    return Change(
        revision=row.revision,
        changed_by=row.changed_by,
        changed_at=row.changed_at,
        summary=row.summary,
        wishes=msgspec.convert(row.wishes, dict[str, Desired]),
        renewed=tuple(row.renewed or ()),
    )
