"""The core's routes for set-up and API keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

from litestar import Request, delete, get, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta, Struct

from luminai.contracts.errors import HubError, InvalidInput
from luminai.contracts.identity import Actor, policy
from luminai.host.scopes import known_scopes
from luminai.http.pages import Page, page_cursor, page_limit
from luminai.http.requests import signed_in
from luminai.identity.keys import KeyInfo

if TYPE_CHECKING:
    from luminai.host.hub import Hub

Name = Annotated[str, Meta(min_length=1, max_length=80)]
KeyId = Annotated[str, PathParameter(pattern=r"^key_[0-9a-f]{32}$")]


class SetupRequest(Struct, forbid_unknown_fields=True):
    """Redeems the one-time set-up token."""

    token: Annotated[str, Meta(min_length=1, max_length=64)]
    name: Name = "operator"


class NewKeyRequest(Struct, forbid_unknown_fields=True):
    """Asks for an API key."""

    name: Name
    scopes: Annotated[
        list[Annotated[str, Meta(max_length=80, pattern=r"^(\*|[a-z][a-z0-9-]*:(\*|[a-z][a-z0-9-]*))$")]], Meta(min_length=1, max_length=64)
    ]
    expires_in_days: Annotated[int, Meta(ge=1, le=3650)] | None = None


class NewKey(Struct):
    """A new key with its text, which is shown this once."""

    id: str
    key: str
    name: str
    scopes: tuple[str, ...]


def key_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""

    @post("/api/setup", opt=policy(anonymous=True))
    async def setup(data: JSONBody[SetupRequest]) -> NewKey:
        """Turn the one-time set-up token into the operator's key."""
        info, text = await hub.keys.redeem_setup(data.token, data.name)
        return NewKey(info.id, text, info.name, info.scopes)

    @post("/api/keys", opt=policy("hub:keys"))
    async def create_key(request: Request[Any, Any, Any], data: JSONBody[NewKeyRequest]) -> NewKey:
        """Make an API key; nobody can give scopes that he does not hold."""
        actor = signed_in(request)
        _check_scopes(hub, actor, data.scopes)
        expires = hub.clock.now() + timedelta(days=data.expires_in_days) if data.expires_in_days else None
        info, text = await hub.keys.create(data.name, data.scopes, subject=actor.subject, expires_at=expires)
        return NewKey(info.id, text, info.name, info.scopes)

    @get("/api/keys", opt=policy("hub:keys"))
    async def list_keys(limit: page_limit = 20, cursor: page_cursor = None) -> Page[KeyInfo]:
        """List API keys, newest first."""
        found, following = await hub.keys.list(limit=limit, cursor=cursor)
        return Page(found, following)

    @delete("/api/keys/{key_id:str}", opt=policy("hub:keys"))
    async def revoke_key(key_id: KeyId) -> None:
        """Revoke an API key for good."""
        await hub.keys.revoke(key_id)
        hub.verifier.forget()

    return [setup, create_key, list_keys, revoke_key]


def _check_scopes(hub: Hub, actor: Actor, scopes: Sequence[str]) -> None:
    """Refuse scopes that nobody defines, or that the actor does not hold."""
    known = known_scopes(hub.generation)
    for scope in scopes:
        owner, _, verb = scope.partition(":")
        if scope != "*" and scope not in known and not (verb == "*" and any(one.startswith(f"{owner}:") for one in known)):
            raise InvalidInput(f"There is no scope {scope}.", code="unknown-scope", hint=f"Known: {', '.join(sorted(known))}.")
        if not actor.may(scope):
            raise _Beyond(f"You cannot give {scope}, which you do not hold yourself.")


class _Beyond(HubError):
    status, default_code, title = 403, "scope-beyond-own", "Not allowed"
