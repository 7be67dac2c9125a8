"""Faults on purpose: a phase or hook that fails or hangs, a cancellation at any await, a disk without room.

Each is a context manager (``cancel_at`` a coroutine) that puts everything back. A plugin is named by its id or given as ``InstalledPlugin``; the
fault sits in its class, so every hub of this process meets it.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final, Literal

from luminai.contracts.hookspecs import hookimpl
from luminai.host.discovery import InstalledPlugin, installed_plugins
from luminai.host.hooks import CONTRIBUTIONS, LIFECYCLE
from luminai.testing.stepping import Reached, cancel_at, cancel_everywhere, hang_at

__all__ = ["PHASES", "Calls", "Reached", "cancel_at", "cancel_everywhere", "cancel_hook", "fail", "full_disk", "hang", "hang_hook"]
PHASES: Final = ("import", "bind", "collect", "check", "migrate")
"""Phases that can be made to fail beside the hooks; the phase ``start`` is the hook ``start``."""


class Calls:
    """How often the fault was met."""

    def __init__(self) -> None:
        self.count = 0


@contextmanager
def fail(
    plugin: str | InstalledPlugin, where: str, error: Exception | None = None, *, when: Literal["instead", "after"] = "instead"
) -> Iterator[Calls]:
    """Make a phase or hook raise ``error``.

    Args:
        where: A hook's name, or one of ``PHASES``.
        when: ``after``: the hook's own code runs first, so that there is something to clean up.

    Raises:
        ValueError: the plugin has no such place.
    """
    error = error or RuntimeError(f"{where} fails on purpose")
    installed = _installed(plugin)
    calls = Calls()

    def strike(*_: Any, **__: Any) -> Any:
        calls.count += 1
        raise error

    if where == "import":
        with _replaced(*_home(installed), strike):
            yield calls
    elif where == "bind":
        with _replaced(_class(installed), "config", property(strike)):
            yield calls
    elif where == "migrate":
        with _failing_upgrade(installed.id, strike):
            yield calls
    elif where == "check":
        with _bad_handler(installed, strike):
            yield calls
    else:
        hook = where if where != "collect" else _any_contribution(installed)
        with _wrapped(installed, hook, before=strike if when == "instead" else None, after=strike if when == "after" else None):
            yield calls


@contextmanager
def hang(plugin: str | InstalledPlugin, hook: str, *, when: Literal["instead", "after"] = "instead") -> Iterator[Calls]:
    """Make a hook wait without end, until its deadline cancels it. A contribution hook blocks its thread until the block is left."""
    calls = Calls()
    released = threading.Event()

    async def wait() -> None:
        calls.count += 1
        await asyncio.Event().wait()

    def block() -> None:
        calls.count += 1
        released.wait()

    strike: Callable[[], Any] = wait if hook in LIFECYCLE else block
    try:
        with _wrapped(_installed(plugin), hook, before=strike if when == "instead" else None, after=strike if when == "after" else None):
            yield calls
    finally:
        released.set()


@contextmanager
def cancel_hook(plugin: str | InstalledPlugin, hook: str, n: int) -> Iterator[list[Reached[Any]]]:
    """Cancel a lifecycle hook's own code at its ``n``-th await (1 is the first), each time that it is called; yields what came of it."""
    outcomes: list[Reached[Any]] = []

    async def cancelled(call: Callable[[], Any]) -> Any:
        outcome = await cancel_at(call, n)
        outcomes.append(outcome)
        if outcome.error is not None:
            raise outcome.error
        return outcome.result

    with _around(_installed(plugin), hook, cancelled):
        yield outcomes


@contextmanager
def hang_hook(plugin: str | InstalledPlugin, hook: str, n: int) -> Iterator[None]:
    """Have a lifecycle hook's own code wait without end at its ``n``-th await, until a cancellation reaches it there."""
    kept: list[asyncio.Task[Any] | None] = []

    async def hung(call: Callable[[], Any]) -> Any:
        kept.append(asyncio.current_task())  # a task that resists and that nobody holds would be collected unseen
        return await hang_at(call, n)

    with _around(_installed(plugin), hook, hung):
        yield


@contextmanager
def full_disk(*, after: int = 0) -> Iterator[Calls]:
    """Have SQLite find no room on the disk: writes beyond the first ``after`` raise what a full disk raises (``storage-full``).

    A statement fails with SQLite's own error before the driver sees it, and the hub's database makes of it what it makes of the real one. For
    files use ``MemoryStorage(room=…)`` or a small file system.
    """
    import sqlite3

    from sqlalchemy import event
    from sqlalchemy.engine import Engine
    from sqlalchemy.exc import OperationalError

    calls = Calls()

    def strike(conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        verb = statement.lstrip().partition(" ")[0].upper()
        if verb not in ("INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "ALTER", "DROP") or conn.dialect.name != "sqlite":
            return
        calls.count += 1
        if calls.count > after:
            raise OperationalError(statement, parameters, sqlite3.OperationalError("database or disk is full"))

    event.listen(Engine, "before_cursor_execute", strike)
    try:
        yield calls
    finally:
        event.remove(Engine, "before_cursor_execute", strike)


@contextmanager
def _wrapped(installed: InstalledPlugin, hook: str, *, before: Callable[[], Any] | None, after: Callable[[], Any] | None) -> Iterator[None]:
    spec = (CONTRIBUTIONS | LIFECYCLE).get(hook)
    if spec is None or spec.streams:
        raise ValueError(f"there is no hook {hook} to make fail; hooks and phases: {', '.join([*CONTRIBUTIONS, *LIFECYCLE, *PHASES])}")
    kind = _class(installed)
    original = inspect.getattr_static(kind, hook, None)
    if original is None and hook in CONTRIBUTIONS:
        raise ValueError(f"{installed.id} does not implement {hook}")
    taken = _taken(original) if original is not None else ()

    def arguments(given: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
        every = dict(zip(spec.arguments, given, strict=False)) | named
        return {name: every[name] for name in taken}

    async def asynchronous(self: Any, *given: Any, **named: Any) -> Any:
        if before is not None:
            await _settled(before())
        result = await original(self, **arguments(given, named)) if original is not None else None
        if after is not None:
            await _settled(after())
        return result

    def plain(self: Any, *given: Any, **named: Any) -> Any:
        if before is not None:
            before()
        result = original(self, **arguments(given, named)) if original is not None else ()
        if after is not None:
            after()
        return result

    # the hub reads argument names from the signature, so the wrapper shows the spec's
    function: Any = asynchronous if spec.is_async else plain
    shown = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("self", *spec.arguments)]
    function.__signature__ = inspect.Signature(shown)
    with _replaced(kind, hook, hookimpl(function)):
        yield


@contextmanager
def _around(installed: InstalledPlugin, hook: str, run: Callable[[Callable[[], Any]], Any]) -> Iterator[None]:
    """Have ``run`` call a lifecycle hook that takes at most ``ctx``."""
    kind = _class(installed)
    original = inspect.getattr_static(kind, hook, None)
    if original is None:
        raise ValueError(f"{installed.id} does not implement {hook}")
    taken = _taken(original)

    async def asynchronous(self: Any, ctx: Any) -> Any:
        return await run(lambda: original(self, **({"ctx": ctx} if "ctx" in taken else {})))

    with _replaced(kind, hook, hookimpl(asynchronous)):
        yield


async def _settled(answer: Any) -> None:
    if inspect.isawaitable(answer):
        await answer


def _taken(function: Any) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)[1:]


@contextmanager
def _failing_upgrade(plugin: str, strike: Callable[[], Any]) -> Iterator[None]:
    builder = import_module("luminai.host.builder")
    real = builder.upgrade

    async def upgrade(database: Any, source: Any, **more: Any) -> None:
        if source.owner_id == plugin:
            strike()
        await real(database, source, **more)

    with _replaced(builder, "upgrade", upgrade):
        yield


@contextmanager
def _bad_handler(installed: InstalledPlugin, strike: Callable[..., Any]) -> Iterator[None]:
    from litestar import Controller

    kind = _class(installed)
    original = inspect.getattr_static(kind, "routes", None)
    if original is None:
        raise ValueError(f"{installed.id} has no routes whose check could fail")
    taken = _taken(original)
    controller = type("FailingController", (Controller,), {"__init__": strike})

    def routes(self: Any, ctx: Any) -> Any:
        return [*original(self, **({"ctx": ctx} if "ctx" in taken else {})), controller]

    with _replaced(kind, "routes", hookimpl(routes)):
        yield


def _installed(plugin: str | InstalledPlugin) -> InstalledPlugin:
    if isinstance(plugin, InstalledPlugin):
        return plugin
    found = next((one for one in installed_plugins() if one.id == plugin), None)
    if found is None:
        raise ValueError(f"no plugin {plugin} is installed")
    return found


def _home(installed: InstalledPlugin) -> tuple[Any, str]:
    module, _, attribute = installed.entry_point.partition(":")
    return import_module(module), attribute or "Plugin"


def _class(installed: InstalledPlugin) -> type:
    module, attribute = _home(installed)
    kind: type = getattr(module, attribute)
    return kind


def _any_contribution(installed: InstalledPlugin) -> str:
    kind = _class(installed)
    found = next((name for name in CONTRIBUTIONS if name != "models" and hasattr(kind, name)), None)
    if found is None:
        raise ValueError(f"{installed.id} contributes nothing that could fail")
    return found


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    missing = object()
    own = vars(owner).get(name, missing)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own is missing:
            delattr(owner, name)
        else:
            setattr(owner, name, own)
