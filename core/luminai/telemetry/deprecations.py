"""Uses of what will go away, counted by plugin and place: who uses it, in which file and line, what to use instead."""

from __future__ import annotations

import logging
import sys
from typing import Final

from msgspec import Struct

_log = logging.getLogger("luminai.deprecations")
MAX_PLACES: Final = 1000


class Deprecation(Struct, frozen=True, kw_only=True):
    """What goes away: ``use`` instead; it goes with plugin API ``removed_in``."""

    use: str
    removed_in: str


class Use(Struct, frozen=True, kw_only=True):
    """One place that uses it; ``plugin`` is empty where the place belongs to no plugin."""

    plugin: str
    what: str
    use: str
    removed_in: str
    file: str
    line: int
    times: int = 1


_places: dict[tuple[str, str, int], Use] = {}


def note(what: str, deprecation: Deprecation) -> None:
    """Count the use of ``what`` by the nearest caller outside the hub; the first use at a place is logged."""
    frame = sys._getframe(1)  # noqa: SLF001 - the documented way to look at the caller
    while frame.f_back is not None and _is_ours(str(frame.f_globals.get("__name__", ""))):
        frame = frame.f_back
    module = str(frame.f_globals.get("__name__", ""))
    root = module.partition(".")[0]
    plugin = root.removeprefix("luminai_").replace("_", "-") if root.startswith("luminai_") else ""
    key = (what, frame.f_code.co_filename, frame.f_lineno)
    known = _places.get(key)
    if known is not None:
        _places[key] = Use(**{**{name: getattr(known, name) for name in known.__struct_fields__}, "times": known.times + 1})
        return
    if len(_places) >= MAX_PLACES:
        return
    short = "/".join(frame.f_code.co_filename.split("/")[-2:])
    _places[key] = Use(plugin=plugin, what=what, use=deprecation.use, removed_in=deprecation.removed_in, file=short, line=frame.f_lineno)
    _log.warning("deprecated.use", extra={"plugin": plugin, "what": what, "use": deprecation.use, "place": f"{short}:{frame.f_lineno}"})


def uses() -> list[Use]:
    """Return every use that was seen in this process, by plugin, file and line."""
    return sorted(_places.values(), key=lambda one: (one.plugin, one.file, one.line))


def forget() -> None:
    """Start counting anew (for tests)."""
    _places.clear()


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in ("luminai", "importlib", "pluggy", "_frozen_importlib") or module.startswith("importlib")
