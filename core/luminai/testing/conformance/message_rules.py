"""Rules about what a plugin hears and tells: its subscriptions and its channels."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from luminai.contracts.errors import HubError
from luminai.contracts.runtime import Event, Subscription
from luminai.data.event_log import Origin, Published
from luminai.data.tables_jobs import jobs
from luminai.host.durable import DeclaredDelivery
from luminai.host.job_worker import HUB
from luminai.host.own_work import Replay, put_replay
from luminai.testing.clock import FrozenClock
from luminai.testing.conformance.bench import Bench
from luminai.testing.conformance.rules import CannotTell, RuleBroken
from luminai.testing.conformance.samples import sample, unbounded
from luminai.testing.conformance.subject import Subject
from luminai.testing.conformance.work_rules import difference, no_half, one_effect
from luminai.testing.harness import HubUnderTest

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

    async def main() -> list[str]:
        async with subject.hub(clock=FrozenClock(), beside=tuple(beside)) as hub:
            loaded = hub.hub.generation.loaded(subject.id)
            if loaded is None:
                raise RuleBroken(f"beside {', '.join(beside)} it does not run: {hub.status(subject.id).reason}")
            return [await _look(subject, hub, one) for one in loaded.contributions["subscriptions"]]

    return ", ".join(subject.run(main()))


async def _look(subject: Subject, hub: HubUnderTest, wanted: Subscription) -> str:
    table = hub.hub.generation.wiring.events
    kind = table.kinds.get(wanted.event)
    if kind is None:
        raise RuleBroken(f"nobody publishes {wanted.event}")
    if kind.version not in wanted.versions:
        raise RuleBroken(f"{wanted.event} is at version {kind.version}, which is none of the versions that its handler knows")
    payload = sample(kind.payload)
    if not wanted.durable:
        try:
            await wanted.handle(Event(type=wanted.event, payload=payload, version=kind.version, id="evt_0", at=hub.hub.clock.now()))
        except HubError as refused:
            return f"{wanted.event} is refused ({refused.code})"
        except Exception as error:
            raise RuleBroken(f"the handler of {wanted.event} raises {type(error).__name__} for what its type allows: {error}") from error
        return f"{wanted.event} is heard"
    declared = next(one for one in table.durable if one.owner == subject.id and one.subscription is wanted)
    bench = Bench(subject, hub)

    async def publish(version: int = kind.version) -> str:
        return await _publish(hub, bench, declared, payload, version)

    said = await one_effect(bench, declared, publish)
    await bench.restore()
    await no_half(bench, declared, publish)
    await _replay_adds_nothing(hub, bench, declared)
    await bench.remember()
    before = await bench.effects()
    newer = await bench.run(declared, lambda: publish(max(wanted.versions) + 1))
    if newer.code != "unknown-event-version" or newer.effects != before:
        raise RuleBroken(f"{wanted.event} of an unknown version ends {newer.state} ({newer.code}), and leaves {difference(before, newer.effects)}")
    return said


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
    await bench.remember()
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
