"""LuminAI Hub: everything that a plugin may import stands here (and in ``luminai.testing`` for its tests)."""

import sys
from importlib import import_module
from typing import Any

from luminai._face import FACE, RENAMED

__version__ = "0.1.0"
_HOME = {name: module for module, names in FACE.items() for name in names}
__all__ = sorted(_HOME)  # noqa: PLE0605 - built from the one table of public names


def __getattr__(name: str) -> Any:
    if name in RENAMED:
        return _renamed(name)
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module 'luminai' has no public name {name!r}")
    value = getattr(import_module(module), name)
    setattr(sys.modules[__name__], name, value)
    return value


def _renamed(name: str) -> Any:
    from luminai.telemetry.deprecations import Deprecation, note

    new, removed_in = RENAMED[name]
    note(f"luminai.{name}", Deprecation(use=f"luminai.{new}", removed_in=removed_in))
    return __getattr__(new)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
