"""Bronze rules that run the plugin in a hub with only what it requires."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from luminai.contracts.manifest import Manifest
from luminai.host.report import PluginState, PluginStatus
from luminai.http.inventory import RouteEntry
from luminai.testing.conformance.leaks import Held, left_since, settle, tasks_left
from luminai.testing.conformance.rules import CannotTell, RuleBroken
from luminai.testing.conformance.settings import problems_of, spoiled
from luminai.testing.conformance.subject import Subject

_NAMES_CODES: Final = frozenset({"collision", "bad-tables", "bad-extension"})
_PARAMETER: Final = re.compile(r"\{([^}:]*)(?::([^}]*))?\}")
_SAMPLES: Final = {
    "int": "1",
    "float": "1.5",
    "uuid": "00000000-0000-7000-8000-000000000000",
    "date": "2026-01-01",
    "datetime": "2026-01-01T00:00:00",
}
_NAME: Final = re.compile(r"^[A-Za-z][A-Za-z0-9_-]*\Z")
MOST_STARTS: Final = 3
"""Hubs that are started with wrong settings; all wrong settings are judged without one."""


def comes_up_alone(subject: Subject) -> str:
    """B07."""
    status, loaded = subject.trial
    if loaded is None:
        if _names(status) or _policies(status):
            raise CannotTell(f"the hub refuses its names or routes: {status.reason}")
        if status.code == "module-missing":
            raise CannotTell(f"{status.reason} {status.remedy}")
        causes = "; ".join((*status.causes, *(item.detail for item in status.errors)))
        raise RuleBroken(f"{status.state} at {status.phase}: {status.reason}" + (f" ({causes})" if causes else ""))
    others = ", ".join(subject.requires)
    return f"with {others}" if others else "with no other plugin"


def names_are_its_own(subject: Subject) -> str:
    """B08."""
    status, loaded = subject.trial
    if loaded is None:
        if found := _names(status):
            raise RuleBroken("; ".join(found))
        raise CannotTell(f"it does not run: {status.reason}")
    wrong = [*_foreign_tables(subject), *_bad_names(subject.manifest, loaded.contributions)]
    if wrong:
        raise RuleBroken("; ".join(wrong))
    return f"{len(loaded.routes)} routes, {len(loaded.metadata.tables) if loaded.metadata is not None else 0} tables"


def routes_need_a_credential(subject: Subject) -> str:
    """B09."""
    status, loaded = subject.trial
    if loaded is None:
        if found := _policies(status):
            raise RuleBroken("; ".join(found))
        raise CannotTell(f"it does not run: {status.reason}")
    closed = [route for route in loaded.routes if route.policy is not None and not route.policy.anonymous]
    http = [route for route in closed if route.method != "WS"]
    if not loaded.routes:
        return "It has no routes."

    async def main() -> list[str]:
        wrong: list[str] = []
        async with subject.hub() as hub:
            for route in http:
                method = "GET" if route.method == "ASGI" else route.method
                answer = await hub.client().request(method, filled(route), json={} if method not in ("GET", "HEAD") else None)
                if answer.status != 401:
                    wrong.append(f"{route.method} {route.path} answers {answer.status} without a credential")
        return wrong

    if wrong := subject.run(main()):
        raise RuleBroken("; ".join(wrong))
    sockets = len(closed) - len(http)
    return f"{len(http)} answer 401, {len(loaded.routes) - len(closed)} are anonymous and granted" + (
        f", {sockets} sockets were not tried" if sockets else ""
    )


def bad_settings_are_reported(subject: Subject) -> str:
    """B10."""
    schema: dict[str, Any] = subject.schema or {"type": "object", "properties": {}, "additionalProperties": False}
    samples = list(spoiled(schema, subject.settings))
    silent = [what for what, settings in samples if not problems_of(schema, settings, subject.id)]
    if silent:
        raise RuleBroken(f"not reported: {', '.join(silent[:10])}")
    for what, settings in samples[:: max(1, len(samples) // MOST_STARTS)][:MOST_STARTS]:
        status = subject.run(_start_with(subject, settings))
        if status.state is not PluginState.FAILED or status.phase != "config" or not status.errors:
            raise RuleBroken(f"{what}: the plugin is {status.state} at {status.phase} with {len(status.errors)} problems")
    return f"{len(samples)} wrong settings"


def nothing_leaks(subject: Subject) -> str:
    """B11."""
    subject.run(_once(subject, with_it=False))  # what the hub itself loads on first use is no leak
    before = Held()
    for number in (1, 2):
        left = subject.run(_once(subject, with_it=True)) + left_since(before)
        if left:
            raise RuleBroken(f"after stop {number}: {', '.join(left[:10])}")
    return "two starts and stops"


async def _start_with(subject: Subject, settings: dict[str, Any]) -> PluginStatus:
    async with subject.hub(config=settings) as hub:
        return hub.status(subject.id)


async def _once(subject: Subject, *, with_it: bool) -> list[str]:
    async with subject.hub(with_it=with_it):
        pass
    await settle()
    return tasks_left()


def _names(status: PluginStatus) -> list[str]:
    """Return what the hub says about names outside the plugin's own."""
    if status.code not in _NAMES_CODES:
        return []
    return [item.detail for item in status.errors if not _about_policy(item.detail)] if status.errors else [status.reason]


def _policies(status: PluginStatus) -> list[str]:
    return [item.detail for item in status.errors if _about_policy(item.detail)] if status.code == "collision" else []


def _about_policy(detail: str) -> bool:
    """The hub gives both kinds of findings the same code; the words tell them apart."""
    return detail.endswith(("declares no policy", "is anonymous", "passes no guard"))


def _foreign_tables(subject: Subject) -> Iterator[str]:
    metadata = subject.loaded.metadata
    prefix = subject.manifest.table_prefix
    for table in metadata.tables.values() if metadata is not None else ():
        named = [table, *table.indexes]
        yield from (f"{one.name} does not start with {prefix}" for one in named if one.name and not str(one.name).startswith(prefix))
        for key in table.foreign_keys:
            if not key.target_fullname.startswith(prefix):
                yield f"{table.name} refers to {key.target_fullname}, which is not its own"


def _bad_names(manifest: Manifest, contributions: Any) -> Iterator[str]:
    for hook in ("actions", "schedules", "event_types", "metrics", "webhooks", "health_checks", "extension_points"):
        names = [one.name for one in contributions.get(hook, ())]
        for name in names:
            if name and not _NAME.match(name):
                yield f"{hook}: {name!r} must be a plain name; the hub puts {manifest.id} before it"
        yield from (f"{hook}: {name!r} is given twice" for name in sorted({name for name in names if names.count(name) > 1}))
    actions = {one.name for one in contributions.get("actions", ())}
    for schedule in contributions.get("schedules", ()):
        if schedule.action not in actions:
            yield f"schedule {schedule.name} runs {schedule.action!r}, which is none of its actions"
    for action in contributions.get("actions", ()):
        if action.scope not in manifest.scopes:
            yield f"action {action.name} needs scope {action.scope}, which its manifest does not name"


def filled(route: RouteEntry) -> str:
    """Return a path of the route with something in each parameter."""
    return _PARAMETER.sub(lambda found: _SAMPLES.get(found[2] or "", "x"), route.path)
