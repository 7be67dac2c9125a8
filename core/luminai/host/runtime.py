"""What the hub lends to every generation: it outlives them all and belongs to no plugin."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from luminai.contracts.context import Clock
from luminai.contracts.runtime import SecretBackend
from luminai.data.database import HubDatabase
from luminai.host.starts import StartLog
from luminai.http.guard import Authenticate
from luminai.telemetry.breaker import Breaker
from luminai.telemetry.trace import Tracer


class Runtime(Struct, frozen=True, kw_only=True):
    """Shared things and limits.

    Attributes:
        secret_backends: By scheme; the serving generation's, and while one is built also the new one's.
        make_breaker: ``(plugin, channel)`` to a breaker that reports its openings.
        back_up: Awaited before a plugin's tables change.
        plugin_seconds: Deadline of each phase of each plugin.
        starts: Told before and after plugin code runs; None where crashes are not counted.
    """

    database: HubDatabase
    clock: Clock
    data_dir: Path
    base_dir: Path
    authenticate: Authenticate
    resolve_secret: Callable[[str], str]
    secret_backends: dict[str, SecretBackend]
    make_breaker: Callable[[str, str], Breaker]
    tracer: Tracer
    back_up: Callable[[], Awaitable[None]]
    max_body_bytes: int
    plugin_seconds: float
    auto_migrate: bool
    starts: StartLog | None = None

    @contextmanager
    def inside(self, plugin: str, phase: str) -> Iterator[None]:
        """Say that a plugin's code runs in the block."""
        if self.starts is None:
            yield
            return
        self.starts.entering(plugin, phase)
        try:
            yield
        finally:
            self.starts.left(plugin)
