"""Sign-in through others: round trips under way, and identities that wait to be linked."""

import sqlalchemy as sa
from alembic import op

from luminai.data.types import UTCDateTime

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "core__outside_trips",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("person_id", sa.String(40), nullable=False),
        sa.Column("session_id", sa.String(40), nullable=False),
        sa.Column("next_path", sa.String(512), nullable=False),
        sa.Column("expires_at", UTCDateTime(), nullable=False),
    )
    op.create_index("core__outside_trips_expires_at_idx", "core__outside_trips", ["expires_at"])
    op.create_table(
        "core__waiting_identities",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("issuer", sa.String(255), nullable=False),
        sa.Column("sub_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("profile", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", UTCDateTime(), nullable=False),
    )
    op.create_index("core__waiting_identities_expires_at_idx", "core__waiting_identities", ["expires_at"])


def downgrade() -> None:
    """Take them out again."""
    for table in ("core__waiting_identities", "core__outside_trips"):
        op.drop_table(table)
