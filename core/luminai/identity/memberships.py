"""Who belongs to an organisation, in which roles, and what they may do there.

An organisation that somebody does not belong to is not there for them. Operators (``as_operator``) stand outside: they need no membership, and are
measured by their own scopes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, structs
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from luminai.contracts.audit import AuditEntry
from luminai.contracts.errors import Conflict, Forbidden, NotFound
from luminai.contracts.identity import Actor
from luminai.data.tables_people import memberships, organisations, people, sessions
from luminai.identity.administration import check_rights
from luminai.identity.key_rows import end_keys
from luminai.identity.roles import give_roles, roles_of, scopes_of, scopes_of_roles

if TYPE_CHECKING:
    from luminai.identity.identity import Identity

OWNER: Final = "owner"
"""The role that an organisation must always have somebody in."""
MEMBERS: Final = "organisation:members"
MANAGE: Final = "organisation:manage"
MAX_MEMBERS: Final = 1000


class Member(Struct, frozen=True, kw_only=True):
    """Somebody who belongs to an organisation. ``email`` is empty for those who may not invite."""

    id: str
    name: str
    email: str
    roles: tuple[str, ...]


async def members(identity: Identity, organisation: str, *, by: Actor, limit: int, after: str | None, as_operator: bool = False) -> list[Member]:
    """Return who belongs to an organisation, by id, those behind the id ``after``.

    Raises:
        NotFound: there is none (code ``organisation-not-found``).
    """
    theirs = (memberships.c.organisation_id == organisation) & (memberships.c.status == "confirmed")
    query = select(memberships.c.person_id).where(theirs).distinct().order_by(memberships.c.person_id).limit(limit)
    query = query.where(memberships.c.person_id > after) if after else query

    def unit(session: Session) -> list[Member]:
        acting = acting_in(session, by, organisation, "", as_operator=as_operator)
        shows_email = as_operator or acting.may(MEMBERS)
        return [_member(identity, session, organisation, person, shows_email=shows_email) for person in session.execute(query).scalars().all()]

    return await identity.database.read(unit)


async def check_scope(identity: Identity, organisation: str, scope: str, *, by: Actor) -> None:
    """Refuse whoever may not do this there.

    Raises:
        NotFound: there is none (code ``organisation-not-found``). Forbidden: the actor lacks ``scope`` there (code ``missing-scope``).
    """
    await identity.database.read(lambda session: acting_in(session, by, organisation, scope, as_operator=False))


async def set_roles(identity: Identity, organisation: str, person: str, roles: Iterable[str], *, by: Actor, as_operator: bool = False) -> Member:
    """Let a member hold exactly these roles there; an operator also makes members.

    Raises:
        NotFound: no such organisation, member or role is there (codes ``organisation-not-found``, ``member-not-found``, ``role-not-found``).
        Forbidden: the actor lacks ``organisation:members`` (code ``missing-scope``), or a role reaches beyond the actor's rights there
            (``role-beyond-own``).
        Conflict: nobody would own it (code ``last-owner``), it has ``MAX_MEMBERS`` (``organisation-full``), or the person is not active
            (``person-not-active``).
    """
    now, wanted = identity.clock.now(), set(roles)

    def unit(session: Session) -> Member:
        acting = acting_in(session, by, organisation, MEMBERS, as_operator=as_operator)
        held = set(roles_of(session, person, organisation=organisation))
        if not held and not as_operator:
            raise _no_member(person)
        if not held:
            check_active(identity, session, person)
            check_room(session, organisation)
        check_rights(acting, scopes_of_roles(session, wanted - held) | taken(session, acting, held - wanted))
        if OWNER in held - wanted:
            _keep_an_owner(session, organisation, without=person)
        give_roles(session, person, wanted, now, organisation=organisation)
        detail = {"roles": sorted(wanted)}
        identity.audit.record(session, by, AuditEntry(action="organisation.roles", object=organisation, subject=person, detail=detail))
        return _member(identity, session, organisation, person, shows_email=True)

    member = await identity.database.write(unit)
    identity.forget(person)
    return member


async def remove(identity: Identity, organisation: str, person: str, *, by: Actor, as_operator: bool = False) -> None:
    """End somebody's membership at once. Whoever ends the own leaves, which needs no scope. Raises as ``set_roles``."""
    leaves = person == by.subject and not as_operator

    def unit(session: Session) -> None:
        acting = acting_in(session, by, organisation, "" if leaves else MEMBERS, as_operator=as_operator)
        held = set(roles_of(session, person, organisation=organisation))
        if not held:
            raise _no_member(person)
        if not leaves:
            check_rights(acting, taken(session, acting, held))
        if OWNER in held:
            _keep_an_owner(session, organisation, without=person)
        give_roles(session, person, (), identity.clock.now(), organisation=organisation)
        go_out(session, organisation, identity.clock.now(), person)
        action = "organisation.leave" if leaves else "organisation.remove"
        identity.audit.record(session, by, AuditEntry(action=action, object=organisation, subject=person))

    await identity.database.write(unit)
    identity.forget(person)


def go_out(session: Session, organisation: str, now: datetime, person: str | None = None) -> None:
    """Let no session and no key, or none of the person's, act for an organisation any more."""
    mine = sessions.c.organisation_id == organisation
    query = update(sessions).where(mine if person is None else mine & (sessions.c.person_id == person))
    session.execute(query.values(organisation_id=""))
    end_keys(session, organisation, now, person)


def row_of(session: Session, organisation: str) -> Any:
    """Return the row of an organisation.

    Raises:
        NotFound: there is none (code ``organisation-not-found``).
    """
    row = session.execute(select(organisations).where(organisations.c.id == organisation)).first()
    if row is None:
        raise no_organisation(organisation)
    return row


def inside(session: Session, actor: Actor, organisation: str) -> Actor:
    """Return the actor with the scopes of their membership.

    Raises:
        NotFound: they belong to no such organisation (code ``organisation-not-found``): the same as if there were none.
    """
    if not roles_of(session, actor.subject, organisation=organisation):
        raise no_organisation(organisation)
    return structs.replace(actor, scopes=scopes_of(session, actor.subject, organisation=organisation), organisation=organisation)


def acting_in(session: Session, actor: Actor, organisation: str, scope: str, *, as_operator: bool) -> Actor:
    """Return the actor with the rights that count there: those of the membership, an operator's own.

    Raises:
        NotFound: no such organisation is there for them. Forbidden: they lack ``scope`` there (code ``missing-scope``).
    """
    if as_operator:
        row_of(session, organisation)
        return actor
    acting = inside(session, actor, organisation)
    if scope and not acting.may(scope):
        raise Forbidden(f"This needs the scope {scope} in the organisation.", code="missing-scope", hint="Ask one of its owners.")
    return acting


def taken(session: Session, acting: Actor, roles: Iterable[str]) -> frozenset[str]:
    """Return the scopes that must be held to take these roles away: none by those who manage the organisation."""
    return frozenset() if acting.may(MANAGE) else scopes_of_roles(session, roles)


def check_room(session: Session, organisation: str) -> None:
    """Refuse one member too many.

    Raises:
        Conflict: there are ``MAX_MEMBERS`` (code ``organisation-full``).
    """
    if count_members(session, organisation) >= MAX_MEMBERS:
        raise Conflict(f"An organisation has at most {MAX_MEMBERS} members.", code="organisation-full", hint="Remove one first.")


def count_members(session: Session, organisation: str, role: str = "") -> int:
    """Return how many people belong to an organisation, or hold a role there."""
    query = select(func.count(memberships.c.person_id.distinct()))
    query = query.where(memberships.c.organisation_id == organisation, memberships.c.status == "confirmed")
    return session.execute(query.where(memberships.c.role == role) if role else query).scalar_one()


def _keep_an_owner(session: Session, organisation: str, *, without: str) -> None:
    columns = memberships.c
    owners = (columns.organisation_id == organisation) & (columns.role == OWNER) & (columns.status == "confirmed") & (columns.person_id != without)
    active = memberships.join(people, (people.c.id == columns.person_id) & (people.c.status == "active"))
    if session.execute(select(columns.person_id).select_from(active).where(owners).limit(1)).first() is None:
        hint = "Make somebody else an owner first, or delete the organisation."
        raise Conflict("An organisation needs an owner, and there is no other.", code="last-owner", hint=hint)


def check_active(identity: Identity, session: Session, person: str) -> None:
    """Refuse somebody who cannot sign in.

    Raises:
        NotFound: there is no such person (code ``person-not-found``). Conflict: they are not active (code ``person-not-active``).
    """
    if identity.people.row(session, person).status != "active":
        raise Conflict("This person is not active.", code="person-not-active", hint="`luminai people show` tells more.")


def _member(identity: Identity, session: Session, organisation: str, person: str, *, shows_email: bool) -> Member:
    profile = identity.people.profile(session, identity.people.row(session, person))
    roles = tuple(roles_of(session, person, organisation=organisation))
    return Member(id=person, name=profile.name, email=profile.email if shows_email else "", roles=roles)


def no_organisation(organisation: str) -> NotFound:
    """Return the answer to whoever asks for an organisation that is not there for them."""
    hint = "GET /api/organisations lists your own."
    return NotFound(f"There is no organisation {organisation}.", code="organisation-not-found", hint=hint)


def _no_member(person: str) -> NotFound:
    return NotFound(f"There is no member {person}.", code="member-not-found", hint="The organisation's members lists them.")
