"""The audit log: entries, the tree over them, checkpoints, legal holds."""

import sqlalchemy as sa
from alembic import op

from luminai.data.types import UTCDateTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "core__audit_entries",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("position", sa.BigInteger),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.Column("retention", sa.String(4), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(32)),
        sa.Column("pruned_at", UTCDateTime()),
        sa.Column("salt", sa.LargeBinary(16)),
        sa.Column("source", sa.String(32)),
        sa.Column("actor", sa.String(120)),
        sa.Column("actor_subject", sa.String(120)),
        sa.Column("action", sa.String(80)),
        sa.Column("object", sa.String(200)),
        sa.Column("outcome", sa.String(8)),
        sa.Column("subject", sa.String(120)),
        sa.Column("is_sealed", sa.Boolean),
        sa.Column("detail", sa.LargeBinary),
        sa.UniqueConstraint("position", name="core__audit_entries_position_key"),
    )
    for column in ("at", "actor", "action", "object", "subject"):
        op.create_index(f"core__audit_entries_{column}_idx", "core__audit_entries", [column])
    op.create_table(
        "core__audit_nodes",
        sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
    )
    op.create_table(
        "core__audit_checkpoints",
        sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
    )
    op.create_table(
        "core__audit_holds",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("object", sa.String(200), nullable=False),
        sa.Column("subject", sa.String(120), nullable=False),
        sa.Column("reason", sa.String(300), nullable=False),
        sa.Column("placed_by", sa.String(120), nullable=False),
        sa.Column("placed_at", UTCDateTime(), nullable=False),
        sa.Column("released_at", UTCDateTime()),
    )


def downgrade() -> None:
    """Take them out again."""
    for name in ("holds", "checkpoints", "nodes", "entries"):
        op.drop_table(f"core__audit_{name}")
