"""Who belongs to an organisation, and invitations into it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from litestar import Request, delete, get, post, put
from litestar.params import JSONBody, PathParameter
from msgspec import Meta, Struct

from luminai.contracts.identity import policy
from luminai.host.account_routes import Email, OneTime
from luminai.host.key_routes import KeyId
from luminai.host.organisation_routes import OrganisationId
from luminai.host.people_routes import RoleName, RoleNames
from luminai.http.pages import Page, page_cursor, page_limit
from luminai.http.requests import actor_of, client_address, signed_in
from luminai.identity import invitations, memberships
from luminai.identity.invitations import InvitationInfo, Invited
from luminai.identity.key_rows import KeyInfo
from luminai.identity.memberships import MEMBERS, Member
from luminai.identity.organisations import Organisation
from luminai.identity.sign_in import require_session

if TYPE_CHECKING:
    from luminai.host.hub import Hub

MemberId = Annotated[str, PathParameter(pattern=r"^usr_[0-9a-f]{32}\Z")]
InvitationId = Annotated[str, PathParameter(pattern=r"^inv_[0-9a-f]{32}\Z")]
AnyRequest = Request[Any, Any, Any]


class MemberRoles(Struct, forbid_unknown_fields=True):
    """All roles that the member shall hold in the organisation."""

    roles: Annotated[list[RoleName], Meta(min_length=1, max_length=16)]


class InvitationRequest(Struct, forbid_unknown_fields=True):
    """Whom to invite; without roles as a member."""

    email: Email
    roles: RoleNames = []


class TokenRequest(Struct, forbid_unknown_fields=True):
    """The token of an invitation."""

    token: OneTime


def organisation_member_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""
    return [*_members(hub), *_keys(hub), *_inviting(hub), *_answering(hub)]


def _members(hub: Hub) -> Sequence[Any]:
    identity = hub.identity

    @get("/api/organisations/{organisation:str}/members", opt=policy())
    async def list_members(request: AnyRequest, organisation: OrganisationId, limit: page_limit = 20, cursor: page_cursor = None) -> Page[Member]:
        """List who belongs to it with their roles there, by id; addresses only for those who may invite."""
        actor = require_session(signed_in(request))
        found = await memberships.members(identity, organisation, by=actor, limit=limit + 1, after=cursor)
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @put("/api/organisations/{organisation:str}/members/{member:str}/roles", opt=policy(step_up=True))
    async def set_member_roles(request: AnyRequest, organisation: OrganisationId, member: MemberId, data: JSONBody[MemberRoles]) -> Member:
        """Let a member hold exactly these roles there; nobody gives more than they hold there. It needs ``organisation:members``."""
        return await memberships.set_roles(identity, organisation, member, data.roles, by=require_session(signed_in(request)))

    @delete("/api/organisations/{organisation:str}/members/{member:str}", opt=policy(step_up=True))
    async def remove_member(request: AnyRequest, organisation: OrganisationId, member: MemberId) -> None:
        """End a membership at once. It needs ``organisation:members``, and somebody else's rights must not reach beyond one's own."""
        await memberships.remove(identity, organisation, member, by=require_session(signed_in(request)))

    return [list_members, set_member_roles, remove_member]


def _keys(hub: Hub) -> Sequence[Any]:
    @get("/api/organisations/{organisation:str}/keys", opt=policy())
    async def list_organisation_keys(
        request: AnyRequest, organisation: OrganisationId, limit: page_limit = 20, cursor: page_cursor = None
    ) -> Page[KeyInfo]:
        """List the API keys of members that act for it, newest first. It needs ``organisation:members``."""
        await memberships.check_scope(hub.identity, organisation, MEMBERS, by=require_session(signed_in(request)))
        return Page(*await hub.keys.list(limit=limit, cursor=cursor, organisation=organisation))

    @delete("/api/organisations/{organisation:str}/keys/{member_key:str}", opt=policy(step_up=True))
    async def revoke_organisation_key(request: AnyRequest, organisation: OrganisationId, member_key: KeyId) -> None:
        """Revoke a member's key that acts for it. It needs ``organisation:members``."""
        actor = require_session(signed_in(request))
        await memberships.check_scope(hub.identity, organisation, MEMBERS, by=actor)
        await hub.keys.revoke(member_key, organisation=organisation, by=actor)
        hub.verifier.forget(member_key)

    return [list_organisation_keys, revoke_organisation_key]


def _inviting(hub: Hub) -> Sequence[Any]:
    identity = hub.identity

    @post("/api/organisations/{organisation:str}/invitations", opt=policy(step_up=True))
    async def invite_member(request: AnyRequest, organisation: OrganisationId, data: JSONBody[InvitationRequest]) -> Invited:
        """Invite the owner of an address by letter; the answer does not tell whether it has an account. It needs ``organisation:members``."""
        actor = require_session(signed_in(request))
        return await invitations.invite(identity, organisation, email=data.email, roles=data.roles, by=actor)

    @get("/api/organisations/{organisation:str}/invitations", opt=policy())
    async def list_invitations(
        request: AnyRequest, organisation: OrganisationId, limit: page_limit = 20, cursor: page_cursor = None
    ) -> Page[InvitationInfo]:
        """List invitations that wait for an answer, newest first. It needs ``organisation:members``."""
        actor = require_session(signed_in(request))
        found = await invitations.page(identity, organisation, by=actor, limit=limit + 1, before=cursor)
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @delete("/api/organisations/{organisation:str}/invitations/{invitation:str}", opt=policy())
    async def withdraw_invitation(request: AnyRequest, organisation: OrganisationId, invitation: InvitationId) -> None:
        """Take an invitation back. It needs ``organisation:members``."""
        await invitations.withdraw(identity, organisation, invitation, by=require_session(signed_in(request)))

    return [invite_member, list_invitations, withdraw_invitation]


def _answering(hub: Hub) -> Sequence[Any]:
    @post("/api/invitations/accept", opt=policy(), status_code=200)
    async def accept_invitation(request: AnyRequest, data: JSONBody[TokenRequest]) -> Organisation:
        """Join an organisation by the token of a letter that was sent to the own address."""
        return await invitations.accept(hub.identity, data.token, by=require_session(signed_in(request)))

    @post("/api/invitations/decline", opt=policy(anonymous=True, limit="sign-in", keyed=False), status_code=204)
    async def decline_invitation(request: AnyRequest, data: JSONBody[TokenRequest]) -> None:
        """Decline by the token of a letter; this needs no account."""
        await invitations.decline(hub.identity, data.token, by=actor_of(request), address=client_address(request))

    return [accept_invitation, decline_invitation]
