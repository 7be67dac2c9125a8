"""The start order with the reason for each plugin's place."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from luminai.contracts.manifest import MANIFEST_FILE
from luminai.host.plan import Plan


class Place(Struct, frozen=True, kw_only=True):
    """A plugin's place: what it starts behind, and who said so. Where nothing says anything, the id decides."""

    position: int
    id: str
    because: tuple[str, ...]


def explain_order(plan: Plan) -> list[Place]:
    """Return the places of the planned plugins."""
    planned = {one.manifest.id for one in plan.order}
    places = []
    for position, one in enumerate(plan.order, 1):
        manifest, said = one.manifest, f"({manifest_name(one.installed.package_dir)})"
        because = [f"behind {other}: its manifest requires it {said}" for other in sorted(manifest.requires) if other in planned]
        only_after = sorted(planned & set(manifest.after) - manifest.requires.keys())
        because += [f"behind {other}: its manifest says after {said}" for other in only_after]
        before = plan.order[position - 2].manifest.id if position > 1 else ""
        if not because and before:
            because = [f"behind {before} by the alphabet: nothing else orders them"]
        places.append(Place(position=position, id=manifest.id, because=tuple(because)))
    return places


def left_out(plan: Plan) -> list[str]:
    """Return the cycles that keep plugins out, the shortest first, each with the manifests that say so.

    A longer one is told only where it has a plugin that no shorter one has.
    """
    stuck = {plugin: plan.installed[plugin] for plugin, failure in plan.failures.items() if failure.code == "cycle"}
    needs = {one.id: sorted({*one.manifest.requires, *one.manifest.after} & stuck.keys()) for one in stuck.values() if one.manifest}
    told: set[str] = set()
    lines = []
    for cycle in sorted(filter(None, (_way_back(plugin, needs) for plugin in sorted(needs))), key=len):
        if not told.issuperset(cycle):
            told.update(cycle)
            files = ", ".join(manifest_name(stuck[plugin].package_dir) for plugin in sorted(set(cycle)))
            lines.append(f"each needs the next: {' → '.join(cycle)} ({files})")
    return lines


def _way_back(start: str, needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the shortest way from ``start`` to itself, breadth first; [] when there is none."""
    came: dict[str, list[str]] = {start: [start]}
    waiting = deque([start])
    while waiting:
        here = waiting.popleft()
        for other in needs[here]:
            if other == start:
                return [*came[here], start]
            if other not in came:
                came[other] = [*came[here], other]
                waiting.append(other)
    return []


def manifest_name(package_dir: str) -> str:
    """Return package and file, without the machine's own folders."""
    return f"{Path(package_dir).name}/{MANIFEST_FILE}"
