"""People: identity checks, telephone numbers as a second factor, and roles that follow the plugins."""

import sqlalchemy as sa
from alembic import op

from luminai.data.types import UTCDateTime

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Make table and columns. Roles that no operator has written go on as what plugins say."""
    op.create_table(
        "core__identity_checks",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("person_id", sa.String(40), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("checked_by", sa.String(80), nullable=False),
        sa.Column("claim", sa.LargeBinary),
        sa.Column("finding", sa.LargeBinary),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("settled_at", UTCDateTime()),
    )
    op.create_index("core__identity_checks_person_id_idx", "core__identity_checks", ["person_id"])
    with op.batch_alter_table("core__people") as table:
        table.add_column(sa.Column("identity_state", sa.String(12), nullable=False, server_default="none"))
        table.add_column(sa.Column("phone", sa.LargeBinary))
        table.add_column(sa.Column("phone_pending", sa.LargeBinary))
    op.add_column("core__roles", sa.Column("follows_plugins", sa.Boolean, nullable=False, server_default=sa.false()))
    _let_unwritten_roles_follow()


def _let_unwritten_roles_follow() -> None:
    """The audit log tells which roles were written by somebody; where entries have expired it cannot, and roles stay as they are."""
    roles = sa.table("core__roles", sa.column("id"), sa.column("follows_plugins", sa.Boolean))
    entries = sa.table("core__audit_entries", sa.column("action"), sa.column("object"))
    written = sa.select(entries.c.object).where(entries.c.action == "role.write")
    expired = sa.select(entries.c.action).where(entries.c.action.is_(None))
    unwritten = (roles.c.id != "admin") & roles.c.id.not_in(written) & ~sa.exists(expired)
    op.execute(roles.update().where(unwritten).values(follows_plugins=True))


def downgrade() -> None:
    """Take them out again."""
    with op.batch_alter_table("core__roles") as table:
        table.drop_column("follows_plugins")
    with op.batch_alter_table("core__people") as table:
        for name in ("phone_pending", "phone", "identity_state"):
            table.drop_column(name)
    op.drop_table("core__identity_checks")
