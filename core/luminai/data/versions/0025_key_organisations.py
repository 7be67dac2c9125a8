"""Which organisation an API key acts for."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0023"


def upgrade() -> None:
    """Add the column. Keys of before act for their subject alone, as they did."""
    with op.batch_alter_table("core__api_keys") as table:
        table.add_column(sa.Column("organisation_id", sa.String(40), nullable=False, server_default=""))
        table.create_index("core__api_keys_organisation_id_idx", ["organisation_id"])


def downgrade() -> None:
    """Take it out again, with the keys of organisations: without it they would act for their people everywhere."""
    op.execute("DELETE FROM core__api_keys WHERE organisation_id <> ''")
    with op.batch_alter_table("core__api_keys") as table:
        table.drop_index("core__api_keys_organisation_id_idx")
        table.drop_column("organisation_id")
