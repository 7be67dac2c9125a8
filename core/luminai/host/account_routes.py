"""Signing up, in and out, and new passwords."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from litestar import Request, Response, post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from luminai.contracts.errors import NotSignedIn
from luminai.contracts.identity import policy
from luminai.host.auth_cookies import device_cookie, ended_cookie, refresh_cookie, session_cookies
from luminai.http.requests import actor_of, client_address, signed_in
from luminai.identity import arrival, recovery, sign_in, sign_up
from luminai.identity.jwt import LIFETIME
from luminai.identity.one_time import LIFETIMES
from luminai.identity.people import Locale, Person, PersonName, SecondFactor
from luminai.identity.sessions import Device
from luminai.identity.sign_in import Challenge, Opened

if TYPE_CHECKING:
    from luminai.host.hub import Hub

Email = Annotated[str, Meta(min_length=3, max_length=254)]
Password = Annotated[str, Meta(min_length=1, max_length=128)]
OneTime = Annotated[str, Meta(min_length=20, max_length=100)]
Code = Annotated[
    str,
    Meta(max_length=40, pattern=r"^([0-9]{6}|[A-Za-z2-7 -]{24,40})\Z", description="Of the authenticator app, sent by message, or a recovery code."),
]
NoCode = Annotated[str, Meta(max_length=40, pattern=r"^([0-9]{6}|[A-Za-z2-7 -]{24,40})?\Z", description="Needed where there is a second factor.")]
RefreshToken = Annotated[str, Meta(max_length=100)]
DeviceName = Annotated[str, Meta(max_length=120, pattern=r"^[^\x00-\x1f\x7f]*\Z")]


class RegisterRequest(Struct, forbid_unknown_fields=True):
    """Opens an account."""

    email: Email
    password: Password
    name: PersonName = ""
    locale: Locale = "en"
    cookie: bool = True
    device: DeviceName = ""


class Registered(Struct, kw_only=True, omit_defaults=True):
    """What comes next: the letter's link, signing in, or the portal for somebody who is signed in already.

    The same for every address, and without ``signed_in``, unless the operator wants no address confirmed (``verify-email = "off"``).
    """

    next: Literal["verify-email", "sign-in", "portal"]
    signed_in: SignedIn | None = None


class LoginRequest(Struct, forbid_unknown_fields=True):
    """Signs in. With ``cookie`` false the refresh token comes in the body, for clients that are no browser."""

    email: Email
    password: Password
    cookie: bool = True
    device: DeviceName = ""
    device_token: Annotated[str, Meta(max_length=100)] = ""


class MfaRequest(Struct, forbid_unknown_fields=True):
    """Answers the challenge of a sign-in."""

    mfa_token: OneTime
    code: Code
    cookie: bool = True
    device: DeviceName = ""


class RefreshRequest(Struct, forbid_unknown_fields=True):
    """Goes on with a session: by the cookie, or by the token in the body. ``password`` and ``code`` unlock one that was idle."""

    refresh_token: RefreshToken = ""
    password: Annotated[str, Meta(max_length=128)] = ""
    code: NoCode = ""


class LogoutRequest(Struct, forbid_unknown_fields=True):
    """Ends the session of the access token, the cookie or the refresh token in the body."""

    refresh_token: RefreshToken = ""


class VerifyRequest(Struct, forbid_unknown_fields=True):
    """The token of a letter; it also signs in. ``cookie`` and ``device`` as for a login."""

    token: OneTime
    cookie: bool = True
    device: DeviceName = ""


class ForgotRequest(Struct, forbid_unknown_fields=True):
    """Whose password is forgotten."""

    email: Email


class ResetRequest(Struct, forbid_unknown_fields=True):
    """The token of a letter or invitation, and the new password."""

    token: OneTime
    password: Password


class ChangeRequest(Struct, forbid_unknown_fields=True):
    """The old password and the new one."""

    password: Password
    new_password: Password
    code: NoCode = ""


class SignedIn(Struct, kw_only=True):
    """A session. ``expires_in`` seconds belong to the access token; ``refresh_token`` is empty when it is in the cookie."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the name of a scheme
    expires_in: int
    refresh_token: str = ""
    device_token: str = ""
    session: str
    person: Person


class SecondFactorNeeded(Struct, kw_only=True):
    """The password was right. Send ``mfa_token`` with a code to ``/api/auth/mfa`` within ``expires_in`` seconds.

    ``methods`` are the person's second factors, the preferred one first; ``/api/auth/mfa/sms`` has a code sent.
    """

    mfa_token: str
    methods: tuple[SecondFactor, ...]
    expires_in: int


_MFA_SECONDS: Final = int(LIFETIMES["mfa"].total_seconds())
NO_STORE: Final = {"Cache-Control": "no-store"}


def account_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""
    return [*_signing_up(hub), *_signing_in(hub), *_going_on(hub), *_passwords(hub)]


def _signing_up(hub: Hub) -> Sequence[Any]:
    @post("/api/auth/register", opt=policy(anonymous=True, limit="sign-in", keyed=False), status_code=202)
    async def register(request: Request[Any, Any, Any], data: JSONBody[RegisterRequest]) -> Response[Registered]:
        """Open an account. The answer does not tell whether the address had one, unless the operator wants no address confirmed."""
        return await _register(hub, request, data)

    @post("/api/users/register", opt=policy(anonymous=True, limit="sign-in", keyed=False), status_code=202)
    async def register_user(request: Request[Any, Any, Any], data: JSONBody[RegisterRequest]) -> Response[Registered]:
        """Do the same as ``/api/auth/register``."""
        return await _register(hub, request, data)

    @post("/api/auth/verify", opt=policy(anonymous=True, limit="sign-in", keyed=False), status_code=200)
    async def verify_email(request: Request[Any, Any, Any], data: JSONBody[VerifyRequest]) -> Response[SignedIn | SecondFactorNeeded]:
        """Confirm an address by the token that was sent to it, and sign in."""
        done = await arrival.verify(hub.identity, data.token, device=device_of(request, data.device))
        return _entered(hub, request, done, by_cookie=data.cookie)

    return [register, register_user, verify_email]


def _signing_in(hub: Hub) -> Sequence[Any]:
    @post("/api/auth/login", opt=policy(anonymous=True, limit="sign-in", keyed=False), status_code=200)
    async def login(request: Request[Any, Any, Any], data: JSONBody[LoginRequest]) -> Response[SignedIn | SecondFactorNeeded]:
        """Sign in by password. A browser gets the refresh token as a cookie that no script reads."""
        return await _login(hub, request, data)

    @post("/api/users/login", opt=policy(anonymous=True, limit="sign-in", keyed=False), status_code=200)
    async def login_user(request: Request[Any, Any, Any], data: JSONBody[LoginRequest]) -> Response[SignedIn | SecondFactorNeeded]:
        """Do the same as ``/api/auth/login``."""
        return await _login(hub, request, data)

    @post("/api/auth/mfa", opt=policy(anonymous=True, limit="sign-in", keyed=False), status_code=200)
    async def mfa(request: Request[Any, Any, Any], data: JSONBody[MfaRequest]) -> Response[SignedIn]:
        """Answer the challenge of a sign-in with a code; five tries."""
        device = device_of(request, data.device)
        opened = await sign_in.second_factor(hub.identity, mfa_token=data.mfa_token, code=data.code, device=device)
        return signed_in_answer(hub, request, opened, by_cookie=data.cookie)

    return [login, login_user, mfa]


def _going_on(hub: Hub) -> Sequence[Any]:
    @post("/api/auth/refresh", opt=policy(anonymous=True, keyed=False), status_code=200)
    async def refresh(request: Request[Any, Any, Any], data: JSONBody[RefreshRequest]) -> Response[SignedIn]:
        """Get a new access token, and a new refresh token for the used one. Using one twice ends the session."""
        token = data.refresh_token or refresh_cookie(request, hub.settings.server.public_url)
        if not token:
            raise NotSignedIn("There is no refresh token.", code="session-ended", hint="Sign in.")
        opened = await sign_in.refresh(hub.identity, token, password=data.password, code=data.code, address=client_address(request))
        return signed_in_answer(hub, request, opened, by_cookie=not data.refresh_token)

    @post("/api/auth/logout", opt=policy(anonymous=True, keyed=False), status_code=204)
    async def logout(request: Request[Any, Any, Any], data: JSONBody[LogoutRequest]) -> Response[None]:
        """End the session at once."""
        public_url = hub.settings.server.public_url
        await sign_in.sign_out(hub.identity, actor=actor_of(request), token=data.refresh_token or refresh_cookie(request, public_url))
        return Response(None, cookies=[ended_cookie(request, public_url)])

    return [refresh, logout]


def _passwords(hub: Hub) -> Sequence[Any]:
    @post("/api/auth/password/forgot", opt=policy(anonymous=True, limit="sign-in", keyed=False), status_code=202)
    async def forgot(request: Request[Any, Any, Any], data: JSONBody[ForgotRequest]) -> None:
        """Have a link for a new password sent. The answer does not tell whether the address has an account."""
        await recovery.forgot(hub.identity, data.email, address=client_address(request))

    @post("/api/auth/password/reset", opt=policy(anonymous=True, limit="sign-in", keyed=False), status_code=204)
    async def reset(request: Request[Any, Any, Any], data: JSONBody[ResetRequest]) -> None:
        """Set a password by the token of a letter or an invitation; every session ends, the second factor stays."""
        await recovery.reset(hub.identity, token=data.token, password=data.password, address=client_address(request))

    @post("/api/auth/password/change", opt=policy(), status_code=204)
    async def change(request: Request[Any, Any, Any], data: JSONBody[ChangeRequest]) -> None:
        """Replace the password; other sessions end."""
        actor = sign_in.require_session(signed_in(request))
        await recovery.change(hub.identity, actor, password=data.password, code=data.code, new_password=data.new_password)

    return [forgot, reset, change]


async def _register(hub: Hub, request: Request[Any, Any, Any], data: RegisterRequest) -> Response[Registered]:
    address = client_address(request)
    said = {"email": data.email, "password": data.password, "name": data.name, "locale": data.locale}
    do_not_sell = request.headers.get("sec-gpc") == "1"  # Global Privacy Control
    person = await sign_up.register(hub.identity, **said, address=address, do_not_sell=do_not_sell)
    if person is None or not hub.identity.enters_at_once:
        return Response(Registered(next="verify-email" if hub.identity.must_verify else "sign-in"), headers=NO_STORE)
    opened = await arrival.enter(hub.identity, person, device=device_of(request, data.device))
    answer = signed_in_answer(hub, request, opened, by_cookie=data.cookie)
    return Response(Registered(next="portal", signed_in=answer.content), cookies=answer.cookies, headers=NO_STORE)


async def _login(hub: Hub, request: Request[Any, Any, Any], data: LoginRequest) -> Response[Any]:
    device_token = data.device_token or device_cookie(request, hub.settings.server.public_url)
    device = device_of(request, data.device)
    done = await sign_in.sign_in(hub.identity, email=data.email, password=data.password, device=device, device_token=device_token)
    return _entered(hub, request, done, by_cookie=data.cookie)


def _entered(hub: Hub, request: Request[Any, Any, Any], done: Opened | Challenge, *, by_cookie: bool) -> Response[Any]:
    if isinstance(done, Challenge):
        return Response(second_factor_needed(done), headers=NO_STORE)
    return signed_in_answer(hub, request, done, by_cookie=by_cookie)


def device_of(request: Request[Any, Any, Any], name: str) -> Device:
    """Return where a request comes from: what the client calls itself, else its browser, and its address."""
    agent = "".join(character for character in request.headers.get("user-agent", "") if character.isprintable())
    return Device(name or agent[:120], client_address(request))


def second_factor_needed(challenge: Challenge) -> SecondFactorNeeded:
    """Return the answer that asks for a code."""
    return SecondFactorNeeded(mfa_token=challenge.mfa_token, methods=challenge.methods, expires_in=_MFA_SECONDS)


def signed_in_answer(hub: Hub, request: Request[Any, Any, Any], opened: Opened, *, by_cookie: bool) -> Response[Any]:
    """Return the answer with a session: the refresh token goes into a cookie, or into the body."""
    signed = SignedIn(
        access_token=opened.access_token,
        expires_in=int(LIFETIME.total_seconds()),
        refresh_token="" if by_cookie else opened.refresh_token,
        device_token="" if by_cookie else opened.device_token,
        session=opened.session,
        person=opened.person,
    )
    cookies = session_cookies(hub.identity, request, opened, hub.settings.server.public_url) if by_cookie else []
    return Response(signed, cookies=cookies, headers=NO_STORE)
