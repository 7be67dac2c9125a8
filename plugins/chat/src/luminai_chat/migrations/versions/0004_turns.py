"""Turns that outlive their process: who runs them until when, and what they generated so far."""

import sqlalchemy as sa
from alembic import op

from luminai import UTCDateTime, disable_owner_policy, enable_owner_policy

revision = "0004"
down_revision = "0003"

TABLES = ("chat__turns", "chat__turn_slices", "chat__turn_approvals")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "chat__turns",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("subject", sa.String(120), nullable=False),
        sa.Column("session_id", sa.String(40), nullable=False),
        sa.Column("parent_id", sa.String(40), nullable=False),
        sa.Column("reply_id", sa.String(40)),
        sa.Column("persona", sa.String(60), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("ask", sa.LargeBinary, nullable=False),
        sa.Column("is_held", sa.Boolean, nullable=False),
        sa.Column("is_cancelled", sa.Boolean, nullable=False),
        sa.Column("runner", sa.String(40), nullable=False),
        sa.Column("lease_until", UTCDateTime(), nullable=False),
        sa.Column("end_state", sa.String(20), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
    )
    op.create_index("chat__turns_session_id_idx", "chat__turns", ["session_id"])
    op.create_index("chat__turns_end_state_lease_until_idx", "chat__turns", ["end_state", "lease_until"])
    op.create_table(
        "chat__turn_slices",
        sa.Column("turn_id", sa.String(40), primary_key=True),
        sa.Column("first", sa.Integer, primary_key=True),
        sa.Column("last", sa.Integer, nullable=False),
        sa.Column("subject", sa.String(120), nullable=False),
        sa.Column("events", sa.LargeBinary, nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
    )
    op.create_index("chat__turn_slices_at_idx", "chat__turn_slices", ["at"])
    op.create_table(
        "chat__turn_approvals",
        sa.Column("turn_id", sa.String(40), primary_key=True),
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("subject", sa.String(120), nullable=False),
        sa.Column("allow", sa.Boolean, nullable=False),
        sa.Column("is_used", sa.Boolean, nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
    )
    for table in TABLES:
        enable_owner_policy(op, table)


def downgrade() -> None:
    """Drop them."""
    for table in reversed(TABLES):
        disable_owner_policy(op, table)
        op.drop_table(table)
