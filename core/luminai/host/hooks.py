"""Hook implementations of a plugin object: found, checked against the specs, called one at a time."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any, Final

from luminai.contracts.errors import HubError, ProblemItem
from luminai.contracts.hookspecs import NAMESPACE, Contributions, Lifecycle

_IMPL_MARK: Final = f"{NAMESPACE}_impl"


class Spec:
    """A hook's specification: name, argument names, and whether it is a coroutine, an async iterator or plain."""

    __slots__ = ("arguments", "is_async", "name", "streams")

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.is_async = inspect.iscoroutinefunction(function)
        self.streams = name == "export_subject"
        self.arguments = tuple(inspect.signature(function).parameters)[1:]


def _specs(family: type) -> dict[str, Spec]:
    return {name: Spec(name, function) for name, function in vars(family).items() if hasattr(function, f"{NAMESPACE}_spec")}


CONTRIBUTIONS: Final = _specs(Contributions)
LIFECYCLE: Final = _specs(Lifecycle)
SPECS: Final = CONTRIBUTIONS | LIFECYCLE
REMOVED_HOOKS: Final[dict[str, tuple[str, str]]] = {}
"""Hooks of earlier plugin APIs: name to (what to use, plugin API number that dropped it)."""


class BadHooks(HubError):
    """The plugin object's hooks do not fit the specs; ``errors`` names each."""

    status, default_code, title = 422, "bad-hooks", "Hooks refused"


class BoundHooks:
    """The checked implementations of one plugin, by hook name, with the arguments that each takes."""

    __slots__ = ("_calls",)

    def __init__(self, calls: dict[str, tuple[Callable[..., Any], tuple[str, ...]]]) -> None:
        self._calls = calls

    def __contains__(self, name: str) -> bool:
        return name in self._calls

    @property
    def names(self) -> frozenset[str]:
        """Names of the implemented hooks."""
        return frozenset(self._calls)

    def call(self, name: str, **arguments: Any) -> Any:
        """Call the implementation with those of ``arguments`` that it takes; a coroutine is returned, not awaited."""
        function, taken = self._calls[name]
        return function(**{key: arguments[key] for key in taken})


def bind_hooks(plugin: object) -> BoundHooks:
    """Return the plugin's hooks after checking them all.

    Raises:
        BadHooks: an unknown name (with the nearest), an unknown or defaulted argument, or sync where the spec is async (or the other way round).
    """
    problems: list[ProblemItem] = []
    calls: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {}
    for name in dir(type(plugin)):
        function = inspect.getattr_static(type(plugin), name)
        if not hasattr(function, _IMPL_MARK):
            if name in SPECS and callable(function):
                problems.append(ProblemItem(detail=f"{name} is a hook but is not marked", pointer=name, hint="Mark it with @hookimpl."))
            continue
        spec = SPECS.get(name)
        if spec is None:
            if name in REMOVED_HOOKS:
                use, api = REMOVED_HOOKS[name]
                problems.append(ProblemItem(detail=f"the hook {name} was removed in plugin API {api}", pointer=name, hint=f"Use {use}."))
                continue
            near = difflib.get_close_matches(name, SPECS, n=1)
            hint = f"Did you mean {near[0]}?" if near else "docs/reference/hooks.md lists every hook."
            problems.append(ProblemItem(detail=f"there is no hook {name}", pointer=name, hint=hint))
            continue
        problems += _check(spec, function)
        calls[name] = (getattr(plugin, name), tuple(inspect.signature(function).parameters)[1:])
    if problems:
        raise BadHooks(f"{len(problems)} of its hooks do not fit", errors=problems, hint="docs/reference/hooks.md lists every hook.")
    return BoundHooks(calls)


def _check(spec: Spec, function: Callable[..., Any]) -> list[ProblemItem]:
    problems: list[ProblemItem] = []
    if spec.streams:
        if not inspect.isasyncgenfunction(function):
            problems.append(ProblemItem(detail=f"{spec.name} must be an async generator", pointer=spec.name, hint="async def with yield"))
    elif inspect.iscoroutinefunction(function) is not spec.is_async:
        kind = "async def" if spec.is_async else "a plain def"
        problems.append(ProblemItem(detail=f"{spec.name} must be {kind}", pointer=spec.name, hint=f"Write it as {kind}."))
    for argument in list(inspect.signature(function).parameters.values())[1:]:
        if argument.name not in spec.arguments:
            known = ", ".join(spec.arguments) or "none"
            problems.append(ProblemItem(detail=f"{spec.name} takes no argument {argument.name!r}", pointer=spec.name, hint=f"It may take: {known}."))
        elif argument.default is not argument.empty:
            problems.append(ProblemItem(detail=f"argument {argument.name!r} of {spec.name} has a default", pointer=spec.name, hint="Leave it out."))
    return problems
