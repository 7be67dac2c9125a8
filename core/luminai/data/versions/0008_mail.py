"""Letters that wait to be sent."""

import sqlalchemy as sa
from alembic import op

from luminai.data.types import UTCDateTime

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create the queue."""
    op.create_table(
        "core__mail",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("subject", sa.String(120), nullable=False),
        sa.Column("head", sa.LargeBinary, nullable=False),
        sa.Column("content", sa.LargeBinary),
        sa.Column("is_sealed", sa.Boolean, nullable=False),
        sa.Column("address_digest", sa.LargeBinary(32)),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("next_at", UTCDateTime(), nullable=False),
        sa.Column("expires_at", UTCDateTime()),
        sa.Column("lease", sa.String(32)),
        sa.Column("settled_at", UTCDateTime()),
        sa.Column("error", sa.String(500), nullable=False),
    )
    op.create_index("core__mail_subject_idx", "core__mail", ["subject"])
    op.create_index("core__mail_state_next_at_idx", "core__mail", ["state", "next_at"])
    op.create_index("core__mail_address_digest_created_at_idx", "core__mail", ["address_digest", "created_at"])
    op.create_index("core__mail_settled_at_idx", "core__mail", ["settled_at"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("core__mail")
