"""The session of a unit of work in the writer's group: what goes by the driver needs no transaction of SQLAlchemy's."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from luminai.data.prepared import driver_rows


class UnitSession(Session):
    """Of a unit within a savepoint that it begins, and that ``keep`` or ``undo`` ends.

    The savepoint is the driver's own. Until a unit executes a statement by the session, there is nothing of SQLAlchemy's to begin, commit and close:
    objects that cost as much as five statements. From its first such statement on, the session has a savepoint of its own within, as any session.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(bind=connection, join_transaction_mode="create_savepoint")
        self._whole = connection
        driver_rows(connection, "SAVEPOINT unit")

    def connection(self, *arguments: Any, **named: Any) -> Connection:
        """Return what statements run on."""
        return super().connection(*arguments, **named) if self.in_transaction() else self._whole

    def rollback(self) -> None:
        """Undo what the unit did so far, also by the driver."""
        if not self.in_transaction():
            self.begin()  # so that whoever keeps something by the session is told
        super().rollback()
        driver_rows(self._whole, "ROLLBACK TO SAVEPOINT unit")

    def keep(self) -> None:
        """End the unit's savepoint with all that it did, and the session."""
        if self.in_transaction():  # else it never held anything
            self.commit()
            self.close()
        driver_rows(self._whole, "RELEASE SAVEPOINT unit")

    def undo(self) -> bool:
        """End the unit's savepoint with nothing, and the session; False when that cannot be: SQLite rolled the whole transaction back."""
        try:
            self.close()
            driver_rows(self._whole, "ROLLBACK TO SAVEPOINT unit")
            driver_rows(self._whole, "RELEASE SAVEPOINT unit")
        except DatabaseError:
            return False
        return True
