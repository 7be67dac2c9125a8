"""What a store of vectors must do, and where the texts of a collection come from: the two points that this plugin opens to others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Protocol, runtime_checkable

from msgspec import Struct

from luminai import Health

STORE_POINT: Final = "vectors.store/1"
SOURCE_POINT: Final = "vectors.source/1"
MAX_COLLECTION: Final = 200
"""Longest name of a collection."""
SHARED: Final = "shared"
"""Owner of what belongs to the hub and is there for everybody who may read it; ids of people have a prefix, so nobody has this one."""


class VectorItem(Struct, frozen=True):
    """A vector to keep: any sequence of floats or a numpy array, of any length above 0; stores keep its direction alone."""

    id: str
    vector: Any


class Hit(Struct, frozen=True):
    """A vector that was found; ``score`` is the cosine of its angle to the one that was asked for, -1 to 1."""

    id: str
    score: float


class StoredVector(Struct, frozen=True):
    """A vector as it is kept: little-endian float32, of length 1."""

    collection: str
    id: str
    vector: bytes


@runtime_checkable
class VectorStore(Protocol):
    """Keeps vectors by owner and collection.

    - The owner is applied inside of the index or the query: what others have costs nothing and never shows, also not by its absence from a short
      list.
    - The first vectors of an owner's collection fix its dimension until the collection is dropped or the owner erased.
    - Bounds are those of ``luminai_vectors.bounds``; what is outside of them raises ``InvalidInput`` (codes ``vectors.bad-…``), another dimension
      ``Conflict`` (``vectors.dimension``), a store that cannot work ``Unavailable`` (``vectors.store-unavailable``).
    - What ``upsert`` and ``delete`` did is durable, and seen by the next ``search`` of every process.
    """

    name: str

    async def upsert(self, owner: str, collection: str, items: Sequence[VectorItem]) -> None:
        """Keep up to 1,000 vectors, all or none; one whose id is there replaces it."""
        ...

    async def delete(self, owner: str, collection: str, ids: Sequence[str]) -> int:
        """Forget up to 1,000 vectors; return how many were there."""
        ...

    async def search(self, owner: str, collection: str, vector: Any, k: int) -> list[Hit]:
        """Return the ``k`` (1 to 200) nearest by cosine, nearest first; [] where the owner has no such collection."""
        ...

    async def ids(self, owner: str, collection: str, *, after: str = "", limit: int = 1_000) -> list[str]:
        """Return ids behind ``after``, in an order of the store's own."""
        ...

    async def held(self, owner: str, collection: str, ids: Sequence[str]) -> set[str]:
        """Return those of up to 1,000 ids that are there."""
        ...

    async def owners(self, collection: str, *, after: str = "", limit: int = 1_000) -> list[str]:
        """Return owners behind ``after`` that have the collection, in an order of the store's own."""
        ...

    async def drop(self, collection: str) -> None:
        """Forget a collection of all owners, and its dimension."""
        ...

    def export(self, owner: str) -> AsyncIterator[StoredVector]:
        """Yield all that the owner has."""
        ...

    async def erase(self, owner: str, *, dry_run: bool = False) -> int:
        """Forget all that the owner has, or with ``dry_run`` nothing; return how many vectors that is."""
        ...

    async def health(self) -> Health:
        """Tell whether it can work, and why not."""
        ...


class Text(Struct, frozen=True, kw_only=True):
    """A text to embed. Another text has another id: what is there by its id is not embedded again."""

    owner: str
    id: str
    text: str


@runtime_checkable
class TextSource(Protocol):
    """Where the texts of a collection come from. ``collection`` is the contributing plugin's id, or begins with it and a dot."""

    collection: str

    def texts(self) -> AsyncIterator[Text]:
        """Yield all texts; those that come or go meanwhile may be missing."""
        ...

    async def held(self, owner: str, ids: Sequence[str]) -> set[str]:
        """Return those of up to 1,000 ids whose texts are still there."""
        ...
