"""Keeps the engine of the serving generation at work: begins it, begins it again when it broke, and changes to another one."""

from __future__ import annotations

import asyncio
import logging
import time
from math import inf
from typing import TYPE_CHECKING, Final

from luminai.contracts.engines import JobEngine, JobWork
from luminai.contracts.runtime import Health, HealthState
from luminai.host.job_engines import EMBEDDED

if TYPE_CHECKING:
    from luminai.host.generation import Generation

_log = logging.getLogger("luminai.jobs")
FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 15.0
GOOD_SECONDS: Final = 15.0
"""An engine that went on for so long has nothing to do with what was before."""
END_SECONDS: Final = 5.0
"""So long a stop waits for an engine to end."""


class EngineServing:
    """One in a process.

    Args:
        wanted: Name of the engine in the settings.
        work: What it is given.
    """

    def __init__(self, wanted: str, work: JobWork) -> None:
        self._wanted = wanted
        self._work = work
        self._engine: JobEngine | None = None
        self._task: asyncio.Task[None] | None = None
        self._trouble = ""
        self._broke = ""
        self._began = 0.0
        self._is_missing = False

    def follow(self, generation: Generation) -> None:
        """Serve with the engine of a generation; the embedded one while nobody offers the one that is wanted."""
        found = generation.wiring.engines.find(self._wanted)
        self._is_missing = found is None
        engine = found or generation.wiring.engines.embedded
        if engine is self._engine:
            return
        if self._task is not None:
            self._task.cancel()
        self._engine, self._trouble, self._broke = engine, "", ""
        if self._work.at_once:
            self._task = asyncio.get_running_loop().create_task(self._keep(engine), name="luminai:job-engine")
        _log.log(logging.WARNING if self._is_missing else logging.INFO, "jobs.engine", extra={"engine": engine.name, "wanted": self._wanted})

    async def dispatch(self) -> int:
        """Have the engine tell workers of what is due; return of how many jobs."""
        if self._engine is None:
            return 0
        try:
            found = await self._engine.dispatch(self._work)
        except Exception as error:
            self._trouble = type(error).__name__
            raise
        self._trouble = ""
        return found

    async def end(self) -> None:
        """Stop serving."""
        task, self._engine = self._task, None
        if task is not None:
            task.cancel()
            _, late = await asyncio.wait([task], timeout=END_SECONDS)
            if late:
                _log.warning("jobs.engine.late", extra={"wanted": self._wanted})

    async def health(self) -> Health:
        """Say whether the wanted engine is there and goes on."""
        if self._is_missing:
            return Health(HealthState.DEGRADED, f"No running plugin offers the job engine {self._wanted}; {EMBEDDED} stands in.")
        broke = self._broke if time.monotonic() - self._began < GOOD_SECONDS else ""
        if trouble := self._trouble or broke:
            return Health(HealthState.DEGRADED, f"The job engine does not go on: {self._wanted}: {trouble}")
        return Health(HealthState.OK)

    async def _keep(self, engine: JobEngine) -> None:
        pause = FIRST_PAUSE
        while True:
            self._began = began = time.monotonic()
            try:
                await engine.serve(self._work)
                trouble = "it returned"
            except Exception as error:  # noqa: BLE001 - an engine may raise anything
                trouble = type(error).__name__
                _log.warning("jobs.engine.broke", extra={"engine": engine.name, "reason": trouble})
            if engine is not self._engine:  # it was replaced, or the hub stops: an engine's own code may have swallowed the cancellation
                return
            self._broke, self._began = trouble, inf
            pause = FIRST_PAUSE if time.monotonic() - began >= GOOD_SECONDS else pause
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
