"""Payments, what is asked of providers, what they told, and what does not add up."""

import sqlalchemy as sa
from alembic import op

from luminai import UTCDateTime, disable_owner_policy, enable_owner_policy

revision = "0001"
down_revision = None
_OWNED = ("payments", "operations", "parties", "methods")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "payments__cursors",
        sa.Column("provider", sa.String(40), primary_key=True),
        sa.Column("cursor", sa.String(500), nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
    )
    op.create_table(
        "payments__inbox",
        sa.Column("provider", sa.String(40), primary_key=True),
        sa.Column("event", sa.String(200), primary_key=True),
        sa.Column("ref", sa.String(120), nullable=False),
        sa.Column("kind", sa.String(80), nullable=False),
        sa.Column("payment", sa.String(40), nullable=False),
        sa.Column("via", sa.String(8), nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.Column("taken_at", UTCDateTime(), nullable=False),
    )
    op.create_index("payments__inbox_payment_at_idx", "payments__inbox", ["payment", "at"])
    op.create_table(
        "payments__incidents",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("provider", sa.String(40), nullable=False),
        sa.Column("payment", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("about", sa.String(200), nullable=False),
        sa.Column("detail", sa.String(500), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("resolved_at", UTCDateTime()),
        sa.UniqueConstraint("provider", "kind", "about"),
    )
    op.create_table(
        "payments__methods",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("subject", sa.String(120), nullable=False),
        sa.Column("provider", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("token", sa.LargeBinary, nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
    )
    op.create_index("payments__methods_subject_id_idx", "payments__methods", ["subject", "id"])
    op.create_table(
        "payments__operations",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("subject", sa.String(120), nullable=False),
        sa.Column("payment", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("amount", sa.BigInteger),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("code", sa.String(60), nullable=False),
        sa.Column("ref", sa.String(120), nullable=False),
        sa.Column("by", sa.String(120), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("due_at", UTCDateTime()),
    )
    op.create_index("payments__operations_due_at_idx", "payments__operations", ["due_at"])
    op.create_index("payments__operations_payment_id_idx", "payments__operations", ["payment", "id"])
    op.create_index("payments__operations_ref_idx", "payments__operations", ["ref"])
    op.create_table(
        "payments__parties",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("subject", sa.String(120), nullable=False),
        sa.Column("provider", sa.String(40), nullable=False),
        sa.Column("ref", sa.String(120), nullable=False),
        sa.UniqueConstraint("subject", "provider"),
    )
    op.create_table(
        "payments__payments",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("subject", sa.String(120), nullable=False),
        sa.Column("purpose", sa.String(40), nullable=False),
        sa.Column("product", sa.String(120), nullable=False),
        sa.Column("provider", sa.String(40), nullable=False),
        sa.Column("ref", sa.String(120)),
        sa.Column("asset", sa.String(32), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("captured", sa.BigInteger, nullable=False),
        sa.Column("refunded", sa.BigInteger, nullable=False),
        sa.Column("returned", sa.BigInteger, nullable=False),
        sa.Column("disputed", sa.BigInteger, nullable=False),
        sa.Column("fee", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String(24), nullable=False),
        sa.Column("dispute", sa.String(8), nullable=False),
        sa.Column("code", sa.String(60), nullable=False),
        sa.Column("action", sa.String(2000), nullable=False),
        sa.Column("doing", sa.String(12), nullable=False),
        sa.Column("capture", sa.Boolean, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("updated_at", UTCDateTime(), nullable=False),
        sa.Column("due_at", UTCDateTime()),
        sa.UniqueConstraint("provider", "ref"),
        sa.CheckConstraint("disputed >= 0 AND disputed <= captured", name="payments__payments_disputed_check"),
        sa.CheckConstraint("amount > 0 AND captured >= 0 AND captured <= amount", name="payments__payments_captured_check"),
        sa.CheckConstraint("refunded >= 0 AND returned >= 0 AND refunded + returned <= captured", name="payments__payments_refunded_check"),
    )
    op.create_index("payments__payments_due_at_idx", "payments__payments", ["due_at"])
    op.create_index("payments__payments_status_id_idx", "payments__payments", ["status", "id"])
    op.create_index("payments__payments_subject_id_idx", "payments__payments", ["subject", "id"])
    for table in _OWNED:
        enable_owner_policy(op, f"payments__{table}")


def downgrade() -> None:
    """Drop them."""
    for table in _OWNED:
        disable_owner_policy(op, f"payments__{table}")
    for table in (
        "payments__payments",
        "payments__parties",
        "payments__operations",
        "payments__methods",
        "payments__incidents",
        "payments__inbox",
        "payments__cursors",
    ):
        op.drop_table(table)
