"""Outbound webhooks: where events are sent, and what came of it."""

import sqlalchemy as sa
from alembic import op

from luminai.data.types import UTCDateTime

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "core__endpoints",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("subject", sa.String(120), nullable=False),
        sa.Column("everyone", sa.Boolean, nullable=False),
        sa.Column("url", sa.String(2000), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("reason", sa.String(300), nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("old_secret", sa.LargeBinary),
        sa.Column("old_until", UTCDateTime()),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("worked_at", UTCDateTime()),
    )
    op.create_index("core__endpoints_subject_id_idx", "core__endpoints", ["subject", "id"])
    op.create_index("core__endpoints_state_idx", "core__endpoints", ["state"])
    op.create_table(
        "core__endpoint_types",
        sa.Column("type", sa.String(120), primary_key=True),
        sa.Column("endpoint", sa.String(40), primary_key=True),
    )
    op.create_index("core__endpoint_types_endpoint_idx", "core__endpoint_types", ["endpoint"])
    op.create_table(
        "core__endpoint_calls",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("endpoint", sa.String(40), nullable=False),
        sa.Column("message", sa.String(40), nullable=False),
        sa.Column("type", sa.String(120), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("began_at", UTCDateTime(), nullable=False),
        sa.Column("milliseconds", sa.Integer, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("error", sa.String(300), nullable=False),
        sa.Column("answer", sa.LargeBinary),
    )
    op.create_index("core__endpoint_calls_endpoint_id_idx", "core__endpoint_calls", ["endpoint", "id"])
    op.create_index("core__endpoint_calls_began_at_idx", "core__endpoint_calls", ["began_at"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("core__endpoint_calls")
    op.drop_table("core__endpoint_types")
    op.drop_table("core__endpoints")
