"""Products, prices, wallets, grants, usage, payments."""

import sqlalchemy as sa
from alembic import op

from luminai import JSONText, UTCDateTime, disable_owner_policy, enable_owner_policy

revision = "0001"
down_revision = None

OWNED = ("credits__wallets", "credits__buckets", "credits__grants", "credits__usage", "credits__payments")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "credits__products",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("product", sa.String(40), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("body", JSONText(), nullable=False),
        sa.Column("imported_at", UTCDateTime(), nullable=False),
        sa.UniqueConstraint("product", "version"),
    )
    op.create_table(
        "credits__prices",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("product", sa.String(40), nullable=False),
        sa.Column("action", sa.String(80), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("start", UTCDateTime(), nullable=False),
        sa.Column("body", JSONText(), nullable=False),
        sa.Column("imported_at", UTCDateTime(), nullable=False),
        sa.UniqueConstraint("action", "model", "start"),
    )
    op.create_index("credits__prices_product_id_idx", "credits__prices", ["product", "id"])
    op.create_table(
        "credits__wallets",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("subject", sa.String(120), nullable=False),
        sa.Column("product", sa.String(40), nullable=False),
        sa.Column("unit", sa.String(32), nullable=False),
        sa.Column("plan", sa.String(40), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("anchor", UTCDateTime(), nullable=False),
        sa.Column("zone", sa.String(60), nullable=False),
        sa.Column("term", sa.Integer, nullable=False),
        sa.Column("month", sa.Integer, nullable=False),
        sa.Column("paid_months", sa.Integer, nullable=False),
        sa.Column("next_plan", sa.String(40), nullable=False),
        sa.Column("wanted_plan", sa.String(40), nullable=False),
        sa.Column("wanted_due", BIG, nullable=False),
        sa.Column("had_trial", sa.Boolean, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("grace_until", UTCDateTime()),
        sa.Column("due_at", UTCDateTime()),
        sa.Column("raised", BIG, nullable=False),
        sa.Column("opened_at", UTCDateTime(), nullable=False),
        sa.Column("updated_at", UTCDateTime(), nullable=False),
        sa.UniqueConstraint("subject", "product"),
    )
    op.create_index("credits__wallets_due_at_idx", "credits__wallets", ["due_at"])
    op.create_table(
        "credits__buckets",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("subject", sa.String(120), nullable=False),
        sa.Column("wallet_id", sa.String(40), nullable=False),
        sa.Column("account", sa.String(40), nullable=False),
        sa.Column("source", sa.String(20), nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("effective_at", UTCDateTime()),
        sa.Column("expires_at", UTCDateTime()),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("closed_at", UTCDateTime()),
    )
    op.create_index("credits__buckets_wallet_id_closed_at_idx", "credits__buckets", ["wallet_id", "closed_at"])
    op.create_index("credits__buckets_closed_at_expires_at_idx", "credits__buckets", ["closed_at", "expires_at"])
    op.create_table(
        "credits__grants",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("subject", sa.String(120), nullable=False),
        sa.Column("wallet_id", sa.String(40), nullable=False),
        sa.Column("bucket_id", sa.String(40), nullable=False),
        sa.Column("unit", sa.String(32), nullable=False),
        sa.Column("source", sa.String(20), nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("note", sa.String(280), nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.UniqueConstraint("key"),
    )
    op.create_index("credits__grants_subject_id_idx", "credits__grants", ["subject", "id"])
    op.create_table(
        "credits__usage",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("subject", sa.String(120), nullable=False),
        sa.Column("wallet_id", sa.String(40), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("product", sa.String(40), nullable=False),
        sa.Column("unit", sa.String(32), nullable=False),
        sa.Column("action", sa.String(80), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("price_id", sa.String(40), nullable=False),
        sa.Column("funding", sa.String(20), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("failure", sa.String(20), nullable=False),
        sa.Column("quantities", JSONText(), nullable=False),
        sa.Column("options", JSONText(), nullable=False),
        sa.Column("parts", JSONText(), nullable=False),
        sa.Column("slices", sa.Integer, nullable=False),
        sa.Column("held", BIG, nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("opened_at", UTCDateTime(), nullable=False),
        sa.Column("lease_until", UTCDateTime(), nullable=False),
        sa.Column("closed_at", UTCDateTime()),
        sa.Column("refunded_at", UTCDateTime()),
        sa.UniqueConstraint("key"),
    )
    op.create_index("credits__usage_subject_id_idx", "credits__usage", ["subject", "id"])
    op.create_index("credits__usage_state_lease_until_idx", "credits__usage", ["state", "lease_until"])
    op.create_index("credits__usage_wallet_id_state_idx", "credits__usage", ["wallet_id", "state"])
    op.create_table(
        "credits__payments",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("subject", sa.String(120), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("wallet_id", sa.String(40), nullable=False),
        sa.Column("item", sa.String(90), nullable=False),
        sa.Column("grant_id", sa.String(40), nullable=False),
        sa.Column("minor", BIG, nullable=False),
        sa.Column("asset", sa.String(32), nullable=False),
        sa.Column("refunded", BIG, nullable=False),
        sa.Column("taken_back", BIG, nullable=False),
        sa.Column("written_off", BIG, nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.UniqueConstraint("key"),
    )
    op.create_index("credits__payments_subject_id_idx", "credits__payments", ["subject", "id"])
    for table in OWNED:
        enable_owner_policy(op, table)


def downgrade() -> None:
    """Drop them."""
    for table in OWNED:
        disable_owner_policy(op, table)
    for table in (*OWNED, "credits__prices", "credits__products"):
        op.drop_table(table)
