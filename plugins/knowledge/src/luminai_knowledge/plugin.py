"""Hook implementations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from luminai import ExtensionPoint, Health, HealthCheck, HealthState, PluginContext, Service, hookimpl
from luminai_knowledge.config import KnowledgeConfig
from luminai_knowledge.meaning import MeaningIndex
from luminai_knowledge.models import metadata
from luminai_knowledge.routes import routes
from luminai_knowledge.service import Knowledge

if TYPE_CHECKING:
    from sqlalchemy import MetaData


class Plugin:
    """Folders of Markdown as a knowledge base."""

    config: ClassVar = KnowledgeConfig

    @hookimpl
    def models(self) -> MetaData:
        """Name the tables."""
        return metadata

    @hookimpl
    def services(self, ctx: PluginContext) -> Sequence[Service]:
        """Offer the knowledge base."""
        return [Service(Knowledge, Knowledge(ctx))]

    @hookimpl
    def extension_points(self) -> Sequence[ExtensionPoint]:
        """Take an index of meanings of another plugin."""
        return [ExtensionPoint(name="meaning", type=MeaningIndex, summary="Finds passages by meaning, beside the search by words.")]

    @hookimpl
    def routes(self, ctx: PluginContext) -> Sequence[Any]:
        """Offer search and documents."""
        return routes(ctx.service(Knowledge))

    @hookimpl
    def health_checks(self, ctx: PluginContext) -> Sequence[HealthCheck]:
        """Look at the index and its folders."""
        knowledge = ctx.service(Knowledge)

        async def check() -> Health:
            found = await knowledge.describe()
            if found.failure:
                return Health(HealthState.FAILING, found.failure)
            for folder in found.folders:
                if folder.problem:
                    return Health(HealthState.DEGRADED, f"folder {folder.name}: {folder.problem}")
            if found.problem_count:
                first = found.problems[0]
                return Health(HealthState.DEGRADED, f"{found.problem_count} files have problems, first {first.file}: {first.reason}")
            return Health(HealthState.OK, "indexing goes on" if found.indexing else f"{found.documents} documents")

        return [HealthCheck(name="index", check=check)]

    @hookimpl
    async def start(self, ctx: PluginContext) -> None:
        """Index what changed since the last start."""
        await ctx.service(Knowledge).start()
