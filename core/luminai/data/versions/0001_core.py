"""Idempotency, outbox, plugin wishes, API keys, set-up tokens."""

from alembic import op

from luminai.data.tables import core_metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the first tables of the core."""
    core_metadata.create_all(op.get_bind())


def downgrade() -> None:
    """Drop them."""
    core_metadata.drop_all(op.get_bind())
