"""Organisations, for operators: all of them, whoever belongs to them. Rows in them stay out of reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from litestar import Request, delete, get, patch, post, put
from litestar.params import JSONBody
from msgspec import Meta, Struct

from luminai.contracts.identity import policy
from luminai.host.organisation_member_routes import MemberRoles
from luminai.host.organisation_routes import Confirm, NameRequest, OrganisationId
from luminai.host.organisation_rows import Deleted, delete_organisation
from luminai.host.people_routes import SCOPE, PersonId
from luminai.http.pages import Page, page_cursor, page_limit
from luminai.http.requests import signed_in
from luminai.identity import memberships, organisations
from luminai.identity.memberships import Member
from luminai.identity.organisations import Organisation, OrganisationInfo, OrganisationName

if TYPE_CHECKING:
    from luminai.host.hub import Hub

AnyRequest = Request[Any, Any, Any]


class FoundRequest(Struct, forbid_unknown_fields=True):
    """The new organisation, and the person who owns it."""

    name: OrganisationName
    owner: Annotated[str, Meta(pattern=r"^usr_[0-9a-f]{32}\Z")]


def organisation_admin_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""
    return [*_all(hub), *_members(hub)]


def _all(hub: Hub) -> Sequence[Any]:
    identity = hub.identity

    @get("/api/admin/organisations", opt=policy(SCOPE))
    async def list_all_organisations(limit: page_limit = 20, cursor: page_cursor = None) -> Page[OrganisationInfo]:
        """List all organisations, newest first."""
        found = await organisations.all_organisations(identity, limit=limit + 1, before=cursor)
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @get("/api/admin/organisations/{organisation:str}", opt=policy(SCOPE))
    async def show_any_organisation(organisation: OrganisationId) -> OrganisationInfo:
        """Show one organisation."""
        return await _show(hub, organisation)

    @post("/api/admin/organisations", opt=policy(SCOPE, step_up=True))
    async def found_organisation(request: AnyRequest, data: JSONBody[FoundRequest]) -> Organisation:
        """Make an organisation that somebody else owns."""
        return await organisations.create(identity, data.name, owner=data.owner, by=signed_in(request))

    @patch("/api/admin/organisations/{organisation:str}", opt=policy(SCOPE, step_up=True))
    async def rename_any_organisation(request: AnyRequest, organisation: OrganisationId, data: JSONBody[NameRequest]) -> OrganisationInfo:
        """Give an organisation another name."""
        await organisations.rename(identity, organisation, data.name, by=signed_in(request), as_operator=True)
        return await _show(hub, organisation)

    @delete("/api/admin/organisations/{organisation:str}", opt=policy(SCOPE, step_up=True), status_code=200)
    async def end_any_organisation(request: AnyRequest, organisation: OrganisationId, confirm: Confirm = False) -> Deleted:
        """Delete an organisation: without ``confirm`` only when it has a single member and no rows."""
        return await delete_organisation(hub, organisation, by=signed_in(request), confirm=confirm, as_operator=True)

    return [list_all_organisations, show_any_organisation, found_organisation, rename_any_organisation, end_any_organisation]


def _members(hub: Hub) -> Sequence[Any]:
    identity = hub.identity

    @get("/api/admin/organisations/{organisation:str}/members", opt=policy(SCOPE))
    async def list_any_members(request: AnyRequest, organisation: OrganisationId, limit: page_limit = 20, cursor: page_cursor = None) -> Page[Member]:
        """List who belongs to an organisation, by id."""
        found = await memberships.members(identity, organisation, by=signed_in(request), limit=limit + 1, after=cursor, as_operator=True)
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @put("/api/admin/organisations/{organisation:str}/members/{person:str}/roles", opt=policy(SCOPE, step_up=True))
    async def set_any_roles(request: AnyRequest, organisation: OrganisationId, person: PersonId, data: JSONBody[MemberRoles]) -> Member:
        """Make somebody a member with exactly these roles; nobody gives more than they hold in the hub."""
        return await memberships.set_roles(identity, organisation, person, data.roles, by=signed_in(request), as_operator=True)

    @delete("/api/admin/organisations/{organisation:str}/members/{person:str}", opt=policy(SCOPE, step_up=True))
    async def remove_any_member(request: AnyRequest, organisation: OrganisationId, person: PersonId) -> None:
        """End a membership at once."""
        await memberships.remove(identity, organisation, person, by=signed_in(request), as_operator=True)

    return [list_any_members, set_any_roles, remove_any_member]


async def _show(hub: Hub, organisation: str) -> OrganisationInfo:
    return await hub.database.read(lambda session: organisations.info_of(session, memberships.row_of(session, organisation)))
