"""Organisations, for the people who belong to them; and for which of them a session acts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from litestar import Request, delete, get, patch, post, put
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import Meta, Struct

from luminai.contracts.identity import policy
from luminai.host.organisation_rows import Deleted, delete_organisation
from luminai.http.pages import Page, page_cursor, page_limit
from luminai.http.requests import signed_in
from luminai.identity import memberships, organisations
from luminai.identity.organisations import Organisation, OrganisationName
from luminai.identity.sign_in import require_session

if TYPE_CHECKING:
    from luminai.host.hub import Hub

OrganisationId = Annotated[str, PathParameter(pattern=r"^org_[0-9a-f]{32}\Z")]
Confirm = Annotated[bool, QueryParameter(description="Delete it with all members and rows.")]
AnyRequest = Request[Any, Any, Any]


class NameRequest(Struct, forbid_unknown_fields=True):
    """How the organisation is called."""

    name: OrganisationName


class EnterRequest(Struct, forbid_unknown_fields=True):
    """Which organisation the session shall act for."""

    organisation: Annotated[str, Meta(pattern=r"^org_[0-9a-f]{32}\Z")]


def organisation_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""
    return [*_own(hub), *_session(hub)]


def _own(hub: Hub) -> Sequence[Any]:
    identity = hub.identity

    @post("/api/organisations", opt=policy())
    async def create_organisation(request: AnyRequest, data: JSONBody[NameRequest]) -> Organisation:
        """Make an organisation and own it."""
        actor = require_session(signed_in(request))
        return await organisations.create(identity, data.name, owner=actor.subject, by=actor)

    @get("/api/organisations", opt=policy())
    async def list_organisations(request: AnyRequest, limit: page_limit = 20, cursor: page_cursor = None) -> Page[Organisation]:
        """List the organisations that one belongs to, newest first."""
        actor = require_session(signed_in(request))
        found = await organisations.page(identity, actor.subject, limit=limit + 1, before=cursor)
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @get("/api/organisations/{organisation:str}", opt=policy())
    async def show_organisation(request: AnyRequest, organisation: OrganisationId) -> Organisation:
        """Show one of them."""
        return await organisations.find(identity, organisation, require_session(signed_in(request)))

    @patch("/api/organisations/{organisation:str}", opt=policy())
    async def rename_organisation(request: AnyRequest, organisation: OrganisationId, data: JSONBody[NameRequest]) -> Organisation:
        """Give it another name. It needs ``organisation:manage`` there."""
        actor = require_session(signed_in(request))
        await organisations.rename(identity, organisation, data.name, by=actor)
        return await organisations.find(identity, organisation, actor)

    @delete("/api/organisations/{organisation:str}", opt=policy(step_up=True), status_code=200)
    async def end_organisation(request: AnyRequest, organisation: OrganisationId, confirm: Confirm = False) -> Deleted:
        """Delete it: without ``confirm`` only when nobody else belongs to it and it has no rows. It needs ``organisation:manage`` there."""
        return await delete_organisation(hub, organisation, by=require_session(signed_in(request)), confirm=confirm)

    @post("/api/organisations/{organisation:str}/leave", opt=policy(), status_code=204)
    async def leave_organisation(request: AnyRequest, organisation: OrganisationId) -> None:
        """End the own membership. The last owner cannot."""
        actor = require_session(signed_in(request))
        await memberships.remove(identity, organisation, actor.subject, by=actor)

    return [create_organisation, list_organisations, show_organisation, rename_organisation, end_organisation, leave_organisation]


def _session(hub: Hub) -> Sequence[Any]:
    @put("/api/auth/organisation", opt=policy(), status_code=204)
    async def enter_organisation(request: AnyRequest, data: JSONBody[EnterRequest]) -> None:
        """Let this session act for an organisation: with its rows, and with the scopes of the own roles there."""
        await organisations.enter(hub.identity, require_session(signed_in(request)), data.organisation)

    @delete("/api/auth/organisation", opt=policy())
    async def exit_organisation(request: AnyRequest) -> None:
        """Let this session act for the person alone again."""
        await organisations.enter(hub.identity, require_session(signed_in(request)), "")

    return [enter_organisation, exit_organisation]
