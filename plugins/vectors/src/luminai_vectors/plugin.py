"""Hook implementations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from luminai import (
    Action,
    EraseReport,
    ExportItem,
    ExtensionPoint,
    Health,
    HealthCheck,
    HealthState,
    PluginContext,
    Service,
    hookimpl,
)
from luminai_vectors.config import VectorsConfig
from luminai_vectors.contract import TextSource, VectorStore
from luminai_vectors.embedding import embed_action
from luminai_vectors.models import metadata
from luminai_vectors.privacy import erase_of, export_of
from luminai_vectors.service import Vectors

if TYPE_CHECKING:
    from sqlalchemy import MetaData


class Plugin:
    """Vectors of owners."""

    config: ClassVar = VectorsConfig

    @hookimpl
    def models(self) -> MetaData:
        """Name the tables."""
        return metadata

    @hookimpl
    def services(self, ctx: PluginContext) -> Sequence[Service]:
        """Offer search by meaning, and the store, to plugins that require this one."""
        return [Service(Vectors, Vectors(ctx))]

    @hookimpl
    def extension_points(self) -> Sequence[ExtensionPoint]:
        """Take stores, and texts to embed, of other plugins."""
        return [
            ExtensionPoint(name="store", type=VectorStore, summary="Keeps and searches vectors."),
            ExtensionPoint(name="source", type=TextSource, summary="Texts of a collection, to be embedded."),
        ]

    @hookimpl
    def actions(self, ctx: PluginContext) -> Sequence[Action]:
        """Offer to embed a collection, also with another model."""
        return [embed_action(ctx, ctx.service(Vectors))]

    @hookimpl
    def health_checks(self, ctx: PluginContext) -> Sequence[HealthCheck]:
        """Look whether a store and a model are there."""
        vectors = ctx.service(Vectors)

        async def check() -> Health:
            if problem := await vectors.problem():
                return Health(HealthState.DEGRADED, problem)
            return await vectors.store.health()

        return [HealthCheck(name="search", check=check)]

    @hookimpl
    async def export_subject(self, ctx: PluginContext, subject: str) -> AsyncIterator[ExportItem]:
        """Yield a person's vectors of the hub's own store; another store's plugin answers for that one."""
        async for item in export_of(ctx.service(Vectors).own, subject):
            yield item

    @hookimpl
    async def erase_subject(self, ctx: PluginContext, subject: str, dry_run: bool) -> EraseReport:
        """Forget a person's vectors of the hub's own store."""
        return await erase_of(ctx.service(Vectors).own, subject, dry_run=dry_run)
