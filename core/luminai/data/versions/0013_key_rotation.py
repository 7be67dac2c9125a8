"""How an API key's text ends, and which key replaced it."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the columns."""
    with op.batch_alter_table("core__api_keys") as table:
        table.add_column(sa.Column("last_four", sa.String(4)))
        table.add_column(sa.Column("replaced_by", sa.String(40)))


def downgrade() -> None:
    """Take them out again."""
    with op.batch_alter_table("core__api_keys") as table:
        table.drop_column("replaced_by")
        table.drop_column("last_four")
