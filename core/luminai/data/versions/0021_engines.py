"""Jobs: until when a worker counts as told, and the queues of plugins and actions by themselves."""

import sqlalchemy as sa
from alembic import op

from luminai.data.types import UTCDateTime

revision = "0021"
down_revision = "0020"
_QUEUED = sa.text("state = 'queued'")
_TOLD = sa.text("state = 'queued' AND told_until IS NOT NULL")


def upgrade() -> None:
    """Add the column and the indexes."""
    op.add_column("core__jobs", sa.Column("told_until", UTCDateTime()))
    op.create_index("core__jobs_queues_idx", "core__jobs", ["plugin", "action", "rank", "id"], sqlite_where=_QUEUED, postgresql_where=_QUEUED)
    op.create_index("core__jobs_told_idx", "core__jobs", ["told_until"], sqlite_where=_TOLD, postgresql_where=_TOLD)


def downgrade() -> None:
    """Drop them."""
    op.drop_index("core__jobs_told_idx", "core__jobs")
    op.drop_index("core__jobs_queues_idx", "core__jobs")
    with op.batch_alter_table("core__jobs") as batch:
        batch.drop_column("told_until")
