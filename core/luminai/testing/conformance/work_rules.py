"""Rules about what a plugin does beside requests: its actions and schedules."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from luminai.data.owners import NOBODY, Acting
from luminai.data.tables_jobs import jobs
from luminai.data.tables_schedules import schedules
from luminai.host.actions import DeclaredAction, new_job
from luminai.testing.clock import FrozenClock
from luminai.testing.conformance.bench import BROKEN, MOST_AWAITS, Bench, Outcome, Start
from luminai.testing.conformance.rules import RuleBroken
from luminai.testing.conformance.samples import sample, unbounded
from luminai.testing.conformance.subject import Subject
from luminai.testing.harness import HubUnderTest
from luminai.work.jobs import put

NONE: Final = "It has no actions."
LATER: Final = 3600.0
Fresh = Callable[[], AbstractAsyncContextManager[Bench]]


def actions_are_bounded(subject: Subject) -> str:
    """B12."""
    actions = subject.loaded.contributions.get("actions", ())
    wrong: list[str] = []
    for action in actions:
        if action.scope not in subject.manifest.scopes:
            wrong.append(f"action {action.name} needs scope {action.scope}, which the manifest does not name")
        wrong += [f"action {action.name}: {place}" for place in unbounded(action.input, is_sent=True)]
        wrong += [f"action {action.name}: {place}" for place in unbounded(action.output)]
    if wrong:
        raise RuleBroken("; ".join(wrong[:10]))
    return f"{len(actions)} actions" if actions else NONE


def retried_action_has_one_effect(subject: Subject) -> str:
    """S10."""
    return _each_action(subject, one_effect)


def cancelled_action_leaves_no_half(subject: Subject) -> str:
    """S11."""
    return _each_action(subject, no_half)


async def one_effect(fresh: Fresh) -> str:
    """Check that a job that is run again after its effect changes nothing more.

    Args:
        fresh: Opens a bench in a hub of its own.

    Raises:
        RuleBroken: it does, or it fails for what its own schema allows.
    """
    plain, said = await plain_run(fresh)
    if said:
        return said
    async with fresh() as bench:
        is_marked, again = await bench.run_twice()
    if again.state != "succeeded":
        raise RuleBroken(f"{bench.name}, tried again after its effect, ends {again.state} ({again.code}): {again.said}")
    if again.effects != plain.effects:
        raise RuleBroken(f"{bench.name}, tried again after its effect, leaves {difference(plain.effects, again.effects)}")
    return f"{bench.name} {'marks itself with its effect' if is_marked else 'changes nothing when it is tried again'}"


async def no_half(fresh: Fresh) -> str:
    """Check that a job that was cancelled at any await ends, when it is tried again, as if nothing had been. Arguments as for ``one_effect``.

    Raises:
        RuleBroken: it does not, or it swallows the cancellation.
    """
    plain, said = await plain_run(fresh)
    if said:
        return said
    for n in range(1, MOST_AWAITS + 1):
        async with fresh() as bench:
            found = await bench.run_cancelled(n)
        if found is None:
            return f"{bench.name} at {n - 1} awaits"
        if found.state != "succeeded":
            raise RuleBroken(f"{bench.name}, cancelled at await {n} and tried again, ends {found.state} ({found.code}): {found.said}")
        if found.effects != plain.effects:
            raise RuleBroken(f"{bench.name}, cancelled at await {n} and tried again, leaves {difference(plain.effects, found.effects)}")
    return f"{bench.name} at its first {MOST_AWAITS} awaits"


async def plain_run(fresh: Fresh) -> tuple[Outcome, str]:
    """Run a job as it comes, and return how it ended, and what to say of it if it was refused.

    Raises:
        RuleBroken: it failed otherwise, or left something although it was refused.
    """
    async with fresh() as bench:
        before = await bench.effects()
        plain = await bench.run()
    if plain.state == "succeeded":
        return plain, ""
    if not plain.is_refusal:
        raise RuleBroken(f"{bench.name} ends {plain.state} ({plain.code}) for what its schema allows: {plain.said}")
    if plain.effects != before:
        raise RuleBroken(f"{bench.name} is refused ({plain.code}), and leaves {difference(before, plain.effects)}")
    return plain, f"{bench.name} refuses the sample ({plain.code}) and leaves nothing"


def difference(wanted: tuple[str, ...], found: tuple[str, ...]) -> str:
    """Say in words how the effects differ."""
    more = list(found)
    less = []
    for one in wanted:
        if one in more:
            more.remove(one)
        else:
            less.append(one)
    parts = [f"{len(some)} too {word}, first {some[0][:200]}" for some, word in ((more, "many"), (less, "few")) if some]
    return "; ".join(parts) or "the same in another order"


def jobs_wait_while_it_is_off(subject: Subject) -> str:
    """S12."""
    names = [action.name for action in subject.loaded.contributions.get("actions", ())]
    if not names:
        return NONE
    clock = FrozenClock()

    async def put_them() -> list[str]:
        async with subject.hub(folder=folder, clock=clock) as hub:
            return [await _start(subject, hub, declared, seconds=LATER)() for declared in _actions(subject, hub)]

    async def states(*, with_it: bool) -> dict[str, str]:
        async with subject.hub(folder=folder, clock=clock, with_it=with_it) as hub:
            await hub.hub.jobs.settle()
            query = select(jobs.c.action, jobs.c.state).where(jobs.c.id.in_(ids))
            return {row.action: row.state for row in await hub.hub.database.read(lambda session: session.execute(query).all())}

    with subject.folder() as folder:
        ids = subject.run(put_them())
        clock.advance(LATER)
        off = subject.run(states(with_it=False))
        if wrong := [f"{name} is {state}" for name, state in off.items() if state != "parked"]:
            raise RuleBroken(f"with the plugin off, a job of {', '.join(wrong)}, not parked")
        on = subject.run(states(with_it=True))
    if wrong := [f"{name} is {state}" for name, state in on.items() if state not in ("succeeded", "dead", "retrying")]:
        raise RuleBroken(f"with the plugin back, a job of {', '.join(wrong)}")
    return f"jobs of {len(names)} actions were parked and run"


def schedules_run(subject: Subject) -> str:
    """S13."""
    declared = subject.loaded.contributions.get("schedules", ())
    if not declared:
        return "It has no schedules."
    clock = FrozenClock()

    async def main() -> list[str]:
        async with subject.hub(clock=clock) as hub:
            return [await _simulate(subject, hub, clock, schedule) for schedule in declared]

    return ", ".join(subject.run(main()))


async def _simulate(subject: Subject, hub: HubUnderTest, clock: FrozenClock, schedule: Any) -> str:
    mine = (schedules.c.plugin == subject.id) & (schedules.c.name == schedule.name)

    def rows(session: Session) -> Any:
        return session.execute(select(schedules).where(mine)).one_or_none()

    row = await hub.hub.database.read(rows)
    if row is None or row.next_fire_at is None:
        why = "the hub does not know it" if row is None else row.paused_because or "it has no next moment"
        raise RuleBroken(f"schedule {schedule.name} ({schedule.trigger}) never runs: {why}")
    moment = row.next_fire_at
    clock.advance(max(0.0, (moment - clock.now()).total_seconds()))
    await hub.hub.schedules.settle()
    clock.advance(float(schedule.jitter))
    await hub.hub.jobs.settle()
    query = select(jobs).where(jobs.c.trigger == f"schedule:{row.id}", jobs.c.run_at <= moment + timedelta(seconds=schedule.jitter + 1))
    ran = await hub.hub.database.read(lambda session: session.execute(query.order_by(jobs.c.id)).first())
    if ran is None:
        paused = (await hub.hub.database.read(rows)).paused_because
        raise RuleBroken(f"schedule {schedule.name} put no job at {moment:%Y-%m-%d %H:%M} UTC" + (f": {paused}" if paused else ""))
    is_refusal = ran.state == "dead" and ran.error_code not in BROKEN
    if ran.state not in ("succeeded", "retrying", "skipped", "waiting") and not is_refusal:
        raise RuleBroken(f"schedule {schedule.name}: its job ends {ran.state} ({ran.error_code}): {ran.error}")
    return f"{schedule.name} at {moment:%Y-%m-%d %H:%M} UTC ({ran.state})"


def _each_action(subject: Subject, look: Callable[[Fresh], Awaitable[str]]) -> str:
    names = [action.name for action in subject.loaded.contributions.get("actions", ())]

    def fresh_for(name: str) -> Fresh:
        @asynccontextmanager
        async def fresh() -> AsyncIterator[Bench]:
            async with subject.hub(clock=FrozenClock()) as hub:
                declared = hub.hub.generation.wiring.actions.find(f"{subject.id}.{name}")
                yield Bench(subject, hub, declared, _start(subject, hub, declared))

        return fresh

    async def main() -> list[str]:
        return [await look(fresh_for(name)) for name in names]

    return ", ".join(subject.run(main())) if names else NONE


def _actions(subject: Subject, hub: HubUnderTest) -> list[DeclaredAction]:
    return [one for one in hub.hub.generation.wiring.actions.all if one.owner == subject.id]


def _start(subject: Subject, hub: HubUnderTest, declared: DeclaredAction, *, seconds: float = 0.0) -> Start:
    """Return what asks for an action, as a schedule of the plugin would if it has one, else as a person with a sample of its input."""
    scheduled = [one for one in subject.loaded.contributions.get("schedules", ()) if one.action == declared.action.name]
    raw = msgspec.json.encode(scheduled[0].input if scheduled else sample(declared.action.input))
    whose = NOBODY if scheduled else Acting("user_test")
    core = hub.hub

    async def start() -> str:
        now = core.clock.now()
        job = new_job(declared, raw, whose=whose, actor="conformance", trigger="conformance", run_at=now + timedelta(seconds=seconds))
        return await core.database.write(lambda session: put(session, core.vault, job, now))

    return start
