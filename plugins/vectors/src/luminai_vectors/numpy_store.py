"""The store that needs nothing else: vectors are rows of the hub's database, and of those in use a bit for each number is in memory.

A search finds the 800 rows whose signs differ least, reads their vectors from the database, and ranks them exactly. The database decides alone what
there is: an index in memory that is behind costs a look, and never shows what was deleted or belongs to somebody else.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

import msgspec
import numpy as np
from sqlalchemy import ARRAY, BigInteger, Row, bindparam, delete, func, insert, select, tuple_, update

from luminai import Health, HealthState, PluginContext, TooLarge
from luminai_vectors.bounds import Floats, check_collection, check_dimension, check_ids, check_k, check_place, unit, units
from luminai_vectors.contract import Hit, StoredVector, VectorItem
from luminai_vectors.index import SignIndex, signs
from luminai_vectors.models import collections
from luminai_vectors.models import items as table

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

CANDIDATES: Final = 800
LOAD_ROWS: Final = 50_000
UNIT_SECONDS: Final = 60.0
EXPORT_ROWS: Final = 200
_DEAD_SHARE: Final = 4
"""An index with more than one dead row for so many live ones is made anew."""
Place = tuple[str, str]


class NumpyStore:
    """Implements ``VectorStore``.

    Args:
        ctx: The context of the plugin ``vectors``.
        max_items: Most vectors of one owner's collection.
        memory_bytes: What all indexes in memory may take; those that were not used for longest leave first.
    """

    name = "numpy"

    def __init__(self, ctx: PluginContext, *, max_items: int, memory_bytes: int) -> None:
        self._ctx = ctx
        self._max_items = max_items
        self._memory_bytes = memory_bytes
        self._indexes: OrderedDict[Place, SignIndex] = OrderedDict()
        self._locks: WeakValueDictionary[Place, asyncio.Lock] = WeakValueDictionary()

    async def upsert(self, owner: str, collection: str, items: Sequence[VectorItem]) -> None:
        """Keep vectors.

        Raises:
            TooLarge: the collection would have more than ``max_items`` (code ``vectors.full``).
        """
        check_place(owner, collection)
        dimension, rows = await self._ctx.run_sync(_rows, items)
        if not rows:
            return
        new_id, ids = self._ctx.new_id("vcol"), [row["id"] for row in rows]

        def work(session: Session) -> None:
            found = _collection(session, owner, collection)
            if found is None:
                first = {"id": new_id, "owner": owner, "name": collection, "dimension": dimension, "revision": 0, "items": 0}
                session.execute(insert(collections).values(first))
            else:
                check_dimension(dimension, found.dimension)
            key, revision, count = (new_id, 0, 0) if found is None else (found.id, found.revision, found.items)
            mine = (table.c.owner == owner, table.c.collection_id == key)
            count += len(rows) - _changed(session, delete(table).where(*mine, table.c.id.in_(ids)))
            if count > self._max_items:
                raise TooLarge(f"A collection has at most {self._max_items} vectors.", code="vectors.full", hint="See the setting max-items.")
            session.execute(insert(table), [row | {"owner": owner, "collection_id": key, "revision": revision + 1} for row in rows])
            _note(session, owner, key, revision=revision + 1, count=count)

        await self._ctx.db.as_subject(owner).write(work, timeout=UNIT_SECONDS)

    async def delete(self, owner: str, collection: str, ids: Sequence[str]) -> int:
        """Forget vectors."""
        check_place(owner, collection)
        wanted = check_ids(ids)

        def work(session: Session) -> int:
            found = _collection(session, owner, collection)
            if found is None:
                return 0
            mine = (table.c.owner == owner, table.c.collection_id == found.id)
            gone = _changed(session, delete(table).where(*mine, table.c.id.in_(wanted)))
            if gone:
                _note(session, owner, found.id, revision=found.revision, count=found.items - gone)
            return gone

        return await self._ctx.db.as_subject(owner).write(work, timeout=UNIT_SECONDS)

    async def search(self, owner: str, collection: str, vector: Any, k: int) -> list[Hit]:
        """Return the nearest."""
        check_place(owner, collection)
        most, asked = max(CANDIDATES, 4 * check_k(k)), await self._ctx.run_sync(unit, vector)
        place = (owner, collection)
        index = self._indexes.get(place)
        rows = None if index is None else await self._candidates(place, index, asked, most)
        if rows is None:  # not in memory, or behind
            index = await self._refreshed(place)
            if index is None:
                return []
            check_dimension(len(asked), index.dimension)
            rows = await self._candidates(place, index, asked, most, is_fresh=True)
        return await self._ctx.run_sync(_ranked, rows or [], asked, k)

    async def ids(self, owner: str, collection: str, *, after: str = "", limit: int = 1_000) -> list[str]:
        """Return ids page by page."""
        check_place(owner, collection)

        def work(session: Session) -> list[str]:
            found = _collection(session, owner, collection)
            if found is None:
                return []
            page = select(table.c.id).where(table.c.owner == owner, table.c.collection_id == found.id, table.c.id > after)
            return list(session.scalars(page.order_by(table.c.id).limit(limit)))

        return await self._ctx.db.as_subject(owner).read(work)

    async def held(self, owner: str, collection: str, ids: Sequence[str]) -> set[str]:
        """Return those that are there."""
        check_place(owner, collection)
        wanted = check_ids(ids)

        def work(session: Session) -> set[str]:
            found = _collection(session, owner, collection)
            if found is None:
                return set()
            mine = (table.c.owner == owner, table.c.collection_id == found.id)
            return set(session.scalars(select(table.c.id).where(*mine, table.c.id.in_(wanted))))

        return await self._ctx.db.as_subject(owner).read(work)

    async def owners(self, collection: str, *, after: str = "", limit: int = 1_000) -> list[str]:
        """Return owners page by page."""
        check_collection(collection)
        page = select(collections.c.owner).where(collections.c.name == collection, collections.c.owner > after)
        return await self._ctx.db.as_system().read(lambda session: list(session.scalars(page.order_by(collections.c.owner).limit(limit))))

    async def drop(self, collection: str) -> None:
        """Forget a collection, owner by owner: each is a unit of its own, so that no other work waits for long."""
        while owners := await self.owners(collection):
            for owner in owners:
                await self._clear(owner, collections.c.name == collection)

    async def export(self, owner: str) -> AsyncIterator[StoredVector]:
        """Yield all that the owner has."""
        last = 0
        while True:
            mine = (table.c.owner == owner, collections.c.owner == owner, table.c.number > last)
            query = select(table.c.number, collections.c.name, table.c.id, table.c.vector).join(
                collections, collections.c.id == table.c.collection_id
            )
            page = query.where(*mine).order_by(table.c.number).limit(EXPORT_ROWS)
            rows = await self._ctx.db.as_subject(owner).read(lambda session, page=page: session.execute(page).all())  # type: ignore[misc]
            for row in rows:
                yield StoredVector(row.name, row.id, row.vector)
            if len(rows) < EXPORT_ROWS:
                return
            last = rows[-1].number

    async def erase(self, owner: str, *, dry_run: bool = False) -> int:
        """Forget all that the owner has."""
        if not dry_run:
            return await self._clear(owner)
        count = select(func.coalesce(func.sum(collections.c["items"]), 0)).where(collections.c.owner == owner)
        return await self._ctx.db.as_subject(owner).read(lambda session: session.execute(count).scalar_one())

    async def health(self) -> Health:
        """Tell how much is in memory."""
        size = sum(index.nbytes for index in self._indexes.values())
        return Health(HealthState.OK, f"{len(self._indexes)} indexes in memory, {size / 2**20:.1f} MB")

    async def _clear(self, owner: str, *which: ColumnElement[bool]) -> int:
        """Delete the owner's collections, all or ``which``, and return how many vectors they had."""

        def work(session: Session) -> int:
            keys = list(session.scalars(select(collections.c.id).where(collections.c.owner == owner, *which)))
            gone = _changed(session, delete(table).where(table.c.owner == owner, table.c.collection_id.in_(keys)))
            session.execute(delete(collections).where(collections.c.owner == owner, collections.c.id.in_(keys)))
            return gone

        gone = await self._ctx.db.as_subject(owner).write(work, timeout=UNIT_SECONDS)
        for place in [one for one in self._indexes if one[0] == owner]:
            del self._indexes[place]
        return gone

    async def _candidates(self, place: Place, index: SignIndex, asked: Floats, most: int, *, is_fresh: bool = False) -> list[Row[Any]] | None:
        """Return ids and vectors of the index's candidates that are there; None when the index is behind, unless it was fresh when this was asked."""
        owner, name = place
        revision = index.revision  # before the look: another task may bring the index up to date meanwhile
        numbers = await self._ctx.run_sync(index.nearest, asked, most) if len(asked) == index.dimension else []
        same = table.c.collection_id.concat("") == index.collection  # no index may be taken for it: rows are looked up by number
        query = select(table.c.id, table.c.vector).where(table.c.owner == owner, same, _among(numbers, self._ctx.db.dialect))

        def work(session: Session) -> list[Row[Any]] | None:
            found = _collection(session, owner, name)
            is_current = found is not None and (found.id, found.revision) == (index.collection, revision)
            return list(session.execute(query)) if is_current or is_fresh else None

        rows = await self._ctx.db.as_subject(owner).read(work)
        if place in self._indexes:
            self._indexes.move_to_end(place)
        return rows

    async def _refreshed(self, place: Place) -> SignIndex | None:
        """Return the place's index with all that was committed before; None where there is no such collection."""
        lock = self._locks.setdefault(place, asyncio.Lock())
        async with lock:
            index = self._indexes.pop(place, None)
            while True:
                found, rows = await self._news(place, index)
                if found is None:
                    return None
                if index is None or index.collection != found.id or index.size > found.items + found.items // _DEAD_SHARE + CANDIDATES:
                    if index is not None:
                        index = None  # another collection, or too many dead rows: once more, from the beginning
                        continue
                    index = SignIndex(found.id, found.dimension, found.items)
                if rows:
                    await self._ctx.run_sync(index.add, [row.number for row in rows], [row.signs for row in rows])
                    index.place = (rows[-1].revision, rows[-1].number)
                if len(rows) < LOAD_ROWS:
                    index.revision = found.revision
                    self._indexes[place] = index
                    self._evict()
                    return index

    async def _news(self, place: Place, index: SignIndex | None) -> tuple[Row[Any] | None, Sequence[Row[Any]]]:
        """Return the collection, and what came to it since the index saw it last."""
        owner, name = place
        after = (0, 0) if index is None else index.place

        def work(session: Session) -> tuple[Row[Any] | None, Sequence[Row[Any]]]:
            found = _collection(session, owner, name)
            if found is None:
                return None, ()
            mine = (table.c.owner == owner, table.c.collection_id == found.id, tuple_(table.c.revision, table.c.number) > tuple_(*after))
            news = select(table.c.revision, table.c.number, table.c.signs).where(*mine)
            rows: Any = session.execute(news.order_by(table.c.revision, table.c.number).limit(LOAD_ROWS)).all()
            return found, rows

        return await self._ctx.db.as_subject(owner).read(work, timeout=UNIT_SECONDS)

    def _evict(self) -> None:
        size = sum(index.nbytes for index in self._indexes.values())
        while size > self._memory_bytes and self._indexes:
            _, gone = self._indexes.popitem(last=False)
            size -= gone.nbytes


def _rows(given: Sequence[VectorItem]) -> tuple[int, list[dict[str, Any]]]:
    """Return the dimension, and the part of each row that comes from its vector."""
    ids, vectors = units(given)
    packed, exact = signs(vectors), vectors.astype("<f4")
    rows = [{"id": one, "signs": packed[at].tobytes(), "vector": exact[at].tobytes()} for at, one in enumerate(ids)]
    return vectors.shape[1], rows


def _collection(session: Session, owner: str, name: str) -> Row[Any] | None:
    return session.execute(select(collections).where(collections.c.owner == owner, collections.c.name == name)).first()


def _note(session: Session, owner: str, key: str, *, revision: int, count: int) -> None:
    change = update(collections).where(collections.c.owner == owner, collections.c.id == key)
    session.execute(change.values(revision=revision, items=count))


def _changed(session: Session, statement: Any) -> int:
    result: Any = session.execute(statement)
    count: int = result.rowcount
    return count


def _among(numbers: list[int], dialect: str) -> ColumnElement[bool]:
    """Return a condition with one parameter, however many numbers there are: SQLAlchemy need not write out hundreds."""
    if dialect == "sqlite":
        listed = func.json_each(msgspec.json.encode(numbers).decode()).table_valued("value")
        return table.c.number.in_(select(listed.c.value))
    return table.c.number == func.any(bindparam("numbers", numbers, type_=ARRAY(BigInteger)))


def _ranked(rows: Sequence[Any], asked: Floats, k: int) -> list[Hit]:
    """Return the ``k`` rows with the largest cosine; of equal ones that with the smaller id."""
    if not rows:
        return []
    vectors = np.frombuffer(b"".join([row[1] for row in rows]), dtype="<f4").reshape(len(rows), -1)
    scores = np.einsum("ij,j->i", vectors, asked)  # not `@`: threads of a BLAS that wait for each other cost more than so little work
    best = np.argpartition(-scores, k - 1)[:k] if len(rows) > k else np.arange(len(rows))
    found = [Hit(rows[at][0], float(np.clip(scores[at], -1, 1))) for at in best.tolist()]
    return sorted(found, key=lambda hit: (-hit.score, hit.id))
