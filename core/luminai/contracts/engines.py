"""Job engines: how word of a due job reaches a worker. What a job is, who may have it and what becomes of it stays with the hub's ledger."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

from msgspec import Struct


class DueJob(Struct, frozen=True, kw_only=True):
    """All that an engine knows of a job: ``action`` is its full name, ``priority`` 0 to 9, 9 the most urgent."""

    id: str
    action: str
    priority: int


class JobWork(Protocol):
    """The ledger and the workers of this process, as an engine has them."""

    @property
    def at_once(self) -> int:
        """How many calls of ``run`` may be under way; 0: this process runs no jobs."""
        ...

    def told(self, most: int, /) -> AbstractAsyncContextManager[Sequence[DueJob]]:
        """Pick jobs that are due and of which no worker was told, the most urgent first, at most ``most``.

        They count as told for half of ``jobs.lease-seconds``, unless the block raises. Plugins and actions without room here are left out, and of
        each action only so many are told and not begun that a backlog stays in the ledger, where what is urgent overtakes.
        """
        ...

    async def take(self) -> int:
        """Begin as many due jobs as there is room for, without being told of each; return how many."""
        ...

    async def run(self, job_id: str, /) -> None:
        """Begin a job if it is due and nobody has it; return once it runs, or will not run here. What becomes of it is the ledger's.

        It waits a second for room; of a job that finds none workers are told anew. Calling it twice, late, or for a job that never was does no harm.
        """
        ...


@runtime_checkable
class JobEngine(Protocol):
    """Carries word of due jobs to workers, in this process or another.

    It may tell twice, late, out of order or, now and then, not at all: workers are told again of a job that nobody begins. It never tries a
    job again by itself, since attempts belong to the ledger, and it sees neither input nor outcome.
    """

    @property
    def name(self) -> str:
        """What the setting ``jobs.engine`` calls it."""
        ...

    async def dispatch(self, work: JobWork, /) -> int:
        """Jobs may be due: have workers told, and return of how many. Called one at a time, in every process that runs jobs."""
        ...

    async def serve(self, work: JobWork, /) -> None:
        """Bring what workers are told to ``work.run``, until cancelled. Raise when that cannot go on: the hub calls again, after a pause."""
        ...
