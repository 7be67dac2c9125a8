"""Runs a plugin's actions and durable handlers in a hub, also badly on purpose, and looks at all that they leave behind."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Integer, Table, select
from sqlalchemy.orm import Session

from luminai.contracts.errors import HubError
from luminai.data.tables_events import events
from luminai.data.tables_jobs import jobs
from luminai.host.actions import DeclaredAction
from luminai.testing.conformance.rules import RuleBroken
from luminai.testing.conformance.subject import Subject
from luminai.testing.harness import HubUnderTest
from luminai.testing.stepping import Reached, cancel_at

MOST_AWAITS: Final = 60
SECONDS: Final = 10.0
"""An attempt gets no more time than this, whatever its action allows."""
_CHANCE: Final = re.compile(r"\b(?=\w*\d)[\w+/=-]{16,}")
"""Ids, tokens and digests: no two runs have the same."""
BROKEN: Final = frozenset({"job-failed", "bad-action-output", "bad-action-input", "deadline-exceeded", "worker-gone"})
"""Codes of a job that failed, and was not refused."""
Start = Callable[[], Awaitable[str]]
"""Puts a job and returns its id."""


class Interrupted(HubError):
    """Stands for whatever may come between an effect and its mark: a deadline, a lost connection, a process that ends."""

    default_code = "conformance-interrupted"


class Outcome(Struct, frozen=True, kw_only=True):
    """How a job ended, and what there was afterwards."""

    state: str
    code: str
    said: str
    effects: tuple[str, ...]

    @property
    def is_refusal(self) -> bool:
        """Whether the plugin said no in words that people may read."""
        return self.state == "dead" and self.code not in BROKEN


class Bench:
    """One plugin in one running hub, and one job that it is to do there.

    Args:
        start: Puts the job.
    """

    def __init__(self, subject: Subject, hub: HubUnderTest, declared: DeclaredAction, start: Start) -> None:
        loaded = hub.hub.generation.loaded(subject.id)
        metadata = loaded.metadata if loaded is not None else None
        self.name = declared.name
        self._id = subject.id
        self._hub = hub.hub
        self._declared = declared
        self._start = start
        self._tables: list[Table] = list(metadata.sorted_tables) if metadata is not None else []
        self._known: set[str] = set()

    def leave_out(self, id_: str) -> None:
        """Do not count an event as an effect."""
        self._known.add(id_)

    async def effects(self) -> tuple[str, ...]:
        """Return the plugin's rows, and what it published and asked for, as texts that are the same for the same effects."""

        def unit(session: Session) -> list[str]:
            found = [f"{table.name} {_plain(table, row)}" for table in self._tables for row in session.execute(select(table))]
            told = session.execute(select(events).where(events.c.plugin == self._id, events.c.id.not_in(self._known)))
            found += [f"event {row.type} {row.payload!r}" for row in told]
            asked = session.execute(select(jobs).where(jobs.c.trigger == f"plugin:{self._id}"))
            return found + [f"job {row.plugin}.{row.action} {row.once or ''}" for row in asked]

        return tuple(sorted(_CHANCE.sub("…", text) for text in await self._hub.database.read(unit, whose=None)))

    async def run(self) -> Outcome:
        """Run the job as it comes."""
        return await self._run(self._declared.action.run)

    async def run_twice(self) -> tuple[bool, Outcome]:
        """Have the first attempt fail after all that it does, unless it marked the job itself, and run it again; tell whether it did not."""
        original = self._declared.action.run
        is_marked = True

        async def run(job: Any, *given: Any) -> Any:
            nonlocal is_marked
            output = await original(job, *given)
            if job.attempt == 1 and not job.is_finished:
                is_marked = False
                raise Interrupted("Its attempt was interrupted before it was marked.")
            return output

        outcome = await self._run(run)
        return is_marked, outcome

    async def run_cancelled(self, n: int) -> Outcome | None:
        """Have the first attempt cancelled at its ``n``-th await, and run it again; None: it has fewer.

        Raises:
            RuleBroken: it swallowed the cancellation.
        """
        original: Callable[..., Any] = self._declared.action.run
        is_there = swallowed = False

        async def run(job: Any, *given: Any) -> Any:
            nonlocal is_there, swallowed
            if job.attempt > 1:
                return await original(job, *given)
            reached: Reached[Any] = await cancel_at(lambda: original(job, *given), n)
            is_there = reached.reached
            swallowed = reached.reached and reached.error is None
            if reached.error is not None:
                raise reached.error
            return reached.result

        outcome = await self._run(run)
        if swallowed:
            raise RuleBroken(f"{self.name}, cancelled at await {n}, went on")
        return outcome if is_there else None

    async def _run(self, run: Callable[..., Awaitable[Any]]) -> Outcome:
        """Have the job run ``run``, soon tried again once, and never for long."""
        before = self._declared.action
        self._declared.action = replace(before, run=run, retries=1, backoff=0.0, timeout=min(before.timeout, SECONDS))
        job_id = await self._start()
        await self._hub.jobs.settle()
        self._declared.action = before
        row = await self._hub.database.read(lambda session: session.execute(select(jobs).where(jobs.c.id == job_id)).one())
        return Outcome(state=row.state, code=row.error_code, said=row.error, effects=await self.effects())


def _plain(table: Table, row: Any) -> str:
    numbered = [column.name for column in table.primary_key if isinstance(column.type, Integer)]
    values = dict(row._mapping)  # noqa: SLF001 - its public name
    if len(table.primary_key) == 1:
        values |= dict.fromkeys(numbered, "#")
    return repr({name: "…" if isinstance(value, bytes) else value for name, value in values.items()})
