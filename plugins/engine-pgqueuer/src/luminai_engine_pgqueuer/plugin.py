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
    def health_checks(self, ctx: PluginContext) -> Sequence[HealthCheck]:
        """Tell whether the database answers, and whether messages lie there."""
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
        """Try the database."""
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
        """Drop PgQueuer's schema."""
        engine = self._of(ctx)
        if not dry_run:
            try:
                await engine.purge()
            finally:
                await engine.close()
        return [PurgeItem("PostgreSQL schema", SCHEMA)]

    def _of(self, ctx: PluginContext) -> PgQueuerEngine:
        if self._engine is None:
            if find_spec("pgqueuer") is None or find_spec("asyncpg") is None:
                raise ConfigRejected("PgQueuer is not installed.", code="module-missing", hint="pip install 'luminai-engine-pgqueuer[pgqueuer]'")
            config: PgQueuerConfig = ctx.config
            self._engine = PgQueuerEngine(config.url.reveal(), config.connections)
        return self._engine
