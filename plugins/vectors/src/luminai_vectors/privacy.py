"""What a store's plugin answers when somebody wants to have, or to be rid of, what is there about them."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

from luminai import EraseReport, ExportItem
from luminai_vectors.contract import VectorStore


async def export_of(store: VectorStore, subject: str) -> AsyncIterator[ExportItem]:
    """Yield a person's vectors: base64 of little-endian float32."""
    async for found in store.export(subject):
        yield ExportItem("vector", {"collection": found.collection, "id": found.id, "vector": base64.b64encode(found.vector).decode()})


async def erase_of(store: VectorStore, subject: str, *, dry_run: bool) -> EraseReport:
    """Forget a person's vectors."""
    return EraseReport({f"vectors in {store.name}": await store.erase(subject, dry_run=dry_run)})
