"""Hook implementations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import ClassVar

from luminai import EraseReport, ExportItem, Extension, HealthCheck, PluginContext, PurgeItem, hookimpl
from luminai_vectors import STORE_POINT, erase_of, export_of
from luminai_vectors_pgvector.config import PgvectorConfig
from luminai_vectors_pgvector.database import SCHEMA, Server
from luminai_vectors_pgvector.store import PgvectorStore


class Plugin:
    """Vectors in pgvector."""

    config: ClassVar = PgvectorConfig

    def __init__(self) -> None:
        self._store: PgvectorStore | None = None

    @hookimpl
    def extensions(self, ctx: PluginContext) -> Sequence[Extension]:
        """Offer the store ``pgvector``."""
        return [Extension(STORE_POINT, self._of(ctx))]

    @hookimpl
    def health_checks(self, ctx: PluginContext) -> Sequence[HealthCheck]:
        """Tell whether the server answers and has the extension."""
        return [HealthCheck(name="store", check=self._of(ctx).health, timeout=6.0)]

    @hookimpl
    async def stop(self, ctx: PluginContext) -> None:
        """Let go of the connections."""
        await self._of(ctx).server.close()

    @hookimpl
    async def export_subject(self, ctx: PluginContext, subject: str) -> AsyncIterator[ExportItem]:
        """Yield a person's vectors."""
        if self._of(ctx).server.is_set:
            async for item in export_of(self._of(ctx), subject):
                yield item

    @hookimpl
    async def erase_subject(self, ctx: PluginContext, subject: str, dry_run: bool) -> EraseReport:
        """Forget a person's vectors."""
        return await erase_of(self._of(ctx), subject, dry_run=dry_run) if self._of(ctx).server.is_set else EraseReport({})

    @hookimpl
    async def before_purge(self, ctx: PluginContext, dry_run: bool) -> Sequence[PurgeItem]:
        """Drop the schema."""
        if not self._of(ctx).server.is_set:
            return []
        if not dry_run:
            await self._of(ctx).server.drop()
            await self._of(ctx).server.close()
        return [PurgeItem("PostgreSQL schema", SCHEMA)]

    def _of(self, ctx: PluginContext) -> PgvectorStore:
        if self._store is None:
            config: PgvectorConfig = ctx.config
            self._store = PgvectorStore(Server(config.url.reveal() if config.url is not None else "", config.connections))
        return self._store
