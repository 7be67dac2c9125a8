"""What people agreed to."""

import sqlalchemy as sa
from alembic import op

from luminai.data.types import UTCDateTime

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "core__consents",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("person_id", sa.String(40), nullable=False),
        sa.Column("purpose", sa.String(40), nullable=False),
        sa.Column("version", sa.String(40), nullable=False),
        sa.Column("given", sa.Boolean, nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.Column("how", sa.String(20), nullable=False),
    )
    op.create_index("core__consents_person_id_purpose_id_idx", "core__consents", ["person_id", "purpose", "id"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("core__consents")
