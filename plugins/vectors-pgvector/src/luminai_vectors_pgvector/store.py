"""The store over PostgreSQL. Vectors have length 1, so the inner product is the cosine, and the quickest of pgvector's measures.

A search is exact over the rows of one place (an owner's collection), found by the primary key: an index over all places would look at others' rows
first and filter afterwards, which slows down and loses results (pgvector's documentation, "Filtering").
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from luminai import Health, HealthState, HubError
from luminai_vectors import Hit, StoredVector, VectorItem, check_collection, check_dimension, check_ids, check_k, check_place, unit, units
from luminai_vectors_pgvector.database import Server

NAME: Final = "pgvector"
PAGE: Final = 200
_PLACE: Final = "SELECT place, dimension FROM places WHERE owner = $1 AND collection = $2"


class PgvectorStore:
    """Implements ``VectorStore``."""

    name = NAME

    def __init__(self, server: Server) -> None:
        self.server = server

    async def upsert(self, owner: str, collection: str, items: Sequence[VectorItem]) -> None:
        """Keep vectors."""
        check_place(owner, collection)
        ids, vectors = units(items)
        if not ids:
            return
        async with self.server.connection() as connection:
            new = "INSERT INTO places (owner, collection, dimension) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
            await connection.execute(new, owner, collection, vectors.shape[1])
            row = await connection.fetchrow(f"{_PLACE} FOR UPDATE", owner, collection)
            check_dimension(vectors.shape[1], row["dimension"])
            keep = (
                "INSERT INTO items (place, id, vector) SELECT $1, one.id, one.vector::vector FROM unnest($2::text[], $3::text[]) AS one(id, vector)"
                " ON CONFLICT (place, id) DO UPDATE SET vector = excluded.vector"
            )
            await connection.execute(keep, row["place"], ids, [_written(vector) for vector in vectors])

    async def delete(self, owner: str, collection: str, ids: Sequence[str]) -> int:
        """Forget vectors."""
        check_place(owner, collection)
        wanted = check_ids(ids)
        gone = (
            "WITH gone AS (DELETE FROM items USING places WHERE items.place = places.place AND owner = $1 AND collection = $2 AND id = ANY($3)"
            " RETURNING 1) SELECT count(*) FROM gone"
        )
        async with self.server.connection() as connection:
            return int(await connection.fetchval(gone, owner, collection, wanted))

    async def search(self, owner: str, collection: str, vector: Any, k: int) -> list[Hit]:
        """Return the nearest."""
        check_place(owner, collection)
        most, asked = check_k(k), unit(vector)
        async with self.server.connection() as connection:
            row = await connection.fetchrow(_PLACE, owner, collection)
            if row is None:
                return []
            check_dimension(len(asked), row["dimension"])
            near = "SELECT id, -(vector <#> $2::text::vector) AS score FROM items WHERE place = $1 ORDER BY vector <#> $2::text::vector, id LIMIT $3"
            rows = await connection.fetch(near, row["place"], _written(asked), most)
        hits = [Hit(row["id"], max(-1.0, min(1.0, row["score"]))) for row in rows]
        return sorted(hits, key=lambda hit: (-hit.score, hit.id))

    async def ids(self, owner: str, collection: str, *, after: str = "", limit: int = 1_000) -> list[str]:
        """Return ids page by page."""
        check_place(owner, collection)
        query = "SELECT id FROM items JOIN places USING (place) WHERE owner = $1 AND collection = $2 AND id > $3 ORDER BY id LIMIT $4"
        return await self._column(query, owner, collection, after, limit)

    async def held(self, owner: str, collection: str, ids: Sequence[str]) -> set[str]:
        """Return those that are there."""
        check_place(owner, collection)
        query = "SELECT id FROM items JOIN places USING (place) WHERE owner = $1 AND collection = $2 AND id = ANY($3)"
        return set(await self._column(query, owner, collection, check_ids(ids)))

    async def owners(self, collection: str, *, after: str = "", limit: int = 1_000) -> list[str]:
        """Return owners page by page."""
        check_collection(collection)
        return await self._column("SELECT owner FROM places WHERE collection = $1 AND owner > $2 ORDER BY owner LIMIT $3", collection, after, limit)

    async def drop(self, collection: str) -> None:
        """Forget a collection of all owners."""
        check_collection(collection)
        async with self.server.connection() as connection:
            await connection.execute("DELETE FROM places WHERE collection = $1", collection)

    async def export(self, owner: str) -> AsyncIterator[StoredVector]:
        """Yield all that the owner has."""
        place, one = 0, ""
        query = (
            "SELECT items.place, collection, id, vector::text AS vector FROM items JOIN places USING (place)"
            " WHERE owner = $1 AND (items.place, id) > ($2, $3) ORDER BY items.place, id LIMIT $4"
        )
        while True:
            async with self.server.connection() as connection:
                page = await connection.fetch(query, owner, place, one, PAGE)
            for row in page:
                yield StoredVector(row["collection"], row["id"], np.array(msgspec.json.decode(row["vector"]), dtype="<f4").tobytes())
            if len(page) < PAGE:
                return
            place, one = page[-1]["place"], page[-1]["id"]

    async def erase(self, owner: str, *, dry_run: bool = False) -> int:
        """Forget all that the owner has."""
        async with self.server.connection() as connection:
            count = int(await connection.fetchval("SELECT count(*) FROM items JOIN places USING (place) WHERE owner = $1", owner))
            if not dry_run:
                await connection.execute("DELETE FROM places WHERE owner = $1", owner)
        return count

    async def health(self) -> Health:
        """Tell whether the server answers and has the extension."""
        try:
            async with self.server.connection() as connection:
                await connection.execute("SELECT 1")
        except HubError:
            return Health(HealthState.DEGRADED, self.server.problem)
        return Health(HealthState.OK)

    async def _column(self, query: str, *values: Any) -> list[str]:
        async with self.server.connection() as connection:
            return [row[0] for row in await connection.fetch(query, *values)]


def _written(vector: Any) -> str:
    """Return a vector as pgvector reads it; nine digits tell every float32 from the next."""
    return f"[{','.join(f'{number:.9g}' for number in vector.tolist())}]"
