"""Roles: names for sets of scopes, kept as data; and who holds which, in the whole hub or within an organisation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from luminai.contracts.errors import InvalidInput, NotFound
from luminai.contracts.identity import Actor
from luminai.data.tables_people import memberships, role_scopes, roles
from luminai.data.upsert import insert_for

WHOLE_HUB: Final = "hub"
"""The organisation of rights that hold everywhere."""
MEMBER: Final = "member"
"""What everybody who signs up is."""


class Role(Struct, frozen=True):
    """A role with its scopes, sorted."""

    name: str
    title: str
    scopes: tuple[str, ...]


def list_roles(session: Session) -> list[Role]:
    """Return all, by name."""
    found: dict[str, list[str]] = {}
    for row in session.execute(select(role_scopes)):
        found.setdefault(row.role, []).append(_scope(row.plugin_id, row.verb))
    rows = session.execute(select(roles).order_by(roles.c.id))
    return [Role(row.id, row.title, tuple(sorted(found.get(row.id, ())))) for row in rows]


def write_role(session: Session, role: Role) -> None:
    """Make a role, or change its title and scopes; from then on plugins do not change it."""
    session.execute(delete(roles).where(roles.c.id == role.name))
    session.execute(delete(role_scopes).where(role_scopes.c.role == role.name))
    session.execute(insert(roles).values(id=role.name, title=role.title))
    for scope in sorted(set(role.scopes)):
        plugin, _, verb = scope.partition(":")
        session.execute(insert(role_scopes).values(role=role.name, plugin_id=plugin, verb=verb or "*"))


class PluginRoles:
    """What plugins let roles do.

    Args:
        given: Roles with their scopes, by plugin.
    """

    def __init__(self, given: Mapping[str, Mapping[str, Iterable[str]]]) -> None:
        self.plugins = frozenset(given)
        self.names = sorted({name for by_role in given.values() for name in by_role})
        self.rows = {
            (name, plugin, scope.partition(":")[2]) for plugin, by_role in given.items() for name, scopes in by_role.items() for scope in scopes
        }


def differing(session: Session, wanted: PluginRoles) -> list[str]:
    """Return the roles that allow something else than the plugins say. Roles that an operator wrote are left out."""
    following = {row.id: row.follows_plugins for row in session.execute(select(roles.c.id, roles.c.follows_plugins))}
    rows = session.execute(select(role_scopes).where(role_scopes.c.plugin_id.in_(wanted.plugins)))
    there = {(row.role, row.plugin_id, row.verb) for row in rows if following.get(row.role)}
    asked = {row for row in wanted.rows if following.get(row[0], True)}
    return sorted({row[0] for row in there ^ asked} | (set(wanted.names) - set(following)))


def follow(session: Session, wanted: PluginRoles) -> list[str]:
    """Let the roles that no operator wrote allow what the plugins say, make those that are not there, and return which changed."""
    insert_if_new = insert_for(session)
    changed = differing(session, wanted)
    for name in changed:
        row = {"id": name, "title": name.capitalize().replace("-", " "), "follows_plugins": True}
        session.execute(insert_if_new(roles).values(**row).on_conflict_do_nothing())
        session.execute(delete(role_scopes).where(role_scopes.c.role == name, role_scopes.c.plugin_id.in_(wanted.plugins)))
        for role, plugin, verb in sorted(row for row in wanted.rows if row[0] == name):
            session.execute(insert_if_new(role_scopes).values(role=role, plugin_id=plugin, verb=verb).on_conflict_do_nothing())
    return changed


def roles_of(session: Session, person: str, *, organisation: str = WHOLE_HUB) -> list[str]:
    """Return the roles that a person holds there, confirmed ones only."""
    columns = memberships.c
    mine = (columns.person_id == person) & (columns.organisation_id == organisation) & (columns.status == "confirmed")
    return list(session.execute(select(columns.role).where(mine).order_by(columns.role)).scalars())


def give_roles(session: Session, person: str, names: Iterable[str], now: datetime, *, organisation: str = WHOLE_HUB) -> None:
    """Let a person hold exactly these roles there.

    Raises:
        InvalidInput: there is no such role (code ``unknown-role``).
    """
    wanted = set(names)
    known = set(session.execute(select(roles.c.id)).scalars())
    if wanted - known:
        unknown = ", ".join(sorted(wanted - known))
        raise InvalidInput(f"There is no role {unknown}.", code="unknown-role", hint=f"Known: {', '.join(sorted(known))}.")
    session.execute(delete(memberships).where(memberships.c.person_id == person, memberships.c.organisation_id == organisation))
    for name in sorted(wanted):
        row = {"person_id": person, "organisation_id": organisation, "role": name, "status": "confirmed", "created_at": now}
        session.execute(insert(memberships).values(**row))


def scopes_of(session: Session, person: str, *, organisation: str = "") -> frozenset[str]:
    """Return what a person may do: the scopes of confirmed roles in the hub or, for a session that acts for an organisation, of those there alone.

    A role within an organisation gives no right over the hub, whatever its scopes are.
    """
    place = organisation or WHOLE_HUB
    columns = memberships.c
    mine = (columns.person_id == person) & (columns.organisation_id == place) & (columns.status == "confirmed")
    joined = memberships.join(role_scopes, role_scopes.c.role == columns.role)
    rows = session.execute(select(role_scopes.c.plugin_id, role_scopes.c.verb).select_from(joined).where(mine))
    return frozenset(_scope(plugin, verb) for plugin, verb in rows if place == WHOLE_HUB or plugin not in ("*", "hub"))


def scopes_of_roles(session: Session, names: Iterable[str]) -> frozenset[str]:
    """Return what these roles allow.

    Raises:
        NotFound: there is no such role (code ``role-not-found``).
    """
    wanted = set(names)
    found = {role.name: role.scopes for role in list_roles(session) if role.name in wanted}
    if missing := wanted - set(found):
        raise NotFound(f"There is no role {', '.join(sorted(missing))}.", code="role-not-found", hint="`luminai people roles` shows them.")
    return frozenset(scope for scopes in found.values() for scope in scopes)


def is_administrative(scopes: Iterable[str]) -> bool:
    """Tell whether the scopes reach over the hub itself."""
    return any(scope == "*" or scope.startswith("hub:") for scope in scopes)


def within(scopes: Iterable[str], rights: frozenset[str]) -> frozenset[str]:
    """Return what is left of a credential's scopes when its owner holds ``rights``."""
    owner, key = Actor("", "", rights), Actor("", "", frozenset(scopes))
    return frozenset(scope for scope in key.scopes if owner.may(scope)) | frozenset(right for right in rights if key.may(right))


def _scope(plugin: str, verb: str) -> str:
    return "*" if plugin == "*" else f"{plugin}:{verb}"
