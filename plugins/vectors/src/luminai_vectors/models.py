"""Tables."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, UniqueConstraint

from luminai import UTCDateTime, metadata_for

metadata: Final = metadata_for("vectors")
_BIG: Final = BigInteger().with_variant(Integer(), "sqlite")
_OWNED: Final = {"data": "personal", "owner": "owner", "subject": "owner", "retention": "until its owner or the plugin that keeps it deletes it"}

collections: Final = Table(
    "vectors__collections",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("owner", String(120), nullable=False, info={"data": "personal"}),
    Column("name", String(200), nullable=False, info={"data": "internal"}),
    Column("dimension", Integer, nullable=False),
    Column("revision", _BIG, nullable=False),
    Column("items", Integer, nullable=False),
    UniqueConstraint("owner", "name"),
    info=_OWNED,
)
"""``revision`` rises with every ``upsert``; a new collection of the same name has another id."""

items: Final = Table(
    "vectors__items",
    metadata,
    Column("number", _BIG, primary_key=True),
    Column("owner", String(120), nullable=False, info={"data": "personal"}),
    Column("collection_id", String(40), ForeignKey("vectors__collections.id"), nullable=False),
    Column("id", String(200), nullable=False),
    Column("revision", _BIG, nullable=False),
    Column("signs", LargeBinary, nullable=False),
    Column("vector", LargeBinary, nullable=False),
    UniqueConstraint("collection_id", "id"),
    info=_OWNED,
)
Index("vectors__items_signs_idx", items.c.collection_id, items.c.revision, items.c.number, items.c.owner, items.c.signs)
"""Holds all that the index in memory is made of, so that making it reads none of the vectors. No index begins with the owner: SQLite would take it
where single rows are looked up by number."""

embedded: Final = Table(
    "vectors__embedded",
    metadata,
    Column("collection", String(100), primary_key=True),
    Column("model", String(200), nullable=False),
    Column("stored", String(200), nullable=False),
    Column("store", String(100), nullable=False),
    Column("updated_at", UTCDateTime(), nullable=False),
    info={"data": "internal"},
)
"""Under which name of which store the texts of a collection are searched now, and the model that made their vectors."""
