"""Which plugins a change built anew, for the other processes to follow."""

import sqlalchemy as sa
from alembic import op

from luminai.data.types import JSONText

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the column to the history."""
    with op.batch_alter_table("core__plugin_changes") as table:
        table.add_column(sa.Column("renewed", JSONText()))


def downgrade() -> None:
    """Take it out again."""
    with op.batch_alter_table("core__plugin_changes") as table:
        table.drop_column("renewed")
