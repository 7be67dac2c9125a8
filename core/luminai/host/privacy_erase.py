"""Erasing a person: nobody can sign in as them any more, every row of theirs is deleted, and the key that their words were sealed with is destroyed.

The order is such that an interruption leaves less than before, and everything can be run again: sessions and keys end, plugins are asked, then in
one transaction what the data map still finds is deleted (also of plugins that are off), the key is destroyed and the audit log told. At last the
tombstone leaves the database, and SQLite's write-ahead log is emptied.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from sqlalchemy import Table, delete, func, select, update
from sqlalchemy.orm import Session

from luminai.audit.retention import is_held
from luminai.contracts.audit import AuditEntry
from luminai.contracts.errors import Conflict, Forbidden, HubError
from luminai.contracts.identity import Actor
from luminai.data.backups import FOLDER
from luminai.data.data_map import rows_of
from luminai.data.owners import Acting
from luminai.data.sqlite import empty_log
from luminai.data.tables import api_keys, idempotency
from luminai.data.tables_edge import rates
from luminai.data.tables_events import events as event_rows
from luminai.data.tables_mail import mail
from luminai.data.tables_people import one_time_tokens, people, sessions
from luminai.data.tables_people import organisations as organisation_rows
from luminai.data.tables_vault import subject_keys
from luminai.host.organisation_rows import delete_left_behind, left_behind
from luminai.host.privacy_ask import SECONDS, ask_plugins
from luminai.host.privacy_events import forget_snapshots, take_out
from luminai.host.privacy_owners import TableOwner, count_rows, table_owners
from luminai.identity.roles import scopes_of

if TYPE_CHECKING:
    from luminai.host.hub import Hub

_log = logging.getLogger("luminai.privacy")


class Erasure(Struct, frozen=True, kw_only=True):
    """What an erasure did, or with ``dry_run`` would do.

    Attributes:
        held: A legal hold forbids it (only in a dry run; otherwise it is refused).
        erased: Rows deleted or emptied, by table.
        kept: What stays, and why.
        keys: How many data keys were destroyed, with everything that they sealed, in backups too.
        left: What could not be erased, by owner; mend it and erase again.
        is_log_emptied: Whether SQLite's write-ahead log was emptied at once; a long read puts it off to the next one.
    """

    subject: str
    dry_run: bool
    held: bool
    erased: dict[str, int]
    kept: dict[str, str]
    keys: int
    left: dict[str, str]
    is_log_emptied: bool


async def erase(hub: Hub, person: str, *, by: Actor, dry_run: bool) -> Erasure:
    """Erase a person.

    Raises:
        NotFound: there is no such person (code ``person-not-found``).
        Conflict: a legal hold stands (code ``legal-hold``).
        Forbidden: the person holds rights beyond the actor's own (code ``role-beyond-own``).
    """
    owners = await table_owners(hub)
    if dry_run:
        return await _look(hub, owners, person, by)
    voided = await hub.database.write(lambda session: _shut_out(hub, session, person, by))
    hub.identity.forget(person)
    asked = await ask_plugins(owners, "erase_subject", person, acting=Acting(person), dry_run=False)
    erased, kept, left = asked.erased | voided, asked.kept, asked.failed
    for organisation in await hub.database.read(lambda session: left_behind(session, person)):
        theirs = await ask_plugins(owners, "erase_organisation", organisation, acting=Acting(person, organisation), dry_run=False)
        erased, kept, left = _sum(erased, theirs.erased), kept | theirs.kept, left | theirs.failed
    left |= {owner.id: owner.problem for owner in owners if owner.problem}
    await hub.audit.record_noted()  # what waits there would make the person a new key

    def unit(session: Session) -> tuple[dict[str, int], dict[str, str], int]:
        _check_allowed(hub, session, person, by)
        organisations = delete_left_behind(session, owners, person, hub.clock.now())
        forget_snapshots(session, person)
        rows, stays = _delete(session, owners, person)
        rows |= {str(organisation_rows.name): organisations} if organisations else {}
        hub.identity.people.erase(session, person, hub.clock.now())
        for column in (idempotency.c.scope, rates.c.key):
            session.execute(delete(column.table).where(column.endswith(f":{person}", autoescape=True)))
        keys = hub.vault.destroy(session, person)
        _record(hub, session, by, person, rows | erased, left)
        return rows, stays, keys

    rows, stays, keys = await hub.database.write(unit, timeout=SECONDS)
    hub.identity.forget(person)
    await hub.vault.tell()
    try:
        await hub.cache.forget(person)
    except Exception as error:  # noqa: BLE001 - whatever the cache has; what it keeps ends by itself
        left["cache"] = f"It does not answer ({type(error).__name__}); what it keeps ends within 7 days. Erase again when it is back."
    emptied = await empty_log(hub.database)
    kept |= _stays(hub)
    return Erasure(
        subject=person,
        dry_run=False,
        held=False,
        erased=_sum(erased, rows),
        kept=stays | kept,
        keys=keys,
        left=left,
        is_log_emptied=emptied,
    )


async def erase_outside(hub: Hub, subject: str, *, by: Actor, dry_run: bool) -> Erasure:
    """Erase somebody whom one plugin knows by a name of an outside service, ``<plugin id>:<name>``; only that plugin is asked.

    Raises:
        Conflict: the plugin does not run or knows nobody (code ``subject-unknown-kind``), or a legal hold stands (code ``legal-hold``).
    """
    owner = await outside_owner(hub, subject)
    held = await hub.database.read(lambda session: is_held(session, subject))
    if held and not dry_run:
        raise _held(subject)
    asked = await ask_plugins([owner], "erase_subject", subject, acting=Acting(subject), dry_run=dry_run)
    erased, kept, left = asked.erased, asked.kept, asked.failed
    emptied = False
    if not dry_run:

        def unit(session: Session) -> int:
            events = take_out(session, owner.id, subject.partition(":")[2])
            _record(hub, session, by, f"plugin:{owner.id}", erased, left)
            return events

        if events := await hub.database.write(unit, timeout=SECONDS):
            erased = erased | {str(event_rows.name): events}
        emptied = await empty_log(hub.database)
    return Erasure(subject=subject, dry_run=dry_run, held=held, erased=erased, kept=kept, keys=0, left=left, is_log_emptied=emptied)


async def finish_erasures(hub: Hub) -> list[str]:
    """Erase again whom a restored backup brought back, before anybody can sign in as them: people of whom a tombstone is there. Return their ids."""
    again = select(people.c.id).where(
        people.c.status != "erased", people.c.id.in_(select(subject_keys.c.subject).where(subject_keys.c.wrapped.is_(None)))
    )
    found = list(await hub.database.read(lambda session: session.execute(again).scalars().all()))
    for person in found:
        try:
            await erase(hub, person, by=Actor("hub", "hub", frozenset({"*"})), dry_run=False)
        except HubError as error:  # a hold was placed in the old copy: nothing is readable, and an operator has to look
            _log.error("privacy.erase.not-finished", extra={"person": person, "code": error.code})
        else:
            _log.warning("privacy.erase.again", extra={"person": person})
    return found


async def outside_owner(hub: Hub, subject: str) -> TableOwner:
    """Return the plugin that is asked for a subject ``<plugin id>:<name>``. Raises ``Conflict`` as ``erase_outside`` does."""
    plugin = subject.partition(":")[0]
    found = next((one for one in await table_owners(hub) if one.id == plugin and one.loaded is not None), None)
    if found is None or not {"export_subject", "erase_subject"} <= found.loaded.hooks.names:
        hint = "Enable the plugin, and write `<plugin id>:<name>`."
        raise Conflict(f"No running plugin {plugin} knows people by name.", code="subject-unknown-kind", hint=hint)
    return found


async def _look(hub: Hub, owners: list[TableOwner], person: str, by: Actor) -> Erasure:
    def unit(session: Session) -> tuple[bool, dict[str, int], int]:
        hub.identity.people.row(session, person)
        _check_rights(session, person, by)
        rows = {name: count for owner in owners for name, count in count_rows(session, owner, person).items()}
        mine = (subject_keys.c.subject == person) & subject_keys.c.wrapped.is_not(None)
        return is_held(session, person), rows, session.execute(select(func.count()).where(mine)).scalar_one()

    held, rows, keys = await hub.database.read(unit, timeout=SECONDS)
    asked = await ask_plugins(owners, "erase_subject", person, acting=Acting(person), dry_run=True)
    erased, kept, left = asked.erased, asked.kept, asked.failed
    left |= {owner.id: owner.problem for owner in owners if owner.problem}
    kept |= _stays(hub)
    reasons = {str(table.name): str(table.info["kept"]) for owner in owners for table in owner.linked() if table.info.get("kept")}
    stays = {name: reason for name, reason in reasons.items() if name in rows}
    rows = {name: count for name, count in rows.items() if name not in reasons} | {str(people.name): 1}
    return Erasure(
        subject=person,
        dry_run=True,
        held=held,
        erased=rows | erased,
        kept=stays | kept,
        keys=keys,
        left=left,
        is_log_emptied=False,
    )


def _shut_out(hub: Hub, session: Session, person: str, by: Actor) -> dict[str, int]:
    """End every way in, before anything else; return what was deleted for that."""
    _check_allowed(hub, session, person, by)
    now = hub.clock.now()
    hub.audit.record(session, by, AuditEntry(action="privacy.begin-erase", object=person, subject=person, retention="7y"))
    hub.identity.sessions.end(session, now, sessions.c.person_id == person)
    voided: Any = session.execute(delete(one_time_tokens).where(one_time_tokens.c.person_id == person))
    session.execute(update(api_keys).where(api_keys.c.subject == person, api_keys.c.revoked_at.is_(None)).values(revoked_at=now))
    if hub.identity.people.row(session, person).status != "erased":
        hub.identity.people.set(session, person, now, status="suspended")
    return {str(one_time_tokens.name): int(voided.rowcount)} if voided.rowcount else {}


def _check_allowed(hub: Hub, session: Session, person: str, by: Actor) -> None:
    hub.identity.people.row(session, person)
    _check_rights(session, person, by)
    if is_held(session, person):
        raise _held(person)


def _check_rights(session: Session, person: str, by: Actor) -> None:
    """Nobody erases somebody who may do more than they themselves; everybody may erase themselves."""
    beyond = sorted(scope for scope in scopes_of(session, person) if not by.may(scope))
    if beyond and by.subject != person:
        raise Forbidden(f"This concerns rights that you do not hold yourself: {', '.join(beyond[:5])}.", code="role-beyond-own")


def _delete(session: Session, owners: list[TableOwner], person: str) -> tuple[dict[str, int], dict[str, str]]:
    """Delete every row that the map finds, plugins' before the core's."""
    rows: dict[str, int] = {str(people.name): 1}
    stays: dict[str, str] = {}
    tables: list[Table] = [table for owner in reversed(owners) for table in owner.linked()]
    for table in tables:
        if reason := table.info.get("kept"):
            if session.execute(select(func.count()).select_from(table).where(rows_of(table, person))).scalar_one():
                stays[str(table.name)] = str(reason)
            continue
        done: Any = session.execute(delete(table).where(rows_of(table, person)))
        if done.rowcount:
            rows[str(table.name)] = int(done.rowcount)
    return rows, stays


def _record(hub: Hub, session: Session, by: Actor, what: str, rows: dict[str, int], left: dict[str, str]) -> None:
    """Tell the audit log. The entry is nobody's (``subject`` empty), so that its detail is sealed by the hub's key and makes no new one."""
    detail: dict[str, Any] = {"rows": sum(rows.values()), "tables": sorted(rows)[:64], "left": sorted(left)[:64]}
    outcome: Any = "failed" if left else "ok"
    hub.audit.record(session, by, AuditEntry(action="privacy.erase", object=what, outcome=outcome, detail=detail, retention="7y"))


def _stays(hub: Hub) -> dict[str, str]:
    """Tell of the letter about the erasure, and of the copies that the hub made before migrations: nothing in them is changed."""
    folder = hub.data_dir / FOLDER
    count = len(list(folder.iterdir())) if folder.is_dir() else 0
    copies = {FOLDER: f"{count} copies from before migrations hold what was not sealed; delete them within 35 days"} if count else {}
    return copies | ({str(mail.name): "the letter that tells of it, sealed, for 30 days after it is sent"} if hub.identity.has_mail else {})


def _sum(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in sorted(one.keys() | other.keys())}


def _held(subject: str) -> Conflict:
    hint = "`luminai audit holds` lists them; release it first if it has ended."
    return Conflict(f"A legal hold stands on {subject}.", code="legal-hold", hint=hint)
