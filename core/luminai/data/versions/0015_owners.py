"""PostgreSQL itself keeps the core's rows of people apart."""

from typing import Final

from alembic import op

from luminai.data.row_security import disable_owner_policy, enable_owner_policy

revision = "0015"
down_revision = "0014"
COLUMNS: Final = {
    "core__api_keys": "subject",
    "core__consents": "person_id",
    "core__identity_checks": "person_id",
    "core__memberships": "person_id",
    "core__one_time_tokens": "person_id",
    "core__outside_identities": "person_id",
    "core__outside_trips": "person_id",
    "core__people": "id",
    "core__recovery_codes": "person_id",
    "core__sessions": "person_id",
}


def upgrade() -> None:
    """Set the policies."""
    for table, column in COLUMNS.items():
        enable_owner_policy(op, table, column)


def downgrade() -> None:
    """Take them away."""
    for table in COLUMNS:
        disable_owner_policy(op, table)
