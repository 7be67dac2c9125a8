"""The processes that serve one database, what each does, and how far it has followed the wishes."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from luminai.contracts.context import Clock, Database
from luminai.data.ids import new_id
from luminai.data.tables import nodes

BEAT_SECONDS: Final = 5.0
GONE_AFTER: Final = timedelta(seconds=20)


class Node(Struct, frozen=True, kw_only=True):
    """One process: its roles, the revision that it serves, and why it does not serve a later one."""

    id: str
    name: str
    revision: int
    generation: int
    problem: str
    seen_at: datetime
    roles: tuple[str, ...]


class NodeRegistry:
    """This process's row among the others."""

    def __init__(self, database: Database, clock: Clock, roles: Iterable[str]) -> None:
        self._db = database
        self._clock = clock
        self._roles = ",".join(sorted(set(roles)))
        self.id = new_id("node")
        self.name = f"{socket.gethostname()}:{os.getpid()}"[:120]

    async def report(self, *, revision: int, generation: int, problem: str = "") -> None:
        """Say what this process serves; rows of processes that fell silent are taken out."""
        now = self._clock.now()
        values = {"name": self.name, "revision": revision, "generation": generation, "problem": problem[:500], "seen_at": now, "roles": self._roles}

        def unit(session: Session) -> None:
            known = session.execute(update(nodes).where(nodes.c.id == self.id).values(**values).returning(nodes.c.id)).first()
            if known is None:
                session.execute(insert(nodes).values(id=self.id, **values))
            session.execute(delete(nodes).where(nodes.c.seen_at < now - GONE_AFTER, nodes.c.id != self.id))

        await self._db.write(unit)

    async def leave(self) -> None:
        """Take this process's row out."""

        def unit(session: Session) -> None:
            session.execute(delete(nodes).where(nodes.c.id == self.id))

        await self._db.write(unit)

    async def all(self) -> list[Node]:
        """Return every process that was seen lately, oldest first."""
        query = select(nodes).where((nodes.c.seen_at >= self._clock.now() - GONE_AFTER) | (nodes.c.id == self.id)).order_by(nodes.c.id)
        return await self._db.read(lambda session: [_node(row) for row in session.execute(query)])


def alive(session: Session, now: datetime) -> set[str]:
    """Return the ids of the processes that were seen lately."""
    return set(session.execute(select(nodes.c.id).where(nodes.c.seen_at >= now - GONE_AFTER)).scalars())


def _node(row: Any) -> Node:
    return Node(**{**row._mapping, "roles": tuple(row.roles.split(","))})  # noqa: SLF001 - SQLAlchemy's public name
