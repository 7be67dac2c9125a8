"""The job that embeds a collection: it makes the vectors of texts that are new, forgets those of texts that are gone, and can change the model.

Another model's vectors are made beside the ones in use; searches go on with these until the others are whole, and change over in one write. A run
that breaks off is gone on with by the next: what is there is not embedded again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from luminai import Action, Forbidden, Job, PaymentRequired, PluginContext, RateLimited, Unprocessable
from luminai_vectors.config import ModelName
from luminai_vectors.contract import MAX_COLLECTION, Text, TextSource, VectorItem, VectorStore
from luminai_vectors.service import Embedded, Vectors

BATCH: Final = 64
PAGE: Final = 1_000
EMBED_SECONDS: Final = 120.0
JOB_SECONDS: Final = 3_600.0
CollectionName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9.-]{0,31}\Z", max_length=32)]


class Embed(Struct, frozen=True, forbid_unknown_fields=True):
    """Which collection to bring up to date; ``model`` changes its model for good, without one it keeps what it has, or takes that of the settings."""

    collection: CollectionName
    model: ModelName | None = None


class EmbedReport(Struct, frozen=True, kw_only=True):
    """What was done: ``embedded`` texts are new, ``removed`` ones are gone, of ``texts`` in all; for ``unpaid`` ones their owners could not pay."""

    collection: CollectionName
    model: Annotated[str, Meta(max_length=200)]
    store: Annotated[str, Meta(max_length=100)]
    texts: Annotated[int, Meta(ge=0)]
    embedded: Annotated[int, Meta(ge=0)]
    removed: Annotated[int, Meta(ge=0)]
    unpaid: Annotated[int, Meta(ge=0)]


def embed_action(ctx: PluginContext, vectors: Vectors) -> Action:
    """Return the action ``embed``; a second job for the same collection waits for the first."""

    async def embed(job: Job, given: Embed) -> EmbedReport:
        source = vectors.source(given.collection)
        before = await vectors.embedded(given.collection)
        model = given.model or (before.model if before else None) or vectors.config.model
        if model is None:
            hint = "Set `model` in [plugins.vectors.config], or give one."
            raise Unprocessable("No embedding model is set.", code="vectors.no-model", hint=hint)
        stored = f"{given.collection}@{model}"[:MAX_COLLECTION]
        after = Embedded(given.collection, model, stored, vectors.config.store)
        run = _Run(job, vectors, source, after)
        await run.add()
        await run.remove()
        counts = {"texts": run.texts, "embedded": run.embedded, "removed": run.removed, "unpaid": run.unpaid}
        report = EmbedReport(collection=given.collection, model=model, store=after.store, **counts)

        def work(session: Any) -> None:
            vectors.note(session, after)
            job.finish(session, report)

        await ctx.db.write(work)
        if before is not None and (before.store, before.stored) != (after.store, after.stored):
            old = vectors.stores.get(before.store)
            if old is not None:  # a store that is off keeps them until it is purged
                await old.drop(before.stored)
        return report

    return Action(
        name="embed",
        summary="Bring the vectors of a collection up to date, or make them anew with another model.",
        input=Embed,
        output=EmbedReport,
        run=embed,
        scope="vectors:manage",
        timeout=JOB_SECONDS,
        key=lambda given: given.collection,
        concurrency="queue",
        retries=5,
        backoff=30.0,
    )


class _Run:
    """One walk over a collection's texts."""

    def __init__(self, job: Job, vectors: Vectors, source: TextSource, to: Embedded) -> None:
        self._job = job
        self._vectors = vectors
        self._source = source
        self._to = to
        self._store: VectorStore = vectors.store
        self.texts = self.embedded = self.removed = self.unpaid = 0

    async def add(self) -> None:
        """Embed the texts that have no vector yet."""
        async with aclosing(_batches(self._source)) as batches:
            async for batch in batches:
                self.texts += len(batch)
                await self._missing(batch)
                await self._job.progress(self.texts, 0, f"{self.embedded} embedded by {self._to.model}")

    async def remove(self) -> None:
        """Forget the vectors whose texts are gone."""
        owner = ""
        while owners := await self._store.owners(self._to.stored, after=owner):
            for owner in owners:
                await self._remove_of(owner)

    async def _missing(self, batch: list[Text]) -> None:
        by_owner: dict[str, dict[str, str]] = defaultdict(dict)
        for text in batch:
            by_owner[text.owner][text.id] = text.text
        for owner, texts in by_owner.items():
            there = await self._store.held(owner, self._to.stored, list(texts))
            new = {one: text for one, text in texts.items() if one not in there}
            if new:
                try:
                    made = await self._vectors.embed(self._to.model, list(new.values()), timeout=EMBED_SECONDS, payer=owner)
                except (PaymentRequired, RateLimited, Forbidden):  # whoever cannot pay must not keep others waiting; the next run tries again
                    self.unpaid += len(new)
                    continue
                await self._store.upsert(owner, self._to.stored, [VectorItem(one, vector) for one, vector in zip(new, made, strict=True)])
                self.embedded += len(new)

    async def _remove_of(self, owner: str) -> None:
        after = ""
        while ids := await self._store.ids(owner, self._to.stored, after=after, limit=PAGE):
            after = ids[-1]
            gone = set(ids) - await self._source.held(owner, ids)
            if gone:
                self.removed += await self._store.delete(owner, self._to.stored, sorted(gone))


async def _batches(source: TextSource) -> AsyncGenerator[list[Text], None]:
    batch: list[Text] = []
    async for text in source.texts():
        batch.append(text)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
