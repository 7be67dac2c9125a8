"""The core's routes for set-up and API keys: everybody's, for operators, and a person's own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

from litestar import Request, Response, delete, get, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta, Struct

from luminai.config.settings import KeyDays
from luminai.contracts.errors import Forbidden, InvalidInput
from luminai.contracts.identity import Actor, policy
from luminai.host.scopes import known_scopes
from luminai.http.pages import Page, page_cursor, page_limit
from luminai.http.requests import signed_in
from luminai.identity.key_rows import KeyInfo
from luminai.identity.keys import MAX_OVERLAP, OVERLAP, beyond_own
from luminai.identity.sign_in import require_session

if TYPE_CHECKING:
    from luminai.host.hub import Hub

SCOPE: Final = "hub:keys"
MAX_OWN: Final = 50
"""Keys of one person that hold at once."""
Name = Annotated[str, Meta(min_length=1, max_length=80)]
KeyId = Annotated[str, PathParameter(pattern=r"^key_[0-9a-f]{32}\Z")]
AnyRequest = Request[Any, Any, Any]
_NO_STORE: Final = {"Cache-Control": "no-store"}


class SetupRequest(Struct, forbid_unknown_fields=True):
    """Redeems the one-time set-up token."""

    token: Annotated[str, Meta(min_length=1, max_length=64)]
    name: Name = "operator"


class NewKeyRequest(Struct, forbid_unknown_fields=True):
    """Asks for an API key. Without ``expires_in_days`` it lasts as ``identity.key-days`` says; ``none``, for operators, never ends."""

    name: Name
    scopes: Annotated[
        list[Annotated[str, Meta(max_length=80, pattern=r"^(\*|[a-z][a-z0-9-]*:(\*|[a-z][a-z0-9-]*))\Z")]], Meta(min_length=1, max_length=64)
    ]
    expires_in_days: KeyDays | None = None


class RotateRequest(Struct, forbid_unknown_fields=True):
    """Asks for a successor. The old key holds for the overlap; the new one lasts as long as the old was made for, unless told otherwise."""

    overlap_seconds: Annotated[int, Meta(ge=0, le=int(MAX_OVERLAP.total_seconds()))] = int(OVERLAP.total_seconds())
    expires_in_days: KeyDays | None = None


class NewKey(Struct, kw_only=True):
    """A new key with its text, which is shown this once. It acts for ``organisation``, or with "" for its owner alone; without an end
    ``expires_at`` is None.
    """

    id: str
    key: str
    name: str
    scopes: tuple[str, ...]
    organisation: str = ""
    expires_at: datetime | None


class RotatedKey(NewKey, kw_only=True):
    """A successor, and until when the key that it ``replaces`` holds."""

    replaces: str
    old_holds_until: datetime


def key_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""
    return [*_all_keys(hub), *_own_keys(hub)]


def _all_keys(hub: Hub) -> Sequence[Any]:
    @post("/api/setup", opt=policy(anonymous=True, limit="sign-in"))
    async def setup(data: JSONBody[SetupRequest]) -> Response[NewKey]:
        """Turn the one-time set-up token into the operator's key."""
        return _shown(*await hub.keys.redeem_setup(data.token, data.name))

    @post("/api/keys", opt=policy(SCOPE, limit="key-creation", step_up=True))
    async def create_key(request: AnyRequest, data: JSONBody[NewKeyRequest]) -> Response[NewKey]:
        """Make an API key; nobody can give scopes that he does not hold."""
        return await _create(hub, signed_in(request), data)

    @get("/api/keys", opt=policy(SCOPE))
    async def list_keys(limit: page_limit = 20, cursor: page_cursor = None) -> Page[KeyInfo]:
        """List API keys, newest first."""
        return Page(*await hub.keys.list(limit=limit, cursor=cursor))

    @post("/api/keys/{key_id:str}/rotate", opt=policy(SCOPE, limit="key-creation", step_up=True))
    async def rotate_key(request: AnyRequest, key_id: KeyId, data: JSONBody[RotateRequest]) -> Response[RotatedKey]:
        """Replace an API key of the caller's own subject; the old one holds until the overlap is over."""
        return await _rotate(hub, signed_in(request), key_id, data)

    @delete("/api/keys/{key_id:str}", opt=policy(SCOPE, step_up=True))
    async def revoke_key(request: AnyRequest, key_id: KeyId) -> None:
        """Revoke an API key for good."""
        await hub.keys.revoke(key_id, by=signed_in(request))
        hub.verifier.forget(key_id)

    return [setup, create_key, list_keys, rotate_key, revoke_key]


def _own_keys(hub: Hub) -> Sequence[Any]:
    """A key cannot make another one here: whoever finds one could go on when it is revoked."""

    @post("/api/users/keys", opt=policy(limit="key-creation", step_up=True))
    async def create_own_key(request: AnyRequest, data: JSONBody[NewKeyRequest]) -> Response[NewKey]:
        """Make an API key for oneself, with some of the own scopes; it never does more than its owner may. While the session acts for an
        organisation the key does so too, and ends with the membership.
        """
        return await _create(hub, require_session(signed_in(request)), data, at_most=MAX_OWN)

    @get("/api/users/keys", opt=policy())
    async def list_own_keys(request: AnyRequest, limit: page_limit = 20, cursor: page_cursor = None) -> Page[KeyInfo]:
        """List the own API keys, newest first."""
        return Page(*await hub.keys.list(limit=limit, cursor=cursor, subject=require_session(signed_in(request)).subject))

    @post("/api/users/keys/{own_key_id:str}/rotate", opt=policy(limit="key-creation", step_up=True))
    async def rotate_own_key(request: AnyRequest, own_key_id: KeyId, data: JSONBody[RotateRequest]) -> Response[RotatedKey]:
        """Replace one of the own API keys; the old one holds until the overlap is over."""
        actor = require_session(signed_in(request))
        return await _rotate(hub, actor, own_key_id, data, owner=actor.subject)

    @delete("/api/users/keys/{own_key_id:str}", opt=policy())
    async def revoke_own_key(request: AnyRequest, own_key_id: KeyId) -> None:
        """Revoke one of the own API keys for good."""
        actor = require_session(signed_in(request))
        await hub.keys.revoke(own_key_id, owner=actor.subject, by=actor)
        hub.verifier.forget(own_key_id)

    return [create_own_key, list_own_keys, rotate_own_key, revoke_own_key]


async def _create(hub: Hub, actor: Actor, data: NewKeyRequest, *, at_most: int | None = None) -> Response[NewKey]:
    _check_scopes(hub, actor, data.scopes)
    _check_expiry(actor, data.expires_in_days)
    expires = hub.keys.expiry(data.expires_in_days)
    whose = {"subject": actor.subject, "organisation": actor.organisation}
    return _shown(*await hub.keys.create(data.name, data.scopes, **whose, expires_at=expires, by=actor, at_most=at_most))


async def _rotate(hub: Hub, actor: Actor, key_id: str, data: RotateRequest, *, owner: str | None = None) -> Response[RotatedKey]:
    _check_expiry(actor, data.expires_in_days)
    overlap = timedelta(seconds=data.overlap_seconds)
    old, info, text = await hub.keys.rotate(key_id, overlap=overlap, expires_in_days=data.expires_in_days, owner=owner, by=actor)
    hub.verifier.forget(key_id)
    assert old.expires_at is not None  # noqa: S101 - the overlap ends
    made = RotatedKey(
        id=info.id,
        key=text,
        name=info.name,
        scopes=info.scopes,
        organisation=info.organisation,
        expires_at=info.expires_at,
        replaces=old.id,
        old_holds_until=old.expires_at,
    )
    return Response(made, headers=_NO_STORE)


def _shown(info: KeyInfo, text: str) -> Response[NewKey]:
    made = NewKey(id=info.id, key=text, name=info.name, scopes=info.scopes, organisation=info.organisation, expires_at=info.expires_at)
    return Response(made, headers=_NO_STORE)


def _check_scopes(hub: Hub, actor: Actor, scopes: Sequence[str]) -> None:
    """Refuse scopes that nobody defines, or that the actor does not hold."""
    known = known_scopes(hub.generation)
    for scope in scopes:
        owner, _, verb = scope.partition(":")
        if scope != "*" and scope not in known and not (verb == "*" and any(one.startswith(f"{owner}:") for one in known)):
            raise InvalidInput(f"There is no scope {scope}.", code="unknown-scope", hint=f"Known: {', '.join(sorted(known))}.")
        if not actor.may(scope):
            raise beyond_own(scope)


def _check_expiry(actor: Actor, days: object) -> None:
    """Only who keeps the hub's keys makes one that nothing ends."""
    if days == "none" and not actor.may(SCOPE):
        raise Forbidden(f"A key that never ends needs {SCOPE}.", code="endless-key", hint="Give expires_in_days from 1 to 365, or leave it out.")
