"""Hook implementations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from luminai import EraseReport, ExportItem, Extension, HealthCheck, PluginContext, hookimpl
from luminai_vectors import STORE_POINT, erase_of, export_of
from luminai_vectors_sqlite_vec.store import SqliteVecStore


class Plugin:
    """Vectors in sqlite-vec."""

    def __init__(self) -> None:
        self._store: SqliteVecStore | None = None

    @hookimpl
    def extensions(self, ctx: PluginContext) -> Sequence[Extension]:
        """Offer the store ``sqlite-vec``."""
        return [Extension(STORE_POINT, self._of(ctx))]

    @hookimpl
    def health_checks(self, ctx: PluginContext) -> Sequence[HealthCheck]:
        """Tell whether the extension is loaded."""
        return [HealthCheck(name="store", check=self._of(ctx).health)]

    @hookimpl
    async def start(self, ctx: PluginContext) -> None:
        """Open the file; where that cannot be the plugin runs, degraded."""
        await self._of(ctx).open()

    @hookimpl
    async def stop(self, ctx: PluginContext) -> None:
        """Close it."""
        await self._of(ctx).close()

    @hookimpl
    async def export_subject(self, ctx: PluginContext, subject: str) -> AsyncIterator[ExportItem]:
        """Yield a person's vectors; raise when there may be some that cannot be read."""
        if self._of(ctx).has_file:
            async for item in export_of(self._of(ctx), subject):
                yield item

    @hookimpl
    async def erase_subject(self, ctx: PluginContext, subject: str, dry_run: bool) -> EraseReport:
        """Forget a person's vectors; raise when there may be some that cannot be reached."""
        return await erase_of(self._of(ctx), subject, dry_run=dry_run) if self._of(ctx).has_file else EraseReport({})

    def _of(self, ctx: PluginContext) -> SqliteVecStore:
        self._store = self._store or SqliteVecStore(ctx)
        return self._store
