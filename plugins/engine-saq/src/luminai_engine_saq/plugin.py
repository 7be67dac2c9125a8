"""Hook implementations."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import ClassVar

from luminai import ConfigRejected, JobEngine, PluginContext, PurgeItem, hookimpl
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
    async def start(self, ctx: PluginContext) -> None:
        """Connect."""
        await self._of(ctx).open()

    @hookimpl
    async def stop(self, ctx: PluginContext) -> None:
        """Let go."""
        await self._of(ctx).close()

    @hookimpl
    async def before_purge(self, ctx: PluginContext, dry_run: bool) -> Sequence[PurgeItem]:
        """Delete the keys in Redis."""
        engine = self._of(ctx)
        if not dry_run:
            await engine.open()
            await engine.purge()
            await engine.close()
        return [PurgeItem("keys in Redis", pattern) for pattern in engine.patterns]

    def _of(self, ctx: PluginContext) -> SaqEngine:
        if self._engine is None:
            if find_spec("saq") is None or find_spec("redis") is None:
                raise ConfigRejected("SAQ is not installed.", code="module-missing", hint="pip install 'luminai-engine-saq[saq]'")
            config: SaqConfig = ctx.config
            self._engine = SaqEngine(config.url.reveal(), config.queue)
        return self._engine
