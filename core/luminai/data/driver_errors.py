"""Errors of the database drivers, without the values that they quote: a message may hold somebody's address, a secret or a chat's words.

PostgreSQL tells rows in DETAIL (``Key (email)=(…) already exists``), and input in some messages (``invalid input syntax for type integer: "…"``);
SQLite quotes what was searched for. Such words would go into logs, problems, reports and audit entries, wherever an error is told. So each error is
cleaned where it leaves the driver, in place: class, SQLSTATE, and the names of tables, columns and constraints stay.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

HIDDEN: Final = "(the driver's words may hold values and are not shown)"
_TELLS_NAMES: Final = frozenset({"08", "23", "25", "26", "34", "3D", "40", "42", "53", "55", "57", "58"})
"""Classes of SQLSTATE (PostgreSQL, appendix A) whose messages name tables, columns, constraints and states, and quote no values."""
_SQLITE_TELLS_VALUES: Final = frozenset({"SQLITE_ERROR", "SQLITE_MISMATCH", "SQLITE_TOOBIG", "SQLITE_RANGE"})
_SQLITE_NO_TABLE: Final = "no such table: "
_SCHEMA: Final = ("schema_name", "table_name", "column_name", "data_type_name", "constraint_name", "sqlstate", "severity")


def keep_values_out(engine: Engine) -> None:
    """Have every error of the engine's driver cleaned before anybody catches it."""
    event.listen(engine, "handle_error", _clean)


def _clean(context: ExceptionContext) -> None:
    wrapped = context.sqlalchemy_exception
    if wrapped is None:  # not of the driver: a refusal of the hub's own, a mistake in a unit
        return
    said = str(context.original_exception)
    error: BaseException | None = context.original_exception
    cleaned = said
    while error is not None:  # the adapter's error comes of the driver's own
        cleaned = _cleaned(error) if error.__cause__ is None else cleaned
        error = error.__cause__
    if cleaned == said:
        return
    error = context.original_exception
    while error is not None:
        _replace(error, cleaned)
        error = error.__cause__
    wrapped.args = (f"({type(context.original_exception).__name__}) {cleaned}", *wrapped.args[1:])


def _cleaned(error: BaseException) -> str:
    """Return what may be told of the driver's own error."""
    name = type(error).__name__
    if isinstance(error, sqlite3.Error):
        code, said = getattr(error, "sqlite_errorname", ""), str(error)
        is_safe = said.startswith(_SQLITE_NO_TABLE) if code in _SQLITE_TELLS_VALUES else bool(code)
        return said if is_safe else f"{code or name} {HIDDEN}"
    state = str(getattr(error, "sqlstate", "") or "")
    if not state:
        return f"{name} {HIDDEN}"
    said = str(error.args[0]) if state[:2] in _TELLS_NAMES and error.args else HIDDEN
    places = [str(found) for key in _SCHEMA[1:5] if (found := getattr(error, key, None))]
    return f"{name} {state}: {said}" + (f" [{', '.join(places)}]" if places else "")


def _replace(error: BaseException, words: str) -> None:
    """Put other words into an error, and take out what else PostgreSQL told with it."""
    error.args = (words,)
    for name in [name for name in vars(error) if name not in _SCHEMA]:
        if isinstance(getattr(error, name), str) or name in ("detail", "hint"):
            setattr(error, name, None)
