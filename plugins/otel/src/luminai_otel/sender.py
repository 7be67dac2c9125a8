"""Gathers spans and sends them; a collector that is away costs spans, never a request."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import Final

from luminai import Health, HealthState, HubError, PluginContext, Span, Upstream
from luminai_otel.config import OtelConfig
from luminai_otel.otlp import encode

MAX_WAITING: Final = 10_000
MAX_BATCH: Final = 500
_AGAIN: Final = frozenset({429, 502, 503, 504})
"""Answers after which OTLP wants the same spans sent again."""


class Sender:
    """Implements ``SpanSink``."""

    name = "otel"

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self._config: OtelConfig = ctx.config
        self._waiting: deque[Span] = deque()
        self._woken = asyncio.Event()
        self._problem = ""
        self._is_over = False

    def sample(self) -> bool:
        """Throw the die."""
        return random.random() < self._config.share

    def take(self, span: Span, /) -> None:
        """Keep a span until it is sent; without room it is dropped and counted."""
        if len(self._waiting) >= MAX_WAITING:
            self._ctx.metrics.count("spans_dropped_total", reason="no-room")
            return
        self._waiting.append(span)
        if len(self._waiting) >= MAX_BATCH and not self._problem:  # else every span would try a collector that is away
            self._woken.set()

    async def run(self) -> None:
        """Send every few seconds, and as soon as a batch is full while the collector takes them, until the plugin stops."""
        while not self._is_over:
            try:
                async with asyncio.timeout(self._config.send_seconds):
                    await self._woken.wait()
            except TimeoutError:
                pass
            self._woken.clear()
            await self.flush()

    async def end(self) -> None:
        """Send what is left, and no more."""
        self._is_over = True
        self._woken.set()
        await self.flush()

    async def flush(self) -> None:
        """Send what waits, until a sending fails."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
            try:
                await self._send(batch)
            except HubError as error:
                self._problem = error.detail
                if error.code == "otel.refused":
                    self._ctx.metrics.count("spans_dropped_total", len(batch), reason="refused")
                    continue
                kept = batch[: MAX_WAITING - len(self._waiting)]
                self._waiting.extendleft(reversed(kept))
                if len(batch) > len(kept):
                    self._ctx.metrics.count("spans_dropped_total", len(batch) - len(kept), reason="no-room")
                return
            self._problem = ""
            self._ctx.metrics.count("spans_sent_total", len(batch))

    async def health(self) -> Health:
        """Degraded while the last sending failed."""
        return Health(HealthState.DEGRADED, self._problem) if self._problem else Health(HealthState.OK)

    async def _send(self, batch: list[Span]) -> None:
        config = self._config
        headers = {"content-type": "application/json"}
        if config.authorization is not None:
            headers["authorization"] = config.authorization.reveal()
        body = encode(batch, service=config.service_name, version=self._ctx.version)
        url = f"{config.endpoint.rstrip('/')}/v1/traces"
        reply = await self._ctx.http.request("POST", url, headers=headers, body=body, timeout=config.timeout, max_bytes=65_536)
        if 200 <= reply.status < 300:
            return
        code = "otel.busy" if reply.status in _AGAIN else "otel.refused"
        raise Upstream(f"The collector answered {reply.status}.", code=code)
