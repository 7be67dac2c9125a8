"""Tables. The search index beside them differs by database: see ``search.py``."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, ForeignKey, Integer, String, Table, Text, UniqueConstraint

from luminai import JSONText, UTCDateTime, metadata_for

metadata: Final = metadata_for("knowledge")

documents: Final = Table(
    "knowledge__documents",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("folder", String(80), nullable=False),
    Column("file", String(1000), nullable=False),
    Column("path", String(1000), nullable=False),
    Column("title", String(300), nullable=False, info={"data": "internal"}),
    Column("url", String(3200), nullable=False, index=True),
    Column("tags", JSONText(), nullable=False),
    Column("markdown", Text, nullable=False),
    Column("text", Text, nullable=False, info={"data": "internal"}),
    Column("sections", JSONText(), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("problem", String(300), nullable=False),
    Column("indexed_at", UTCDateTime(), nullable=False),
    UniqueConstraint("folder", "file"),
    info={"data": "internal"},
)

passages: Final = Table(
    "knowledge__passages",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("document_id", String(255), ForeignKey("knowledge__documents.id"), nullable=False, index=True),
    Column("position", Integer, nullable=False),
    Column("headings", JSONText(), nullable=False),
    Column("anchor", String(400), nullable=False),
    Column("text", Text, nullable=False, info={"data": "internal"}),
    Column("code", Text, nullable=False),
    Column("digest", String(32), nullable=False, server_default="", index=True),
    info={"data": "internal"},
)
