"""The database of this machine's hub, opened by a command while no hub runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from luminai.config.layers import Configuration
from luminai.contracts.context import Clock
from luminai.data.database import HubDatabase, open_database
from luminai.data.migrations import core_source, pending, upgrade
from luminai.telemetry.clock import SystemClock

T = TypeVar("T")


def with_database(config: Configuration, work: Callable[[HubDatabase, Clock], Awaitable[T]]) -> T:
    """Run ``work`` on the opened database with the core's tables in place.

    Raises:
        Conflict: a hub runs on this data folder (code ``database-in-use``).
    """

    async def run() -> T:
        clock = SystemClock()
        database = await open_database(config.settings.database.url, data_dir=config.data_dir, clock=clock)
        try:
            if await pending(database, [core_source()]):
                await upgrade(database, core_source())
            return await work(database, clock)
        finally:
            await database.close()

    return asyncio.run(run())
