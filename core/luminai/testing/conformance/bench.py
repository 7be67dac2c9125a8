"""Runs a plugin's actions and durable handlers in a hub, also badly on purpose, and looks at all that they leave behind."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Integer, Table, delete, insert, select
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
_ID: Final = re.compile(r"\b([a-z]{2,12})_[0-9a-f]{12,36}\b")
Start = Callable[[], Awaitable[str]]
"""Puts a job and returns its id."""


class Interrupted(HubError):
    """Stands for whatever may come between an effect and its mark: a deadline, a lost connection, a process that ends."""

    default_code = "conformance-interrupted"


class Outcome(Struct, frozen=True, kw_only=True):
    """How a job ended, and what there was afterwards, ids and sealed values left out."""

    state: str
    code: str
    said: str
    effects: tuple[str, ...]

    @property
    def is_refusal(self) -> bool:
        """Whether the plugin said no in words that people may read."""
        return self.state == "dead" and self.code not in ("job-failed", "bad-action-output", "bad-action-input", "deadline-exceeded")


class Bench:
    """One plugin in one running hub."""

    def __init__(self, subject: Subject, hub: HubUnderTest) -> None:
        loaded = hub.hub.generation.loaded(subject.id)
        metadata = loaded.metadata if loaded is not None else None
        self._id = subject.id
        self._hub = hub.hub
        self._tables: list[Table] = list(metadata.sorted_tables) if metadata is not None else []
        self._rows: list[tuple[Table, list[dict[str, Any]]]] = []
        self._known: set[str] = set()

    async def remember(self) -> None:
        """Keep what there is now, for ``restore``, and as what effects are told from."""

        def unit(session: Session) -> None:
            self._rows = [(table, [dict(row._mapping) for row in session.execute(select(table))]) for table in self._tables]  # noqa: SLF001 - its public name
            self._known = set(session.execute(select(jobs.c.id)).scalars()) | set(session.execute(select(events.c.id)).scalars())

        await self._hub.database.read(unit)

    async def restore(self) -> None:
        """Put the plugin's tables back as they were."""

        def unit(session: Session) -> None:
            for table in reversed(self._tables):
                session.execute(delete(table))
            for table, rows in self._rows:
                if rows:
                    session.execute(insert(table), rows)
            self._known = set(session.execute(select(jobs.c.id)).scalars()) | set(session.execute(select(events.c.id)).scalars())

        await self._hub.database.write(unit)

    def leave_out(self, id_: str) -> None:
        """Do not count an event as an effect."""
        self._known.add(id_)

    async def effects(self) -> tuple[str, ...]:
        """Return the plugin's rows, and what it published and asked for since, as texts that are the same for the same effects."""

        def unit(session: Session) -> list[str]:
            found = [f"{table.name} {_plain(table, row)}" for table in self._tables for row in session.execute(select(table))]
            told = session.execute(select(events).where(events.c.plugin == self._id))
            found += [f"event {row.type} {row.payload!r}" for row in told if row.id not in self._known]
            asked = session.execute(select(jobs).where(jobs.c.trigger == f"plugin:{self._id}"))
            found += [f"job {row.plugin}.{row.action} {row.once or ''}" for row in asked if row.id not in self._known]
            return found

        return tuple(sorted(_ID.sub(r"\1_…", text) for text in await self._hub.database.read(unit)))

    async def run(self, declared: DeclaredAction, start: Start) -> Outcome:
        """Run a job as it comes."""
        with _changed(declared, declared.action.run):
            return await self._ended(await start())

    async def run_twice(self, declared: DeclaredAction, start: Start) -> tuple[tuple[str, ...] | None, Outcome]:
        """Have a job's first attempt fail after all that it does, and run it again; return the effects in between too, None if it marked itself."""
        original = declared.action.run
        between: list[tuple[str, ...]] = []

        async def run(job: Any, *given: Any) -> Any:
            output = await original(job, *given)
            if job.attempt == 1 and not job.is_finished:
                between.append(await self.effects())
                raise Interrupted("Its attempt was interrupted before it was marked.")
            return output

        with _changed(declared, run):
            outcome = await self._ended(await start())
        return (between[0] if between else None), outcome

    async def run_cancelled(self, declared: DeclaredAction, start: Start, n: int) -> Outcome | None:
        """Have a job's first attempt cancelled at its ``n``-th await, and run it again; None: it has fewer.

        Raises:
            RuleBroken: it swallowed the cancellation.
        """
        original: Callable[..., Any] = declared.action.run
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

        with _changed(declared, run):
            outcome = await self._ended(await start())
        if swallowed:
            raise RuleBroken(f"{declared.name}, cancelled at await {n}, went on")
        return outcome if is_there else None

    async def outcome(self, job_id: str) -> Outcome:
        """Return how a job stands."""
        row = await self._hub.database.read(lambda session: session.execute(select(jobs).where(jobs.c.id == job_id)).one())
        return Outcome(state=row.state, code=row.error_code, said=row.error, effects=await self.effects())

    async def _ended(self, job_id: str) -> Outcome:
        await self._hub.jobs.settle()
        return await self.outcome(job_id)


@contextmanager
def _changed(declared: DeclaredAction, run: Any) -> Any:
    """Have the action run ``run``, soon tried again once, and never for long."""
    before = declared.action
    declared.action = replace(before, run=run, retries=1, backoff=0.0, timeout=min(before.timeout, SECONDS))
    try:
        yield
    finally:
        declared.action = before


def _plain(table: Table, row: Any) -> str:
    numbered = [column.name for column in table.primary_key if isinstance(column.type, Integer)]
    values = dict(row._mapping)  # noqa: SLF001 - its public name
    if len(table.primary_key) == 1:
        values |= dict.fromkeys(numbered, "#")
    return repr({name: "…" if isinstance(value, bytes) else value for name, value in values.items()})
