"""Collections, their vectors, and which model they were made by."""

import sqlalchemy as sa
from alembic import op

from luminai import UTCDateTime, disable_owner_policy, enable_owner_policy

revision = "0001"
down_revision = None

OWNED = ("vectors__collections", "vectors__items")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "vectors__collections",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("owner", sa.String(120), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("dimension", sa.Integer, nullable=False),
        sa.Column("revision", BIG, nullable=False),
        sa.Column("items", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="vectors__collections_pkey"),
        sa.UniqueConstraint("owner", "name", name="vectors__collections_owner_name_key"),
    )
    op.create_table(
        "vectors__items",
        sa.Column("number", BIG, nullable=False),
        sa.Column("owner", sa.String(120), nullable=False),
        sa.Column("collection_id", sa.String(40), nullable=False),
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("revision", BIG, nullable=False),
        sa.Column("signs", sa.LargeBinary, nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("number", name="vectors__items_pkey"),
        sa.UniqueConstraint("collection_id", "id", name="vectors__items_collection_id_id_key"),
        sa.ForeignKeyConstraint(["collection_id"], ["vectors__collections.id"], name="vectors__items_collection_id_fkey"),
    )
    op.create_index("vectors__items_signs_idx", "vectors__items", ["collection_id", "revision", "number", "owner", "signs"])
    op.create_table(
        "vectors__embedded",
        sa.Column("collection", sa.String(100), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("stored", sa.String(200), nullable=False),
        sa.Column("store", sa.String(100), nullable=False),
        sa.Column("updated_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("collection", name="vectors__embedded_pkey"),
    )
    for table in OWNED:
        enable_owner_policy(op, table, "owner")


def downgrade() -> None:
    """Drop them."""
    for table in OWNED:
        disable_owner_policy(op, table)
    op.drop_table("vectors__embedded")
    op.drop_table("vectors__items")
    op.drop_table("vectors__collections")
