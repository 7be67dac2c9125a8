"""Hook implementations."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import ClassVar

from luminai import (
    ConfigRejected,
    Health,
    HealthCheck,
    HealthState,
    JobEngine,
    PluginContext,
    ProblemItem,
    PurgeItem,
    Unavailable,
    hookimpl,
)
from luminai_engine_saq.config import SaqConfig
from luminai_engine_saq.engine import SaqEngine


class Plugin:
    """Word of due jobs through SAQ."""

    config: ClassVar = SaqConfig

    def __init__(self) -> None:
        self._engine: SaqEngine | None = None

    @hookimpl
    def job_engines(self, ctx: PluginContext) -> Sequence[JobEngine]:
        """Offer the engine."""
        return [self._of(ctx)]

    @hookimpl
    def health_checks(self, ctx: PluginContext) -> Sequence[HealthCheck]:
        """Tell whether Redis answers, and whether messages lie there."""
        engine = self._of(ctx)

        async def check() -> Health:
            try:
                await engine.look()
            except Unavailable as trouble:  # no job is lost by it: they wait in the ledger
                return Health(HealthState.DEGRADED, trouble.detail)
            return Health(HealthState.OK)

        return [HealthCheck(name="messages", check=check, interval=5.0)]

    @hookimpl
    async def test_config(self, ctx: PluginContext) -> Sequence[ProblemItem]:
        """Try Redis."""
        try:
            await self._of(ctx).look()
        except Unavailable as trouble:
            return [ProblemItem(detail=trouble.detail, pointer="url", code=trouble.code, hint=trouble.hint)]
        return []

    @hookimpl
    async def stop(self, ctx: PluginContext) -> None:
        """Let go."""
        await self._of(ctx).close()

    @hookimpl
    async def before_purge(self, ctx: PluginContext, dry_run: bool) -> Sequence[PurgeItem]:
        """Delete the keys in Redis."""
        engine = self._of(ctx)
        if not dry_run:
            try:
                await engine.purge()
            finally:
                await engine.close()
        return [PurgeItem("keys in Redis", pattern) for pattern in engine.patterns]

    def _of(self, ctx: PluginContext) -> SaqEngine:
        if self._engine is None:
            if find_spec("saq") is None or find_spec("redis") is None:
                raise ConfigRejected("SAQ is not installed.", code="module-missing", hint="pip install 'luminai-engine-saq[saq]'")
            config: SaqConfig = ctx.config
            self._engine = SaqEngine(config.url.reveal(), config.queue)
        return self._engine
