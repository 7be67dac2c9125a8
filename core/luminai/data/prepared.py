"""Statements that run many times a second: compiled once, then run by the driver's own cursor.

SQLAlchemy makes a dozen objects for each run of a statement, 50 µs of Python where the database takes 5. What it does for whoever runs one is done
here as well: values go through the types of their columns, errors are its own and are cleaned, a statement that is not confined to the rows of
whoever acts is refused, and a session whose part was rolled back takes nothing more. For what runs now and then, ``session.execute`` is as good.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import Connection, Delete, Insert, Select, Update
from sqlalchemy.orm import Session

from luminai.data.owned_statements import rule_of, rule_of_text
from luminai.data.owners import judge

_NOTHING: Final[Mapping[str, Any]] = {}
_row_type: Final[Any] = namedtuple  # noqa: PYI024 - the names of its fields are known when it runs


class Prepared:
    """A statement with a ``bindparam`` for each value that differs from run to run; an INSERT takes its columns from what it is given."""

    __slots__ = ("_plans", "_statement")

    def __init__(self, statement: Select[Any] | Insert | Update | Delete) -> None:
        self._statement = statement
        self._plans: dict[tuple[str, ...], _Plan] = {}

    def rows(self, session: Session, given: Mapping[str, Any] = _NOTHING) -> list[Any]:
        """Run it and return its rows, each a named tuple.

        Raises:
            KeyError: a value is missing.
            OwnerFilterMissing, Forbidden: as of every statement.
            DBAPIError: as of ``session.execute``.
        """
        plan, fetched, description = self._run(session, given)
        return plan.read(fetched, description)

    def first(self, session: Session, given: Mapping[str, Any] = _NOTHING) -> Any | None:
        """Run it and return its first row, None where there is none. Raises as ``rows``."""
        found = self.rows(session, given)
        return found[0] if found else None

    def run(self, session: Session, given: Mapping[str, Any] = _NOTHING) -> None:
        """Run it. Raises as ``rows``."""
        self._run(session, given)

    def _run(self, session: Session, given: Mapping[str, Any]) -> tuple[_Plan, list[Any], Any]:
        connection = session.connection()
        dialect, is_insert = connection.dialect, isinstance(self._statement, Insert)
        key = (dialect.name, *given) if is_insert else (dialect.name,)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = _Plan(self._statement, dialect, list(given) if is_insert else None)
        values = {**plan.fixed, **given} if plan.fixed else given
        judge(plan.rule, values)
        parameters = tuple([values[name] if bound is None else bound(values[name]) for name, bound in plan.slots])
        return plan, *_execute(connection, plan.sql, parameters)


class _Plan:
    """A statement as one dialect has it.

    Attributes:
        slots: For each place in the text the name of its value, and what makes it the driver's.
        fixed: Values that stand in the statement itself.
    """

    __slots__ = ("_columns", "_dialect", "_make", "_readers", "fixed", "rule", "slots", "sql")

    def __init__(self, statement: Any, dialect: Any, columns: list[str] | None) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=columns)
        if compiled.post_compile_params or compiled.insert_prefetch or compiled.update_prefetch:
            raise ValueError("a statement that is written anew for its values, or has defaults made in Python, cannot be prepared")
        self.sql: str = compiled.string
        self.rule = rule_of(compiled)
        processors = compiled._bind_processors  # noqa: SLF001 - there is no public way
        self.slots = [(name, processors.get(name)) for name in compiled.positiontup]
        self.fixed = {name: bind.effective_value for name, bind in compiled.binds.items() if not bind.required}
        self._dialect = dialect
        self._columns = compiled._result_columns  # noqa: SLF001 - as above
        self._make = _row_type("Row", [column.keyname for column in self._columns], rename=True)._make
        self._readers: list[Callable[[Any], Any] | None] | None = None

    def read(self, fetched: list[Any], description: Any) -> list[Any]:
        """Return rows of the driver as the columns' types have them."""
        if self._readers is None:
            types = [told[1] for told in description]
            found = [column.type._cached_result_processor(self._dialect, kind) for column, kind in zip(self._columns, types, strict=True)]  # noqa: SLF001
            self._readers = found if any(found) else []
        if self._readers:
            fetched = [[value if read is None else read(value) for value, read in zip(row, self._readers, strict=True)] for row in fetched]
        return list(map(self._make, fetched))


def driver_rows(connection: Connection, sql: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
    """Run SQL that is written by hand, with the driver's own parameters, and return its rows as the driver gives them, [] where it has none.

    Raises:
        OwnerFilterMissing: it names a table whose rows belong to somebody.
        DBAPIError: as of ``connection.exec_driver_sql``.
    """
    judge(rule_of_text(sql), _NOTHING)
    return _execute(connection, sql, parameters)[0]


def _execute(connection: Any, sql: str, parameters: tuple[Any, ...]) -> tuple[list[Any], Any]:
    cursor = connection.connection.dbapi_connection.cursor()
    listeners = connection.engine.dispatch.before_cursor_execute
    try:
        if listeners:
            for listener in listeners:
                sql, parameters = listener(connection, cursor, sql, parameters, None, False)
        cursor.execute(sql, parameters)
        description = cursor.description
        fetched = cursor.fetchall() if description is not None else []
    except BaseException as error:
        connection._handle_dbapi_exception(error, sql, parameters, cursor, None)  # noqa: SLF001 - there is no public way
        raise
    cursor.close()
    return fetched, description
