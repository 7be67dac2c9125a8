"""Connections of asyncpg whose transactions begin with words of the hub's own: BEGIN and what follows it is one round trip instead of two."""

from __future__ import annotations

from typing import Any

from asyncpg import Connection as AsyncpgConnection


class Connection(AsyncpgConnection):  # type: ignore[misc]  # the driver has no types
    """A connection of a pool.

    Attributes:
        first: What the next transaction begins with, BEGIN included, without parameters; "" for what the driver says.
    """

    __slots__ = ("first",)

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.first = ""

    def transaction(self, **kind: Any) -> Any:
        """Return a transaction that has not begun yet."""
        return _Transaction(self, self.first) if self.first else super().transaction(**kind)


class _Transaction:
    """As much of asyncpg's own as is used: started, then committed or rolled back; savepoints are statements."""

    __slots__ = ("_connection", "_first")

    def __init__(self, connection: Connection, first: str) -> None:
        self._connection = connection
        self._first = first

    async def start(self) -> None:
        try:
            await self._connection.execute(self._first)
        except Exception:
            if self._connection.is_in_transaction():  # it began, and the words after it failed: nobody else knows that it is open
                await self.rollback()
            raise

    async def commit(self) -> None:
        await self._connection.execute("COMMIT")

    async def rollback(self) -> None:
        await self._connection.execute("ROLLBACK")
