"""Silver rules that break a plugin's lifecycle on purpose."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any, Final

from luminai.host.purge_hook import call_before_purge
from luminai.host.report import Phase, PluginState
from luminai.testing import faults
from luminai.testing.conformance.leaks import Held, left_since, settle, tasks_left
from luminai.testing.conformance.rules import RuleBroken
from luminai.testing.conformance.subject import HANG_SECONDS, Subject
from luminai.testing.harness import HubUnderTest
from luminai.testing.records import Records, only_recorded

MOST_AWAITS: Final = 60
SPARE_SECONDS: Final = 8.0
"""For the start of a hub on a busy machine, and a second each for cancelling and stopping."""
_UNCLEAN: Final = frozenset({"plugin.stop.failed", "plugin.close.failed", "plugin.task.crashed"})
Look = Callable[[HubUnderTest], Awaitable[None]]


def faults_leave_the_documented_state(subject: Subject) -> str:
    """S01."""
    before = _warm(subject)
    tried: list[str] = []
    for when in ("instead", "after"):
        _run(subject, before, f"start fails {when}", faults.fail(subject.plugin, "start", when=when), _is_off(subject))
        tried.append(f"start ({when})")
    _run(subject, before, "ready fails", faults.fail(subject.plugin, "ready"), _is_on(subject))
    _run(subject, before, "stop fails", faults.fail(subject.plugin, "stop", when="after"), _is_on(subject), expected="plugin.stop.failed")
    tried += ["ready", "stop"]
    if "before_purge" in subject.hooks:
        _run(subject, before, "before_purge fails", faults.fail(subject.plugin, "before_purge"), _purge_says_so(subject))
        tried.append("before_purge")
    silent = sorted(subject.hooks.names & {"test_config", "export_subject", "erase_subject"})
    return ", ".join(tried) + (f"; this hub does not call {', '.join(silent)} yet" if silent else "")


def hanging_start_meets_its_deadline(subject: Subject) -> str:
    """S02."""
    before = _warm(subject)
    tried = [("start hangs at its end", faults.hang(subject.plugin, "start", when="after"), _is_off(subject))]
    if "start" in subject.hooks:
        # a start that awaits nothing cannot hang inside, and comes up
        tried.append(("start hangs at its first await", faults.hang_hook(subject.plugin, "start", 1), _nothing))  # type: ignore[arg-type]
    for what, fault, look in tried:
        began = time.perf_counter()
        _run(subject, before, what, fault, look, seconds=HANG_SECONDS)
        took = time.perf_counter() - began
        if took > HANG_SECONDS + SPARE_SECONDS:
            raise RuleBroken(f"{what}: with a deadline of {HANG_SECONDS:g} s the hub was up and down after {took:.1f} s")
    return f"{len(tried)} times given up after {HANG_SECONDS:g} s"


def cancelled_start_is_clean(subject: Subject) -> str:
    """S03."""
    if "start" not in subject.hooks:
        return "It has no start."
    before = _warm(subject)
    for n in range(1, MOST_AWAITS + 1):
        with faults.cancel_hook(subject.plugin, "start", n) as outcomes:
            reached = False

            async def look(hub: HubUnderTest) -> None:
                nonlocal reached
                reached = any(one.reached for one in outcomes)
                if reached and subject.is_running(hub):
                    raise RuleBroken(f"await {n}: start swallowed the cancellation and went on")  # noqa: B023 - same

            _run(subject, before, f"start cancelled at await {n}", None, look)
        if not reached:
            _run(subject, before, "start after all that", None, _is_on(subject))
            return f"{n - 1} awaits"
    return f"the first {MOST_AWAITS} awaits"


def _warm(subject: Subject) -> Held:
    """Run the hub once, so that what is loaded on first use is no leak."""
    with only_recorded():
        subject.run(_once(subject, _nothing, 30.0))
    return Held()


def _run(
    subject: Subject,
    before: Held,
    what: str,
    fault: AbstractContextManager[Any] | None,
    look: Look,
    *,
    seconds: float = 30.0,
    expected: str = "",
) -> None:
    """Run a hub with the fault, look at it, stop it, and see that nothing stayed and nothing else went wrong."""
    with only_recorded() as records:
        try:
            if fault is None:
                left = subject.run(_once(subject, look, seconds))
            else:
                with fault:
                    left = subject.run(_once(subject, look, seconds))
        except RuleBroken as broken:
            raise RuleBroken(f"{what}: {broken}") from broken
    wrong = [*left, *left_since(before), *_unclean(records, subject.id, expected)]
    if wrong:
        raise RuleBroken(f"{what}: {', '.join(wrong[:8])}")


async def _once(subject: Subject, look: Look, seconds: float) -> list[str]:
    async with subject.hub(plugin_seconds=seconds) as hub:
        answer = await hub.client().request("GET", "/health/live")
        if answer.status != 200:
            raise RuleBroken(f"the hub answers {answer.status}")
        await look(hub)
    await settle()
    return tasks_left()


def _unclean(records: Records, plugin: str, expected: str) -> list[str]:
    found = [line for line in records.logs(plugin) if line.msg in _UNCLEAN and line.msg != expected]
    return [f"{line.msg}: {line.exc_info[1]!r}" if line.exc_info else str(line.msg) for line in found]


def _is_off(subject: Subject) -> Look:
    async def look(hub: HubUnderTest) -> None:
        status = hub.status(subject.id)
        if (status.state, status.phase, status.running) != (PluginState.FAILED, Phase.START, False):
            raise RuleBroken(f"it is {status.state} at {status.phase}, expected failed at start")
        if not status.reason or not status.remedy:
            raise RuleBroken("no reason or no remedy is given")
        for path in subject.manifest.claimed_paths:
            answer = await hub.client().request("GET", path)
            if path != "/" and (answer.status, answer.json().get("code")) != (503, "plugin-off"):
                raise RuleBroken(f"{path} answers {answer.status}")

    return look


def _is_on(subject: Subject) -> Look:
    async def look(hub: HubUnderTest) -> None:
        if not subject.is_running(hub):
            status = hub.status(subject.id)
            raise RuleBroken(f"it is {status.state} at {status.phase}: {status.reason}")

    return look


def _purge_says_so(subject: Subject) -> Look:
    async def look(hub: HubUnderTest) -> None:
        _, reason = await call_before_purge(subject.plugin, hub.hub.config, hub.hub.database, hub.hub.clock, dry_run=True)
        if not reason:
            raise RuleBroken("a dry purge does not say that the plugin could not be asked")

    return look


async def _nothing(_: HubUnderTest) -> None:
    await asyncio.sleep(0)
