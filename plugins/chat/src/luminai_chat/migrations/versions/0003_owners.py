"""Every row says whose it is, and PostgreSQL keeps the rows of owners apart."""

import sqlalchemy as sa
from alembic import op

from luminai import disable_owner_policy, enable_owner_policy

revision = "0003"
down_revision = "0002"

INNER = ("chat__messages", "chat__resonance")


def upgrade() -> None:
    """Add the owner to messages and resonance, taken from their session."""
    sessions = sa.table("chat__sessions", sa.column("id"), sa.column("subject"))
    for name in INNER:
        op.add_column(name, sa.Column("subject", sa.String(120), nullable=False, server_default=""))
        table = sa.table(name, sa.column("session_id"), sa.column("subject"))
        owner = sa.select(sessions.c.subject).where(sessions.c.id == table.c.session_id).scalar_subquery()
        op.execute(sa.update(table).values(subject=sa.func.coalesce(owner, "")))
    for name in ("chat__sessions", *INNER):
        enable_owner_policy(op, name)


def downgrade() -> None:
    """Take the owner out again."""
    for table in ("chat__sessions", *INNER):
        disable_owner_policy(op, table)
    for table in INNER:
        with op.batch_alter_table(table) as batch:
            batch.drop_column("subject")
