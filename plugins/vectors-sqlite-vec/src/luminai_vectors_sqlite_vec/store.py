"""The store over the file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from luminai import Health, HealthState, PluginContext, Unavailable
from luminai_vectors import Hit, StoredVector, VectorItem, check_collection, check_dimension, check_ids, check_k, check_place, unit, units
from luminai_vectors_sqlite_vec.file import NotLoadable, VectorFile

NAME: Final = "sqlite-vec"
FILE: Final = "vectors.sqlite3"
PAGE: Final = 200
T = TypeVar("T")


class SqliteVecStore:
    """Implements ``VectorStore``."""

    name = NAME

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self._file: VectorFile | None = None
        self._problem = "not started"

    @property
    def has_file(self) -> bool:
        """Whether there is a file that may hold something, whether it can be opened or not."""
        return (self._ctx.data_dir / FILE).exists()

    async def open(self) -> None:
        """Open the file; where that cannot be, the store says why to whoever asks."""
        if self._ctx.db.dialect != "sqlite":
            self._problem = "the hub's database is shared by several processes, and this store is a file of one: take vectors-pgvector"
            return
        try:
            self._file = await self._ctx.run_sync(VectorFile, self._ctx.data_dir / FILE)
        except NotLoadable as error:
            self._problem = str(error)

    async def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            await self._ctx.run_sync(self._file.close)
            self._file, self._problem = None, "stopped"

    async def upsert(self, owner: str, collection: str, items: Sequence[VectorItem]) -> None:
        """Keep vectors."""
        check_place(owner, collection)
        ids, vectors = await self._ctx.run_sync(units, items)
        if ids:
            fixed = await self._do(lambda file: file.put(owner, collection, ids, vectors))
            check_dimension(vectors.shape[1], fixed)

    async def delete(self, owner: str, collection: str, ids: Sequence[str]) -> int:
        """Forget vectors."""
        check_place(owner, collection)
        wanted = check_ids(ids)
        return await self._do(lambda file: file.delete(owner, collection, wanted))

    async def search(self, owner: str, collection: str, vector: Any, k: int) -> list[Hit]:
        """Return the nearest."""
        check_place(owner, collection)
        most, asked = check_k(k), unit(vector)

        def look(file: VectorFile) -> list[tuple[str, float]]:
            found = file.place(owner, collection)
            if found is None:
                return []
            check_dimension(len(asked), found[1])
            return file.nearest(*found, asked, most)

        hits = [Hit(one, max(-1.0, min(1.0, score))) for one, score in await self._do(look)]
        return sorted(hits, key=lambda hit: (-hit.score, hit.id))

    async def ids(self, owner: str, collection: str, *, after: str = "", limit: int = 1_000) -> list[str]:
        """Return ids page by page."""
        check_place(owner, collection)
        query = "SELECT id FROM items JOIN places USING (place) WHERE owner = ? AND collection = ? AND id > ? ORDER BY id LIMIT ?"
        rows = await self._do(lambda file: file.rows(query, (owner, collection, after, limit)))
        return [one for (one,) in rows]

    async def held(self, owner: str, collection: str, ids: Sequence[str]) -> set[str]:
        """Return those that are there."""
        check_place(owner, collection)
        wanted = msgspec.json.encode(check_ids(ids)).decode()
        query = "SELECT id FROM items JOIN places USING (place) WHERE owner = ? AND collection = ? AND id IN (SELECT value FROM json_each(?))"
        rows = await self._do(lambda file: file.rows(query, (owner, collection, wanted)))
        return {one for (one,) in rows}

    async def owners(self, collection: str, *, after: str = "", limit: int = 1_000) -> list[str]:
        """Return owners page by page."""
        check_collection(collection)
        query = "SELECT owner FROM places WHERE collection = ? AND owner > ? ORDER BY owner LIMIT ?"
        rows = await self._do(lambda file: file.rows(query, (collection, after, limit)))
        return [one for (one,) in rows]

    async def drop(self, collection: str) -> None:
        """Forget a collection of all owners."""
        check_collection(collection)
        await self._do(lambda file: file.clear("collection", collection))

    async def export(self, owner: str) -> AsyncIterator[StoredVector]:
        """Yield all that the owner has."""
        places = await self._do(lambda file: file.rows("SELECT place, dimension, collection FROM places WHERE owner = ?", (owner,)))
        for place, dimension, collection in places:
            after = 0
            while True:
                page = await self._do(lambda file, at=(place, dimension, after): file.vectors(*at, PAGE))  # type: ignore[misc]
                for _, one, vector in page:
                    yield StoredVector(collection, one, vector)
                if len(page) < PAGE:
                    break
                after = page[-1][0]

    async def erase(self, owner: str, *, dry_run: bool = False) -> int:
        """Forget all that the owner has."""
        if not dry_run:
            return await self._do(lambda file: file.clear("owner", owner))
        query = "SELECT count(*) FROM items JOIN places USING (place) WHERE owner = ?"
        ((count,),) = await self._do(lambda file: file.rows(query, (owner,)))
        return int(count)

    async def health(self) -> Health:
        """Tell whether the extension is loaded."""
        return Health(HealthState.OK) if self._file is not None else Health(HealthState.DEGRADED, self._problem)

    async def _do(self, work: Callable[[VectorFile], T]) -> T:
        if self._file is None:
            raise Unavailable(f"The store sqlite-vec cannot work: {self._problem}.", code="vectors.store-unavailable")
        return await self._ctx.run_sync(work, self._file)
