"""People: accounts, sessions, second factors, roles, and the keys that sign their tokens."""

import sqlalchemy as sa
from alembic import op

from luminai.data.types import JSONText, UTCDateTime

revision = "0004"
down_revision = "0003"

ROLES = {
    "member": ("Uses the products", []),
    "viewer": ("Reads", []),
    "admin": ("Runs the hub", [("*", "*")]),
}
"""What a new hub begins with; plugins say what these roles may do with them, and an operator edits them."""


def upgrade() -> None:
    """Make the tables and the first roles."""
    _accounts()
    _proofs()
    _rights()


def _accounts() -> None:
    op.create_table(
        "core__people",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("email_digest", sa.LargeBinary(32)),
        sa.Column("profile", sa.LargeBinary),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("verified_at", UTCDateTime()),
        sa.Column("password", sa.String(200)),
        sa.Column("preferences", JSONText(), nullable=False),
        sa.Column("totp_secret", sa.LargeBinary),
        sa.Column("totp_pending", sa.LargeBinary),
        sa.Column("totp_last_step", sa.BigInteger, nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("updated_at", UTCDateTime(), nullable=False),
        sa.UniqueConstraint("email_digest", name="core__people_email_digest_key"),
    )
    op.create_table(
        "core__sessions",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("person_id", sa.String(40), nullable=False),
        sa.Column("organisation_id", sa.String(40), nullable=False),
        sa.Column("device", sa.LargeBinary, nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("authenticated_at", UTCDateTime(), nullable=False),
        sa.Column("last_used_at", UTCDateTime(), nullable=False),
        sa.Column("idle_ends_at", UTCDateTime(), nullable=False),
        sa.Column("ends_at", UTCDateTime(), nullable=False),
        sa.Column("revoked_at", UTCDateTime()),
    )
    _index("sessions", "person_id", "ends_at")
    op.create_table(
        "core__outside_identities",
        sa.Column("issuer", sa.String(255), primary_key=True),
        sa.Column("sub_digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("person_id", sa.String(40), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
    )
    _index("outside_identities", "person_id")


def _proofs() -> None:
    op.create_table(
        "core__refresh_tokens",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("session_id", sa.String(40), nullable=False),
        sa.Column("used_at", UTCDateTime()),
    )
    _index("refresh_tokens", "session_id")
    op.create_table(
        "core__one_time_tokens",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("person_id", sa.String(40), nullable=False),
        sa.Column("purpose", sa.String(12), nullable=False),
        sa.Column("tries_left", sa.Integer, nullable=False),
        sa.Column("expires_at", UTCDateTime(), nullable=False),
    )
    _index("one_time_tokens", "expires_at")
    op.create_index("core__one_time_tokens_person_id_purpose_idx", "core__one_time_tokens", ["person_id", "purpose"])
    op.create_table(
        "core__recovery_codes",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("person_id", sa.String(40), nullable=False),
    )
    _index("recovery_codes", "person_id")
    op.create_table(
        "core__throttles",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("full_at", sa.BigInteger, nullable=False),
    )
    _index("throttles", "full_at")
    op.create_table(
        "core__signing_keys",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("private_key", sa.LargeBinary),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("changed_at", UTCDateTime(), nullable=False),
    )
    op.create_table(
        "core__identity_secrets",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )


def _rights() -> None:
    op.create_table(
        "core__organisations",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
    )
    op.create_table(
        "core__memberships",
        sa.Column("person_id", sa.String(40), primary_key=True),
        sa.Column("organisation_id", sa.String(40), primary_key=True),
        sa.Column("role", sa.String(32), primary_key=True),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
    )
    _index("memberships", "organisation_id", "role")
    roles = op.create_table(
        "core__roles",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("title", sa.String(120), nullable=False),
    )
    scopes = op.create_table(
        "core__role_scopes",
        sa.Column("role", sa.String(32), primary_key=True),
        sa.Column("plugin_id", sa.String(32), primary_key=True),
        sa.Column("verb", sa.String(64), primary_key=True),
    )
    op.bulk_insert(roles, [{"id": name, "title": title} for name, (title, _) in ROLES.items()])
    rows = [{"role": name, "plugin_id": plugin, "verb": verb} for name, (_, given) in ROLES.items() for plugin, verb in given]
    op.bulk_insert(scopes, rows)


def _index(table: str, *columns: str) -> None:
    for column in columns:
        op.create_index(f"core__{table}_{column}_idx", f"core__{table}", [column])


def downgrade() -> None:
    """Take them out again."""
    names = "role_scopes roles memberships organisations identity_secrets signing_keys throttles recovery_codes one_time_tokens"
    for name in (*names.split(), "refresh_tokens", "outside_identities", "sessions", "people"):
        op.drop_table(f"core__{name}")
