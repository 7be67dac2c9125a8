"""Recording and reading entries."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Select, insert, select
from sqlalchemy.orm import Session

from luminai.audit.entries import CONTENT, StoredEntry, content_digest, stored
from luminai.contracts.audit import MAX_DETAIL_BYTES, AuditEntry, Outcome
from luminai.contracts.context import Clock, Database
from luminai.contracts.errors import HubError, InvalidInput, NotFound
from luminai.contracts.identity import Actor
from luminai.contracts.vault import HUB_SUBJECT, Vault
from luminai.data.ids import new_id
from luminai.data.tables_audit import audit_entries

_log = logging.getLogger("luminai.audit")
HUB: Final = "hub"
"""The source of the core's own entries, and the actor where nobody else acts."""
ANONYMOUS: Final = "anonymous"
MOST_NOTED: Final = 1000
"""Different requests that wait for the next round; equal ones are counted."""


class EntryView(Struct, frozen=True, kw_only=True):
    """An entry for readers.

    Attributes:
        position: Its place in the tree; None until the next checkpoint.
        source: ``hub``, or the plugin that recorded it.
        detail_state: ``pruned``: expired and blanked; ``erased``: the subject's key is destroyed; ``unreadable``: the bytes do not open.
    """

    id: str
    position: int | None
    at: datetime
    retention: str
    source: str | None
    actor: str | None
    actor_subject: str | None
    action: str | None
    object: str | None
    outcome: str | None
    subject: str | None
    detail: dict[str, Any] | None = None
    detail_state: Literal["readable", "none", "pruned", "erased", "unreadable"] = "readable"


class Filter(Struct, frozen=True, kw_only=True):
    """Which entries are wanted; ``action`` is a prefix, times are ``since <= at < until``."""

    actor: str | None = None
    action: str | None = None
    object: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class _Noted(Struct, frozen=True):
    """A request that stands in no unit of work."""

    actor: str
    subject: str
    action: str
    what: str
    outcome: Outcome
    code: str


class AuditLog:
    """The log of one hub.

    Args:
        vault: Seals details under their subject's key; None stores them plainly.
    """

    def __init__(self, database: Database, clock: Clock, vault: Vault | None = None) -> None:
        self._db = database
        self._clock = clock
        self._vault = vault
        self._noted: dict[_Noted, int] = {}
        self.dropped = 0
        self.on_record: Callable[[Session, Actor | str, AuditEntry], None] | None = None
        """Told each entry of the hub's own, in its unit of work."""

    def record(self, session: Session, actor: Actor | str, entry: AuditEntry, *, source: str = HUB) -> str:
        """Write an entry in the caller's unit of work and return its id: what cannot be recorded does not happen.

        Args:
            actor: Who acts; a word such as ``hub`` where it is no credential.
            source: The plugin that records it.

        Raises:
            InvalidInput: a value is out of its bounds (code ``bad-audit-entry``).
        """
        entry_id = write_entry(session, self._clock, self._vault, actor, entry, source=source)
        if self.on_record is not None and source == HUB:
            self.on_record(session, actor, entry)
        return entry_id

    def denied(self, actor: Actor | None, what: str, code: str) -> None:
        """Note a refused request, to be recorded in the next round: it has no unit of work to stand in. ``what`` is method and route."""
        self._note(_Noted(actor.id if actor else ANONYMOUS, actor.subject if actor else "", "access.deny", what, "denied", code[:80]))

    def asked(self, actor: Actor, what: str, status: int) -> None:
        """Note an answered request that may have changed something, as ``denied`` does. ``what`` is method and path."""
        outcome: Outcome = "ok" if status < 400 else "denied" if status in (401, 403) else "failed"
        self._note(_Noted(actor.id, actor.subject, "access.request", what, outcome, str(status)))

    def ran(self, by: str, subject: str, action: str, outcome: Outcome, code: str) -> None:
        """Note an action that ran, as ``denied`` does, where no request asked for it. ``by`` is what did: a schedule, an event, a plugin."""
        self._note(_Noted(by, subject, "action.ran", action, outcome, code[:80]))

    async def record_noted(self) -> None:
        """Write down the requests that wait, equal ones as one entry with their number, and how many did not fit."""
        if not self._noted and not self.dropped:
            return
        (waiting, dropped), self._noted, self.dropped = (self._noted, self.dropped), {}, 0

        def unit(session: Session) -> None:
            for one, times in waiting.items():
                entry = AuditEntry(
                    action=one.action, object=one.what, outcome=one.outcome, detail={"code": one.code, "times": times}, subject=one.subject
                )
                self.record(session, Actor(one.actor, one.subject), entry)
            if dropped:
                self.record(session, HUB, AuditEntry(action="access.dropped", outcome="failed", detail={"times": dropped}))

        try:
            await self._db.write(unit)
        except Exception:
            self.dropped += dropped + sum(waiting.values())
            raise

    def _note(self, one: _Noted) -> None:
        line = "".join(character if character.isprintable() else "?" for character in one.what)[:200]
        one = replace(one, what=line)
        if one in self._noted or len(self._noted) < MOST_NOTED:
            self._noted[one] = self._noted.get(one, 0) + 1
        else:
            self.dropped += 1

    async def page(self, wanted: Filter, *, limit: int, before: str | None = None) -> list[EntryView]:
        """Return entries newest first, those behind the id ``before``."""
        query = _where(wanted).order_by(audit_entries.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(audit_entries.c.id < before)
        return await self._db.read(lambda session: [self.view(session, stored(row)) for row in session.execute(query)])

    async def sealed(self, wanted: Filter, *, after: int, limit: int = 200) -> list[tuple[StoredEntry, EntryView]]:
        """Return entries of the tree in its order, those behind the position ``after`` (-1 for all), as stored and for readers."""
        query = _where(wanted).where(audit_entries.c.position > after).order_by(audit_entries.c.position).limit(limit)

        def unit(session: Session) -> list[tuple[StoredEntry, EntryView]]:
            rows = [stored(row) for row in session.execute(query)]
            return [(row, self.view(session, row)) for row in rows]

        return await self._db.read(unit)

    def find(self, session: Session, entry_id: str) -> StoredEntry:
        """Return an entry as it is stored.

        Raises:
            NotFound: there is none of that id (code ``audit-entry-not-found``).
        """
        row = session.execute(select(audit_entries).where(audit_entries.c.id == entry_id)).first()
        if row is None:
            raise NotFound(f"There is no audit entry {entry_id}.", code="audit-entry-not-found", hint="`luminai audit search` lists them.")
        return stored(row)

    def view(self, session: Session, row: StoredEntry) -> EntryView:
        """Return an entry for readers, its detail opened as far as it can be."""
        names = ("id", "position", "at", "retention", *(name for name in CONTENT if name not in ("is_sealed", "detail")))
        fields: dict[str, Any] = {name: getattr(row, name) for name in names}
        if row.detail is None:
            return EntryView(**fields, detail_state="pruned" if row.pruned_at else "none")
        try:
            raw = row.detail
            if row.is_sealed:
                if self._vault is None:
                    return EntryView(**fields, detail_state="unreadable")
                raw = self._vault.open(session, subject=row.subject or HUB_SUBJECT, place=_place(row.id), sealed=row.detail)
            return EntryView(**fields, detail=msgspec.json.decode(raw, type=dict[str, Any]))
        except NotFound:
            return EntryView(**fields, detail_state="erased")
        except (HubError, msgspec.MsgspecError):
            _log.warning("audit.detail.unreadable", extra={"entry": row.id})
            return EntryView(**fields, detail_state="unreadable")


def write_entry(session: Session, clock: Clock, vault: Vault | None, actor: Actor | str, entry: AuditEntry, *, source: str = HUB) -> str:
    """Write an entry and return its id; ``AuditLog.record`` for those who have no log.

    Raises:
        InvalidInput: a value is out of its bounds (code ``bad-audit-entry``).
    """
    detail = _checked(entry)
    entry_id = new_id("aud")
    is_sealed = bool(detail) and vault is not None
    if detail and vault is not None:
        subject = entry.subject or HUB_SUBJECT
        detail = vault.seal(session, subject=subject, place=_place(entry_id), value=detail)
    content: dict[str, Any] = {
        "source": source,
        "actor": (actor.id if isinstance(actor, Actor) else actor)[:120],
        "actor_subject": (actor.subject if isinstance(actor, Actor) else "")[:120],
        "action": entry.action,
        "object": entry.object,
        "outcome": entry.outcome,
        "subject": entry.subject,
        "is_sealed": is_sealed,
        "detail": detail or None,
    }
    salt = secrets.token_bytes(16)
    fixed = {"id": entry_id, "at": clock.now(), "retention": entry.retention, "digest": content_digest(salt, content)}
    session.execute(insert(audit_entries).values(**fixed, salt=salt, **content))
    return entry_id


def _checked(entry: AuditEntry) -> bytes:
    """Return the encoded detail, "" for none, after a look at every bound: a Struct that was built in code has not been validated."""
    try:
        msgspec.convert(msgspec.to_builtins(entry), AuditEntry)
        detail = msgspec.json.encode(entry.detail) if entry.detail else b""
    except (msgspec.MsgspecError, TypeError, UnicodeError) as error:
        raise InvalidInput(f"The audit entry {entry.action!r} is malformed: {error}", code="bad-audit-entry") from error
    if len(detail) > MAX_DETAIL_BYTES:
        hint = "Name the things; do not copy them."
        raise InvalidInput(f"The detail of {entry.action} has {len(detail)} bytes, at most {MAX_DETAIL_BYTES}.", code="bad-audit-entry", hint=hint)
    return detail


def _place(entry_id: str) -> str:
    return f"{audit_entries.name}.detail:{entry_id}"


def _where(wanted: Filter) -> Select[Any]:
    columns = audit_entries.c
    query = select(audit_entries)
    for name in ("actor", "object", "outcome"):
        if (value := getattr(wanted, name)) is not None:
            query = query.where(columns[name] == value)
    if wanted.action is not None:
        query = query.where(columns.action.startswith(wanted.action, autoescape=True))
    if wanted.since is not None:
        query = query.where(columns.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(columns.at < wanted.until)
    return query
