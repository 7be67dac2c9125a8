"""Rules about what a plugin hears and tells: its subscriptions and its channels."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from luminai.contracts.errors import HubError
from luminai.contracts.runtime import Event, Subscription
from luminai.data.event_log import Origin, Published
from luminai.data.tables_jobs import jobs
from luminai.host.durable import DeclaredDelivery
from luminai.host.job_attempts import HUB
from luminai.host.own_work import Replay, put_replay
from luminai.testing.clock import FrozenClock
from luminai.testing.conformance.bench import Bench
from luminai.testing.conformance.rules import CannotTell, RuleBroken
from luminai.testing.conformance.samples import sample, unbounded
from luminai.testing.conformance.subject import Subject
from luminai.testing.conformance.work_rules import Fresh, difference, no_half, one_effect
from luminai.testing.harness import HubUnderTest

UNKNOWN: Final = 1_000_000
"""A version that no handler knows."""
STRANGER: Final = "user_stranger"
_NOBODYS: Final = "nobodys-0"


def subscriptions_hold(subject: Subject) -> str:
    """S14."""
    wanted: tuple[Subscription, ...] = tuple(subject.loaded.contributions.get("subscriptions", ()))
    if not wanted:
        return "It has no subscriptions."
    publishers = dict.fromkeys(one.event.partition(".")[0] for one in wanted)
    unknown = [one for one in publishers if all(other.id != one for other in subject.installed)]
    if unknown:
        raise CannotTell(f"{', '.join(unknown)}, whose events it hears, is not installed")
    beside = dict.fromkeys(other for one in publishers if one != subject.id for other in (*subject.required_by(one), one))

    around = tuple(beside)

    async def main() -> list[str]:
        return [await (_durable if one.durable else _quick)(subject, number, around) for number, one in enumerate(wanted)]

    return ", ".join(subject.run(main()))


async def _quick(subject: Subject, number: int, beside: tuple[str, ...]) -> str:
    """Call the handler of an event that comes at most once."""
    async with _open(subject, number, beside) as (hub, wanted, payload):
        version = hub.hub.generation.wiring.events.kinds[wanted.event].version
        try:
            await wanted.handle(Event(type=wanted.event, payload=payload, version=version, id="evt_0", at=hub.hub.clock.now()))
        except HubError as refused:
            return f"{wanted.event} is refused ({refused.code})"
        except Exception as error:
            raise RuleBroken(f"the handler of {wanted.event} raises {type(error).__name__} for what its type allows: {error}") from error
        return f"{wanted.event} is heard"


async def _durable(subject: Subject, number: int, beside: tuple[str, ...]) -> str:
    """Deliver an event twice, cut short, by replay, and of a version that nobody knows."""

    def fresh_for(version: int = 0) -> Fresh:
        @asynccontextmanager
        async def fresh() -> AsyncIterator[Bench]:
            async with _open(subject, number, beside) as (hub, wanted, payload):
                declared = next(one for one in hub.hub.generation.wiring.events.durable if one.owner == subject.id and one.subscription is wanted)
                known = hub.hub.generation.wiring.events.kinds[wanted.event].version

                async def publish() -> str:
                    return await _publish(hub, bench, declared, payload, version or known)

                bench = Bench(subject, hub, declared, publish)
                yield bench
                await _replay_adds_nothing(hub, bench, declared)

        return fresh

    said = await one_effect(fresh_for())
    await no_half(fresh_for())
    async with fresh_for(UNKNOWN)() as bench:
        before = await bench.effects()
        newer = await bench.run()
        if newer.code != "unknown-event-version" or newer.effects != before:
            left = difference(before, newer.effects)
            raise RuleBroken(f"{bench.name}, with an event of an unknown version, ends {newer.state} ({newer.code}), and leaves {left}")
    return said


@asynccontextmanager
async def _open(subject: Subject, number: int, beside: tuple[str, ...]) -> AsyncIterator[tuple[HubUnderTest, Subscription, dict[str, Any]]]:
    """Run a hub with all that the subscription listens to, and give a sample of its event."""
    async with subject.hub(clock=FrozenClock(), beside=beside) as hub:
        loaded = hub.hub.generation.loaded(subject.id)
        if loaded is None:
            raise RuleBroken(f"beside {', '.join(beside)} it does not run: {hub.status(subject.id).reason}")
        wanted: Subscription = loaded.contributions["subscriptions"][number]
        kind = hub.hub.generation.wiring.events.kinds.get(wanted.event)
        if kind is None:
            raise RuleBroken(f"nobody publishes {wanted.event}")
        if kind.version not in wanted.versions:
            raise RuleBroken(f"{wanted.event} is at version {kind.version}, which is none of the versions that its handler knows")
        yield hub, wanted, sample(kind.payload)


async def _publish(hub: HubUnderTest, bench: Bench, declared: DeclaredDelivery, payload: dict[str, Any], version: int) -> str:
    """Write an event into the log with its deliveries, and return the job of this one."""
    core, wanted = hub.hub, declared.subscription.event
    kind = core.generation.wiring.events.kinds[wanted]
    fan_out = core.generation.wiring.events.fan_out(wanted)

    def unit(session: Session) -> Published:
        event = Event(type=wanted, payload=payload, version=version)
        found = core.database.log(
            session, event, Origin(wanted.partition(".")[0], core.generation.number, kind.keep), payload=msgspec.json.encode(payload), number=None
        )
        if fan_out is not None:
            fan_out.put(session, found, found.at)
        return found

    found = await core.database.write(unit)
    bench.leave_out(found.id)
    query = select(jobs.c.id).where(jobs.c.plugin == declared.owner, jobs.c.action == declared.action.name, jobs.c.once == found.id)
    return str(await core.database.read(lambda session: session.execute(query).scalar_one()))


async def _replay_adds_nothing(hub: HubUnderTest, bench: Bench, declared: DeclaredDelivery) -> None:
    core = hub.hub
    before = await bench.effects()
    await core.database.write(lambda session: put_replay(core, session, Replay(declared.name), by=HUB))
    await core.jobs.settle()
    after = await bench.effects()
    if after != before:
        raise RuleBroken(f"{declared.subscription.event}, replayed although it was delivered, leaves {difference(before, after)}")


def rooms_are_closed_to_strangers(subject: Subject) -> str:
    """S15."""
    channels = subject.loaded.contributions.get("channels", ())
    if not channels:
        return "It has no channels."
    wrong = [f"{one.name}, {kind}: {place}" for one in channels for kind, type_ in one.kinds.items() for place in unbounded(type_)]
    rooms = [(channel, f"{subject.id}.{_room(channel.name)}") for channel in channels]

    async def main() -> list[str]:
        found = []
        async with subject.hub() as hub:
            for channel, room in rooms:
                scope = channel.scope or f"{subject.id}:none"
                answers = {"nobody": (await _asked(hub.client(), room), {401})}
                if "{" in channel.name:
                    answers["a stranger"] = (await _asked(hub.client(scope, subject=STRANGER), room), {404})
                if channel.scope:
                    answers["somebody without its scope"] = (await _asked(hub.client(f"{subject.id}:none"), room), {404})
                found += [f"{room} answers {who} with {status}" for who, (status, wanted) in answers.items() if status not in wanted]
        return found

    wrong += subject.run(main())
    if wrong:
        raise RuleBroken("; ".join(wrong[:10]))
    return f"{len(channels)} channels, {sum('{' in channel.name for channel in channels)} of them with rooms of somebody"


async def _asked(client: Any, room: str) -> int:
    answer = await client.request("GET", "/api/live/poll", query={"room": room})
    return int(answer.status)


def _room(name: str) -> str:
    return ".".join(_NOBODYS if part.startswith("{") else part for part in name.split("."))
