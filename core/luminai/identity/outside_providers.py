"""Services where people sign in instead: what the settings say, and what is known of the big ones."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Protocol
from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import Struct

from luminai.config.settings import SignInSettings
from luminai.contracts.errors import ConfigRejected, HubError, NotSignedIn, Upstream
from luminai.contracts.outbound import HttpClient

FORM: Final = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
SECONDS: Final = 10.0
_MAX_BYTES: Final = 262_144


class Preset(Struct, frozen=True, kw_only=True):
    """What is known of a kind. ``has_pkce``: it takes a code verifier; ``has_nonce``: its ID tokens repeat the nonce."""

    title: str
    issuer: str = ""
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    hosts: tuple[str, ...] = ()
    has_pkce: bool = True
    has_nonce: bool = True


PRESETS: Final = {
    "oidc": Preset(title=""),
    "google": Preset(
        title="Google", issuer="https://accounts.google.com", hosts=("oauth2.googleapis.com", "www.googleapis.com", "openidconnect.googleapis.com")
    ),
    # LinkedIn refuses a token request with a code verifier and repeats no nonce, against OpenID Connect Core 3.1.3.7 (seen in 2026)
    "linkedin": Preset(title="LinkedIn", issuer="https://www.linkedin.com/oauth", hosts=("api.linkedin.com",), has_pkce=False, has_nonce=False),
    "github": Preset(title="GitHub", issuer="https://github.com", scopes=("read:user", "user:email")),
}


class Given(Struct, frozen=True, kw_only=True):
    """A provider as the operator set it up. ``reveal`` reads the client secret."""

    name: str
    title: str
    kind: str
    issuer: str
    client_id: str
    reveal: Callable[[], str]
    scopes: tuple[str, ...]
    hosts: tuple[str, ...]
    has_pkce: bool
    has_nonce: bool


class Round(Struct, frozen=True, kw_only=True):
    """What one round trip is tied by. ``challenge`` is the SHA-256 of ``verifier`` in base64url (RFC 7636)."""

    redirect_uri: str
    state: str
    nonce: str
    verifier: str
    challenge: str


class OutsidePerson(Struct, frozen=True, kw_only=True):
    """Whom a provider names: known by ``issuer`` and ``sub``. ``is_verified``: the provider says that the address is that person's."""

    issuer: str
    sub: str
    email: str
    is_verified: bool
    name: str
    authenticated_at: datetime | None = None


class OutsideProvider(Protocol):
    """Where somebody is sent, and who comes back."""

    @property
    def given(self) -> Given: ...

    async def location(self, trip: Round, *, again: bool) -> str:
        """Return the address to send the browser to; with ``again`` the person is asked to authenticate even if signed in there."""
        ...

    async def person(self, code: str, trip: Round, *, issuer: str | None) -> OutsidePerson:
        """Return whom a code stands for.

        Args:
            issuer: The parameter ``iss`` of the answer (RFC 9207), None when there was none.

        Raises:
            NotSignedIn: the answer does not hold (code ``provider-answer-refused``).
            Upstream: the provider does not answer as it should (code ``provider-unavailable``).
        """
        ...


def given_of(name: str, settings: SignInSettings, reveal: Callable[[], str]) -> Given:
    """Return a provider's settings with what its kind brings.

    Raises:
        ConfigRejected: the issuer is missing, or is not reached over https (code ``provider-rejected``).
    """
    preset = PRESETS[settings.kind]
    if settings.issuer and preset.issuer and settings.kind != "github":
        raise _rejected(name, f"kind {settings.kind} has an issuer of its own", "Take `issuer` out, or write kind oidc.")
    issuer = settings.issuer or preset.issuer
    if not issuer:
        raise _rejected(name, "an issuer is needed", "Write issuer = https://…, as its documentation spells it.")
    if not is_secure(issuer):
        raise _rejected(name, "the issuer is not https", "Only a provider on this machine may be http, by its address: http://127.0.0.1:9400.")
    return Given(
        name=name,
        title=settings.title or preset.title or name,
        kind=settings.kind,
        issuer=issuer,
        client_id=settings.client_id,
        reveal=reveal,
        scopes=settings.scopes or preset.scopes,
        hosts=preset.hosts + settings.hosts,
        has_pkce=preset.has_pkce,
        has_nonce=preset.has_nonce,
    )


def grants_of(given: Given) -> list[str]:
    """Return the outbound grants that a provider needs: its issuer's host at the issuer's port, and the further hosts."""
    parts = urlsplit(given.issuer)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = parts.port or (443 if parts.scheme == "https" else 80)
    more = ("api.github.com",) if given.issuer == PRESETS["github"].issuer else ()
    return [f"outbound:{host}:{port}", *(f"outbound:{one}" for one in (*given.hosts, *more))]


def is_secure(url: str) -> bool:
    """Tell whether a URL is https, or http to this machine by its address."""
    try:
        parts = urlsplit(url)
        is_plain = parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
    return (parts.scheme == "https" or is_plain) and bool(parts.hostname) and parts.username is None


def with_query(url: str, values: dict[str, str]) -> str:
    """Return a URL with parameters added to those that it has."""
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(values)}"


def request_of(given: Given, trip: Round) -> dict[str, str]:
    """Return the parameters of a request for a code."""
    values = {"response_type": "code", "client_id": given.client_id, "redirect_uri": trip.redirect_uri}
    values |= {"scope": " ".join(given.scopes), "state": trip.state}
    return values | ({"code_challenge": trip.challenge, "code_challenge_method": "S256"} if given.has_pkce else {})


def exchange_of(given: Given, code: str, trip: Round) -> dict[str, str]:
    """Return the parameters of a request for a token, without the client's credentials."""
    values = {"grant_type": "authorization_code", "code": code, "redirect_uri": trip.redirect_uri}
    return values | ({"code_verifier": trip.verifier} if given.has_pkce else {})


async def ask(http: HttpClient, method: str, url: str, kind: Any, *, headers: dict[str, str] | None = None, body: bytes | None = None) -> Any:
    """Return the JSON of an answer as ``kind``.

    Raises:
        Upstream: no answer, another status than 200, or another shape (code ``provider-unavailable``).
    """
    try:
        reply = await http.request(
            method, url, headers={"accept": "application/json"} | (headers or {}), body=body, timeout=SECONDS, max_bytes=_MAX_BYTES
        )
        if reply.status != 200:
            raise unavailable(f"{urlsplit(url).hostname} answered {reply.status}")
        return reply.json(kind)
    except HubError as error:
        if error.code == "provider-unavailable":
            raise
        reason = "a host that is not its issuer's: name it in `hosts`" if error.code == "outbound-refused" else error.detail
        raise unavailable(f"{urlsplit(url).hostname}: {reason}") from error


def unavailable(reason: str) -> Upstream:
    """Return the failure of a provider that does not answer as it should."""
    return Upstream(f"The service does not answer as it should ({reason}).", code="provider-unavailable", hint="Try again, or sign in another way.")


def refused(reason: str) -> NotSignedIn:
    """Return the answer to a provider's answer that does not hold."""
    hint = "Try again; if it stays, tell the operator."
    return NotSignedIn(f"The service's answer does not hold: {reason}.", code="provider-answer-refused", hint=hint)


def read_claims(raw: Any, kind: Any) -> Any:
    """Return claims as ``kind``.

    Raises:
        NotSignedIn: they have another shape.
    """
    try:
        return msgspec.convert(raw, kind)
    except (msgspec.ValidationError, ValueError):
        raise refused("its claims have another shape") from None


def _rejected(name: str, detail: str, hint: str) -> ConfigRejected:
    return ConfigRejected(f"identity.providers.{name}: {detail}.", code="provider-rejected", hint=hint)
