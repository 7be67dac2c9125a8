"""What a request asks of the database, statement by statement."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sqlalchemy import Engine, event

_counted: ContextVar[bool] = ContextVar("counted", default=False)


@contextmanager
def statements(hub: Any) -> Iterator[list[str]]:
    """Collect each statement that units of this task, and of tasks that it starts, execute on SQLite; not what the hub does meanwhile."""
    found: list[str] = []
    here = threading.local()
    engine = hub.database._engine  # below it nobody knows any more whose unit it is

    def told(original: Callable[..., Any]) -> Callable[..., Any]:
        async def run(unit: Any, *rest: Any, **more: Any) -> Any:
            if not _counted.get():
                return await original(unit, *rest, **more)

            def watched(session: Any) -> Any:
                here.is_watched = True
                try:
                    return unit(session)
                finally:
                    here.is_watched = False

            return await original(watched, *rest, **more)

        return run

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        if getattr(here, "is_watched", False):
            found.append(statement)

    token = _counted.set(True)
    engine.read, engine.write = told(engine.read), told(engine.write)
    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)
        del engine.read, engine.write
        _counted.reset(token)
