"""Everything that the hub measures, gathered when somebody asks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from luminai import __version__
from luminai.contracts.runtime import HealthState
from luminai.data.cache_memory import MemoryCache
from luminai.host.inspect import breakers, costs
from luminai.telemetry.figures import Family, Kind, Labels, Value
from luminai.telemetry.health import RANK
from luminai.telemetry.logs import flood_gate
from luminai.telemetry.machine import Machine
from luminai.work.job_figures import Backlog, backlog

if TYPE_CHECKING:
    from luminai.host.hub import Hub
    from luminai.http.rooms.rooms import Rooms

_log = logging.getLogger("luminai.metrics")
BELIEVED_SECONDS: Final = 10.0
"""For so long the database is not asked again how long its queues are, however many ask."""


class Metrics:
    """Gathers the figures of a hub: those that were counted, and those that are looked up."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._machine = Machine(hub.data_dir)
        self._backlog: tuple[float, Backlog, list[Family]] | None = None
        self._asking = asyncio.Lock()

    async def families(self) -> list[Family]:
        """Return every family. What the database cannot tell now is left out, the rest is there."""
        hub = self._hub
        return [
            *hub.tracer.figures.families(),
            hub.database.times.family(),
            *await self._queues(),
            *self._machine.families(),
            *self._serving(),
            *self._plugins(),
            hub.alerts.family(),
            *(family for loaded in hub.generation.plugins if loaded.context for family in loaded.context.metrics.families()),
        ]

    async def _queues(self) -> list[Family]:
        async with self._asking:
            now = self._hub.clock.monotonic()
            if self._backlog is None or now - self._backlog[0] > BELIEVED_SECONDS:
                try:
                    found = await self._hub.database.read(backlog, timeout=2.0)
                    letters, oldest = await self._hub.mail.queue.waiting()
                    waits = (self._hub.clock.now() - oldest).total_seconds() if oldest is not None else 0.0
                    mail = [
                        _family("luminai_letters_waiting", "Letters that wait to be sent.", {(): letters}),
                        _family("luminai_letters_oldest_seconds", "How long the oldest of them waits.", {(): waits}),
                    ]
                except Exception:  # noqa: BLE001 - a database that is away is what one wants to see the other figures for
                    _log.warning("metrics.queues.unknown", exc_info=True)
                    return []
                self._backlog = (now, found, mail)
            _, found, mail = self._backlog
        oldest_job = (self._hub.clock.now() - found.oldest).total_seconds() if found.oldest is not None else 0.0
        return [
            _family("luminai_jobs", "Jobs that are not settled, counted up to 100,000.", {(state,): n for state, n in found.states.items()}, "state"),
            _family("luminai_jobs_oldest_seconds", "How long the oldest job waits for a worker.", {(): max(0.0, oldest_job)}),
            *mail,
        ]

    def _serving(self) -> Iterator[Family]:
        hub = self._hub
        busy = hub.database.busy()
        sockets, streams = hub.live.open()
        yield _family(
            "luminai_database_connections",
            "Connections to the database by whether they are in use.",
            {("in_use",): busy.in_use, ("free",): max(0, busy.connections - busy.in_use)},
            "state",
        )
        yield _family("luminai_database_in_use_share", "Share of the connections that is in use.", {(): busy.in_use / busy.connections})
        yield _family("luminai_database_writes_waiting", "Units of work that wait for the writer.", {(): busy.writes_waiting})
        yield _family("luminai_jobs_running", "Jobs that run in this process.", {(): hub.jobs.running})
        yield _family("luminai_job_slots", "Jobs that may run at once in this process.", {(): hub.settings.jobs.slots})
        yield _family("luminai_requests_open", "Requests that are worked on, open streams of plugins included.", {(): hub.edge.table.inflight})
        yield _family("luminai_streams_open", "Open event streams and sockets.", {("sse",): streams, ("socket",): sockets}, "kind")
        yield from _rooms(hub.rooms)
        yield _family("luminai_generation", "Number of the serving generation.", {(): hub.generation.number})
        yield _family("luminai_ready", "Whether this process takes requests.", {(): hub.is_ready and not hub.safe_mode})
        if isinstance(hub.cache.store, MemoryCache):
            yield _family("luminai_cache_bytes", "Bytes that the cache takes in this process.", {(): hub.cache.store.size})
        yield _family("luminai_uptime_seconds", "Seconds since the start.", {(): hub.uptime})
        yield _family("luminai_build_info", "Version of the hub.", {(__version__,): 1}, "version")
        yield _family("luminai_loop_tasks", "Tasks of the event loop.", {(): len(asyncio.all_tasks())})
        yield _family(
            "luminai_log_lines_dropped",
            "Log lines dropped, by who wrote them.",
            {(owner,): n for owner, n in flood_gate.dropped.items()},
            "owner",
            kind="counter",
        )
        yield _family("luminai_access_lines_dropped", "Lines of the access log that were dropped.", {(): hub.access_lines_dropped}, kind="counter")

    def _plugins(self) -> Iterator[Family]:
        hub = self._hub
        every = costs(hub)
        yield _family(
            "luminai_plugin_state",
            "1 for the state that a plugin is in.",
            {(one.id, str(one.state)): 1 for one in hub.report.plugins},
            "plugin",
            "state",
        )
        yield _family("luminai_plugin_tasks", "Background tasks of a plugin.", {(one.id,): one.tasks for one in every}, "plugin")
        yield _family("luminai_plugin_start_seconds", "Seconds of a plugin's start.", {(one.id,): one.start_ms / 1000 for one in every}, "plugin")
        decided = {one.id: one for one in every if one.decisions}
        yield _family(
            "luminai_decisions", "Decision steps that ran.", {(name,): one.decisions for name, one in decided.items()}, "plugin", kind="counter"
        )
        yield _family(
            "luminai_decision_failures",
            "Decision steps that failed.",
            {(name,): one.failed_decisions for name, one in decided.items()},
            "plugin",
            kind="counter",
        )
        yield _family(
            "luminai_decision_seconds",
            "Seconds of decision steps.",
            {(name,): one.decision_ms / 1000 for name, one in decided.items()},
            "plugin",
            kind="counter",
        )
        events = {(one.id,): channel for one in every for channel in one.channels if channel.name == "events"}
        yield _family(
            "luminai_events_handled", "Events that subscribers got.", {key: one.calls for key, one in events.items()}, "plugin", kind="counter"
        )
        yield _family(
            "luminai_event_failures", "Events whose subscriber failed.", {key: one.failures for key, one in events.items()}, "plugin", kind="counter"
        )
        yield _family(
            "luminai_events_missed", "Events dropped or skipped.", {key: one.missed for key, one in events.items()}, "plugin", kind="counter"
        )
        yield _family(
            "luminai_breaker_open",
            "Whether a plugin's channel rests after failures.",
            {(plugin, channel): breaker.is_open for plugin, channel, breaker in breakers(hub)},
            "plugin",
            "channel",
        )
        known = hub.health.known() if hub.health else []
        yield _family(
            "luminai_health",
            "The last answer of each health check: 0 ok, 1 unknown, 2 degraded, 3 failing.",
            {(one.plugin, one.name): RANK[HealthState(one.state)] for one in known},
            "plugin",
            "check",
        )


def _family(name: str, help: str, rows: dict[Labels, Value], *labels: str, kind: Kind = "gauge") -> Family:  # noqa: A002 - Prometheus' word
    return Family(name=name, kind=kind, help=help, labels=labels, rows={key: float(value) for key, value in rows.items()})  # type: ignore[arg-type]


def _rooms(rooms: Rooms) -> Iterator[Family]:
    figures = rooms.figures
    yield _family("luminai_live_rooms", "Rooms that somebody in this process watches.", {(): rooms.rooms})
    yield _family("luminai_live_readers", "Event streams of rooms and sockets.", {(): rooms.readers})
    yield _family("luminai_live_messages_sent", "Messages handed to readers.", {(): figures.sent}, kind="counter")
    yield _family("luminai_live_messages_dropped", "Messages that readers did not get, being too slow.", {(): figures.dropped}, kind="counter")
    yield _family("luminai_live_messages_lost", "Messages given up while Redis was away.", {(): rooms.log.lost}, kind="counter")
    yield _family("luminai_live_readers_slow", "Readers sent away because they were too slow.", {(): figures.slow}, kind="counter")
    yield _family("luminai_live_gaps", "Times that a reader was told to look anew.", {(): figures.gaps}, kind="counter")
