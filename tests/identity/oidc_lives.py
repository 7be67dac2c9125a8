"""Providers of identity for tests: a real one in a process of its own, a strict one of ours that can lie, and a browser between them and the hub."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import secrets
import socket
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from identity.lives import Town, in_town

from luminai.testing import FrozenClock

ROOT = Path(__file__).parents[2]
MOCK = ROOT / ".venv-peers" / "bin" / "oidc-provider-mock"
CLIENT, SECRET = "hub client/1", "s3cret: with ünusual characters"
_NUMBERS = itertools.cycle(range(1, 255))
VARIABLE = "OIDC_TEST_SECRET"

needs_peers = pytest.mark.skipif(
    not MOCK.exists() and not os.environ.get("LUMINAI_REQUIRE_SERVICES"), reason="oidc-provider-mock is not installed: run the tests with `make test`"
)


class MockProvider:
    """``oidc-provider-mock`` (Authlib and Flask) in a process of its own. A restart on the same port gives it other keys and forgets everybody."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [MOCK, "--port", str(self.port), "--require-nonce", "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + 30
        while True:
            try:
                httpx.get(f"{self.url}/jwks").raise_for_status()
            except httpx.HTTPError:
                assert self._process.poll() is None, "the provider has died"
                assert time.monotonic() < end, "the provider does not come up"
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        assert self._process
        self._process.terminate()
        self._process.wait()

    def knows(self, sub: str, **claims: Any) -> None:
        """Let it know somebody."""
        httpx.put(f"{self.url}/users/{sub}", json=claims).raise_for_status()


class Browser:
    """Keeps cookies, and follows nobody unasked. Requests to ``origin`` go to the hub, all others over the network."""

    def __init__(self, town: Town, *, origin: str = "http://localhost") -> None:
        address = f"10.9.0.{next(_NUMBERS)}"

        async def edge(scope: Any, receive: Any, send: Any) -> None:
            await town.hub.hub.edge({"extensions": {}, **scope}, receive, send)

        hub = httpx.ASGITransport(app=edge, client=(address, 1))
        self.http = httpx.AsyncClient(base_url=origin, mounts={origin: hub}, headers={"accept": "text/html"}, trust_env=False)
        self.token = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.http.aclose()

    async def leave(self, provider: str = "mock", **query: str) -> str:
        """Begin to sign in and return where the hub sends the browser."""
        answer = await self.http.get(f"/api/auth/oauth/{provider}/start", params=query)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    async def consent(self, location: str, sub: str = "", **form: str) -> str:
        """Say yes at the provider, and return where it sends the browser."""
        answer = await (self.http.post(location, data={"sub": sub, **form}) if sub or form else self.http.get(location))
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    async def come_back(self, location: str, **headers: str) -> httpx.Response:
        return await self.http.get(location, headers=headers)

    async def go(self, sub: str = "", provider: str = "mock", **query: str) -> httpx.Response:
        """Go all the way."""
        return await self.come_back(await self.consent(await self.leave(provider, **query), sub))

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        sent = {"sec-fetch-site": "same-origin", **({"authorization": f"Bearer {self.token}"} if self.token else {}), **headers}
        return await self.http.post(f"/api/auth/{path}", json={} if body is None else body, headers=sent)

    async def session(self) -> Any:
        """Return the session that the cookies give, None without one."""
        answer = await self.post("refresh")
        if answer.status_code != 200:
            return None
        self.token = answer.json()["access_token"]
        return answer.json()

    async def signed(self, method: str, path: str) -> httpx.Response:
        return await self.http.request(method, path, headers={"authorization": f"Bearer {self.token}"})


def problem_of(answer: httpx.Response) -> str:
    """Return the code that the sign-in page is told, "" if the browser was sent elsewhere."""
    assert answer.status_code == 302, answer.text
    parts = urlsplit(answer.headers["location"])
    return parse_qs(parts.query)["problem"][0] if parts.path == "/account/sign-in" and not parts.netloc else ""


def with_providers(
    work: Callable[[Town], Awaitable[Any]], providers: dict[str, Any], *, plugins: Any = None, server: Any = None, **identity: Any
) -> Any:
    """Run ``work(town)`` in a hub with these providers, at the time of now, since theirs cannot be moved."""
    from datetime import UTC, datetime

    os.environ[VARIABLE] = SECRET
    settings = {"identity": {"registration": "open", "providers": providers, **identity}} | ({"server": server} if server else {})
    return in_town(work, plugins=plugins, settings=settings, clock=FrozenClock(datetime.now(UTC)))


def oidc(url: str, **more: Any) -> dict[str, Any]:
    """Return the settings of an OpenID provider."""
    return {"kind": "oidc", "issuer": url, "client-id": CLIENT, "client-secret": f"env:{VARIABLE}", "title": "Mock", **more}


class StrictProvider:
    """A small provider of ours: OpenID Connect and GitHub's form of OAuth 2. It refuses whatever a client does wrong, and lies when told to.

    Attributes:
        claims, head: Join what a token says.
        described: Joins what it says of itself.
        sign_with: A key that signs instead; with ``algorithm``.
        is_linkedin: It refuses PKCE and repeats no nonce.
        asked: How often each path was asked for.
    """

    def __init__(self) -> None:
        self.redirect_uri = "http://localhost/api/auth/oauth/strict/callback"
        self.person: dict[str, Any] = {"sub": "1", "email": "ada@example.org", "email_verified": True, "name": "Ada"}
        self.github_emails: list[dict[str, Any]] = [{"email": "ada@example.org", "primary": True, "verified": True}]
        self.key: Any = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.key_id: str | None = "k1"
        self.keys: list[dict[str, Any]] | None = None
        self.more: dict[str, str] = {}
        self.asked: dict[str, int] = {}
        self._codes: dict[str, dict[str, str]] = {}
        self._tokens: set[str] = set()
        self.honest()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.answer(self, {})

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"])).decode()
                provider.answer(self, {name: values[0] for name, values in parse_qs(raw).items()})

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def honest(self) -> None:
        """Take all lies back."""
        self.claims: dict[str, Any] = {}
        self.head: dict[str, Any] = {}
        self.described: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {}
        self.sign_with: Any = None
        self.algorithm = ""
        self.access_token = ""
        self.break_path = ""
        self.is_linkedin = False
        self.more = {}

    def answer(self, handler: BaseHTTPRequestHandler, form: dict[str, str]) -> None:
        parts = urlsplit(handler.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.asked[parts.path] = self.asked.get(parts.path, 0) + 1
        if parts.path == self.break_path:
            handler.send_error(503)
            return
        if parts.path in ("/authorize", "/login/oauth/authorize"):
            self._authorize(handler, query)
            return
        routes: dict[str, Callable[[], tuple[int, Any]]] = {
            "/.well-known/openid-configuration": lambda: (200, self._description()),
            "/jwks": lambda: (200, {"keys": self.keys if self.keys is not None else [self.public()]}),
            "/token": lambda: self._token(handler, form),
            "/userinfo": lambda: (200, self.person | self.userinfo) if self._holds(handler) else (401, {}),
            "/login/oauth/access_token": lambda: self._github_token(handler, form),
            "/api/v3/user": lambda: (200, {"id": 583231, "login": "ada", "name": None}) if self._holds(handler) else (401, {}),
            "/api/v3/user/emails": lambda: (200, self.github_emails) if self._holds(handler) else (401, {}),
        }
        status, body = routes[parts.path]() if parts.path in routes else (404, {})
        raw = json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw)

    def public(self, key: Any = None, key_id: str | None = "") -> dict[str, Any]:
        """Return a key as the set has it."""
        key = self.key if key is None else key
        kinds: dict[type, Any] = {rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm, ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm}
        algorithm = next((made for kind, made in kinds.items() if isinstance(key, kind)), jwt.algorithms.OKPAlgorithm)
        described = json.loads(algorithm.to_jwk(key.public_key()))
        key_id = self.key_id if key_id == "" else key_id
        return {name: value for name, value in described.items() if name != "key_ops"} | ({"kid": key_id} if key_id else {})

    def _description(self) -> dict[str, Any]:
        places = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/jwks", "userinfo_endpoint": "/userinfo"}
        found: dict[str, Any] = {name: f"{self.url}{path}" for name, path in places.items()}
        return found | {"issuer": self.url, "code_challenge_methods_supported": ["S256"]} | self.described

    def _authorize(self, handler: BaseHTTPRequestHandler, query: dict[str, str]) -> None:
        assert query["client_id"] == CLIENT
        assert query["redirect_uri"] == self.redirect_uri, "compared letter by letter"
        assert query["response_type"] == "code"
        if self.is_linkedin:
            assert "code_challenge" not in query
        else:
            assert (query["code_challenge_method"], len(query["code_challenge"])) == ("S256", 43)
        assert len(query["state"]) == 43
        assert handler.path.startswith("/login/") or (len(query["nonce"]) == 43 and "openid" in query["scope"].split())
        code = secrets.token_urlsafe()
        self._codes[code] = query
        back = {"code": code, "state": query["state"], **self.more}
        handler.send_response(302)
        handler.send_header("location", f"{query['redirect_uri']}?{urlencode(back)}")
        handler.end_headers()

    def _code(self, form: dict[str, str]) -> dict[str, str] | None:
        query = self._codes.pop(form.get("code", ""), None)
        made = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=").decode()
        if self.is_linkedin and "code_verifier" not in form:  # it refuses whoever sends one
            made = "none"
        if query is None or query["redirect_uri"] != form["redirect_uri"] or query.get("code_challenge", "none") != made:
            return None
        return query

    def _issue(self) -> str:
        token = secrets.token_urlsafe()
        self._tokens.add(token)
        return token

    def _holds(self, handler: BaseHTTPRequestHandler) -> bool:
        return handler.headers["authorization"].removeprefix("Bearer ") in self._tokens

    def _token(self, handler: BaseHTTPRequestHandler, form: dict[str, str]) -> tuple[int, Any]:
        posted = "client_secret_post" in self.described.get("token_endpoint_auth_methods_supported", ())
        if posted:
            given = (form.get("client_id", ""), form.get("client_secret", ""))
        else:
            pair = base64.b64decode(handler.headers["authorization"].removeprefix("Basic ")).decode()
            name, _, secret = pair.partition(":")
            given = (parse_qs(f"v={name}")["v"][0], parse_qs(f"v={secret}")["v"][0])
        if given != (CLIENT, SECRET) or form["grant_type"] != "authorization_code":
            return 401, {"error": "invalid_client"}
        query = self._code(form)
        if query is None:
            return 400, {"error": "invalid_grant"}
        access, now = self._issue(), int(time.time())
        half = hashlib.sha256(access.encode()).digest()[:16]
        claims = {
            "iss": self.url,
            "aud": CLIENT,
            "exp": now + 300,
            "iat": now,
            "nonce": None if self.is_linkedin else query["nonce"],
            **self.person,
            **self.claims,
        }
        if "at_hash" not in claims and not self.algorithm:
            claims["at_hash"] = base64.urlsafe_b64encode(half).rstrip(b"=").decode()
        claims = {name: value for name, value in claims.items() if value is not None}
        head = {name: value for name, value in ({"kid": self.key_id} | self.head).items() if value is not None}
        key = self.key if self.sign_with is None else self.sign_with
        token = jwt.encode(claims, key, algorithm=self.algorithm or "RS256", headers=head)
        return 200, {"access_token": self.access_token or access, "token_type": "Bearer", "id_token": token}

    def _github_token(self, handler: BaseHTTPRequestHandler, form: dict[str, str]) -> tuple[int, Any]:
        assert handler.headers["accept"] == "application/json", "else it answers with a form"
        if (form["client_id"], form["client_secret"]) != (CLIENT, SECRET):
            return 200, {"error": "incorrect_client_credentials"}
        if self._code(form) is None:
            return 200, {"error": "bad_verification_code"}
        return 200, {"access_token": self._issue(), "scope": "read:user,user:email", "token_type": "bearer"}


@contextmanager
def strict_provider() -> Iterator[StrictProvider]:
    """Serve a strict provider until the block ends."""
    provider = StrictProvider()
    thread = threading.Thread(target=provider.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        provider.server.shutdown()
        provider.server.server_close()
        thread.join()


def new_key(kind: str) -> Any:
    """Return a new private key: ``RS256``, ``ES256`` or ``EdDSA``."""
    if kind == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate() if kind == "EdDSA" else rsa.generate_private_key(public_exponent=65537, key_size=2048)
