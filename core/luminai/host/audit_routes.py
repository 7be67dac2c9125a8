"""The core's routes for the audit log: entries, proofs, checkpoints, export, legal holds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from litestar import Request, delete, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter
from litestar.response import Stream
from msgspec import Meta, Struct

from luminai.audit.entries import StoredEntry
from luminai.audit.log import EntryView, Filter
from luminai.audit.retention import Hold, holds, place_hold, release_hold
from luminai.audit.tree import Consistency, Inclusion, marked_notes, prove_consistency, prove_inclusion
from luminai.audit.verify import checkpoints
from luminai.contracts.audit import AuditEntry
from luminai.contracts.identity import policy
from luminai.http.pages import Page, number_cursor, page_cursor, page_limit
from luminai.http.requests import signed_in

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from luminai.host.hub import Hub

MAX_SIZE = 2**53
MAX_MARKED = 1000
EntryId = Annotated[str, PathParameter(pattern=r"^aud_[0-9a-f]{32}\Z")]
HoldId = Annotated[str, PathParameter(pattern=r"^hold_[0-9a-f]{32}\Z")]
Line = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
older_size = Annotated[int, QueryParameter(ge=1, le=MAX_SIZE, description="Size of the older log.")]
newer_size = Annotated[int | None, QueryParameter(ge=1, le=MAX_SIZE, description="Size of the newer log.")]
by_actor = Annotated[str | None, QueryParameter(max_length=120, pattern=r"^[^\x00]*\Z", description="Id of the key or job that acted.")]
by_action = Annotated[str | None, QueryParameter(max_length=80, pattern=r"^[a-z0-9.-]*\Z", description="Beginning of the action, e.g. `key.`.")]
by_object = Annotated[str | None, QueryParameter(max_length=200, pattern=r"^[^\x00]*\Z", description="What it was done to.")]
by_outcome = Annotated[Literal["ok", "denied", "failed"] | None, QueryParameter(description="How it ended.")]
by_since = Annotated[datetime | None, QueryParameter(description="From this moment on (RFC 3339 with zone).")]
by_until = Annotated[datetime | None, QueryParameter(description="Before this moment (RFC 3339 with zone).")]


class Proof(Struct, frozen=True, kw_only=True):
    """One entry, all that its leaf is computed from, and its way to a signed root. ``verifier`` is the log's public key: check it elsewhere too."""

    entry: EntryView
    stored: StoredEntry
    inclusion: Inclusion
    verifier: str


class Checkpoints(Struct, frozen=True, kw_only=True):
    """The log's checkpoints, newest first, its public key, and what keeps it from sealing ("" for nothing).

    Attributes:
        marked: Those that handed the log over to another key or accepted a restore, oldest first; the newest 1000.
    """

    items: list[str]
    next_cursor: str | None
    verifier: str
    problem: str
    marked: list[str]


class ExportLine(Struct, frozen=True):
    """One line of an export: the entry for readers, and as it is stored."""

    entry: EntryView
    stored: StoredEntry


class RestoreRequest(Struct, forbid_unknown_fields=True):
    """Says that a backup was restored on purpose."""

    reason: Annotated[str, Meta(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]*\Z")]


class HoldRequest(Struct, forbid_unknown_fields=True):
    """Places a legal hold on an object, a subject, or the entries that have both."""

    reason: Annotated[str, Meta(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
    object: Line = ""
    subject: Annotated[str, Meta(max_length=120, pattern=r"^[^\x00-\x1f\x7f]*\Z")] = ""


def audit_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""
    return [*_reading(hub), *_proving(hub), *_holding(hub)]


def _reading(hub: Hub) -> Sequence[Any]:
    @get("/api/admin/audit", opt=policy("hub:audit"))
    async def list_audit(
        actor: by_actor = None,
        action: by_action = None,
        object: by_object = None,  # noqa: A002 - the parameter's public name
        outcome: by_outcome = None,
        since: by_since = None,
        until: by_until = None,
        limit: page_limit = 50,
        cursor: page_cursor = None,
    ) -> Page[EntryView]:
        """List audit entries, newest first."""
        wanted = _filter(actor, action, object, outcome, since, until)
        found = await hub.audit.page(wanted, limit=limit + 1, before=cursor)
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @get("/api/admin/audit/export", opt=policy("hub:audit"), media_type="application/x-ndjson")
    async def export_audit(
        request: Request[Any, Any, Any],
        size: Annotated[int, QueryParameter(ge=0, le=MAX_SIZE, description="Only the first so many sealed entries.")] = MAX_SIZE,
        actor: by_actor = None,
        action: by_action = None,
        object: by_object = None,  # noqa: A002 - the parameter's public name
        outcome: by_outcome = None,
        since: by_since = None,
        until: by_until = None,
    ) -> Stream:
        """Stream sealed entries in the order of the log as JSON lines, each as it is read and as it is stored. The export itself is recorded."""
        wanted = _filter(actor, action, object, outcome, since, until)
        entry = AuditEntry(action="audit.export", object="audit", detail={"filter": msgspec.json.encode(wanted).decode()[:500]})
        by = signed_in(request)
        await hub.database.write(lambda session: hub.audit.record(session, by, entry))
        return Stream(_lines(hub, wanted, size), media_type="application/x-ndjson", headers={"Cache-Control": "no-store"})

    return [list_audit, export_audit]


def _proving(hub: Hub) -> Sequence[Any]:
    @get("/api/admin/audit/{entry_id:str}", opt=policy("hub:audit"))
    async def show_audit_entry(entry_id: EntryId) -> Proof:
        """Show one entry with the proof that it is in the log (503 `audit-not-sealed` in the seconds before a checkpoint covers it)."""
        key = await hub.sealer.key()

        def unit(session: Session) -> Proof:
            row = hub.audit.find(session, entry_id)
            inclusion = prove_inclusion(session, row.position)
            return Proof(entry=hub.audit.view(session, row), stored=row, inclusion=inclusion, verifier=key.verifier)

        return await hub.database.read(unit)

    @get("/api/admin/audit/checkpoints", opt=policy("hub:audit"))
    async def list_checkpoints(limit: page_limit = 20, cursor: number_cursor = None) -> Checkpoints:
        """List signed checkpoints, newest first, as C2SP notes."""
        before = int(cursor) if cursor else None
        found, marked = await hub.database.read(lambda session: (checkpoints(session, limit=limit + 1, before=before), marked_notes(session)))
        following = str(found[limit - 1][0]) if len(found) > limit else None
        key = await hub.sealer.key()
        notes = [note for _, note in found[:limit]]
        kept = [note for _, note in marked[-MAX_MARKED:]]
        return Checkpoints(items=notes, next_cursor=following, verifier=key.verifier, problem=hub.sealer.problem, marked=kept)

    @post("/api/admin/audit/checkpoints", opt=policy("hub:audit", step_up=True), status_code=200)
    async def make_checkpoint() -> Checkpoints:
        """Seal what has been recorded so far, without waiting for the next round, and return the newest checkpoint."""
        await hub.sealer.seal()
        return await list_checkpoints.fn(limit=1)  # type: ignore[no-any-return]

    @post("/api/admin/audit/rotate-key", opt=policy("hub:audit", step_up=True), status_code=200)
    async def rotate_audit_key(request: Request[Any, Any, Any]) -> Checkpoints:
        """Sign with a new key from now on; the old one signs the handing over, so that its public key still verifies. It is recorded."""
        await hub.sealer.rotate(signed_in(request))
        return await list_checkpoints.fn(limit=1)  # type: ignore[no-any-return]

    @post("/api/admin/audit/accept-restore", opt=policy("hub:audit", step_up=True), status_code=200)
    async def accept_restore(request: Request[Any, Any, Any], data: JSONBody[RestoreRequest]) -> Checkpoints:
        """Go on with a log that is behind its checkpoints outside because a backup was restored. It is recorded, and every verification tells it."""
        await hub.sealer.accept_restore(signed_in(request), data.reason)
        return await list_checkpoints.fn(limit=1)  # type: ignore[no-any-return]

    @get("/api/admin/audit/consistency", opt=policy("hub:audit"))
    async def audit_consistency(old: older_size, new: newer_size = None) -> Consistency:
        """Prove that the log of `old` entries is the beginning of that of `new` (by default the newest checkpoint's)."""
        return await hub.database.read(lambda session: prove_consistency(session, old, new))

    return [show_audit_entry, list_checkpoints, make_checkpoint, rotate_audit_key, accept_restore, audit_consistency]


def _holding(hub: Hub) -> Sequence[Any]:
    @get("/api/admin/audit/holds", opt=policy("hub:audit"))
    async def list_holds(limit: page_limit = 50, cursor: page_cursor = None) -> Page[Hold]:
        """List legal holds, newest first, released ones too."""
        found = await hub.database.read(lambda session: holds(session, limit=limit + 1, before=cursor))
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @post("/api/admin/audit/holds", opt=policy("hub:audit", step_up=True))
    async def make_hold(request: Request[Any, Any, Any], data: JSONBody[HoldRequest]) -> Hold:
        """Keep the content of entries with this object or subject until the hold is released."""
        by = signed_in(request)

        def unit(session: Session) -> Hold:
            made = place_hold(session, hub.clock, object=data.object, subject=data.subject, reason=data.reason, by=by.id)
            detail = {"reason": data.reason, "object": data.object}
            hub.audit.record(session, by, AuditEntry(action="audit.hold", object=made.id, subject=data.subject, detail=detail, retention="7y"))
            return made

        return await hub.database.write(unit)

    @delete("/api/admin/audit/holds/{hold_id:str}", opt=policy("hub:audit", step_up=True))
    async def end_hold(request: Request[Any, Any, Any], hold_id: HoldId) -> None:
        """Release a legal hold."""
        by = signed_in(request)

        def unit(session: Session) -> None:
            ended = release_hold(session, hub.clock, hold_id)
            hub.audit.record(session, by, AuditEntry(action="audit.release", object=hold_id, subject=ended.subject, retention="7y"))

        await hub.database.write(unit)

    return [list_holds, make_hold, end_hold]


async def _lines(hub: Hub, wanted: Filter, size: int) -> AsyncIterator[bytes]:
    after = -1
    while found := await hub.audit.sealed(wanted, after=after):
        lines = [msgspec.json.encode(ExportLine(view, row)) + b"\n" for row, view in found if (row.position or 0) < size]
        yield b"".join(lines)
        if len(lines) < len(found):
            return
        after = found[-1][0].position or 0


def _filter(
    actor: str | None,
    action: str | None,
    object: str | None,  # noqa: A002 - as the column
    outcome: str | None,
    since: datetime | None,
    until: datetime | None,
) -> Filter:
    return Filter(actor=actor, action=action, object=object, outcome=outcome, since=since, until=until)
