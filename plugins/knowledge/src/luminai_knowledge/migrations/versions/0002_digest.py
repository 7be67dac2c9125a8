"""What a passage says, as a digest: by it an index of meanings knows the passage again."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column; the next start reads all files anew and fills it."""
    op.add_column("knowledge__passages", sa.Column("digest", sa.String(32), nullable=False, server_default=""))
    op.create_index("knowledge__passages_digest_idx", "knowledge__passages", ["digest"])


def downgrade() -> None:
    """Drop it."""
    op.drop_index("knowledge__passages_digest_idx", "knowledge__passages")
    op.drop_column("knowledge__passages", "digest")
