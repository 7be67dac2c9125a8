"""What operators do with people. Nobody gives, takes or suspends rights that he does not hold himself."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.orm import Session

from luminai.contracts.audit import AuditEntry
from luminai.contracts.errors import Conflict, Forbidden
from luminai.contracts.identity import Actor
from luminai.data.tables_people import people, sessions
from luminai.identity import one_time
from luminai.identity.people import Person, checked_email, email_digest
from luminai.identity.roles import MEMBER, Role, give_roles, is_administrative, list_roles, roles_of, scopes_of, scopes_of_roles, write_role

if TYPE_CHECKING:
    from luminai.identity.identity import Identity

ADMINISTRATORS: Final = "admin"
"""The role that cannot be changed: somebody must be able to run the hub."""


class PersonView(Struct, frozen=True, kw_only=True):
    """A person as operators see them. ``email`` and ``name`` are empty once erased."""

    id: str
    email: str
    name: str
    status: str
    roles: tuple[str, ...]
    has_second_factor: bool
    verified_at: datetime | None
    created_at: datetime


class Invitation(Struct, frozen=True, kw_only=True):
    """Who was invited. ``token`` is there only where no letter can be sent: hand it over yourself."""

    person: PersonView
    token: str | None


async def page(identity: Identity, *, email: str, status: str, limit: int, before: str | None) -> list[PersonView]:
    """Return people, newest first, those behind the id ``before``; ``email`` finds exactly one address."""
    digests = await identity.digests.get()
    columns = people.c
    query = select(people).order_by(columns.id.desc()).limit(limit)
    query = query.where(columns.email_digest == email_digest(digests, email)) if email else query
    query = query.where(columns.status == status) if status else query
    query = query.where(columns.id < before) if before else query
    return await identity.database.read(lambda session: [_view(identity, session, row) for row in session.execute(query)])


async def find(identity: Identity, person: str) -> PersonView:
    """Return one.

    Raises:
        NotFound: there is none (code ``person-not-found``).
    """
    return await identity.database.read(lambda session: _view(identity, session, identity.people.row(session, person)))


async def invite(identity: Identity, *, email: str, name: str, roles: Iterable[str], by: Actor) -> Invitation:
    """Make an account that waits for its owner to choose a password; an invited person can be invited again.

    Raises:
        Conflict: the address has an account (code ``already-there``).
        Forbidden: a role reaches beyond the actor's own rights (code ``role-beyond-own``).
    """
    email = checked_email(email)
    digests = await identity.digests.get()
    now, wanted = identity.clock.now(), list(roles) or [MEMBER]

    def unit(session: Session) -> Invitation:
        check_rights(by, scopes_of_roles(session, wanted))
        known = identity.people.by_email(session, email_digest(digests, email))
        if known is not None and known.status != "invited":
            raise Conflict("This address has an account.", code="already-there", hint=f"`luminai people show {known.id}`.")
        person = known.id if known is not None else None
        if person is None:
            person = identity.people.add(session, digests, email=email, name=name, status="invited", now=now, password=None, locale="en")
        else:
            check_rights(by, scopes_of(session, person))
        give_roles(session, person, wanted, now)
        token = one_time.issue(session, digests, person=person, purpose="invite", now=now)
        if identity.has_mail:
            identity.letters.invite(session, person, email, token, now)
        identity.audit.record(session, by, AuditEntry(action="person.invite", object=person, subject=person, detail={"roles": wanted}))
        view = _view(identity, session, identity.people.row(session, person))
        return Invitation(person=view, token=None if identity.has_mail else token)

    return await identity.database.write(unit)


async def suspend(identity: Identity, person: str, *, by: Actor) -> PersonView:
    """Shut somebody out at once: sessions end, keys and open links stop to hold.

    Raises:
        NotFound: there is no such person. Conflict: erased (code ``person-erased``).
        Forbidden: the person holds rights beyond the actor's own (code ``role-beyond-own``).
    """
    return await _change_status(identity, person, "suspended", "person.suspend", by)


async def restore(identity: Identity, person: str, *, by: Actor) -> PersonView:
    """Let somebody in again who was suspended; they sign in anew. Raises as ``suspend``."""
    return await _change_status(identity, person, "active", "person.restore", by)


async def set_roles(identity: Identity, person: str, roles: Iterable[str], *, by: Actor) -> PersonView:
    """Let somebody hold exactly these roles in the hub.

    Raises:
        NotFound: there is no such person or role.
        Forbidden: old or new roles reach beyond the actor's own rights (code ``role-beyond-own``).
    """
    now, wanted = identity.clock.now(), sorted(set(roles))

    def unit(session: Session) -> PersonView:
        row = identity.people.row(session, person)
        check_rights(by, scopes_of_roles(session, wanted) | scopes_of(session, person))
        give_roles(session, person, wanted, now)
        if is_administrative(scopes_of(session, person)):
            identity.sessions.shorten(session, person, now)
        identity.audit.record(session, by, AuditEntry(action="person.roles", object=person, subject=person, detail={"roles": wanted}))
        return _view(identity, session, row)

    view = await identity.database.write(unit)
    identity.forget(person)
    return view


async def roles(identity: Identity) -> list[Role]:
    """Return all roles."""
    return await identity.database.read(list_roles)


async def set_role(identity: Identity, role: Role, *, by: Actor) -> Role:
    """Make a role, or change what it allows, for everybody who holds it.

    Raises:
        Forbidden: old or new scopes reach beyond the actor's own (code ``role-beyond-own``).
        Conflict: the role of administrators stays as it is (code ``role-fixed``).
    """
    if role.name == ADMINISTRATORS:
        raise Conflict(f"The role {ADMINISTRATORS} cannot be changed.", code="role-fixed", hint="Make another one.")

    def unit(session: Session) -> Role:
        before = next((one.scopes for one in list_roles(session) if one.name == role.name), ())
        check_rights(by, frozenset((*before, *role.scopes)))
        write_role(session, role)
        identity.audit.record(session, by, AuditEntry(action="role.write", object=role.name, detail={"scopes": list(role.scopes)}))
        return next(one for one in list_roles(session) if one.name == role.name)

    written = await identity.database.write(unit)
    identity.forget("")
    return written


async def rotate_keys(identity: Identity, *, by: Actor) -> str:
    """Sign with the next key from now on and return its id; tokens of the old one hold until they expire."""

    def also(session: Session, key_id: str) -> None:
        identity.audit.record(session, by, AuditEntry(action="signing-key.rotate", object=key_id))

    return await identity.signing_keys.rotate(also)


def check_rights(by: Actor, scopes: Iterable[str]) -> None:
    """Refuse to give or take rights that the actor does not hold.

    Raises:
        Forbidden: some scope is beyond them (code ``role-beyond-own``).
    """
    beyond = sorted(scope for scope in scopes if not by.may(scope))
    if beyond:
        raise Forbidden(f"This concerns rights that you do not hold yourself: {', '.join(beyond[:5])}.", code="role-beyond-own")


async def _change_status(identity: Identity, person: str, status: str, action: str, by: Actor) -> PersonView:
    now = identity.clock.now()

    def unit(session: Session) -> PersonView:
        row = identity.people.row(session, person)
        check_rights(by, scopes_of(session, person))
        if row.status == "erased":
            raise Conflict("This person is erased.", code="person-erased")
        reached = "invited" if status == "active" and row.password is None else status
        identity.people.set(session, person, now, status=reached)
        if status == "suspended":
            identity.sessions.end(session, now, sessions.c.person_id == person)
            one_time.void(session, person)
        identity.audit.record(session, by, AuditEntry(action=action, object=person, subject=person))
        return _view(identity, session, identity.people.row(session, person))

    view = await identity.database.write(unit)
    identity.forget(person)
    return view


def _view(identity: Identity, session: Session, row: Any) -> PersonView:
    seen: Person = identity.people.view(session, row)
    return PersonView(
        id=seen.id,
        email=seen.email,
        name=seen.name,
        status=seen.status,
        roles=tuple(roles_of(session, row.id)),
        has_second_factor=seen.has_second_factor,
        verified_at=seen.verified_at,
        created_at=seen.created_at,
    )
