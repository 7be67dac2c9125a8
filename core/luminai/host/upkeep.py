"""What a serving hub does beside requests, each a task for as long as it serves."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from luminai.host.nodes import BEAT_SECONDS, NodeRegistry
from luminai.host.starts import GOOD_SECONDS, StartLog
from luminai.host.supervisor import Supervisor
from luminai.identity.authenticate import Verifier
from luminai.identity.identity import Identity
from luminai.identity.key_reminders import remind

if TYPE_CHECKING:
    from luminai.host.hub import Hub

_log = logging.getLogger("luminai.hub")
FOLLOW_SECONDS: Final = 1.0
NOTE_SECONDS: Final = 30.0
PRUNE_SECONDS: Final = 600.0
REMIND_SECONDS: Final = 3600.0


def upkeep_of(hub: Hub) -> list[Coroutine[Any, Any, None]]:
    """Return all that this process does by its roles."""
    tasks = [
        note_use(hub.verifier),
        prune(hub.idempotency.prune, hub.rates.prune, hub.tickets.tidy, hub.events.prune, hub.endpoints.prune),
        hub.live.keep(),
        hub.rooms.keep(),
        hub.vault.keep(),
        hub.identity.keep(),
        hub.sealer.keep(),
    ]
    if "worker" in hub.settings.hub.roles:
        tasks += [hub.webhooks.run(), hub.mail.run(), hub.jobs.run(), hub.schedules.run(), hub.backups.run(), remind_of_keys(hub.identity)]
    tasks += [hub.alerts.run()] if hub.settings.alerts.enabled else []
    if hub.hints is not None:
        tasks += [follow(hub.supervisor, hub.nodes), hub.hints.run()]
    return tasks


async def note_use(verifier: Verifier) -> None:
    """Now and then write down which keys were used."""
    while True:
        await asyncio.sleep(NOTE_SECONDS)
        try:
            await verifier.note_use()
        except Exception:  # noqa: BLE001 - one bad turn must not end the upkeep
            _log.exception("upkeep.failed")


async def prune(*forget: Callable[[], Awaitable[object]]) -> None:
    """Now and then forget what is over: old Idempotency-Keys, tickets that nobody used, events of long ago …, each by a function."""
    while True:
        await asyncio.sleep(PRUNE_SECONDS)
        for one in forget:
            try:
                await one()
            except Exception:  # noqa: BLE001 - one bad turn must not end the upkeep
                _log.exception("upkeep.failed")


async def remind_of_keys(identity: Identity) -> None:
    """Every hour remind people of keys that end soon."""
    while True:
        try:
            await remind(identity)
        except Exception:  # noqa: BLE001 - one bad turn must not end the upkeep
            _log.exception("upkeep.failed")
        await asyncio.sleep(REMIND_SECONDS)


async def call_it_good(starts: StartLog) -> None:
    """After a while call this start a good one."""
    await asyncio.sleep(GOOD_SECONDS)
    starts.went_well()


async def follow(supervisor: Supervisor, nodes: NodeRegistry) -> None:
    """Serve by what other processes on this database changed, and tell them how far this one is."""
    beat = time.perf_counter()
    while True:
        await asyncio.sleep(FOLLOW_SECONDS)
        try:
            followed = await supervisor.follow()
            if followed or time.perf_counter() - beat >= BEAT_SECONDS:
                beat = time.perf_counter()
                await nodes.report(revision=supervisor.revision, generation=supervisor.generation.number, problem=supervisor.problem)
        except Exception:  # noqa: BLE001 - one bad turn must not end the upkeep
            _log.exception("follow.failed")
