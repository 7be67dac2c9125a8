"""Organisations: invitations, and the role of their owners."""

import sqlalchemy as sa
from alembic import op

from luminai.data.types import JSONText, UTCDateTime

revision = "0014"
down_revision = "0013"
OWNER, SCOPES = "owner", {"plugin_id": "organisation", "verb": "*"}


def upgrade() -> None:
    """Make the table and the role. A role of this name that is there already stays as it is, and may manage its organisations too."""
    op.create_table(
        "core__invitations",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("organisation_id", sa.String(40), nullable=False),
        sa.Column("person_id", sa.String(40), nullable=False),
        sa.Column("invited_by", sa.String(40), nullable=False),
        sa.Column("email_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("email", sa.LargeBinary, nullable=False),
        sa.Column("token_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("roles", JSONText(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("expires_at", UTCDateTime(), nullable=False),
        sa.UniqueConstraint("token_digest", name="core__invitations_token_digest_key"),
        sa.UniqueConstraint("organisation_id", "email_digest", name="core__invitations_organisation_id_email_digest_key"),
    )
    for column in ("person_id", "invited_by", "email_digest", "expires_at"):
        op.create_index(f"core__invitations_{column}_idx", "core__invitations", [column])
    roles = sa.table("core__roles", sa.column("id", sa.String), sa.column("title", sa.String), sa.column("follows_plugins", sa.Boolean))
    scopes = sa.table("core__role_scopes", *(sa.column(name, sa.String) for name in ("role", "plugin_id", "verb")))
    missing = sa.select(sa.literal(OWNER), sa.literal("Owns an organisation"), sa.true()).where(
        ~sa.exists(sa.select(roles.c.id).where(roles.c.id == OWNER))
    )
    op.execute(roles.insert().from_select(["id", "title", "follows_plugins"], missing))
    op.execute(scopes.insert().values(role=OWNER, **SCOPES))


def downgrade() -> None:
    """Take the table out again. The role stays: somebody may hold it."""
    scopes = sa.table("core__role_scopes", *(sa.column(name, sa.String) for name in ("role", "plugin_id", "verb")))
    op.execute(scopes.delete().where(scopes.c.plugin_id == SCOPES["plugin_id"]))
    op.drop_table("core__invitations")
