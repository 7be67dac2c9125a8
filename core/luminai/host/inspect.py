"""Answers about the serving generation: why a plugin is as it is, who implements what, which routes there are, what each plugin costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from luminai.host.decisions import Step
from luminai.host.events import CHANNEL as EVENTS
from luminai.host.hooks import SPECS
from luminai.host.report import PluginState, PluginStatus
from luminai.telemetry.breaker import Breaker

if TYPE_CHECKING:
    from luminai.host.hub import Hub


class Why(Struct, frozen=True, kw_only=True):
    """Why a plugin is on, off, blocked or failed: the reasons in the order in which the hub looks at them."""

    id: str
    state: str
    because: tuple[str, ...]
    remedy: str = ""
    needed_by: tuple[str, ...] = ()


class HookUse(Struct, frozen=True, kw_only=True):
    """A hook and the running plugins that implement it, in start order."""

    hook: str
    kind: str
    plugins: tuple[str, ...]


class DecisionStep(Struct, frozen=True, kw_only=True):
    """One plugin's step: its place and why, its deadline in seconds, how often it ran and failed."""

    position: int
    plugin: str
    because: tuple[str, ...]
    timeout: float
    calls: int
    failures: int


class DecisionPoint(Struct, frozen=True, kw_only=True):
    """A decision point with its steps in order."""

    point: str
    steps: tuple[DecisionStep, ...]


class RouteUse(Struct, frozen=True, kw_only=True):
    """A route with its owner and who may call it: ``anonymous``, ``signed in`` or a scope."""

    method: str
    path: str
    plugin: str
    access: str
    operation: str
    source: str


class ChannelCost(Struct, frozen=True, kw_only=True):
    """A channel with its breaker: ``events`` (``missed``: dropped or skipped) or ``ai``, ``payments``, ``storage`` of its providers."""

    name: str
    breaker: str
    calls: int
    failures: int
    ms: float
    missed: int = 0


class Cost(Struct, frozen=True, kw_only=True):
    """What a plugin took: milliseconds a phase of its start, its requests and its decision steps since then; ``resting`` are open breakers."""

    id: str
    start_ms: float
    phases_ms: dict[str, float]
    requests: int = 0
    failed_requests: int = 0
    request_ms: float = 0.0
    decisions: int = 0
    failed_decisions: int = 0
    decision_ms: float = 0.0
    tasks: int = 0
    channels: tuple[ChannelCost, ...] = ()
    resting: tuple[str, ...] = ()


async def why(hub: Hub, status: PluginStatus) -> Why:
    """Explain the state of a plugin."""
    because: list[str] = []
    if not status.installed:
        because.append("It is not installed.")
    if status.declared:
        origin = hub.config.origin(("plugins", status.id))
        because.append(f"It is declared in {origin}.")
    else:
        because.append("No section of the configuration names it.")
    wish = (await hub.desired.all()).get(status.id)
    if wish is not None:
        because.append(
            f"{'On' if wish.enabled else 'Off'} since {wish.changed_at:%Y-%m-%d %H:%M} UTC by {wish.changed_by}; this wins over the files."
        )
        if wish.config:
            because.append(f"Settings changed at run time: {', '.join(sorted(wish.config))}.")
    if hub.safe_mode and status.state is PluginState.DISABLED:
        because.append(f"The hub runs in safe mode: {hub.safe_mode}.")
    for other in status.requires:
        found = next((one for one in hub.report.plugins if one.id == other), None)
        because.append(f"It requires {other}, which is {found.state if found else 'not known'}.")
    if status.code:
        because.append(f"It stopped at {status.phase}: {status.reason}")
        because += [f"caused by {cause}" for cause in status.causes]
    elif status.running:
        because.append("Every phase went well; it is running.")
    needed_by = tuple(one.id for one in hub.report.plugins if status.id in one.requires)
    return Why(id=status.id, state=status.state, because=tuple(because), remedy=status.remedy, needed_by=needed_by)


def hooks(hub: Hub) -> list[HookUse]:
    """Return every hook with its implementers."""
    return [
        HookUse(
            hook=name,
            kind="stream" if spec.streams else "async" if spec.is_async else "sync",
            plugins=tuple(loaded.id for loaded in hub.generation.plugins if loaded.hooks is not None and name in loaded.hooks),
        )
        for name, spec in SPECS.items()
    ]


def decisions(hub: Hub) -> list[DecisionPoint]:
    """Return every decision point with its steps in order, and why each stands where it does."""
    table = hub.generation.wiring.decisions
    return [DecisionPoint(point=point, steps=tuple(_steps(table.chain(point)))) for point in table.points]


def _steps(chain: Sequence[Step]) -> Iterator[DecisionStep]:
    owners = {step.owner for step in chain}
    for position, step in enumerate(chain, 1):
        because = [f"behind {other}: the step says after" for other in step.decision.after if other in owners]
        because += [f"before {other}: the step says before" for other in step.decision.before if other in owners]
        because += [f"behind {other.owner}: that step says before" for other in chain if step.owner in other.decision.before]
        because += [f"before {other.owner}: that step says after" for other in chain if step.owner in other.decision.after]
        yield DecisionStep(
            position=position,
            plugin=step.owner,
            because=tuple(because) or ("by the start order of the plugins",),
            timeout=step.decision.timeout,
            calls=step.calls,
            failures=step.failures,
        )


def routes(hub: Hub) -> list[RouteUse]:
    """Return every plugin route, by path."""
    found = [
        RouteUse(
            method=entry.method,
            path=entry.path,
            plugin=loaded.id,
            access="anonymous" if entry.policy and entry.policy.anonymous else (entry.policy.scope if entry.policy else "") or "signed in",
            operation=entry.operation,
            source=entry.source,
        )
        for loaded in hub.generation.plugins
        for entry in loaded.routes
    ]
    return sorted(found, key=lambda one: (one.path, one.method))


def costs(hub: Hub) -> list[Cost]:
    """Return what each running plugin took, the dearest start first."""
    decisions = hub.generation.wiring.decisions
    found = []
    for loaded in hub.generation.plugins:
        steps = [step for point in decisions.points for step in decisions.chain(point) if step.owner == loaded.id]
        entry = loaded.entry
        found.append(
            Cost(
                id=loaded.id,
                start_ms=round(sum(loaded.timings.values()), 2),
                phases_ms=loaded.timings,
                requests=entry.requests if entry else 0,
                failed_requests=entry.failures if entry else 0,
                request_ms=round(entry.seconds * 1000, 2) if entry else 0.0,
                decisions=sum(step.calls for step in steps),
                failed_decisions=sum(step.failures for step in steps),
                decision_ms=round(sum(step.seconds for step in steps) * 1000, 2),
                tasks=loaded.context.running_tasks if loaded.context else 0,
                channels=tuple(_channels(hub, loaded.id)),
                resting=tuple(dict.fromkeys(name for owner, name, breaker in breakers(hub) if owner == loaded.id and breaker.is_open)),
            )
        )
    return sorted(found, key=lambda one: -one.start_ms)


def breakers(hub: Hub) -> Iterator[tuple[str, str, Breaker]]:
    """Yield plugin, channel and breaker of everything that has one."""
    wiring = hub.generation.wiring
    yield from ((loaded.id, "routes", loaded.entry.breaker) for loaded in hub.generation.plugins if loaded.entry is not None)
    yield from ((step.owner, point, step.breaker) for point in wiring.decisions.points for step in wiring.decisions.chain(point))
    yield from {(one.owner, EVENTS): (one.owner, EVENTS, one.breaker) for one in wiring.events.subscribers}.values()
    yield from ((one.owner, one.name, one.breaker) for one in wiring.providers.channels)


def _channels(hub: Hub, plugin: str) -> Iterator[ChannelCost]:
    wiring = hub.generation.wiring
    listening = [one for one in wiring.events.subscribers if one.owner == plugin]
    if listening:
        yield ChannelCost(
            name=EVENTS,
            breaker=listening[0].breaker.state,
            calls=sum(one.calls for one in listening),
            failures=sum(one.failures for one in listening),
            ms=round(sum(one.seconds for one in listening) * 1000, 2),
            missed=sum(one.skipped + one.dropped for one in listening),
        )
    for one in wiring.providers.channels:
        if one.owner == plugin:
            ms = round(one.seconds * 1000, 2)
            yield ChannelCost(name=one.name, breaker=one.breaker.state, calls=one.calls, failures=one.failures, ms=ms)
