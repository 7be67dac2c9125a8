"""Invitations into organisations: a letter with a token that holds once, for the account of the address it was sent to and for no other.

Nothing in an answer tells whether the address has an account. An invitation holds no longer than the rights of whoever sent it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from luminai.audit.log import ANONYMOUS
from luminai.contracts.audit import AuditEntry
from luminai.contracts.errors import Conflict, HubError, NotFound, Unprocessable
from luminai.contracts.identity import Actor
from luminai.contracts.vault import HUB_SUBJECT
from luminai.data.ids import new_id
from luminai.data.tables_organisations import invitations
from luminai.data.tables_people import people
from luminai.identity.administration import check_rights
from luminai.identity.memberships import MEMBERS, acting_in, check_room, inside, row_of
from luminai.identity.one_time import LIFETIMES
from luminai.identity.organisations import Organisation, find
from luminai.identity.people import checked_email, email_digest
from luminai.identity.roles import MEMBER, give_roles, roles_of, scopes_of_roles
from luminai.identity.throttle import PER_ADDRESS, Rate, network_of

if TYPE_CHECKING:
    from luminai.identity.identity import Identity

MAX_OPEN: Final = 100
"""Invitations of one organisation that wait for an answer."""
_SENDING: Final = Rate(30, 3600)


class InvitationInfo(Struct, frozen=True, kw_only=True):
    """An invitation that waits for an answer."""

    id: str
    email: str
    roles: tuple[str, ...]
    invited_by: str
    created_at: datetime
    expires_at: datetime


class Invited(Struct, frozen=True, kw_only=True):
    """Who was invited. ``token`` is there only where no letter can be sent: hand it over yourself."""

    invitation: InvitationInfo
    token: str | None


async def invite(identity: Identity, organisation: str, *, email: str, roles: Iterable[str], by: Actor) -> Invited:
    """Invite the owner of an address; a second invitation replaces the first.

    Raises:
        InvalidInput: it is no address (code ``bad-address``).
        NotFound: no such organisation or role is there.
        Forbidden: the actor lacks ``organisation:members`` (code ``missing-scope``), or a role reaches beyond the actor's rights there
            (``role-beyond-own``).
        Conflict: a member has the address (code ``already-member``), or ``MAX_OPEN`` invitations wait (``too-many-invitations``).
        RateLimited: too many invitations within the hour.
    """
    email, wanted = checked_email(email), sorted(set(roles)) or [MEMBER]
    await identity.throttle.count(_SENDING, f"invitations:{by.subject}")
    digests = await identity.digests.get()
    now, token, columns = identity.clock.now(), secrets.token_urlsafe(32), invitations.c
    digest, invitation = email_digest(digests, email), new_id("inv")
    expires = now + LIFETIMES["invite"]

    def unit(session: Session) -> InvitationInfo:
        acting = acting_in(session, by, organisation, MEMBERS, as_operator=False)
        check_rights(acting, scopes_of_roles(session, wanted))
        known = identity.people.by_email(session, digest)
        person = known.id if known is not None else ""
        if person and roles_of(session, person, organisation=organisation):
            raise Conflict("This address belongs to a member.", code="already-member", hint="Change the member's roles instead.")
        session.execute(delete(invitations).where(columns.organisation_id == organisation, columns.email_digest == digest))
        if session.execute(select(func.count()).where(columns.organisation_id == organisation)).scalar_one() >= MAX_OPEN:
            raise Conflict(f"{MAX_OPEN} invitations wait for an answer.", code="too-many-invitations", hint="Withdraw one.")
        subject = person or HUB_SUBJECT
        row = {"id": invitation, "organisation_id": organisation, "person_id": person, "invited_by": by.subject, "email_digest": digest}
        row["email"] = identity.vault.seal(session, subject=subject, place=_place(invitation), value=email.encode())
        row |= {"token_digest": digests.of("organisation", token), "roles": wanted, "created_at": now, "expires_at": expires}
        session.execute(insert(invitations).values(**row))
        if identity.has_mail:
            identity.letters.organisation(session, subject, email, row_of(session, organisation).name, token, expires)
        entry = AuditEntry(action="organisation.invite", object=organisation, subject=person, detail={"invitation": invitation, "roles": wanted})
        identity.audit.record(session, by, entry)
        return InvitationInfo(id=invitation, email=email, roles=tuple(wanted), invited_by=by.subject, created_at=now, expires_at=expires)

    made = await identity.database.write(unit)
    return Invited(invitation=made, token=None if identity.has_mail else token)


async def page(identity: Identity, organisation: str, *, by: Actor, limit: int, before: str | None) -> list[InvitationInfo]:
    """Return the invitations that wait, newest first, those behind the id ``before``.

    Raises:
        NotFound: no such organisation is there. Forbidden: the actor lacks ``organisation:members`` there (code ``missing-scope``).
    """
    columns = invitations.c
    waiting = (columns.organisation_id == organisation) & (columns.expires_at > identity.clock.now())
    query = select(invitations).where(waiting).order_by(columns.id.desc()).limit(limit)
    query = query.where(columns.id < before) if before else query

    def unit(session: Session) -> list[InvitationInfo]:
        acting_in(session, by, organisation, MEMBERS, as_operator=False)
        return [_info(identity, session, row) for row in session.execute(query)]

    return await identity.database.read(unit)


async def withdraw(identity: Identity, organisation: str, invitation: str, *, by: Actor) -> None:
    """Take an invitation back.

    Raises:
        NotFound: no such organisation or invitation is there (codes ``organisation-not-found``, ``invitation-not-found``).
        Forbidden: the actor lacks ``organisation:members`` there (code ``missing-scope``).
    """
    columns = invitations.c

    def unit(session: Session) -> None:
        acting_in(session, by, organisation, MEMBERS, as_operator=False)
        taken = delete(invitations).where(columns.id == invitation, columns.organisation_id == organisation)
        if session.execute(taken.returning(columns.id)).first() is None:
            hint = "The organisation's invitations lists those that wait."
            raise NotFound(f"There is no invitation {invitation}.", code="invitation-not-found", hint=hint)
        entry = AuditEntry(action="organisation.withdraw", object=organisation, detail={"invitation": invitation})
        identity.audit.record(session, by, entry)

    await identity.database.write(unit)


async def accept(identity: Identity, token: str, *, by: Actor) -> Organisation:
    """Use an invitation up and join the organisation.

    Raises:
        Unprocessable: the token is wrong, used, expired or withdrawn, it was sent to another address, or its sender could not send it any more (code
            ``invitation-refused``).
        Conflict: the organisation is full (code ``organisation-full``).
    """
    digests, now, columns = await identity.digests.get(), identity.clock.now(), invitations.c
    mine = columns.email_digest.in_(select(people.c.email_digest).where(people.c.id == by.subject))
    taken = delete(invitations).where(columns.token_digest == digests.of("organisation", token), mine, columns.expires_at > now)

    def unit(session: Session) -> str:
        found = session.execute(taken.returning(columns.organisation_id, columns.invited_by, columns.roles)).first()
        if found is None:
            raise _refused()
        organisation: str = found.organisation_id
        _check_sender(session, found)
        held = roles_of(session, by.subject, organisation=organisation)
        if not held:
            check_room(session, organisation)
        give_roles(session, by.subject, {*held, *found.roles}, now, organisation=organisation)
        entry = AuditEntry(action="organisation.accept", object=organisation, subject=by.subject, detail={"roles": list(found.roles)})
        identity.audit.record(session, by, entry)
        return organisation

    organisation = await identity.database.write(unit)
    identity.forget(by.subject)
    return await find(identity, organisation, by)


async def decline(identity: Identity, token: str, *, by: Actor | None, address: str) -> None:
    """Use an invitation up without joining; whoever has the token has read the letter.

    Raises:
        Unprocessable: the token is wrong, used, expired or withdrawn (code ``invitation-refused``).
        RateLimited: too many tries from this address.
    """
    await identity.throttle.count(PER_ADDRESS, f"address:{network_of(address)}")
    digests, columns = await identity.digests.get(), invitations.c
    taken = delete(invitations).where(columns.token_digest == digests.of("organisation", token), columns.expires_at > identity.clock.now())

    def unit(session: Session) -> None:
        found = session.execute(taken.returning(columns.id, columns.organisation_id, columns.person_id)).first()
        if found is None:
            raise _refused()
        entry = AuditEntry(action="organisation.decline", object=found.organisation_id, subject=found.person_id, detail={"invitation": found.id})
        identity.audit.record(session, by or ANONYMOUS, entry)

    await identity.database.write(unit)


def tidy(session: Session, now: datetime) -> None:
    """Delete invitations that have run out."""
    session.execute(delete(invitations).where(invitations.c.expires_at <= now))


def void(session: Session, organisation: str) -> None:
    """Delete the invitations of an organisation."""
    session.execute(delete(invitations).where(invitations.c.organisation_id == organisation))


def _check_sender(session: Session, invitation: Any) -> None:
    """Refuse an invitation that its sender could not send any more."""
    status = session.execute(select(people.c.status).where(people.c.id == invitation.invited_by)).scalar()
    try:
        sender = inside(session, Actor(invitation.invited_by, invitation.invited_by), invitation.organisation_id)
        check_rights(sender, {MEMBERS, *scopes_of_roles(session, invitation.roles)})
    except HubError as error:
        raise _refused() from error
    if status != "active":
        raise _refused()


def _info(identity: Identity, session: Session, row: Any) -> InvitationInfo:
    try:
        email = identity.vault.open(session, subject=row.person_id or HUB_SUBJECT, place=_place(row.id), sealed=bytes(row.email)).decode()
    except HubError:  # the person's key is destroyed
        email = ""
    moments = {"created_at": row.created_at, "expires_at": row.expires_at}
    return InvitationInfo(id=row.id, email=email, roles=tuple(row.roles), invited_by=row.invited_by, **moments)


def _place(invitation: str) -> str:
    return f"{invitations.name}.email:{invitation}"


def _refused() -> Unprocessable:
    hint = "Sign in with the address that the letter was sent to, or ask for a new one."
    return Unprocessable("The invitation is wrong, used, expired, or meant for somebody else.", code="invitation-refused", hint=hint)
