"""The core's tables of people. What identifies a person is sealed under that person's own key, so that it ends with the key."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table, false

from luminai.data.tables import core_metadata
from luminai.data.types import JSONText, UTCDateTime

people: Final = Table(
    "core__people",
    core_metadata,
    Column("id", String(40), primary_key=True, info={"data": "personal"}),
    Column("email_digest", LargeBinary(32), unique=True, info={"data": "personal", "secret": True}),  # keyed; none when erased
    Column("profile", LargeBinary, info={"data": "personal"}),  # sealed: address and name
    Column("status", String(12), nullable=False),  # invited, active, suspended, erased
    Column("verified_at", UTCDateTime()),
    Column("password", String(200), info={"data": "sensitive", "secret": True}),
    Column("preferences", JSONText(), nullable=False, info={"data": "personal"}),
    Column("totp_secret", LargeBinary, info={"data": "sensitive", "secret": True}),  # sealed
    Column("totp_pending", LargeBinary, info={"data": "sensitive", "secret": True}),  # sealed; enrolled, not yet confirmed
    Column("totp_last_step", BigInteger, nullable=False),
    Column("phone", LargeBinary, info={"data": "sensitive"}),  # sealed; where codes are sent
    Column("phone_pending", LargeBinary, info={"data": "sensitive"}),  # sealed; enrolled, not yet confirmed
    Column("identity_state", String(12), nullable=False, server_default="none", info={"data": "sensitive"}),  # of the newest identity check
    Column("created_at", UTCDateTime(), nullable=False),
    Column("updated_at", UTCDateTime(), nullable=False),
    info={
        "data": "internal",
        "subject": "id",
        "owner": "id",
        "retention": "until the person is erased",
        "kept": "the emptied row keeps the id from ever meaning somebody else",
    },
)

sessions: Final = Table(
    "core__sessions",
    core_metadata,
    Column("id", String(40), primary_key=True),
    Column("person_id", String(40), nullable=False, index=True, info={"data": "personal"}),
    Column("organisation_id", String(40), nullable=False),
    Column("device", LargeBinary, nullable=False, info={"data": "personal"}),  # sealed: name and address
    Column("created_at", UTCDateTime(), nullable=False),
    Column("authenticated_at", UTCDateTime(), nullable=False),
    Column("last_used_at", UTCDateTime(), nullable=False),
    Column("idle_ends_at", UTCDateTime(), nullable=False),
    Column("ends_at", UTCDateTime(), nullable=False, index=True),
    Column("revoked_at", UTCDateTime()),
    info={"data": "internal", "subject": "person_id", "owner": "person_id", "retention": "30 days after the session's end"},
)

refresh_tokens: Final = Table(
    "core__refresh_tokens",
    core_metadata,
    Column("digest", LargeBinary(32), primary_key=True, info={"data": "internal", "secret": True}),
    Column("session_id", String(40), nullable=False, index=True),
    Column("used_at", UTCDateTime()),
    info={
        "data": "internal",
        "subject": "session_id",
        "through": "core__sessions",
        "ownerless": "a token is found by its digest before anybody is known, and names nobody, only a session, which has an owner",
        "retention": "as the session",
    },
)

one_time_tokens: Final = Table(
    "core__one_time_tokens",
    core_metadata,
    Column("digest", LargeBinary(32), primary_key=True, info={"data": "internal", "secret": True}),
    Column("person_id", String(40), nullable=False, info={"data": "personal"}),
    Column("purpose", String(12), nullable=False),  # verify, reset, invite, mfa, sms, sms-enrol
    Column("tries_left", Integer, nullable=False),
    Column("expires_at", UTCDateTime(), nullable=False, index=True),
    Index(None, "person_id", "purpose"),
    info={"data": "internal", "subject": "person_id", "owner": "person_id", "retention": "until used or expired, at most 7 days"},
)

identity_checks: Final = Table(
    "core__identity_checks",
    core_metadata,
    Column("id", String(40), primary_key=True),
    Column("person_id", String(40), nullable=False, index=True, info={"data": "personal"}),
    Column("state", String(12), nullable=False, info={"data": "sensitive"}),  # pending, verified, rejected, expired
    Column("checked_by", String(80), nullable=False, info={"data": "internal"}),  # the name of the plugin's check
    Column("claim", LargeBinary, info={"data": "sensitive"}),  # sealed; none once settled
    Column("finding", LargeBinary, info={"data": "sensitive"}),  # sealed: reasons and what the service calls it
    Column("created_at", UTCDateTime(), nullable=False),
    Column("settled_at", UTCDateTime()),
    info={"data": "internal", "subject": "person_id", "owner": "person_id", "retention": "until the person is erased"},
)
"""What plugins found out about who somebody is, one person to many."""

recovery_codes: Final = Table(
    "core__recovery_codes",
    core_metadata,
    Column("digest", LargeBinary(32), primary_key=True, info={"data": "internal", "secret": True}),
    Column("person_id", String(40), nullable=False, index=True, info={"data": "personal"}),
    info={"data": "internal", "subject": "person_id", "owner": "person_id", "retention": "until used or replaced"},
)

outside_identities: Final = Table(
    "core__outside_identities",
    core_metadata,
    Column("issuer", String(255), primary_key=True),
    Column("sub_digest", LargeBinary(32), primary_key=True, info={"data": "personal", "secret": True}),  # keyed, of ``sub``
    Column("person_id", String(40), nullable=False, index=True, info={"data": "personal"}),
    Column("created_at", UTCDateTime(), nullable=False),
    info={"data": "personal", "subject": "person_id", "owner": "person_id", "retention": "until the person is erased"},
)
"""Sign-in elsewhere is known by issuer and ``sub``, never by e-mail."""

throttles: Final = Table(
    "core__throttles",
    core_metadata,
    Column("digest", LargeBinary(32), primary_key=True, info={"data": "personal"}),  # of what is counted
    Column("full_at", BigInteger, nullable=False, index=True),  # microseconds since 1970: when the whole burst is there again
    info={
        "data": "internal",
        "unlinked": "a digest of an address or a name; nobody can be found by it",
        "retention": "minutes, until all tries are there again",
    },
)

signing_keys: Final = Table(
    "core__signing_keys",
    core_metadata,
    Column("id", String(40), primary_key=True),
    Column("state", String(12), nullable=False),  # next, active, retiring, destroyed
    Column("public_key", LargeBinary, nullable=False),
    Column("private_key", LargeBinary),  # sealed; none once destroyed
    Column("created_at", UTCDateTime(), nullable=False),
    Column("changed_at", UTCDateTime(), nullable=False),
    info={"data": "internal"},
)

identity_secrets: Final = Table(
    "core__identity_secrets",
    core_metadata,
    Column("id", String(40), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    info={"data": "internal"},
)

organisations: Final = Table(
    "core__organisations",
    core_metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(120), nullable=False, info={"data": "internal"}),
    Column("created_at", UTCDateTime(), nullable=False),
    info={"data": "internal"},
)

memberships: Final = Table(
    "core__memberships",
    core_metadata,
    Column("person_id", String(40), primary_key=True, info={"data": "personal"}),
    Column("organisation_id", String(40), primary_key=True, index=True),  # "hub" for rights in the whole hub
    Column("role", String(32), primary_key=True, index=True),
    Column("status", String(12), nullable=False),  # invited, confirmed, suspended
    Column("created_at", UTCDateTime(), nullable=False),
    info={"data": "personal", "subject": "person_id", "owner": "person_id", "retention": "until the person is erased"},
)

roles: Final = Table(
    "core__roles",
    core_metadata,
    Column("id", String(32), primary_key=True),
    Column("title", String(120), nullable=False, info={"data": "internal"}),
    Column("follows_plugins", Boolean, nullable=False, server_default=false()),  # until an operator writes the role
    info={"data": "internal"},
)

role_scopes: Final = Table(
    "core__role_scopes",
    core_metadata,
    Column("role", String(32), primary_key=True),
    Column("plugin_id", String(32), primary_key=True),  # "hub" for the core's, "*" for all; a purge takes a plugin's rows along
    Column("verb", String(64), primary_key=True),
    info={"data": "internal"},
)

outside_trips: Final = Table(
    "core__outside_trips",
    core_metadata,
    Column("digest", LargeBinary(32), primary_key=True, info={"data": "internal", "secret": True}),  # keyed, of ``state`` and the browser's cookie
    Column("provider", String(32), nullable=False),
    Column("person_id", String(40), nullable=False, info={"data": "personal"}),  # whom the identity is linked to; "" for signing in
    Column("session_id", String(40), nullable=False),
    Column("next_path", String(512), nullable=False),
    Column("expires_at", UTCDateTime(), nullable=False, index=True),
    info={"data": "internal", "subject": "person_id", "owner": "person_id", "retention": "until used or expired, at most 10 minutes"},
)
"""Who was sent to a sign-in elsewhere and has not come back. Nothing in it is of use without the browser's cookie."""

waiting_identities: Final = Table(
    "core__waiting_identities",
    core_metadata,
    Column("digest", LargeBinary(32), primary_key=True, info={"data": "internal", "secret": True}),  # keyed, of the browser's cookie
    Column("issuer", String(255), nullable=False),
    Column("sub_digest", LargeBinary(32), nullable=False, info={"data": "personal", "secret": True}),
    Column("profile", LargeBinary, nullable=False, info={"data": "personal"}),  # sealed: address and name, and whether the provider vouches for it
    Column("expires_at", UTCDateTime(), nullable=False, index=True),
    info={
        "data": "internal",
        "unlinked": "whoever signs in elsewhere has not shown yet who that is here",
        "retention": "until used or expired, at most 30 minutes",
    },
)
"""Identities that wait until somebody shows that an account, or an address, is theirs."""
