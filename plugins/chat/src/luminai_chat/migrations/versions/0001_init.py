"""Sessions, messages, resonance snapshots."""

import sqlalchemy as sa
from alembic import op

from luminai import JSONText, UTCDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "chat__sessions",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("subject", sa.String(120), nullable=False),
        sa.Column("title", sa.String(120), nullable=False),
        sa.Column("persona", sa.String(60), nullable=False),
        sa.Column("messages", sa.Integer, nullable=False),
        sa.Column("last_r", sa.Float),
        sa.Column("month_key", sa.String(7), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("updated_at", UTCDateTime(), nullable=False),
    )
    op.create_index("chat__sessions_month_key_idx", "chat__sessions", ["month_key"])
    op.create_index("chat__sessions_subject_id_created_at_idx", "chat__sessions", ["subject", "id", "created_at"])
    op.create_table(
        "chat__messages",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("session_id", sa.String(40), nullable=False),
        sa.Column("parent_id", sa.String(40)),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("persona", sa.String(60), nullable=False),
        sa.Column("persona_version", sa.Integer, nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("end_state", sa.String(20), nullable=False),
        sa.Column("usage", JSONText()),
        sa.Column("sources", JSONText(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
    )
    op.create_index("chat__messages_session_id_id_idx", "chat__messages", ["session_id", "id"])
    op.create_table(
        "chat__resonance",
        sa.Column("message_id", sa.String(40), primary_key=True),
        sa.Column("session_id", sa.String(40), nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.Column("calculator", sa.String(60), nullable=False),
        sa.Column("version", sa.String(20), nullable=False),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("witness", sa.Float, nullable=False),
        sa.Column("adjusted", sa.Float, nullable=False),
        sa.Column("report", JSONText(), nullable=False),
        sa.Column("context", JSONText(), nullable=False),
    )
    op.create_index("chat__resonance_session_id_idx", "chat__resonance", ["session_id"])
    op.create_index("chat__resonance_at_idx", "chat__resonance", ["at"])


def downgrade() -> None:
    """Drop them."""
    for table in ("chat__resonance", "chat__messages", "chat__sessions"):
        op.drop_table(table)
