"""The face of the plugin: the store in use, texts found by meaning, and collections that are embedded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from sqlalchemy import delete, select

from luminai import AIError, AIErrorKind, EmbeddingReply, HubError, NotFound, PluginContext, Unavailable, Unprocessable, Upstream
from luminai_vectors.charges import charged
from luminai_vectors.config import VectorsConfig
from luminai_vectors.contract import SOURCE_POINT, STORE_POINT, Hit, TextSource, VectorStore
from luminai_vectors.models import embedded

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

MAX_TEXT: Final = 8_000
"""Signs of a text that are given to a model; what is behind them does not count."""


class Embedded(Struct, frozen=True):
    """What the texts of a collection are searched by: ``stored`` is the name of their vectors in the store."""

    collection: str
    model: str
    stored: str
    store: str


class Nearest(Struct, frozen=True):
    """Texts that are nearest in meaning, by the vectors that ``model`` made."""

    hits: tuple[Hit, ...]
    model: str


class Vectors:
    """What plugins that require this one may use."""

    def __init__(self, ctx: PluginContext) -> None:
        from luminai_vectors.numpy_store import NumpyStore  # numpy is a tenth of a second that a hub without vectors need not spend

        config: VectorsConfig = ctx.config
        self._ctx = ctx
        self.config = config
        self.own = NumpyStore(ctx, max_items=config.max_items, memory_bytes=config.memory_mb * 2**20)

    @property
    def stores(self) -> dict[str, VectorStore]:
        """All stores by name."""
        found: Sequence[VectorStore] = self._ctx.extensions(STORE_POINT)
        return {self.own.name: self.own} | {store.name: store for store in found}

    @property
    def store(self) -> VectorStore:
        """The store that the settings name, for vectors that a plugin makes by itself.

        Raises:
            Unavailable: no running plugin offers it (code ``vectors.no-store``).
        """
        return self._store(self.config.store)

    @property
    def sources(self) -> dict[str, TextSource]:
        """Where the texts of collections come from, by collection."""
        found: Sequence[TextSource] = self._ctx.extensions(SOURCE_POINT)
        return {source.collection: source for source in found}

    async def nearest(self, owner: str, collection: str, query: str, k: int, *, timeout: float = 5.0) -> Nearest:
        """Return the ids of the ``k`` texts of the owner's that are nearest in meaning to ``query``.

        Raises:
            Unavailable: the collection was not embedded yet (code ``vectors.not-embedded``), or store or model are away.
            Upstream: the model failed (code ``vectors.model-failed``).
            PaymentRequired, RateLimited, Forbidden: as ``Metering.hold``; the owner pays for the query, unless it is ``SHARED``.
        """
        current = await self.embedded(collection)
        if current is None:
            raise Unavailable(f"{collection} is not embedded yet.", code="vectors.not-embedded", hint="Run the action vectors.embed.")
        (vector,) = await self.embed(current.model, [query], timeout=timeout, payer=owner)
        hits = await self._store(current.store).search(owner, current.stored, vector, k)
        return Nearest(tuple(hits), current.model)

    async def embed(self, model: str, texts: Sequence[str], *, timeout: float = 60.0, payer: str = "") -> Sequence[Any]:
        """Return a vector for each text (cut to 8,000 characters), made by ``model`` (``provider/model``).

        Args:
            payer: Whose texts they are, who pays for them where something meters; "" or ``SHARED`` for the hub's own.

        Raises:
            Unavailable: no running plugin has the model's provider (code ``vectors.no-model``).
            Unprocessable: the provider does not embed with that model (code ``vectors.no-model``).
            Upstream: the provider failed, or gave another number of vectors (code ``vectors.model-failed``).
            PaymentRequired, RateLimited, Forbidden: as ``Metering.hold``.
        """
        name, _, own = model.partition("/")
        provider = self._ctx.providers.ai_providers.get(name)
        if provider is None:
            raise Unavailable(f"No running plugin offers the provider {name}.", code="vectors.no-model", hint="Enable it, or set another model.")
        given = [text[:MAX_TEXT] for text in texts]

        async def ask() -> EmbeddingReply:
            reply: EmbeddingReply = await provider.embed(own, given, timeout=timeout)
            if len(reply.vectors) != len(given):
                raise AIError(AIErrorKind.UPSTREAM, f"it gave {len(reply.vectors)} vectors for {len(given)} texts")
            return reply

        try:
            reply = await charged(self._ctx, payer, model, given, ask, timeout=timeout)
        except AIError as error:
            if error.kind is AIErrorKind.INVALID:
                raise Unprocessable(f"{model}: {error}", code="vectors.no-model", hint="Name a model that makes embeddings.") from error
            raise Upstream(f"{model}: {error}", code="vectors.model-failed", retry_after=error.retry_after) from error
        return reply.vectors

    async def embedded(self, collection: str) -> Embedded | None:
        """Return what a collection is searched by, None when it was not embedded yet."""
        query = select(embedded).where(embedded.c.collection == collection)
        row = await self._ctx.db.read(lambda session: session.execute(query).first())
        return None if row is None else Embedded(row.collection, row.model, row.stored, row.store)

    async def all_embedded(self, limit: int = 1_000) -> list[Embedded]:
        """Return what all collections are searched by."""
        query = select(embedded).order_by(embedded.c.collection).limit(limit)
        rows = await self._ctx.db.read(lambda session: session.execute(query).all())
        return [Embedded(row.collection, row.model, row.stored, row.store) for row in rows]

    def source(self, collection: str) -> TextSource:
        """Return where a collection's texts come from.

        Raises:
            NotFound: no running plugin has it (code ``vectors.no-source``).
        """
        found = self.sources.get(collection)
        if found is None:
            known = ", ".join(sorted(self.sources)) or "none"
            raise NotFound(f"No running plugin has the collection {collection}.", code="vectors.no-source", hint=f"There are: {known}.")
        return found

    def note(self, session: Session, current: Embedded) -> None:
        """Search a collection by ``current`` from the unit's commit on."""
        values = {"model": current.model, "stored": current.stored, "store": current.store, "updated_at": self._ctx.clock.now()}
        session.execute(delete(embedded).where(embedded.c.collection == current.collection))
        session.execute(embedded.insert().values(collection=current.collection, **values))

    async def problem(self) -> str:
        """Return why texts cannot be found by meaning now, "" when they can."""
        try:
            health = await self.store.health()
        except HubError as error:
            return f"{error.detail} {error.hint}".strip()
        if health.state != "ok":
            return f"store {self.config.store}: {health.reason}"
        models = {one.model for one in await self.all_embedded()} | ({self.config.model} if self.config.model else set())
        if not models:
            return "no embedding model is set (`model`)"
        missing = sorted(model for model in models if model.partition("/")[0] not in self._ctx.providers.ai_providers)
        return f"no running plugin offers {missing[0]}" if missing else ""

    def _store(self, name: str) -> VectorStore:
        found = self.stores.get(name)
        if found is None:
            hint = f"Enable its plugin, or set `store` to one of: {', '.join(self.stores)}."
            raise Unavailable(f"No running plugin offers the store {name}.", code="vectors.no-store", hint=hint)
        return found
