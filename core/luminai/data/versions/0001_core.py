"""Idempotency, outbox, plugin wishes, API keys, set-up tokens."""

import sqlalchemy as sa
from alembic import op

from luminai.data.types import JSONText, UTCDateTime

revision = "0001"
down_revision = None
TABLES = ("core__idempotency", "core__outbox", "core__plugin_desired", "core__api_keys", "core__setup_tokens")


def upgrade() -> None:
    """Create the first tables of the core."""
    op.create_table(
        "core__idempotency",
        sa.Column("scope", sa.String(200), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary(64), nullable=False),
        sa.Column("result", sa.LargeBinary, nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False, index=True),
    )
    op.create_table(
        "core__outbox",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("type", sa.String(120), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("subject", sa.String(120), nullable=False),
        sa.Column("payload", JSONText(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("relayed_at", UTCDateTime()),
    )
    op.create_table(
        "core__plugin_desired",
        sa.Column("plugin_id", sa.String(32), primary_key=True),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("changed_by", sa.String(120), nullable=False),
        sa.Column("changed_at", UTCDateTime(), nullable=False),
    )
    op.create_table(
        "core__api_keys",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("subject", sa.String(120), nullable=False, index=True),
        sa.Column("scopes", sa.String(4500), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("expires_at", UTCDateTime()),
        sa.Column("revoked_at", UTCDateTime()),
        sa.Column("last_used_at", UTCDateTime()),
    )
    op.create_table(
        "core__setup_tokens",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("expires_at", UTCDateTime(), nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    for table in reversed(TABLES):
        op.drop_table(table)
