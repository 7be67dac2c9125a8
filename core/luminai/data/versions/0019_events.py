"""The log of events, which takes the outbox's place; durable subscriptions; snapshots."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from luminai.data.types import JSONText, UTCDateTime

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Create the tables and move what the outbox holds."""
    op.create_table(
        "core__events",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("plugin", sa.String(32), nullable=False),
        sa.Column("type", sa.String(120), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("subject", sa.String(120), nullable=False),
        sa.Column("owner", sa.String(120), nullable=False),
        sa.Column("organisation", sa.String(40), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("number", sa.Integer),
        sa.Column("payload", JSONText(), nullable=False),
        sa.Column("correlation", sa.String(80), nullable=False),
        sa.Column("causation", sa.String(80), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("keep", sa.String(8), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
    )
    dot = "split_part(type, '.', 1)" if op.get_context().dialect.name == "postgresql" else "substr(type, 1, instr(type, '.') - 1)"
    same = "id, type, version, subject, payload, created_at"
    new = "plugin, owner, organisation, key, correlation, causation, generation, keep"
    values = f"{dot}, '', '', '', id, '', 0, 'standard'"
    op.execute(f"INSERT INTO core__events ({new}, {same}) SELECT {values}, {same} FROM core__outbox")  # noqa: S608 - names only
    op.drop_table("core__outbox")
    _index("stream", ["plugin", "key", "number"], "number IS NOT NULL", unique=True)
    _index("subject", ["subject", "id"], "subject <> ''")
    _index("owner", ["owner", "id"], "owner <> ''")
    for columns in (["type", "id"], ["correlation", "id"], ["keep", "created_at"]):
        op.create_index(f"core__events_{'_'.join(columns)}_idx", "core__events", columns)
    op.create_table(
        "core__subscriptions",
        sa.Column("plugin", sa.String(32), primary_key=True),
        sa.Column("action", sa.String(80), primary_key=True),
        sa.Column("event", sa.String(120), nullable=False),
        sa.Column("since", UTCDateTime(), nullable=False),
    )
    op.create_table(
        "core__event_snapshots",
        sa.Column("plugin", sa.String(32), primary_key=True),
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("last_event", sa.String(40), nullable=False),
        sa.Column("state", JSONText(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
    )
    op.create_index("core__event_snapshots_last_event_idx", "core__event_snapshots", ["last_event"])


def downgrade() -> None:
    """Bring the outbox back, with what fits into it."""
    op.create_table(
        "core__outbox",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("type", sa.String(120), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("subject", sa.String(120), nullable=False),
        sa.Column("payload", JSONText(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("relayed_at", UTCDateTime()),
    )
    same = "id, type, version, subject, payload, created_at"
    op.execute(f"INSERT INTO core__outbox ({same}) SELECT {same} FROM core__events")  # noqa: S608 - names only
    op.drop_table("core__event_snapshots")
    op.drop_table("core__subscriptions")
    op.drop_table("core__events")


def _index(name: str, columns: list[Any], condition: str, *, unique: bool = False) -> None:
    where = sa.text(condition)
    op.create_index(f"core__events_{name}_idx", "core__events", columns, unique=unique, sqlite_where=where, postgresql_where=where)
