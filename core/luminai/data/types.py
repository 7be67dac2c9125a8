"""Column types that behave the same on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy import JSON, DateTime, Dialect, MetaData, String, TypeDecorator

from luminai.data import owned_statements  # noqa: F401 - from here on it notes each table with an owner

_NAMING: Final = {
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}


class UTCDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime in and out. SQLite keeps ISO text of fixed width, so that order in the database is order in time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Text on SQLite, ``timestamptz`` elsewhere."""
        return dialect.type_descriptor(String(32)) if dialect.name == "sqlite" else dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Refuse a naive datetime: nobody knows which moment it is."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a datetime without a time zone cannot be stored")
        value = value.astimezone(UTC)
        return value.isoformat(timespec="microseconds") if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's shape
        """Return the moment in UTC."""
        if value is None:
            return None
        moment: datetime = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.astimezone(UTC)


class JSONText(TypeDecorator[Any]):
    """JSON: text on SQLite (encoded by msgspec), JSONB on PostgreSQL."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Text on SQLite, JSONB on PostgreSQL."""
        if dialect.name == "postgresql":
            from sqlalchemy.dialects.postgresql import JSONB  # a start on SQLite need not import that dialect

            return dialect.type_descriptor(JSONB(none_as_null=True).with_variant(JSON(), "sqlite"))
        return dialect.type_descriptor(String())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Encode Structs and plain values alike."""
        if value is None:
            return None
        return msgspec.to_builtins(value) if dialect.name == "postgresql" else msgspec.json.encode(value).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Return plain values."""
        return msgspec.json.decode(value) if value is not None and dialect.name != "postgresql" else value


def metadata_for(plugin_id: str) -> MetaData:
    """Return a MetaData whose indexes and constraints are named after their tables, so that they carry the plugin's prefix too."""
    return MetaData(naming_convention=_NAMING, info={"owner": plugin_id})
