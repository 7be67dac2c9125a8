"""Hook implementations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from luminai import SPAN_POINT, Extension, HealthCheck, Metric, PluginContext, hookimpl
from luminai_otel.config import OtelConfig
from luminai_otel.sender import Sender


class Plugin:
    """Traces to an OpenTelemetry collector."""

    config: ClassVar = OtelConfig

    def __init__(self) -> None:
        self._sender: Sender | None = None

    @hookimpl
    def extensions(self, ctx: PluginContext) -> Sequence[Extension]:
        """Take the hub's spans."""
        return [Extension(SPAN_POINT, self._of(ctx))]

    @hookimpl
    def metrics(self) -> Sequence[Metric]:
        """Count spans."""
        return [
            Metric(name="spans_sent_total", kind="counter", help="Spans that the collector took."),
            Metric(name="spans_dropped_total", kind="counter", help="Spans that were dropped.", labels=("reason",)),
        ]

    @hookimpl
    def health_checks(self, ctx: PluginContext) -> Sequence[HealthCheck]:
        """Say whether the last sending was taken."""
        return [HealthCheck(name="collector", check=self._of(ctx).health)]

    @hookimpl
    async def start(self, ctx: PluginContext) -> None:
        """Begin to send."""
        ctx.spawn(self._of(ctx).run(), name="send")

    @hookimpl
    async def stop(self, ctx: PluginContext) -> None:
        """Send what is left."""
        await self._of(ctx).end()

    def _of(self, ctx: PluginContext) -> Sender:
        if self._sender is None:
            self._sender = Sender(ctx)
        return self._sender
