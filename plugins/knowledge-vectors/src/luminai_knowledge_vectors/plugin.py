"""Hook implementations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from luminai import Extension, Health, HealthCheck, HealthState, PluginContext, hookimpl
from luminai_knowledge import MEANING_POINT
from luminai_knowledge_vectors.config import KnowledgeVectorsConfig
from luminai_knowledge_vectors.passages import COLLECTION, Passages
from luminai_vectors import SOURCE_POINT, Vectors


class Plugin:
    """Passages of the knowledge base by meaning."""

    config: ClassVar = KnowledgeVectorsConfig

    @hookimpl
    def extensions(self, ctx: PluginContext) -> Sequence[Extension]:
        """Offer passages to be embedded, and the search by what they mean."""
        passages = Passages(ctx)
        return [Extension(SOURCE_POINT, passages), Extension(MEANING_POINT, passages)]

    @hookimpl
    def health_checks(self, ctx: PluginContext) -> Sequence[HealthCheck]:
        """Tell whether passages can be found by meaning."""

        async def check() -> Health:
            vectors = ctx.service(Vectors)
            if problem := await vectors.problem():
                return Health(HealthState.DEGRADED, f"search by words alone: {problem}")
            current = await vectors.embedded(COLLECTION)
            return Health(HealthState.OK, f"embedded by {current.model}" if current else "not embedded yet")

        return [HealthCheck(name="meaning", check=check)]

    @hookimpl
    async def ready(self, ctx: PluginContext) -> None:
        """Embed what came while nobody looked."""
        await Passages(ctx).changed()
