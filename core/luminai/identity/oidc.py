"""Sign-in at an OpenID provider: code with PKCE, state and nonce (OpenID Connect Core 3.1, RFC 7636, RFC 9207; ASVS 5.0, 10.5)."""

from __future__ import annotations

import asyncio
import base64
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

from msgspec import Struct
from msgspec.structs import replace

from luminai.contracts.context import Clock
from luminai.contracts.errors import HubError
from luminai.contracts.outbound import HttpClient
from luminai.identity.oidc_keys import ProviderKeys
from luminai.identity.oidc_tokens import Claims, authenticated_at, verified_claims
from luminai.identity.outside_providers import (
    FORM,
    Given,
    OutsidePerson,
    Round,
    ask,
    exchange_of,
    is_secure,
    refused,
    request_of,
    unavailable,
    with_query,
)

KNOWN: Final = "/.well-known/openid-configuration"
FRESH_SECONDS: Final = 3600.0


class Description(Struct, frozen=True):
    """What a provider says of itself (OpenID Connect Discovery 3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: list[str] | None = None
    code_challenge_methods_supported: list[str] | None = None
    authorization_response_iss_parameter_supported: bool | None = None


class _Tokens(Struct, frozen=True):
    id_token: str
    access_token: str


class _About(Struct, frozen=True):
    """What the provider tells of a person to whom holds the access token."""

    sub: str
    email: str | None = None
    email_verified: bool | str | None = None
    name: str | None = None


class OIDCProvider:
    """Implements ``OutsideProvider``."""

    def __init__(self, given: Given, http: HttpClient, clock: Clock) -> None:
        self.given = given
        self._http = http
        self._clock = clock
        self._keys = ProviderKeys(http, clock)
        self._described: Description | None = None
        self._read_at = 0.0
        self._reading = asyncio.Lock()

    async def location(self, trip: Round, *, again: bool) -> str:
        """Return the address to send the browser to."""
        described = await self._description()
        more = {"prompt": "login", "max_age": "0"} if again else {}
        return with_query(described.authorization_endpoint, request_of(self.given, trip) | {"nonce": trip.nonce} | more)

    async def person(self, code: str, trip: Round, *, issuer: str | None) -> OutsidePerson:
        """Return whom a code stands for."""
        described = await self._description()
        if issuer != self.given.issuer and (issuer is not None or described.authorization_response_iss_parameter_supported):
            raise refused("it is of another issuer")
        tokens = await self._exchange(described, code, trip)
        now = self._clock.now()
        claims = await verified_claims(
            tokens.id_token, tokens.access_token, given=self.given, keys=self._keys, keys_url=described.jwks_uri, nonce=trip.nonce, now=now
        )
        if not claims.email and described.userinfo_endpoint:
            claims = await self._asked(described.userinfo_endpoint, tokens.access_token, claims)
        return OutsidePerson(
            issuer=self.given.issuer,
            sub=claims.sub,
            email=claims.email or "",
            is_verified=claims.email_verified in (True, "true"),  # some write the word
            name=claims.name or "",
            authenticated_at=authenticated_at(claims, now),
        )

    async def _exchange(self, described: Description, code: str, trip: Round) -> _Tokens:
        values, headers = exchange_of(self.given, code, trip), dict(FORM)
        methods = described.token_endpoint_auth_methods_supported or ["client_secret_basic"]
        secret = self.given.reveal()
        if "client_secret_basic" in methods:  # RFC 6749, 2.3.1: both parts are encoded before they are joined
            pair = f"{quote_plus(self.given.client_id)}:{quote_plus(secret)}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        elif "client_secret_post" in methods:
            values |= {"client_id": self.given.client_id, "client_secret": secret}
        else:
            raise unavailable("it takes the client's secret in a way that the hub does not speak")
        tokens: _Tokens = await exchanged(self._http, described.token_endpoint, values, headers, _Tokens)
        return tokens

    async def _asked(self, url: str, access_token: str, claims: Claims) -> Claims:
        """Return the claims with address and name from where the provider keeps them (OpenID Connect Core 5.3.2: ``sub`` must be the same)."""
        about = await ask(self._http, "GET", url, _About, headers={"authorization": f"Bearer {access_token}"})
        if about.sub != claims.sub:
            raise refused("it tells of another person")
        return replace(claims, email=about.email, email_verified=about.email_verified, name=about.name or claims.name)

    async def _description(self) -> Description:
        """Return what the provider says of itself, an hour old at most; an older one if it does not answer."""
        async with self._reading:
            if self._described is None or self._clock.monotonic() - self._read_at >= FRESH_SECONDS:
                try:
                    self._described = await self._described_now()
                except HubError:
                    if self._described is None:
                        raise
                self._read_at = self._clock.monotonic()
            return self._described

    async def _described_now(self) -> Description:
        found: Description = await ask(self._http, "GET", self.given.issuer.rstrip("/") + KNOWN, Description)
        if found.issuer != self.given.issuer:
            raise unavailable("it names another issuer")
        places = (found.authorization_endpoint, found.token_endpoint, found.jwks_uri, found.userinfo_endpoint or found.issuer)
        if not all(is_secure(place) for place in places):
            raise unavailable("one of its addresses is not https")
        methods = found.code_challenge_methods_supported
        if self.given.has_pkce and methods is not None and "S256" not in methods:
            raise unavailable("it has no PKCE with S256")
        return found


async def exchanged(http: HttpClient, url: str, values: dict[str, str], headers: dict[str, str], kind: Any) -> Any:
    """Return the tokens for a code. A code that the provider refuses is no failure of the provider.

    Raises:
        NotSignedIn: it takes the code for nothing. Upstream: it does not answer as it should.
    """
    try:
        reply = await http.request("POST", url, headers=headers, body=urlencode(values).encode(), max_bytes=65_536)
    except HubError as error:
        raise unavailable(error.detail) from error
    if reply.status in (400, 401, 403):
        raise refused("it does not take the code, or the client's secret")
    if reply.status != 200:
        raise unavailable(f"it answered {reply.status}")
    try:
        return reply.json(kind)
    except HubError:
        raise refused("it gave no token") from None
