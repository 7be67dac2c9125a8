"""Deliveries."""

import sqlalchemy as sa
from alembic import op

from luminai import JSONText, UTCDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "github__deliveries",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("delivery_id", sa.String(200), nullable=False),
        sa.Column("event", sa.String(40), nullable=False),
        sa.Column("repository", sa.String(140), nullable=False),
        sa.Column("happening", JSONText(), nullable=False),
        sa.Column("received_at", UTCDateTime(), nullable=False),
        sa.UniqueConstraint("delivery_id"),
    )
    op.create_index("github__deliveries_repository_id_idx", "github__deliveries", ["repository", "id"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("github__deliveries")
