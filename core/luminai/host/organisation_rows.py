"""Rows that belong to an organisation, in the tables of all plugins, and the end of an organisation with all of them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from sqlalchemy import Table, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from luminai.contracts.audit import AuditEntry
from luminai.contracts.errors import Conflict
from luminai.contracts.identity import Actor
from luminai.data.owned_statements import TENANT
from luminai.data.owners import Acting
from luminai.data.tables_people import memberships
from luminai.host.privacy_ask import ask_plugins
from luminai.host.privacy_owners import TableOwner, table_owners
from luminai.identity import invitations
from luminai.identity.memberships import MANAGE, acting_in, count_members
from luminai.identity.organisations import forget_organisation

if TYPE_CHECKING:
    from luminai.host.hub import Hub


class Deleted(Struct, frozen=True, kw_only=True):
    """What went with an organisation: rows by table, what plugins keep and why; ``left`` names plugins whose tables cannot be told, and why."""

    organisation: str
    members: int
    rows: dict[str, int]
    kept: dict[str, str]
    left: dict[str, str]


async def delete_organisation(hub: Hub, organisation: str, *, by: Actor, confirm: bool, as_operator: bool = False) -> Deleted:
    """Delete an organisation with its memberships, invitations and rows. Without ``confirm`` only one that has a single member and no rows.

    Plugins remove first what they hold elsewhere; one that fails leaves the organisation as it is, so that everything can be asked for again.

    Raises:
        NotFound: there is none (code ``organisation-not-found``).
        Forbidden: the actor lacks ``organisation:manage`` there (code ``missing-scope``).
        Conflict: it is not empty (code ``organisation-not-empty``), a plugin's rows refer to its rows (``organisation-in-use``), or a plugin could
            not remove what it holds for it (``organisation-not-erased``).
    """
    owners = await table_owners(hub)
    left = {owner.id: owner.problem for owner in owners if owner.problem}

    def look(session: Session, elsewhere: dict[str, int]) -> tuple[int, dict[str, int]]:
        acting_in(session, by, organisation, MANAGE, as_operator=as_operator)
        members, rows = count_members(session, organisation), rows_in(session, owners, organisation) | elsewhere
        if not confirm and (members > 1 or rows):
            hint = "Send confirm=true (`--yes`) to delete them all for good."
            said = f"The organisation has {members} members and {sum(rows.values())} rows in {len(rows)} tables."
            raise Conflict(said, code="organisation-not-empty", hint=hint)
        return members, rows

    await hub.database.read(lambda session: look(session, {}))
    whose = Acting(by.subject, organisation)
    if not confirm:
        planned = await ask_plugins(owners, "erase_organisation", organisation, acting=whose, dry_run=True)
        await hub.database.read(lambda session: look(session, planned.erased))
    asked = await ask_plugins(owners, "erase_organisation", organisation, acting=whose, dry_run=False)
    if asked.failed:
        hint = "Mend the plugin or turn it off, then delete the organisation again."
        said = "; ".join(f"{plugin}: {why}" for plugin, why in asked.failed.items())
        raise Conflict(f"A plugin could not remove what it holds: {said}.", code="organisation-not-erased", hint=hint)

    def unit(session: Session) -> tuple[Deleted, list[str]]:
        members, found = look(session, {})
        rows = found | asked.erased
        people = delete_rows(session, owners, organisation, hub.clock.now())
        detail: dict[str, Any] = {"members": members, "rows": sum(rows.values()), "tables": sorted(rows)[:64], "left": sorted(left)[:64]}
        hub.audit.record(session, by, AuditEntry(action="organisation.delete", object=organisation, detail=detail, retention="7y"))
        return Deleted(organisation=organisation, members=members, rows=rows, kept=asked.kept, left=left), people

    try:
        done, people = await hub.database.write(unit)
    except IntegrityError as error:
        hint = "A table that refers to them needs ON DELETE CASCADE, or a tenant of its own."
        raise Conflict("Rows of a plugin refer to those of the organisation.", code="organisation-in-use", hint=hint) from error
    for person in people:
        hub.identity.forget(person)
    return done


def rows_in(session: Session, owners: list[TableOwner], organisation: str) -> dict[str, int]:
    """Return how many rows an organisation has in each table; tables without any are left out."""
    counts = {
        str(table.name): session.execute(select(func.count()).select_from(table).where(_theirs(table, organisation))).scalar_one()
        for table in _tables(owners)
    }
    return {name: count for name, count in counts.items() if count}


def delete_rows(session: Session, owners: list[TableOwner], organisation: str, now: datetime) -> list[str]:
    """Delete an organisation and everything of it, and return who belonged to it."""
    for table in _tables(owners):
        session.execute(delete(table).where(_theirs(table, organisation)))
    invitations.void(session, organisation)
    return forget_organisation(session, organisation, now)


def left_behind(session: Session, person: str) -> list[str]:
    """Return the organisations that nobody but ``person`` belongs to: with their last member gone nobody could reach them."""
    columns = memberships.c
    return [
        organisation
        for organisation in session.execute(select(columns.organisation_id).distinct().where(columns.person_id == person)).scalars().all()
        if organisation.startswith("org_")
        and session.execute(select(func.count()).where(columns.organisation_id == organisation, columns.person_id != person)).scalar_one() == 0
    ]


def delete_left_behind(session: Session, owners: list[TableOwner], person: str, now: datetime) -> int:
    """Delete the organisations that nobody but ``person`` belongs to, and return how many."""
    alone = left_behind(session, person)
    for organisation in alone:
        delete_rows(session, owners, organisation, now)
    return len(alone)


def _tables(owners: list[TableOwner]) -> list[Table]:
    """Return the tables with tenants, those that refer to others before those."""
    found = [table for owner in reversed(owners) if owner.metadata is not None for table in reversed(owner.metadata.sorted_tables)]
    return [table for table in found if TENANT in table.info]


def _theirs(table: Table, organisation: str) -> Any:
    return table.c[table.info[TENANT]] == organisation
