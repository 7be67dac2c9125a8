"""What a serving hub does beside requests, each a task for as long as it serves."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from luminai.host.nodes import BEAT_SECONDS, NodeRegistry
from luminai.host.starts import GOOD_SECONDS, StartLog
from luminai.host.supervisor import Supervisor
from luminai.identity.authenticate import Verifier

_log = logging.getLogger("luminai.hub")
FOLLOW_SECONDS: Final = 1.0
NOTE_SECONDS: Final = 30.0


async def note_use(verifier: Verifier) -> None:
    """Now and then write down which keys were used."""
    while True:
        await asyncio.sleep(NOTE_SECONDS)
        try:
            await verifier.note_use()
        except Exception:  # noqa: BLE001 - one bad turn must not end the upkeep
            _log.exception("upkeep.failed")


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
