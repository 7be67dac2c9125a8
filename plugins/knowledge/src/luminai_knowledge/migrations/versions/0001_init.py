"""Documents, passages, and the search index of the database at hand."""

import sqlalchemy as sa
from alembic import op

from luminai import JSONText, UTCDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "knowledge__documents",
        sa.Column("id", sa.String(255), nullable=False),
        sa.Column("folder", sa.String(80), nullable=False),
        sa.Column("file", sa.String(1000), nullable=False),
        sa.Column("path", sa.String(1000), nullable=False),
        sa.Column("title", sa.String(300), nullable=False),
        sa.Column("url", sa.String(3200), nullable=False),
        sa.Column("tags", JSONText(), nullable=False),
        sa.Column("markdown", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("sections", JSONText(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("problem", sa.String(300), nullable=False),
        sa.Column("indexed_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="knowledge__documents_pkey"),
        sa.UniqueConstraint("folder", "file", name="knowledge__documents_folder_file_key"),
    )
    op.create_index("knowledge__documents_url_idx", "knowledge__documents", ["url"])
    op.create_table(
        "knowledge__passages",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("document_id", sa.String(255), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("headings", JSONText(), nullable=False),
        sa.Column("anchor", sa.String(400), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="knowledge__passages_pkey"),
        sa.ForeignKeyConstraint(["document_id"], ["knowledge__documents.id"], name="knowledge__passages_document_id_fkey"),
    )
    op.create_index("knowledge__passages_document_id_idx", "knowledge__passages", ["document_id"])
    if op.get_bind().dialect.name == "sqlite":
        # Stems come from the plugin, so the tokenizer has nothing to do but to cut at spaces.
        op.execute("CREATE VIRTUAL TABLE knowledge__search USING fts5(heading, body, tokenize='unicode61 remove_diacritics 0')")
        op.execute("CREATE VIRTUAL TABLE knowledge__vocabulary USING fts5vocab('knowledge__search', 'row')")
    else:
        op.execute("CREATE TABLE knowledge__search (passage_id integer PRIMARY KEY, vector tsvector NOT NULL)")
        op.execute("CREATE INDEX knowledge__search_vector_idx ON knowledge__search USING gin (vector)")


def downgrade() -> None:
    """Drop them."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE knowledge__vocabulary")
    op.execute("DROP TABLE knowledge__search")
    op.drop_table("knowledge__passages")
    op.drop_table("knowledge__documents")
