"""Which methods may be charged for what becomes due."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the owner's word; nobody gave it so far."""
    op.add_column("payments__methods", sa.Column("renews", sa.Boolean, nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("payments__methods", "renews")
