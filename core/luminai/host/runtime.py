"""What the hub lends to every generation: it outlives them all and belongs to no plugin."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from sqlalchemy.orm import Session

from luminai.audit.log import AuditLog
from luminai.contracts.context import Clock
from luminai.contracts.runtime import SecretBackend
from luminai.contracts.vault import Vault
from luminai.data.database import HubDatabase
from luminai.data.event_log import Published
from luminai.host.actions import DeclaredAction
from luminai.host.starts import StartLog
from luminai.http.guard import Gate
from luminai.http.outbound.client import Outbound
from luminai.http.rooms.channels import ChannelTable
from luminai.http.rooms.rooms import Rooms
from luminai.telemetry.breaker import Breaker
from luminai.telemetry.trace import Tracer
from luminai.work.cache import HubCache


class Runtime(Struct, frozen=True, kw_only=True):
    """Shared things and limits.

    Attributes:
        secret_backends: By scheme; the serving generation's, and while one is built also the new one's.
        make_breaker: ``(plugin, channel)`` to a breaker that reports its openings.
        back_up: Awaited before a plugin's tables change.
        plugin_seconds: Deadline of each phase of each plugin.
        core_channels: The core's own, the same in every generation.
        wake_jobs: Called when a job was put, in any thread.
        hand_on: Told each event of a plugin in its unit, to put the jobs that carry it outside.
        own_actions: What the hub itself does as jobs.
        starts: Told before and after plugin code runs; None where crashes are not counted.
    """

    database: HubDatabase
    clock: Clock
    data_dir: Path
    base_dir: Path
    gate: Gate
    resolve_secret: Callable[[str], str]
    secret_backends: dict[str, SecretBackend]
    make_breaker: Callable[[str, str], Breaker]
    tracer: Tracer
    outbound: Outbound
    cache: HubCache
    rooms: Rooms
    core_channels: ChannelTable
    vault: Vault
    audit: AuditLog
    back_up: Callable[[], Awaitable[None]]
    max_body_bytes: int
    plugin_seconds: float
    auto_migrate: bool
    wake_jobs: Callable[[], None]
    hand_on: Callable[[Session, Published], None]
    own_actions: tuple[DeclaredAction, ...]
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
