"""The inbox of webhooks."""

import sqlalchemy as sa
from alembic import op

from luminai.data.types import UTCDateTime

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the inbox."""
    op.create_table(
        "core__webhook_inbox",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("plugin", sa.String(32), nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("delivery_id", sa.String(200), nullable=False),
        sa.Column("digest", sa.LargeBinary(32)),
        sa.Column("summary", sa.String(200), nullable=False),
        sa.Column("queued", sa.Integer, nullable=False),
        sa.Column("event", sa.LargeBinary),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("received_at", UTCDateTime(), nullable=False),
        sa.Column("next_at", UTCDateTime(), nullable=False),
        sa.Column("lease", sa.String(32)),
        sa.Column("settled_at", UTCDateTime()),
        sa.Column("error", sa.String(500), nullable=False),
        sa.UniqueConstraint("plugin", "name", "delivery_id"),
        sa.UniqueConstraint("plugin", "name", "digest"),
    )
    op.create_index("core__webhook_inbox_plugin_state_next_at_idx", "core__webhook_inbox", ["plugin", "state", "next_at"])
    op.create_index("core__webhook_inbox_settled_at_idx", "core__webhook_inbox", ["settled_at"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("core__webhook_inbox")
