"""Calls."""

import sqlalchemy as sa
from alembic import op

from luminai import JSONText, UTCDateTime, disable_owner_policy, enable_owner_policy

revision = "0001"
down_revision = None

TABLE = "ai_gateway__calls"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        TABLE,
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("subject", sa.String(120), nullable=False),
        sa.Column("key", sa.String(64)),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("origin", sa.String(40), nullable=False),
        sa.Column("name", sa.String(240), nullable=False),
        sa.Column("model", sa.String(240), nullable=False),
        sa.Column("prompt_version", sa.String(80), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("code", sa.String(80), nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("usage_origin", sa.String(20), nullable=False),
        sa.Column("cost_micros", sa.BigInteger),
        sa.Column("cost_basis", sa.String(20), nullable=False),
        sa.Column("trace", JSONText()),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("ended_at", UTCDateTime()),
        sa.Column("lease_until", UTCDateTime(), nullable=False),
    )
    op.create_index("ai_gateway__calls_subject_key_idx", TABLE, ["subject", "key"], unique=True)
    op.create_index("ai_gateway__calls_subject_id_idx", TABLE, ["subject", "id"])
    op.create_index("ai_gateway__calls_created_at_idx", TABLE, ["created_at"])
    op.create_index("ai_gateway__calls_state_lease_until_idx", TABLE, ["state", "lease_until"])
    enable_owner_policy(op, TABLE)


def downgrade() -> None:
    """Drop it."""
    disable_owner_policy(op, TABLE)
    op.drop_table(TABLE)
