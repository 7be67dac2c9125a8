"""``among``: a column's value is one of a list that is a single parameter, so that a statement has one text for any number of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ARRAY, Boolean, Dialect, String, TypeDecorator, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

_BOOLEAN: Final = Boolean()


class _Texts(TypeDecorator[Sequence[str]]):
    """A list of texts: an array of PostgreSQL, JSON on SQLite."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return dialect.type_descriptor(ARRAY(String()) if dialect.name == "postgresql" else String())

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> Any:
        if value is None:
            raise ValueError("a list of texts is needed")
        return list(value) if dialect.name == "postgresql" else msgspec.json.encode(list(value)).decode()


class _Among(FunctionElement[bool]):
    inherit_cache = True
    name = "among"
    type = _BOOLEAN

    def self_group(self, against: Any = None) -> Any:  # noqa: ARG002 - SQLAlchemy's shape
        """Stand as it is: ``(… IN …) = 1``, which SQLite would get, is found by no index."""
        return self


@compiles(_Among)
def _on_sqlite(element: Any, compiler: Any, **given: Any) -> str:
    column, texts = (compiler.process(one, **given) for one in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({texts}))"  # noqa: S608 - SQLAlchemy's own words


@compiles(_Among, "postgresql")
def _on_postgresql(element: Any, compiler: Any, **given: Any) -> str:
    column, texts = (compiler.process(one, **given) for one in element.clauses)
    return f"{column} = ANY ({texts})"


def among(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    """Return the condition that a text column's value is one of the list of texts that is given as ``name`` when the statement is run."""
    found: ColumnElement[bool] = _Among(column, bindparam(name, type_=_Texts()))
    return found
