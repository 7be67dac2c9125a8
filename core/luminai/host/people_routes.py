"""People, roles and signing keys, for operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from litestar import Request, get, post, put
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import Meta, Struct

from luminai.contracts.errors import InvalidInput
from luminai.contracts.identity import Actor, policy, step_up
from luminai.host.account_routes import Email
from luminai.host.scopes import known_scopes
from luminai.http.pages import Page, page_cursor, page_limit
from luminai.http.requests import signed_in
from luminai.identity import administration
from luminai.identity.administration import Invitation, PersonView
from luminai.identity.people import PersonName
from luminai.identity.roles import Role
from luminai.identity.signing_keys import SigningKeyInfo

if TYPE_CHECKING:
    from luminai.host.hub import Hub

SCOPE: Final = "hub:people"
_ROLE: Final = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*\Z"
PersonId = Annotated[str, PathParameter(pattern=r"^usr_[0-9a-f]{32}\Z")]
RolePath = Annotated[str, PathParameter(pattern=_ROLE, max_length=32)]
RoleName = Annotated[str, Meta(pattern=_ROLE, max_length=32)]
RoleNames = Annotated[list[RoleName], Meta(max_length=16)]
ScopeText = Annotated[str, Meta(max_length=80, pattern=r"^(\*|[a-z][a-z0-9-]*:(\*|[a-z][a-z0-9-]*))\Z")]
EmailFilter = Annotated[str, QueryParameter(max_length=254, description="Exactly this address.")]
StatusFilter = Annotated[Literal["", "invited", "active", "suspended", "erased"], QueryParameter(description="Only those.")]
AnyRequest = Request[Any, Any, Any]


class InviteRequest(Struct, forbid_unknown_fields=True):
    """Whom to invite; without roles a member."""

    email: Email
    name: PersonName = ""
    roles: RoleNames = []


class RolesRequest(Struct, forbid_unknown_fields=True):
    """All roles that the person shall hold."""

    roles: RoleNames


class RoleRequest(Struct, forbid_unknown_fields=True):
    """What a role allows."""

    title: Annotated[str, Meta(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
    scopes: Annotated[list[ScopeText], Meta(max_length=64)]


class Rotated(Struct):
    """The key that signs now."""

    id: str


def people_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""
    return [*_looking(hub), *_acting(hub), *_roles(hub), *_keys(hub)]


def _looking(hub: Hub) -> Sequence[Any]:
    @get("/api/admin/people", opt=policy(SCOPE))
    async def list_people(email: EmailFilter = "", status: StatusFilter = "", limit: page_limit = 20, cursor: page_cursor = None) -> Page[PersonView]:
        """List people, newest first, or find one by the whole address: addresses are stored sealed, so a part of one finds nothing."""
        found = await administration.page(hub.identity, email=email, status=status, limit=limit + 1, before=cursor)
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @get("/api/admin/people/{person:str}", opt=policy(SCOPE))
    async def show_person(person: PersonId) -> PersonView:
        """Show one person."""
        return await administration.find(hub.identity, person)

    return [list_people, show_person]


def _acting(hub: Hub) -> Sequence[Any]:
    @post("/api/admin/people", opt=policy(SCOPE, step_up=True))
    async def invite_person(request: AnyRequest, data: JSONBody[InviteRequest]) -> Invitation:
        """Invite somebody. Where no letter can be sent, the answer holds the token to hand over."""
        return await administration.invite(hub.identity, email=data.email, name=data.name, roles=data.roles, by=_operator(request))

    @post("/api/admin/people/{person:str}/suspend", opt=policy(SCOPE, step_up=True), status_code=200)
    async def suspend_person(request: AnyRequest, person: PersonId) -> PersonView:
        """Shut somebody out at once."""
        return await administration.suspend(hub.identity, person, by=_operator(request))

    @post("/api/admin/people/{person:str}/restore", opt=policy(SCOPE, step_up=True), status_code=200)
    async def restore_person(request: AnyRequest, person: PersonId) -> PersonView:
        """Let somebody in again."""
        return await administration.restore(hub.identity, person, by=_operator(request))

    @put("/api/admin/people/{person:str}/roles", opt=policy(SCOPE, step_up=True))
    async def set_roles(request: AnyRequest, person: PersonId, data: JSONBody[RolesRequest]) -> PersonView:
        """Let somebody hold exactly these roles; nobody gives or takes rights that he does not hold."""
        return await administration.set_roles(hub.identity, person, data.roles, by=_operator(request))

    return [invite_person, suspend_person, restore_person, set_roles]


def _roles(hub: Hub) -> Sequence[Any]:
    @get("/api/admin/roles", opt=policy(SCOPE))
    async def list_roles() -> list[Role]:
        """List roles with their scopes."""
        return await administration.roles(hub.identity)

    @put("/api/admin/roles/{role:str}", opt=policy(SCOPE, step_up=True))
    async def set_role(request: AnyRequest, role: RolePath, data: JSONBody[RoleRequest]) -> Role:
        """Make a role, or change it for everybody who holds it."""
        known = known_scopes(hub.generation)
        for scope in data.scopes:
            owner, _, verb = scope.partition(":")
            if scope != "*" and scope not in known and not (verb == "*" and any(one.startswith(f"{owner}:") for one in known)):
                raise InvalidInput(f"There is no scope {scope}.", code="unknown-scope", hint=f"Known: {', '.join(sorted(known))}.")
        return await administration.set_role(hub.identity, Role(role, data.title, tuple(data.scopes)), by=_operator(request))

    return [list_roles, set_role]


def _keys(hub: Hub) -> Sequence[Any]:
    @get("/api/admin/identity/keys", opt=policy(SCOPE))
    async def list_signing_keys() -> list[SigningKeyInfo]:
        """List the keys that sign access tokens, newest first, at most 100."""
        return await hub.identity.signing_keys.list()

    @post("/api/admin/identity/rotate-keys", opt=policy(SCOPE, step_up=True), status_code=200)
    async def rotate_signing_keys(request: AnyRequest) -> Rotated:
        """Sign with the next key from now on; tokens of the old one hold until they expire."""
        return Rotated(await administration.rotate_keys(hub.identity, by=_operator(request)))

    return [list_signing_keys, rotate_signing_keys]


def _operator(request: AnyRequest) -> Actor:
    actor = signed_in(request)
    step_up(actor)
    return actor
