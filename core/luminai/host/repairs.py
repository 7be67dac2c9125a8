"""What an operator should look at: each problem as an item with its cause, its effect, and a fix that can be called or followed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from luminai.contracts.context import Clock, Database
from luminai.contracts.runtime import HealthState
from luminai.data.tables import repairs_ignored
from luminai.host.endpoint_repairs import endpoint_repairs
from luminai.host.inspect import breakers
from luminai.host.key_repairs import key_repairs
from luminai.host.process_repairs import process_repairs
from luminai.host.repair_items import Fix, Ignored, Repair, line_of
from luminai.host.report import Phase, PluginState, PluginStatus
from luminai.host.safety_repairs import dead_deliveries, health_steps, safety_repairs
from luminai.telemetry.deprecations import uses

if TYPE_CHECKING:
    from luminai.host.hub import Hub

_NEW_CODE_HELPS = (Phase.IMPORT, Phase.BIND, Phase.COLLECT, Phase.CHECK, Phase.MIGRATE, Phase.START)


class IgnoredRepairs:
    """The items that operators put aside."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._db = database
        self._clock = clock

    async def ignore(self, repair_id: str, reason: str, *, by: str) -> None:
        """Put an item aside with the reason."""
        row = {"id": repair_id, "reason": reason, "ignored_by": by, "ignored_at": self._clock.now()}

        def unit(session: Session) -> None:
            session.execute(delete(repairs_ignored).where(repairs_ignored.c.id == repair_id))
            session.execute(insert(repairs_ignored).values(**row))

        await self._db.write(unit)

    async def take_back(self, repair_id: str) -> None:
        """Show an item again."""

        def unit(session: Session) -> None:
            session.execute(delete(repairs_ignored).where(repairs_ignored.c.id == repair_id))

        await self._db.write(unit)

    async def all(self) -> dict[str, Ignored]:
        """Return what is put aside, by the item's id."""

        def unit(session: Session) -> dict[str, Ignored]:
            rows = session.execute(select(repairs_ignored))
            return {row.id: Ignored(reason=row.reason, ignored_by=row.ignored_by, ignored_at=row.ignored_at) for row in rows}

        return await self._db.read(unit)


async def find_repairs(hub: Hub) -> list[Repair]:
    """Return every item, errors first, ignored ones last."""
    ignored = await hub.ignored.all()
    found = [
        *process_repairs(hub),
        *(item for status in hub.report.plugins for item in _plugin(hub, status)),
        *_breakers(hub),
        *_subscriptions(hub),
        *_deprecations(hub),
        *_stalls(hub),
        *safety_repairs(hub),
        *await hub.alerts.repairs(),
    ]
    found += [item async for item in dead_deliveries(hub)]
    found += [item async for item in _health(hub)]
    found += [item async for item in _nodes(hub)]
    found += [item async for item in key_repairs(hub)]
    found += [item async for item in endpoint_repairs(hub)]
    found += [item async for item in _wishes(hub)]
    rank = {"error": 0, "warning": 1, "notice": 2}
    items = [replace(item, ignored=ignored.get(item.id)) for item in found]
    return sorted(items, key=lambda item: (item.ignored is not None, rank[item.severity], item.id))


def _plugin(hub: Hub, status: PluginStatus) -> Iterator[Repair]:
    if not status.code:
        return
    dependents = [one.id for one in hub.report.plugins if status.id in one.requires and one.state is not PluginState.AVAILABLE]
    effect = "It does not run; its routes answer 503." + (f" Without it these cannot run: {', '.join(dependents)}." if dependents else "")
    fix = Fix(steps=(status.remedy,))
    if status.state is PluginState.QUARANTINED:
        fix = Fix(action="enable", label="Turn it on again", steps=(status.remedy,))
    elif status.phase in _NEW_CODE_HELPS:
        fix = Fix(action="restart", label="Try it again", steps=(status.remedy,))
    yield Repair(
        id=f"plugin:{status.id}:{status.code}",
        severity="warning" if status.state is PluginState.BLOCKED else "error",
        title=f"Plugin {status.id} is {status.state}",
        cause=f"{status.phase}: {status.reason}",
        effect=effect,
        fix=fix,
        plugin=status.id,
        details=(*status.causes, *map(line_of, status.errors[:20])),
    )


def _deprecations(hub: Hub) -> Iterator[Repair]:
    running = {loaded.id for loaded in hub.generation.plugins}
    for plugin in sorted({use.plugin for use in uses()} & running):
        mine = [use for use in uses() if use.plugin == plugin]
        yield Repair(
            id=f"deprecated:{plugin}",
            severity="notice",
            title=f"Plugin {plugin} uses what plugin API {mine[0].removed_in} drops",
            cause=f"{sum(use.times for use in mine)} uses at {len(mine)} places.",
            effect="It will not run on that version of the hub.",
            fix=Fix(steps=("Look for a newer version of the plugin, or tell its author.",)),
            plugin=plugin,
            details=tuple(f"{use.file}:{use.line} {use.what}: use {use.use}" for use in mine[:50]),
        )


def _stalls(hub: Hub) -> Iterator[Repair]:
    for plugin in sorted({stall.plugin for stall in hub.stalls.stalls() if stall.plugin}):
        mine = [stall for stall in hub.stalls.stalls() if stall.plugin == plugin]
        yield Repair(
            id=f"stall:{plugin}",
            severity="warning",
            title=f"Plugin {plugin} holds up everybody",
            cause=f"Its code kept the event loop for up to {mine[0].longest:.1f} s, {sum(stall.times for stall in mine)} times.",
            effect="While it does, no request of anybody is answered.",
            fix=Fix(steps=("Tell its author: blocking work belongs into ctx.run_sync.", f"Or turn it off: `luminai plugins disable {plugin}`.")),
            plugin=plugin,
            details=tuple(f"{stall.file}:{stall.line} {stall.times} times, up to {stall.longest:.1f} s" for stall in mine[:50]),
        )


def _breakers(hub: Hub) -> Iterator[Repair]:
    for plugin, channel, breaker in breakers(hub):
        if breaker.is_open:
            yield Repair(
                id=f"breaker:{plugin}:{channel}",
                severity="error",
                title=f"{channel} of plugin {plugin} rest after failing too often",
                cause="The log names each failure.",
                effect="Calls are refused until one is tried and goes well.",
                fix=Fix(
                    action="restart",
                    label="Build the plugin anew",
                    steps=(f"Or turn it off: `luminai plugins disable {plugin}`.",),
                ),
                plugin=plugin,
            )


def _subscriptions(hub: Hub) -> Iterator[Repair]:
    for event, listeners in sorted(hub.generation.wiring.events.undeclared().items()):
        owner = event.partition(".")[0]
        is_running = hub.generation.loaded(owner) is not None
        for plugin in listeners:
            yield Repair(
                id=f"event:{plugin}:{event}",
                severity="notice",
                title=f"Plugin {plugin} waits for {event}, which nobody publishes",
                cause=f"Plugin {owner} declares no such event type." if is_running else f"Plugin {owner} does not run.",
                effect="What the plugin does on that event does not happen.",
                fix=Fix(
                    steps=("docs/reference/events.md lists the event types.",) if is_running else (f"Turn it on: `luminai plugins enable {owner}`.",)
                ),
                plugin=plugin,
            )


async def _health(hub: Hub) -> Any:
    for result in await hub.health.results() if hub.health else ():
        if result.state in (HealthState.FAILING, HealthState.DEGRADED):
            yield Repair(
                id=f"health:{result.plugin}:{result.name}",
                severity="error" if result.state is HealthState.FAILING else "warning",
                title=f"{result.name} of plugin {result.plugin} is {result.state}",
                cause=result.reason or "The check gives no reason.",
                effect="What depends on it may fail.",
                fix=Fix(steps=health_steps(result.plugin, result.name)),
                plugin=result.plugin,
            )


async def _nodes(hub: Hub) -> Any:
    wanted = await hub.desired.revision()
    for node in await hub.nodes.all():
        if node.problem or node.revision < wanted:
            yield Repair(
                id=f"node:{node.name}",
                severity="error" if node.problem else "warning",
                title=f"Process {node.name} does not serve revision {wanted}",
                cause=node.problem or f"It is at revision {node.revision}.",
                effect="Clients get different answers, depending on the process that they meet.",
                fix=Fix(steps=("Restart that process.", "Or go back: `luminai plugins rollback`.")),
            )


async def _wishes(hub: Hub) -> Any:
    wishes = await hub.desired.all()
    sections = hub.config.settings.plugins
    apart = [one for one, wish in wishes.items() if wish.config or wish.enabled != (one in sections and sections[one].enabled)]
    if apart:
        yield Repair(
            id="wishes-not-in-files",
            severity="notice",
            title="Plugins run otherwise than config.toml says",
            cause=f"Changed at run time: {', '.join(sorted(apart))}.",
            effect="A new installation from the files alone would differ.",
            fix=Fix(steps=("`luminai config adopt` prints the lines to put into config.toml.",)),
        )
