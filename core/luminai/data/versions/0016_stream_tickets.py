"""Tickets that open sockets and event streams once."""

import sqlalchemy as sa
from alembic import op

from luminai.data.types import UTCDateTime

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "core__stream_tickets",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("subject", sa.String(120), nullable=False, index=True),
        sa.Column("path", sa.String(512), nullable=False),
        sa.Column("origin", sa.String(300), nullable=False),
        sa.Column("credential", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", UTCDateTime(), nullable=False, index=True),
    )


def downgrade() -> None:
    """Take it out again."""
    op.drop_table("core__stream_tickets")
