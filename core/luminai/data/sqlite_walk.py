"""A large result of SQLite, walked in reader threads; whoever walks it may go away at any moment."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult, Engine, Select


class Walk:
    """One read transaction on a connection of its own.

    A step that runs in its thread cannot be taken back. Closing the connection under it would leave it half way into a transaction in the pool, and
    fail whoever got it next; so the step itself closes when nobody waits for it any more.
    """

    def __init__(self, engine: Engine, query: Select[Any], batch: int) -> None:
        self._engine = engine
        self._query = query
        self._batch = batch
        self._lock = threading.Lock()
        self._is_stepping = self._is_over = False
        self._connection: Connection | None = None
        self._result: CursorResult[Any] | None = None

    def step(self) -> Sequence[Any]:
        """Return the next rows, none at the end."""
        with self._lock:
            if self._is_over:
                return ()
            self._is_stepping = True
        try:
            if self._result is None:
                self._connection = self._engine.connect()
                self._result = self._connection.execution_options(yield_per=self._batch).execute(self._query)
            return self._result.fetchmany(self._batch)
        finally:
            with self._lock:
                self._is_stepping = False
                if self._is_over:
                    self._close()

    def end(self) -> None:
        """Let go of the connection, now or when the step that runs is done."""
        with self._lock:
            self._is_over = True
            if not self._is_stepping:
                self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
