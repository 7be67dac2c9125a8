"""Signing in through others: the way there and back, linking, and what is linked."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, cast
from urllib.parse import urlencode

from litestar import Request, Response, delete, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter
from litestar.response import Redirect
from msgspec import Meta, Struct

from luminai.contracts.errors import HubError, Unprocessable
from luminai.contracts.identity import policy
from luminai.host.account_routes import NO_STORE, DeviceName, NoCode, SignedIn, device_of, second_factor_needed, signed_in_answer
from luminai.host.auth_cookies import session_cookies, trip_cookie, trip_cookie_of
from luminai.http.hosts import host_of
from luminai.http.pages import Page, page_cursor, page_limit
from luminai.http.problems import PROBLEM_TYPE
from luminai.http.requests import client_address, request_id, signed_in
from luminai.identity import outside, outside_links
from luminai.identity.outside import WAITS, Return
from luminai.identity.outside_links import OutsideIdentity
from luminai.identity.outside_trips import MAX_NEXT, TRIP, WAITING
from luminai.identity.sign_in import Challenge, Opened, require_session

if TYPE_CHECKING:
    from luminai.host.hub import Hub

AnyRequest = Request[Any, Any, Any]
ProviderName = Annotated[str, PathParameter(pattern=r"^[a-z][a-z0-9-]{0,31}\Z")]
IdentityId = Annotated[str, PathParameter(pattern=r"^oid_[0-9a-f]{32}\Z")]
NextPath = Annotated[str, QueryParameter(name="next", max_length=MAX_NEXT, description="Path of this hub where the browser goes at last.")]
Back = Annotated[str, QueryParameter(max_length=4096)]
Handed = Annotated[str, QueryParameter(name="state", max_length=100)]
"""`state`, whose name Litestar keeps for itself."""
Issuer = Annotated[str | None, QueryParameter(max_length=255, description="Who answers (RFC 9207).")]
PAGE: Final = "/account/sign-in"
"""The page that tells what went wrong."""

_log = logging.getLogger("luminai.identity")


class ProviderInfo(Struct, frozen=True, kw_only=True):
    """A service to sign in through: send the browser to ``start``."""

    name: str
    title: str
    kind: str
    start: str


class LinkRequest(Struct, forbid_unknown_fields=True):
    """Shows whose the waiting identity is: by the account's password, or by the ``token`` of a letter; ``code`` where there is a second factor."""

    password: Annotated[str, Meta(max_length=128)] = ""
    token: Annotated[str, Meta(max_length=100)] = ""
    code: NoCode = ""
    device: DeviceName = ""


class IdentityRequest(Struct, forbid_unknown_fields=True):
    """Which service to link, and the path of this hub where the browser goes at last."""

    provider: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,31}\Z")]
    next: Annotated[str, Meta(max_length=MAX_NEXT)] = "/"


class Departed(Struct):
    """Where to send the browser now; it is known by its cookie when it comes back."""

    location: str


def oauth_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""
    return [*_round_trip(hub), *_linking(hub), *_linked(hub)]


def _round_trip(hub: Hub) -> Sequence[Any]:
    @get("/api/auth/providers", opt=policy(anonymous=True))
    async def list_providers() -> Page[ProviderInfo]:
        """List the services through which people can sign in; there are at most 16."""
        given = [provider.given for provider in hub.identity.providers.values()]
        return Page([ProviderInfo(name=one.name, title=one.title, kind=one.kind, start=f"/api/auth/oauth/{one.name}/start") for one in given])

    @get("/api/auth/oauth/{provider:str}/start", opt=policy(anonymous=True, limit="sign-in"), status_code=302)
    async def start_sign_in(
        request: AnyRequest,
        provider: ProviderName,
        next_path: NextPath = "/",
        again: Annotated[bool, QueryParameter(description="Have the password asked there even if signed in there.")] = False,
    ) -> Redirect:
        """Send the browser to the service. What goes wrong is told on the sign-in page, and as a problem to whoever accepts JSON only."""
        try:
            uri, address = _redirect_uri(hub, request, provider), client_address(request)
            left = await outside.depart(hub.identity, provider, redirect_uri=uri, next_path=next_path, address=address, again=again)
        except HubError as error:
            return _problem(request, provider, error)
        return _redirect(left.location, [trip_cookie(request, hub.settings.server.public_url, left.cookie, TRIP)])

    @get("/api/auth/oauth/{provider:str}/callback", opt=policy(anonymous=True, limit="sign-in"), status_code=302)
    async def finish_sign_in(
        request: AnyRequest, provider: ProviderName, handed: Handed = "", code: Back = "", error: Back = "", iss: Issuer = None
    ) -> Redirect:
        """Take the browser back from the service: it gets a session, and goes on to ``next``. The same address holds once, in the same browser."""
        public_url, identity = hub.settings.server.public_url, hub.identity
        cookie, next_path, kept = trip_cookie_of(request, public_url), "/", None
        try:
            uri, address = _redirect_uri(hub, request, provider), client_address(request)
            trip = await outside.arrive(identity, provider, state=handed, cookie=cookie, redirect_uri=uri, address=address)
            next_path = trip.next_path
            back = Return(code=code, error=error, issuer=iss)
            done = await outside.finish(identity, trip, back, cookie=cookie, device=device_of(request, ""), do_not_sell=_says_do_not_sell(request))
        except HubError as refused:
            if refused.code in WAITS:
                kept = trip_cookie(request, public_url, cookie, WAITING)
            return _problem(request, provider, refused, next_path=next_path, cookie=kept)
        return _welcome(hub, request, done, next_path)

    return [list_providers, start_sign_in, finish_sign_in]


def _linking(hub: Hub) -> Sequence[Any]:
    @post("/api/auth/oauth/letter", opt=policy(anonymous=True, limit="sign-in", keyed=False), status_code=202)
    async def send_link_letter(request: AnyRequest) -> None:
        """Have a link sent to the address of the identity that waits in this browser. The answer does not tell whether it has an account."""
        cookie = trip_cookie_of(request, hub.settings.server.public_url, from_page=True)
        await outside_links.send_letter(hub.identity, cookie=cookie, address=client_address(request))

    @post("/api/auth/oauth/link", opt=policy(anonymous=True, limit="sign-in", keyed=False), status_code=200)
    async def link_identity(request: AnyRequest, data: JSONBody[LinkRequest]) -> Response[SignedIn]:
        """Link the identity that waits in this browser to the account of its address, and sign in."""
        public_url = hub.settings.server.public_url
        cookie, device = trip_cookie_of(request, public_url, from_page=True), device_of(request, data.device)
        shown = {"password": data.password, "token": data.token, "code": data.code}
        opened = await outside_links.link(hub.identity, cookie=cookie, **shown, device=device, do_not_sell=_says_do_not_sell(request))
        answer = signed_in_answer(hub, request, opened, by_cookie=True)
        answer.cookies.append(trip_cookie(request, public_url, "", None))
        return answer

    return [send_link_letter, link_identity]


def _linked(hub: Hub) -> Sequence[Any]:
    @get("/api/auth/identities", opt=policy())
    async def list_identities(request: AnyRequest, limit: page_limit = 20, cursor: page_cursor = None) -> Page[OutsideIdentity]:
        """List the services that the own account is linked to."""
        actor = require_session(signed_in(request))
        found = await outside_links.list_identities(hub.identity, actor, limit=limit + 1, after=cursor)
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @post("/api/auth/identities", opt=policy(step_up=True, keyed=False), status_code=200)
    async def begin_linking(request: AnyRequest, data: JSONBody[IdentityRequest]) -> Response[Departed]:
        """Begin to link the own account to a service: send the browser to ``location``."""
        actor, address = require_session(signed_in(request)), client_address(request)
        uri = _redirect_uri(hub, request, data.provider)
        left = await outside.depart(hub.identity, data.provider, redirect_uri=uri, next_path=data.next, address=address, actor=actor)
        cookie = trip_cookie(request, hub.settings.server.public_url, left.cookie, TRIP)
        return Response(Departed(left.location), cookies=[cookie], headers=NO_STORE)

    @delete("/api/auth/identities/{identity_id:str}", opt=policy(step_up=True))
    async def unlink_identity(request: AnyRequest, identity_id: IdentityId) -> None:
        """Unlink a service from the own account; other sessions end. The last way in stays."""
        await outside_links.unlink(hub.identity, require_session(signed_in(request)), identity_id)

    return [list_identities, begin_linking, unlink_identity]


def _welcome(hub: Hub, request: AnyRequest, done: Opened | Challenge | None, next_path: str) -> Redirect:
    public_url = hub.settings.server.public_url
    over = trip_cookie(request, public_url, "", None)
    if isinstance(done, Challenge):
        if _wants_json(request):
            return _instead(Response(second_factor_needed(done), status_code=200, cookies=[over], headers=NO_STORE))
        query = urlencode({"problem": "code-needed", "next": next_path})
        return _redirect(f"{PAGE}?{query}#mfa_token={done.mfa_token}", [over])  # what stands behind # stays in the browser
    cookies = [] if done is None else session_cookies(hub.identity, request, done, public_url)
    return _redirect(next_path, [*cookies, over])


def _problem(request: AnyRequest, provider: str, error: HubError, *, next_path: str = "/", cookie: Any = None) -> Redirect:
    """Tell what went wrong on the page for it. To whoever wants JSON the problem is raised, unless a cookie has to go along."""
    _log.warning("identity.outside.refused", extra={"provider": provider, "code": error.code, "reason": error.detail})
    cookies = [cookie] if cookie is not None else []
    if _wants_json(request):
        if not cookies:
            raise error
        problem = error.problem(request_id(request))
        return _instead(Response(problem, status_code=error.status, media_type=PROBLEM_TYPE, cookies=cookies, headers=NO_STORE))
    return _redirect(f"{PAGE}?{urlencode({'problem': error.code, 'next': next_path})}", cookies)


def _redirect(location: str, cookies: list[Any]) -> Redirect:
    return Redirect(location, status_code=302, headers=NO_STORE, cookies=cookies)


def _instead(answer: Response[Any]) -> Redirect:
    """Pass an answer to whoever wants JSON off as the redirect that the document states for these routes."""
    return cast("Redirect", answer)


def _wants_json(request: AnyRequest) -> bool:
    accepted = request.headers.get("accept", "")
    return "application/json" in accepted and "text/html" not in accepted


def _says_do_not_sell(request: AnyRequest) -> bool:
    """Tell whether the browser sends Global Privacy Control."""
    return request.headers.get("sec-gpc") == "1"


def _redirect_uri(hub: Hub, request: AnyRequest, provider: str) -> str:
    """Return where the provider sends browsers back to: at the public address, or at this machine's own.

    Raises:
        Unprocessable: neither is set (code ``public-url-needed``).
    """
    base = hub.settings.server.public_url.rstrip("/")
    if not base:
        header = request.headers.get("host", "")
        if not _is_loopback(host_of(header)):
            hint = "The operator sets server.public-url in config.toml."
            raise Unprocessable("The hub does not know its public address.", code="public-url-needed", hint=hint)
        base = f"{request.scope['scheme']}://{header}"
    return f"{base}/api/auth/oauth/{provider}/callback"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
