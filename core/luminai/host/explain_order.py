"""The start order with the reason for each plugin's place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from luminai.host.plan import Plan


class Place(Struct, frozen=True, kw_only=True):
    """A plugin's place: what it starts behind, and who said so. Where nothing says anything, the id decides."""

    position: int
    id: str
    because: tuple[str, ...]


def explain_order(plan: Plan) -> list[Place]:
    """Return the places of the planned plugins."""
    return _places([(planned.manifest.id, planned.manifest.requires, planned.manifest.after) for planned in plan.order])


def _places(order: Sequence[tuple[str, Mapping[str, str], Sequence[str]]]) -> list[Place]:
    planned = {plugin for plugin, _, _ in order}
    places = []
    for position, (plugin, requires, after) in enumerate(order, 1):
        because = [f"behind {other}: its manifest requires it" for other in sorted(requires) if other in planned]
        because += [f"behind {other}: its manifest says after" for other in sorted(after) if other in planned and other not in requires]
        before = order[position - 2][0] if position > 1 else ""
        if not because and before:
            because = [f"behind {before} by the alphabet: nothing else orders them"]
        places.append(Place(position=position, id=plugin, because=tuple(because)))
    return places
