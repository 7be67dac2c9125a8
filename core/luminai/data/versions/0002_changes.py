"""Changes of plugins at run time, the processes that follow them, ignored repairs."""

import sqlalchemy as sa
from alembic import op

from luminai.data.types import JSONText, UTCDateTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add settings to wishes, and the tables of changes, nodes and ignored repairs."""
    with op.batch_alter_table("core__plugin_desired") as table:
        table.add_column(sa.Column("config", JSONText()))
    op.create_table(
        "core__plugin_changes",
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("changed_by", sa.String(120), nullable=False),
        sa.Column("changed_at", UTCDateTime(), nullable=False),
        sa.Column("summary", sa.String(300), nullable=False),
        sa.Column("wishes", JSONText(), nullable=False),
    )
    op.create_table(
        "core__nodes",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("problem", sa.String(500), nullable=False),
        sa.Column("seen_at", UTCDateTime(), nullable=False),
    )
    op.create_table(
        "core__repairs_ignored",
        sa.Column("id", sa.String(200), primary_key=True),
        sa.Column("reason", sa.String(300), nullable=False),
        sa.Column("ignored_by", sa.String(120), nullable=False),
        sa.Column("ignored_at", UTCDateTime(), nullable=False),
    )


def downgrade() -> None:
    """Take them out again."""
    for name in ("core__repairs_ignored", "core__nodes", "core__plugin_changes"):
        op.drop_table(name)
    with op.batch_alter_table("core__plugin_desired") as table:
        table.drop_column("config")
