"""The data map, exports and erasures: of the own account, and for operators of anybody's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

from litestar import Request, get, post
from litestar.params import JSONBody, PathParameter
from litestar.response import Stream
from msgspec import Meta, Struct
from sqlalchemy.orm import Session

from luminai.contracts.audit import AuditEntry
from luminai.contracts.errors import Unprocessable
from luminai.contracts.identity import Actor, policy, step_up
from luminai.host.privacy_erase import Erasure, erase, erase_outside, outside_owner
from luminai.host.privacy_export import export
from luminai.host.privacy_owners import TableOwner, WholeMap, table_owners, whole_map
from luminai.http.requests import signed_in
from luminai.identity.sign_in import require_session

if TYPE_CHECKING:
    from luminai.host.hub import Hub

SCOPE: Final = "hub:privacy"
SubjectPath = Annotated[
    str,
    PathParameter(
        pattern=r"^(usr_[0-9a-f]{32}|[a-z][a-z0-9-]{1,31}:[A-Za-z0-9][A-Za-z0-9._@-]{0,79})\Z",
        description="A person's id, or `<plugin id>:<name>` for somebody whom a plugin knows by a name of an outside service.",
    ),
]
AnyRequest = Request[Any, Any, Any]


class EraseRequest(Struct, forbid_unknown_fields=True):
    """Erases for good. ``confirm``: one's own e-mail address, or the id that is in the path, typed once more; a dry run needs none."""

    confirm: Annotated[str, Meta(max_length=254)] = ""
    dry_run: bool = False


def privacy_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""
    return [*_own(hub), *_anybody(hub)]


def _own(hub: Hub) -> Sequence[Any]:
    @post("/api/users/me/export", opt=policy(step_up=True, limit="export", keyed=False), status_code=200)
    async def export_me(request: AnyRequest) -> Stream:
        """Get everything that the hub holds about oneself, as one JSON document. It is recorded."""
        actor = _fresh(require_session(signed_in(request)))
        return await _export(hub, actor.subject, actor)

    @post("/api/users/me/erase", opt=policy(step_up=True, keyed=False), status_code=200)
    async def erase_me(request: AnyRequest, data: JSONBody[EraseRequest]) -> Erasure:
        """Erase one's own account with everything in it, for good. `confirm` is the own e-mail address; `dry_run` only tells what would go."""
        actor = _fresh(require_session(signed_in(request)))
        people = hub.identity.people
        profile = await hub.database.read(lambda session: people.profile(session, people.row(session, actor.subject)))
        if not data.dry_run:
            _check_typed(data.confirm, profile.email, "Type your e-mail address.")
        return await erase(hub, actor.subject, by=actor, dry_run=data.dry_run)

    return [export_me, erase_me]


def _anybody(hub: Hub) -> Sequence[Any]:
    @get("/api/admin/privacy/map", opt=policy(SCOPE))
    async def show_data_map() -> WholeMap:
        """Show every table with the class of each column, whose it is and how long it stays."""
        return whole_map(await table_owners(hub))

    @post("/api/admin/privacy/{subject:str}/export", opt=policy(SCOPE, step_up=True, limit="export", keyed=False), status_code=200)
    async def export_subject(request: AnyRequest, subject: SubjectPath) -> Stream:
        """Get everything that the hub holds about somebody, as one JSON document. It is recorded."""
        return await _export(hub, subject, _fresh(signed_in(request)))

    @post("/api/admin/privacy/{subject:str}/erase", opt=policy(SCOPE, step_up=True, keyed=False), status_code=200)
    async def erase_subject(request: AnyRequest, subject: SubjectPath, data: JSONBody[EraseRequest]) -> Erasure:
        """Erase somebody for good. `confirm` is the id of the path once more; `dry_run` only tells what would go."""
        actor = _fresh(signed_in(request))
        if not data.dry_run:
            _check_typed(data.confirm, subject, "Type the id that is in the path.")
        run = erase_outside if ":" in subject else erase
        return await run(hub, subject, by=actor, dry_run=data.dry_run)

    return [show_data_map, export_subject, erase_subject]


async def _export(hub: Hub, subject: str, by: Actor) -> Stream:
    """Record the export, then stream it: what cannot be recorded does not leave the hub."""
    is_outside = ":" in subject
    owners: list[TableOwner] | None = [await outside_owner(hub, subject)] if is_outside else None
    what, whose = (f"plugin:{subject.partition(':')[0]}", "") if is_outside else (subject, subject)

    def unit(session: Session) -> None:
        if not is_outside:
            hub.identity.people.row(session, subject)
        hub.audit.record(session, by, AuditEntry(action="privacy.export", object=what, subject=whose, retention="7y"))

    await hub.database.write(unit)
    headers = {"Cache-Control": "no-store", "Content-Disposition": 'attachment; filename="luminai-export.json"'}
    return Stream(export(hub, subject, owners), media_type="application/json", headers=headers)


def _fresh(actor: Actor) -> Actor:
    step_up(actor)
    return actor


def _check_typed(given: str, wanted: str, hint: str) -> None:
    if not wanted or given.strip().casefold() != wanted.casefold():
        raise Unprocessable("What you typed is not what is to be erased.", code="confirmation-differs", hint=hint)
