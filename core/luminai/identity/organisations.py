"""Organisations: people who share rows, and for which of them a session acts.

Within an organisation a person may do what the roles of the membership allow, and nothing else; no role there reaches over the hub.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Meta, Struct
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from luminai.contracts.audit import AuditEntry
from luminai.contracts.errors import Conflict
from luminai.contracts.identity import Actor
from luminai.data.ids import new_id
from luminai.data.tables_people import memberships, organisations, sessions
from luminai.identity.memberships import MANAGE, OWNER, acting_in, check_active, count_members, go_out, inside, row_of
from luminai.identity.roles import MEMBER, WHOLE_HUB, give_roles, is_administrative, roles_of, scopes_of, scopes_of_roles

if TYPE_CHECKING:
    from luminai.identity.identity import Identity

PREFIX: Final = "org"
MAX_OWNED: Final = 20
"""Organisations that one person can own."""
OrganisationName = Annotated[str, Meta(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*\Z")]


class Organisation(Struct, frozen=True, kw_only=True):
    """An organisation for one of its members, who holds ``roles`` there."""

    id: str
    name: str
    roles: tuple[str, ...]
    created_at: datetime


class OrganisationInfo(Struct, frozen=True, kw_only=True):
    """An organisation for operators, with how many people belong to it and how many of them own it."""

    id: str
    name: str
    members: int
    owners: int
    created_at: datetime


async def create(identity: Identity, name: str, *, owner: str, by: Actor) -> Organisation:
    """Make an organisation. Its owner may do there what the roles of the hub allow that reach over no part of the hub itself.

    Raises:
        NotFound: there is no such person (code ``person-not-found``).
        Conflict: the owner has ``MAX_OWNED`` already (code ``organisation-limit``), or is not active (``person-not-active``).
    """
    organisation, now = new_id(PREFIX), identity.clock.now()

    def unit(session: Session) -> Organisation:
        check_active(identity, session, owner)
        mine = (memberships.c.person_id == owner) & (memberships.c.role == OWNER) & (memberships.c.organisation_id != WHOLE_HUB)
        if session.execute(select(func.count()).where(mine)).scalar_one() >= MAX_OWNED:
            raise Conflict(f"One person owns at most {MAX_OWNED} organisations.", code="organisation-limit", hint="Leave or delete one.")
        session.execute(insert(organisations).values(id=organisation, name=name.strip(), created_at=now))
        give_roles(session, owner, [OWNER, *_taken_along(session, owner)], now, organisation=organisation)
        identity.audit.record(session, by, AuditEntry(action="organisation.create", object=organisation, subject=owner))
        return _view(session, row_of(session, organisation), owner)

    return await identity.database.write(unit)


async def page(identity: Identity, person: str, *, limit: int, before: str | None) -> list[Organisation]:
    """Return the organisations that a person belongs to, newest first, those behind the id ``before``."""
    mine = select(memberships.c.organisation_id).where(memberships.c.person_id == person, memberships.c.status == "confirmed")
    query = select(organisations).where(organisations.c.id.in_(mine)).order_by(organisations.c.id.desc()).limit(limit)
    query = query.where(organisations.c.id < before) if before else query
    return await identity.database.read(lambda session: [_view(session, row, person) for row in session.execute(query)])


async def find(identity: Identity, organisation: str, actor: Actor) -> Organisation:
    """Return one that the actor belongs to.

    Raises:
        NotFound: there is none (code ``organisation-not-found``).
    """

    def unit(session: Session) -> Organisation:
        inside(session, actor, organisation)
        return _view(session, row_of(session, organisation), actor.subject)

    return await identity.database.read(unit)


async def all_organisations(identity: Identity, *, limit: int, before: str | None) -> list[OrganisationInfo]:
    """Return every organisation, newest first, those behind the id ``before``."""
    query = select(organisations).order_by(organisations.c.id.desc()).limit(limit)
    query = query.where(organisations.c.id < before) if before else query
    return await identity.database.read(lambda session: [info_of(session, row) for row in session.execute(query)])


async def rename(identity: Identity, organisation: str, name: str, *, by: Actor, as_operator: bool = False) -> None:
    """Give an organisation another name.

    Raises:
        NotFound: there is none (code ``organisation-not-found``).
        Forbidden: the actor lacks ``organisation:manage`` there (code ``missing-scope``).
    """

    def unit(session: Session) -> None:
        acting_in(session, by, organisation, MANAGE, as_operator=as_operator)
        session.execute(update(organisations).where(organisations.c.id == organisation).values(name=name.strip()))
        identity.audit.record(session, by, AuditEntry(action="organisation.rename", object=organisation))

    await identity.database.write(unit)


async def enter(identity: Identity, actor: Actor, organisation: str) -> None:
    """Let the actor's session act for an organisation, or with "" for the person alone again.

    Raises:
        NotFound: the actor belongs to no such organisation (code ``organisation-not-found``).
    """

    def unit(session: Session) -> None:
        if organisation:
            inside(session, actor, organisation)
        session.execute(update(sessions).where(sessions.c.id == actor.session).values(organisation_id=organisation))
        action = "organisation.enter" if organisation else "organisation.exit"
        identity.audit.record(session, actor, AuditEntry(action=action, object=organisation or actor.organisation, subject=actor.subject))

    await identity.database.write(unit)
    identity.forget(actor.session)


def info_of(session: Session, row: Any) -> OrganisationInfo:
    """Return an organisation's row for operators."""
    counts = {"members": count_members(session, row.id), "owners": count_members(session, row.id, OWNER)}
    return OrganisationInfo(id=row.id, name=row.name, created_at=row.created_at, **counts)


def forget_organisation(session: Session, organisation: str, now: datetime) -> list[str]:
    """Delete an organisation with its memberships, revoke its keys, and return who belonged to it."""
    mine = memberships.c.organisation_id == organisation
    found = list(session.execute(select(memberships.c.person_id).distinct().where(mine)).scalars())
    session.execute(delete(memberships).where(mine))
    session.execute(delete(organisations).where(organisations.c.id == organisation))
    go_out(session, organisation, now)
    return found


def _taken_along(session: Session, person: str) -> list[str]:
    """Return the roles that a person brings into a new organisation: those of the hub, and that of a member, unless it reaches beyond them."""
    own = Actor(person, person, scopes_of(session, person))
    found = {name: scopes_of_roles(session, [name]) for name in {*roles_of(session, person), MEMBER}}
    return [name for name, scopes in found.items() if not is_administrative(scopes) and all(own.may(scope) for scope in scopes)]


def _view(session: Session, row: Any, person: str) -> Organisation:
    return Organisation(id=row.id, name=row.name, roles=tuple(roles_of(session, person, organisation=row.id)), created_at=row.created_at)
