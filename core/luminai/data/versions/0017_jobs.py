"""Jobs and what became of their attempts."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from luminai.data.types import UTCDateTime

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Create the ledger."""
    op.create_table(
        "core__jobs",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("plugin", sa.String(32), nullable=False),
        sa.Column("action", sa.String(80), nullable=False),
        sa.Column("subject", sa.String(120), nullable=False),
        sa.Column("organisation", sa.String(40), nullable=False),
        sa.Column("actor", sa.String(120), nullable=False),
        sa.Column("trigger", sa.String(160), nullable=False),
        sa.Column("input", sa.LargeBinary),
        sa.Column("output", sa.LargeBinary),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("run_at", UTCDateTime(), nullable=False),
        sa.Column("expires_at", UTCDateTime()),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("attempts_before", sa.Integer, nullable=False),
        sa.Column("crashes", sa.Integer, nullable=False),
        sa.Column("rule", sa.String(8), nullable=False),
        sa.Column("same", sa.String(200)),
        sa.Column("once", sa.String(200)),
        sa.Column("token", sa.String(32)),
        sa.Column("worker", sa.String(40)),
        sa.Column("lease_until", UTCDateTime()),
        sa.Column("wants_cancel", sa.Boolean, nullable=False),
        sa.Column("done", sa.Integer, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("note", sa.String(200), nullable=False),
        sa.Column("error_code", sa.String(80), nullable=False),
        sa.Column("error", sa.String(500), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("settled_at", UTCDateTime()),
        sa.UniqueConstraint("plugin", "action", "once"),
    )
    _index("ready", ["rank", "id"], "state = 'queued'")
    _index("later", ["run_at"], "state IN ('scheduled', 'retrying')")
    _index("live", ["plugin", "action", "same"], "same IS NOT NULL AND state IN ('queued', 'running', 'retrying', 'parked')", unique=True)
    _index("waiting", ["plugin", "action", "same", "id"], "state = 'waiting'")
    _index("running", ["lease_until"], "state = 'running'")
    _index("parked", ["plugin"], "state = 'parked'")
    op.create_index("core__jobs_subject_id_idx", "core__jobs", ["subject", "id"])
    op.create_index("core__jobs_settled_at_idx", "core__jobs", ["settled_at"])
    op.create_table(
        "core__job_attempts",
        sa.Column("job", sa.String(40), primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("worker", sa.String(40), nullable=False),
        sa.Column("began_at", UTCDateTime(), nullable=False),
        sa.Column("milliseconds", sa.Integer, nullable=False),
        sa.Column("outcome", sa.String(12), nullable=False),
        sa.Column("error_code", sa.String(80), nullable=False),
        sa.Column("error", sa.String(500), nullable=False),
    )
    op.create_index("core__job_attempts_began_at_idx", "core__job_attempts", ["began_at"])
    op.create_table(
        "core__job_pauses",
        sa.Column("target", sa.String(120), primary_key=True),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("by", sa.String(120), nullable=False),
        sa.Column("since", UTCDateTime(), nullable=False),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("core__job_pauses")
    op.drop_table("core__job_attempts")
    op.drop_table("core__jobs")


def _index(name: str, columns: list[Any], condition: str, *, unique: bool = False) -> None:
    where = sa.text(condition)
    op.create_index(f"core__jobs_{name}_idx", "core__jobs", columns, unique=unique, sqlite_where=where, postgresql_where=where)
