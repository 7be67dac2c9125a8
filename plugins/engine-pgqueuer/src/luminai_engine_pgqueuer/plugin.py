"""Hook implementations."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import ClassVar

from luminai import ConfigRejected, JobEngine, PluginContext, PurgeItem, hookimpl
from luminai_engine_pgqueuer.config import PgQueuerConfig
from luminai_engine_pgqueuer.engine import SCHEMA, PgQueuerEngine


class Plugin:
    """Word of due jobs through PgQueuer."""

    config: ClassVar = PgQueuerConfig

    def __init__(self) -> None:
        self._engine: PgQueuerEngine | None = None

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
        """Drop PgQueuer's schema."""
        engine = self._of(ctx)
        if not dry_run:
            await engine.open()
            await engine.purge()
            await engine.close()
        return [PurgeItem("PostgreSQL schema", SCHEMA)]

    def _of(self, ctx: PluginContext) -> PgQueuerEngine:
        if self._engine is None:
            if find_spec("pgqueuer") is None:
                raise ConfigRejected("PgQueuer is not installed.", code="module-missing", hint="pip install 'luminai-engine-pgqueuer[pgqueuer]'")
            config: PgQueuerConfig = ctx.config
            self._engine = PgQueuerEngine(config.url.reveal(), config.connections)
        return self._engine
