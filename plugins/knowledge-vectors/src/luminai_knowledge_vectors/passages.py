"""The passages as a collection of vectors: they belong to the hub, so their owner is ``SHARED``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from luminai import PluginContext
from luminai_knowledge import Knowledge, NearPassages
from luminai_knowledge_vectors.config import KnowledgeVectorsConfig
from luminai_vectors import SHARED, Text, Vectors

COLLECTION: Final = "knowledge-vectors"
QUERY_SECONDS: Final = 2.5


class Passages:
    """Implements ``TextSource`` for the plugin ``vectors`` and ``MeaningIndex`` for ``knowledge``."""

    collection = COLLECTION

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self._config: KnowledgeVectorsConfig = ctx.config

    async def texts(self) -> AsyncIterator[Text]:
        """Yield what passages say; what several say is told several times, with one id."""
        knowledge, after = self._ctx.service(Knowledge), 0
        while page := await knowledge.passage_texts(after=after):
            after = page[-1][0]
            for _, passage in page:
                yield Text(owner=SHARED, id=passage.digest, text=passage.text)

    async def held(self, owner: str, ids: Sequence[str]) -> set[str]:
        """Return those that a passage still says."""
        return await self._ctx.service(Knowledge).held(ids) if owner == SHARED else set()

    async def nearest(self, query: str, limit: int) -> NearPassages:
        """Return the passages nearest in meaning. Raises as ``Vectors.nearest``."""
        found = await self._ctx.service(Vectors).nearest(SHARED, COLLECTION, query, limit, timeout=QUERY_SECONDS)
        return NearPassages(tuple(hit.id for hit in found.hits if hit.score >= self._config.min_score), found.model)

    async def changed(self) -> None:
        """Have the collection brought up to date by a job, where a model is set."""
        vectors = self._ctx.service(Vectors)
        if vectors.config.model is None and await vectors.embedded(COLLECTION) is None:
            return
        await self._ctx.db.write(lambda session: self._ctx.actions.put(session, "vectors.embed", {"collection": COLLECTION}))
