"""What the sandbox holds instead of money."""

import sqlalchemy as sa
from alembic import op

from luminai import UTCDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "pay_sandbox__payments",
        sa.Column("ref", sa.String(40), primary_key=True),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("status", sa.String(24), nullable=False),
        sa.Column("asset", sa.String(32), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("captured", sa.BigInteger, nullable=False),
        sa.Column("refunded", sa.BigInteger, nullable=False),
        sa.Column("moved", sa.BigInteger, nullable=False),
        sa.Column("fee", sa.BigInteger, nullable=False),
        sa.Column("code", sa.String(60), nullable=False),
        sa.Column("outcome", sa.String(40), nullable=False),
        sa.Column("reference", sa.String(200), nullable=False),
        sa.Column("source", sa.String(40), nullable=False),
        sa.Column("capture", sa.Boolean, nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("available_at", UTCDateTime()),
    )
    op.create_table(
        "pay_sandbox__parties",
        sa.Column("ref", sa.String(40), primary_key=True),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("reference", sa.String(200), nullable=False),
        sa.UniqueConstraint("kind", "reference"),
    )
    op.create_table(
        "pay_sandbox__answers",
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary(32), nullable=False),
        sa.Column("ref", sa.String(40), nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.Column("visible_at", UTCDateTime(), nullable=False),
    )
    op.create_table(
        "pay_sandbox__events",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("seq", sa.Integer, unique=True),
        sa.Column("ref", sa.String(40), nullable=False),
        sa.Column("status", sa.String(24), nullable=False),
        sa.Column("code", sa.String(60), nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.Column("deliver_at", UTCDateTime(), nullable=False),
        sa.Column("copies", sa.Integer, nullable=False),
        sa.Column("queued", sa.Boolean, nullable=False),
        sa.Column("delivered_at", UTCDateTime()),
    )
    op.create_index("pay_sandbox__events_ref_seq_at_idx", "pay_sandbox__events", ["ref", "seq", "at"])
    op.create_index("pay_sandbox__events_queued_deliver_at_idx", "pay_sandbox__events", ["queued", "deliver_at"])
    op.create_table(
        "pay_sandbox__clock",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("ahead", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    for table in ("clock", "events", "answers", "parties", "payments"):
        op.drop_table(f"pay_sandbox__{table}")
