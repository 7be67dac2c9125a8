"""The part of an action that is computed in a process of its own: what it must be, and how its input and result cross."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any, get_type_hints

import msgspec
from msgspec import Struct

from luminai.work.processes import ProcessPool


class Computation:
    """A function of a plugin's module that a process can find by name."""

    __slots__ = ("_decoder", "_owner", "_place")

    def __init__(self, owner: str, function: Callable[..., Any]) -> None:
        self._owner = owner
        self._place = f"{function.__module__}:{function.__name__}"
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(_hints(function)["return"])

    async def of(self, given: Struct, processes: ProcessPool) -> Any:
        """Return the function's result. Raises as ``ProcessPool.call`` does."""
        return self._decoder.decode(await processes.call(self._owner, self._place, msgspec.msgpack.encode(given)))


def fault_of(function: Any, given: type[Struct]) -> str:
    """Return why a process cannot call ``function`` with ``given``, "" when it can."""
    name = getattr(function, "__name__", "")
    is_at_top = inspect.isfunction(function) and getattr(sys.modules.get(function.__module__), name, None) is function
    if not is_at_top:
        return "compute is no function at the top of a module"
    if inspect.iscoroutinefunction(function) or len(inspect.signature(function).parameters) != 1:
        return "compute is a plain function of the input alone"
    hints = _hints(function)
    result = hints.pop("return", None)
    if list(hints.values()) != [given] or not (isinstance(result, type) and issubclass(result, Struct)):
        return "compute says in its annotations that it takes the input and returns a Struct, both known when the module runs"
    return ""


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except (NameError, TypeError):
        return {}
