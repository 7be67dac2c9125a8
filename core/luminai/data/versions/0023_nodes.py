"""Several processes as one: what each of them does, what they told of alerts, and the trace that a job belongs to."""

import sqlalchemy as sa
from alembic import op

from luminai.data.types import JSONText, UTCDateTime

revision = "0023"
down_revision = "0021"


def upgrade() -> None:
    """Add the columns and the table."""
    op.add_column("core__jobs", sa.Column("trace", sa.String(55)))
    op.add_column("core__nodes", sa.Column("roles", sa.String(40), nullable=False, server_default="web,worker"))
    op.create_table(
        "core__alerts",
        sa.Column("id", sa.String(400), primary_key=True),
        sa.Column("nodes", JSONText(), nullable=False),
        sa.Column("said", JSONText(), nullable=False),
        sa.Column("told_at", UTCDateTime(), nullable=False),
    )


def downgrade() -> None:
    """Take them away."""
    op.drop_table("core__alerts")
    with op.batch_alter_table("core__nodes") as nodes:
        nodes.drop_column("roles")
    with op.batch_alter_table("core__jobs") as jobs:
        jobs.drop_column("trace")
