"""Room for sealed texts; the plugin seals the rows of before when it starts, some at a time, because only the running hub has the keys."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the sealed columns. The plain ones stay, emptied when a row is sealed: so no table is rebuilt, however large it is."""
    op.add_column("chat__sessions", sa.Column("sealed_title", sa.LargeBinary()))
    op.add_column("chat__messages", sa.Column("body", sa.LargeBinary()))


def downgrade() -> None:
    """Take them out again; what is sealed would be lost, so this refuses while there is any."""
    sealed = (
        "SELECT (SELECT count(*) FROM chat__messages WHERE body IS NOT NULL) + (SELECT count(*) FROM chat__sessions WHERE sealed_title IS NOT NULL)"
    )
    if op.get_bind().execute(sa.text(sealed)).scalar_one():
        raise RuntimeError("sealed conversations cannot be taken back to plain columns")
    for table, column in (("chat__messages", "body"), ("chat__sessions", "sealed_title")):
        with op.batch_alter_table(table) as batch:
            batch.drop_column(column)
