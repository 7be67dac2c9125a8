"""Master keys by their ids, and the wrapped data key of each subject."""

import sqlalchemy as sa
from alembic import op

from luminai.data.types import UTCDateTime

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "core__master_keys",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("changed_at", UTCDateTime(), nullable=False),
    )
    op.create_table(
        "core__subject_keys",
        sa.Column("subject", sa.String(120), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(60)),
        sa.Column("master_key", sa.String(32), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("destroyed_at", UTCDateTime()),
        sa.UniqueConstraint("id", name="core__subject_keys_id_key"),
    )
    op.create_index("core__subject_keys_destroyed_at_idx", "core__subject_keys", ["destroyed_at"])
    op.create_index("core__subject_keys_state_master_key_idx", "core__subject_keys", ["state", "master_key"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("core__subject_keys")
    op.drop_table("core__master_keys")
