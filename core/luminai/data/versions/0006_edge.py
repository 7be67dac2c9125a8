"""How much of its limits each caller has used; only a server that several processes share is asked."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the table of rates."""
    op.create_table(
        "core__rates",
        sa.Column("key", sa.String(300), primary_key=True),
        sa.Column("free_at", sa.Double, nullable=False, index=True),
    )


def downgrade() -> None:
    """Take it out again."""
    op.drop_table("core__rates")
