"""Sign-in at GitHub, which speaks OAuth 2 without OpenID Connect: whom a token is of is asked from its API.

Source: GitHub's documentation "Authorizing OAuth apps" and its REST API for users and e-mail addresses, read in 2026.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from luminai.contracts.outbound import HttpClient
from luminai.identity.oidc import exchanged
from luminai.identity.outside_providers import FORM, PRESETS, Given, OutsidePerson, Round, ask, exchange_of, refused, request_of, with_query

_API: Final = {"accept": "application/vnd.github+json", "user-agent": "luminai", "x-github-api-version": "2022-11-28"}


class _Token(Struct, frozen=True):
    """GitHub answers 200 with ``error`` where OAuth 2 wants 400."""

    access_token: str = ""
    error: str = ""


class _User(Struct, frozen=True):
    """``id`` stays when somebody takes another ``login``, which others may take then."""

    id: Annotated[int, Meta(ge=1)]
    login: str
    name: str | None = None


class _Email(Struct, frozen=True):
    email: str
    primary: bool
    verified: bool


class GitHubProvider:
    """Implements ``OutsideProvider``. An issuer of one's own is a GitHub Enterprise Server, with its API below ``/api/v3``."""

    def __init__(self, given: Given, http: HttpClient) -> None:
        self.given = given
        self._http = http
        self._base = given.issuer.rstrip("/")
        self._api = "https://api.github.com" if given.issuer == PRESETS["github"].issuer else f"{self._base}/api/v3"

    async def location(self, trip: Round, *, again: bool) -> str:
        """Return the address to send the browser to. GitHub cannot be made to ask for a password; with ``again`` it lets choose the account."""
        more = {"prompt": "select_account"} if again else {}
        return with_query(f"{self._base}/login/oauth/authorize", request_of(self.given, trip) | more)

    async def person(self, code: str, trip: Round, *, issuer: str | None) -> OutsidePerson:
        """Return whom a code stands for, with the primary address."""
        if issuer not in (None, self._base, f"{self._base}/login/oauth"):
            raise refused("it is of another issuer")
        secret = {"client_id": self.given.client_id, "client_secret": self.given.reveal()}
        token = await exchanged(self._http, f"{self._base}/login/oauth/access_token", exchange_of(self.given, code, trip) | secret, FORM, _Token)
        if token.error or not token.access_token:
            raise refused("it does not take the code, or the client's secret")
        headers = _API | {"authorization": f"Bearer {token.access_token}"}
        user = await ask(self._http, "GET", f"{self._api}/user", _User, headers=headers)
        addresses = await ask(self._http, "GET", f"{self._api}/user/emails?per_page=100", list[_Email], headers=headers)
        primary = next((one for one in addresses if one.primary), _Email("", primary=False, verified=False))
        return OutsidePerson(
            issuer=self.given.issuer, sub=str(user.id), email=primary.email, is_verified=primary.verified, name=user.name or user.login
        )
