"""Dated prices of models."""

import sqlalchemy as sa
from alembic import op

from luminai import UTCDateTime

revision = "0002"
down_revision = "0001"

TABLE = "ai_gateway__prices"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        TABLE,
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("provider", sa.String(80), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("unit", sa.String(40), nullable=False),
        sa.Column("above", sa.Integer, nullable=False),
        sa.Column("start", UTCDateTime(), nullable=False),
        sa.Column("micro", sa.BigInteger, nullable=False),
        sa.Column("source", sa.String(80), nullable=False),
        sa.Column("imported_at", UTCDateTime(), nullable=False),
        sa.UniqueConstraint("provider", "model", "unit", "above", "start"),
        sa.CheckConstraint("micro >= 0", name="not_negative"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table(TABLE)
