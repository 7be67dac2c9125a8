"""Schedules."""

import sqlalchemy as sa
from alembic import op

from luminai.data.types import UTCDateTime

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "core__schedules",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("plugin", sa.String(32), nullable=False),
        sa.Column("action", sa.String(80), nullable=False),
        sa.Column("declared", sa.String(80)),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("input", sa.LargeBinary, nullable=False),
        sa.Column("trigger", sa.String(200), nullable=False),
        sa.Column("zone", sa.String(64), nullable=False),
        sa.Column("start", UTCDateTime(), nullable=False),
        sa.Column("misfire", sa.String(4), nullable=False),
        sa.Column("grace", sa.Integer, nullable=False),
        sa.Column("overlap", sa.String(8), nullable=False),
        sa.Column("jitter", sa.Integer, nullable=False),
        sa.Column("subject", sa.String(120), nullable=False),
        sa.Column("organisation", sa.String(40), nullable=False),
        sa.Column("origin", sa.String(8), nullable=False),
        sa.Column("edited", sa.Boolean, nullable=False),
        sa.Column("paused_at", UTCDateTime()),
        sa.Column("paused_because", sa.String(200), nullable=False),
        sa.Column("retired_at", UTCDateTime()),
        sa.Column("next_fire_at", UTCDateTime()),
        sa.Column("last_fire_at", UTCDateTime()),
        sa.Column("last_job", sa.String(40)),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("changed_at", UTCDateTime(), nullable=False),
        sa.UniqueConstraint("plugin", "declared"),
    )
    where = sa.text("next_fire_at IS NOT NULL")
    op.create_index("core__schedules_due_idx", "core__schedules", ["next_fire_at"], sqlite_where=where, postgresql_where=where)
    op.create_index("core__schedules_subject_id_idx", "core__schedules", ["subject", "id"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("core__schedules")
