"""Dated prices of models. Rows are only ever added: what a call cost stays explainable for good."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, String, Table, UniqueConstraint

from luminai import UTCDateTime
from luminai_ai_gateway.models import metadata

prices: Final = Table(
    "ai_gateway__prices",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("provider", String(80), nullable=False),
    Column("model", String(200), nullable=False),
    Column("unit", String(40), nullable=False),
    Column("above", Integer, nullable=False),
    Column("start", UTCDateTime(), nullable=False),
    Column("micro", BigInteger, nullable=False),
    Column("source", String(80), nullable=False),
    Column("imported_at", UTCDateTime(), nullable=False),
    UniqueConstraint("provider", "model", "unit", "above", "start"),
    CheckConstraint("micro >= 0", name="not_negative"),
    info={"data": "internal"},
)
"""``micro`` millionths of a dollar for a million of the unit (for one image, second or request) from ``start`` on, in calls with more than ``above``
input tokens.
"""
