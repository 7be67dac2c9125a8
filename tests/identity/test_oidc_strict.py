"""Providers that lie, err or change, and GitHub's form of OAuth 2: against a strict provider of ours, since honest ones cannot be made to lie."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from home import Home
from hypothesis import given
from hypothesis import strategies as st
from identity.lives import Town
from identity.oidc_lives import VARIABLE, Browser, StrictProvider, new_key, oidc, problem_of, strict_provider, with_providers
from msgspec.structs import replace

from luminai.contracts.errors import ConfigRejected, InvalidInput
from luminai.identity.outside import check_next
from luminai.identity.outside_providers import PRESETS

JSON = {"accept": "application/json"}
LIES: dict[str, dict[str, Any]] = {
    "another audience": {"claims": {"aud": "somebody else"}},
    "no audience": {"claims": {"aud": None}},
    "several audiences, not asked for by us": {"claims": {"aud": ["hub client/1", "other"]}},
    "asked for by another": {"claims": {"aud": ["hub client/1", "other"], "azp": "other"}},
    "another issuer": {"claims": {"iss": "https://accounts.google.com"}},
    "another nonce": {"claims": {"nonce": "A" * 43}},
    "no nonce": {"claims": {"nonce": None}},
    "expired": {"claims": {"exp": 1_700_000_000}},
    "no expiry": {"claims": {"exp": None}},
    "expiry that is no number": {"claims": {"exp": float("nan")}},
    "made long ago": {"claims": {"iat": 1_700_000_000}},
    "made in the future": {"claims": {"iat": 4_000_000_000, "exp": 4_000_000_100}},
    "of another access token": {"claims": {"at_hash": "A" * 22}},
    "access token exchanged": {"access_token": "another"},
    "no subject": {"claims": {"sub": None}},
    "empty subject": {"claims": {"sub": ""}},
    "subject that is no text": {"claims": {"sub": 5}},
    "a key of its own": {"head": {"jwk": {"kty": "RSA"}}},
    "a place of its own for keys": {"head": {"jku": "http://127.0.0.1:9/jwks"}},
    "critical parameters": {"head": {"crit": ["exp"]}},
    "another type of token": {"head": {"typ": "at+jwt"}},
    "unknown key id": {"head": {"kid": "nobody's"}},
    "signed by a stranger under a known key id": {"sign_with": new_key("RS256")},
    "signed by nobody": {"sign_with": "", "algorithm": "none"},
    "signed by a shared secret": {"sign_with": "s3cret" * 10, "algorithm": "HS256"},
    "an algorithm that the key is not for": {"sign_with": new_key("ES256"), "algorithm": "ES256"},
    "too long": {"claims": {"groups": "x" * 20_000}},
}


@pytest.fixture(scope="module")
def served() -> Iterator[StrictProvider]:
    """Return a strict provider that runs."""
    with strict_provider() as provider:
        yield provider


@pytest.fixture
def provider(served: StrictProvider) -> Iterator[StrictProvider]:
    """Return it honest, and as it began."""
    key, key_id, person, redirect_uri = served.key, served.key_id, dict(served.person), served.redirect_uri
    emails = [dict(one) for one in served.github_emails]
    yield served
    served.honest()
    served.key, served.key_id, served.keys, served.person, served.redirect_uri = key, key_id, None, person, redirect_uri
    served.github_emails = emails


def github(url: str) -> dict[str, Any]:
    return oidc(url) | {"kind": "github", "title": "GitHub"}


def test_lies__none_signs_anybody_in(provider: StrictProvider) -> None:
    async def work(town: Town) -> None:
        for name, lie in LIES.items():
            provider.honest()
            for what, value in lie.items():
                setattr(provider, what, value)
            async with Browser(town) as browser:
                back = await browser.consent(await browser.leave("strict"))
                answer = await browser.come_back(back, **JSON)
                assert (answer.status_code, answer.json()["code"]) == (401, "provider-answer-refused"), name
                assert await browser.session() is None, name
        provider.honest()
        async with Browser(town) as browser:
            assert problem_of(await browser.go(provider="strict")) == "", "and the truth does"
            assert await browser.session()

    with_providers(work, {"strict": oidc(provider.url)})


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_algorithms__of_our_list_hold_each_with_its_key(provider: StrictProvider, algorithm: str) -> None:
    async def work(town: Town) -> None:
        key = new_key(algorithm)
        provider.keys = [{"kty": "oct", "k": "AAAA", "kid": "k1"}, provider.public(new_key("RS256"), "k0"), provider.public(key, "k1")]
        provider.sign_with, provider.algorithm = key, algorithm
        async with Browser(town) as browser:
            assert problem_of(await browser.go(provider="strict")) == ""
            assert await browser.session()

    with_providers(work, {"strict": oidc(provider.url)})


def test_issuer_parameter__is_compared_and_needed_where_announced(provider: StrictProvider) -> None:
    async def work(town: Town) -> None:
        async with Browser(town) as browser:
            for more, announced, code in (
                ({"iss": "https://evil.example"}, False, "provider-answer-refused"),
                ({}, True, "provider-answer-refused"),
                ({"iss": provider.url}, True, ""),
            ):
                provider.more, provider.described = more, {"authorization_response_iss_parameter_supported": announced}
                town.clock.advance(3601)  # what a provider says of itself is read anew
                provider.claims = {"iat": int(town.clock.now().timestamp()), "exp": int(town.clock.now().timestamp()) + 60}
                assert problem_of(await browser.go(provider="strict")) == code

    with_providers(work, {"strict": oidc(provider.url)})


@pytest.mark.parametrize(
    "described",
    [
        {"issuer": "https://accounts.google.com"},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": "http://10.0.0.1/jwks"},
        {"code_challenge_methods_supported": ["plain"]},
    ],
)
def test_description__that_is_not_to_be_trusted__begins_nothing(provider: StrictProvider, described: dict[str, Any]) -> None:
    async def work(town: Town) -> None:
        provider.described = described
        async with Browser(town) as browser:
            assert problem_of(await browser.http.get("/api/auth/oauth/strict/start")) == "provider-unavailable"

    with_providers(work, {"strict": oidc(provider.url)})


def test_endpoint_at_another_host__is_called_only_if_the_operator_named_it(provider: StrictProvider) -> None:
    async def work(town: Town) -> None:
        provider.described = {"token_endpoint": "https://tokens.example.net/token"}
        async with Browser(town) as browser:
            back = await browser.consent(await browser.leave("strict"))
            answer = await browser.come_back(back, **JSON)
            assert (answer.status_code, answer.json()["code"]) == (502, "provider-unavailable")
            assert provider.asked.get("/token", 0) == before

    before = provider.asked.get("/token", 0)
    with_providers(work, {"strict": oidc(provider.url)})


def test_keys__are_read_once_then_once_a_minute_and_kept_on_errors(provider: StrictProvider) -> None:
    async def work(town: Town) -> None:
        async def go() -> str:
            async with Browser(town) as browser:
                return problem_of(await browser.go(provider="strict"))

        before = provider.asked.get("/jwks", 0)
        for _ in range(3):
            assert await go() == ""
        provider.head = {"kid": "k2"}
        for _ in range(4):
            assert await go() == "provider-answer-refused"
        assert provider.asked["/jwks"] - before == 1, "unknown key ids do not make the hub ask"
        town.clock.advance(61)
        provider.break_path = "/jwks"
        assert await go() == "provider-answer-refused"
        assert await go() == "provider-answer-refused"
        assert provider.asked["/jwks"] - before == 2
        provider.head = {}
        assert await go() == "", "the old set is kept"
        provider.break_path, provider.head = "", {"kid": "k2"}
        provider.keys = [provider.public(), provider.public(key_id="k2")]
        assert await go() == "provider-answer-refused", "less than a minute since the last try"
        town.clock.advance(61)
        assert await go() == ""

    with_providers(work, {"strict": oidc(provider.url)})


def test_userinfo__brings_the_address_of_the_same_person_only(provider: StrictProvider) -> None:
    async def work(town: Town) -> None:
        provider.claims = {"email": None, "email_verified": None}
        provider.userinfo = {"sub": "2"}
        async with Browser(town) as browser:
            assert problem_of(await browser.go(provider="strict")) == "provider-answer-refused"
            provider.userinfo = {"email": None}
            assert problem_of(await browser.go(provider="strict")) == "email-missing"
            provider.userinfo = {}
            provider.described = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
            town.clock.advance(3601)
            provider.claims |= {"iat": int(town.clock.now().timestamp()), "exp": int(town.clock.now().timestamp()) + 60}
            assert problem_of(await browser.go(provider="strict")) == ""
            assert (await browser.session())["person"]["email"] == "ada@example.org"

    with_providers(work, {"strict": oidc(provider.url)})


def test_being_signed_in_there_for_long__is_no_fresh_authentication_here(provider: StrictProvider) -> None:
    async def work(town: Town) -> None:
        provider.claims = {"auth_time": int(time.time()) - 3600}
        async with Browser(town) as browser:
            await browser.go(provider="strict")
            assert await browser.session()
            refused = await browser.post("totp/enrol")
            assert (refused.status_code, refused.json()["code"]) == (403, "step-up-required")
            again = parse_qs(urlsplit(await browser.leave("strict", again="true")).query)
            assert (again["prompt"], again["max_age"]) == (["login"], ["0"])
            provider.claims = {"auth_time": int(time.time()) - 1}
            await browser.go(provider="strict", again="true")
            await browser.session()
            assert (await browser.post("totp/enrol")).status_code == 200

    with_providers(work, {"strict": oidc(provider.url)})


def test_public_address__is_where_providers_send_back_to_and_cookies_are_bound_to_it(provider: StrictProvider) -> None:
    async def work(town: Town) -> None:
        async with Browser(town, origin="https://hub.example") as browser:
            begun = await browser.http.get("/api/auth/oauth/strict/start", headers={"x-forwarded-host": "evil.example"})
            asked = parse_qs(urlsplit(begun.headers["location"]).query)
            assert asked["redirect_uri"] == ["https://hub.example/api/auth/oauth/strict/callback"]
            cookie = begun.headers["set-cookie"].lower()
            assert cookie.startswith("__host-luminai_trip=")
            assert all(word in cookie for word in ("; secure", "; httponly", "; path=/", "; samesite=lax", "; max-age=600"))
            assert "domain" not in cookie
            back = await browser.come_back(await browser.consent(begun.headers["location"]))
            assert (back.status_code, back.headers["location"]) == (302, "/")
            kept = [line.lower() for line in back.headers.get_list("set-cookie")]
            assert any(line.startswith("__host-luminai_refresh=") and "; samesite=strict" in line for line in kept)
            assert any(line.startswith("__host-luminai_trip=;") or '__host-luminai_trip="";' in line for line in kept)

    provider.redirect_uri = "https://hub.example/api/auth/oauth/strict/callback"
    with_providers(work, {"strict": oidc(provider.url)}, server={"public-url": "https://hub.example"})


def test_host_that_is_not_this_machine__needs_a_public_address(provider: StrictProvider) -> None:
    async def work(town: Town) -> None:
        async with Browser(town, origin="http://named.example") as browser:
            assert problem_of(await browser.http.get("/api/auth/oauth/strict/start")) == "public-url-needed"

    with_providers(work, {"strict": oidc(provider.url)}, server={"hosts": ["named.example"]})


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "", "/\t/evil.example", "\\/evil", "/a\r\nb"])
def test_next__never_leads_away(provider: StrictProvider, path: str) -> None:
    async def work(town: Town) -> None:
        async with Browser(town) as browser:
            answer = await browser.http.get("/api/auth/oauth/strict/start", params={"next": path})
            assert answer.headers["location"] == "/account/sign-in?problem=bad-next&next=%2F"
            problem = await browser.http.get("/api/auth/oauth/strict/start", params={"next": path}, headers=JSON)
            assert (problem.status_code, problem.json()["code"]) == (400, "bad-next")

    with_providers(work, {"strict": oidc(provider.url)})


@given(st.text(st.sampled_from("/\\.:@%a?#\t\n 2f"), max_size=12).map(lambda text: "/" + text) | st.text(max_size=12))
def test_next__what_passes_stays_at_the_hub(path: str) -> None:
    try:
        check_next(path)
    except InvalidInput:
        return
    parts = urlsplit(urljoin("https://hub.example/account", path))
    assert (parts.scheme, parts.netloc) == ("https", "hub.example")
    assert path.isascii()
    assert path.isprintable()


@pytest.mark.shows("LR-34")
def test_github__whole_way(provider: StrictProvider) -> None:
    async def work(town: Town) -> None:
        async with Browser(town) as browser:
            location = await browser.leave("strict", next="/chat")
            assert (urlsplit(location).path, parse_qs(urlsplit(location).query)["scope"]) == ("/login/oauth/authorize", ["read:user user:email"])
            back = await browser.come_back(await browser.consent(location))
            assert back.headers["location"] == "/chat"
            first = await browser.session()
            assert (first["person"]["email"], first["person"]["name"]) == ("ada@example.org", "ada")
        provider.github_emails = [{"email": "else@example.org", "primary": True, "verified": True}]
        async with Browser(town) as browser:
            await browser.go(provider="strict")
            assert (await browser.session())["person"]["id"] == first["person"]["id"], "known by its number"

    with_providers(work, {"strict": github(provider.url)})


def test_github__refused_codes_and_unverified_addresses_sign_nobody_in(provider: StrictProvider) -> None:
    async def work(town: Town) -> None:
        async with Browser(town) as browser:
            back = await browser.consent(await browser.leave("strict"))
            state = parse_qs(urlsplit(back).query)["state"][0]
            wrong = f"/api/auth/oauth/strict/callback?code=wrong&state={state}"
            assert problem_of(await browser.come_back(wrong)) == "provider-answer-refused"
            foreign = await browser.consent(await browser.leave("strict"))
            assert problem_of(await browser.come_back(f"{foreign}&iss=https://evil.example")) == "provider-answer-refused"
            provider.github_emails = [
                {"email": "mine@example.org", "primary": True, "verified": False},
                {"email": "ada@example.org", "primary": False, "verified": True},
            ]
            assert problem_of(await browser.go(provider="strict")) == "email-not-verified"
            provider.github_emails = []
            assert problem_of(await browser.go(provider="strict")) == "email-missing"
            assert await browser.session() is None

    with_providers(work, {"strict": github(provider.url)})


def test_linkedin__is_asked_without_what_it_refuses(provider: StrictProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own address cannot be reached from here, so only that differs."""

    async def work(town: Town) -> None:
        provider.is_linkedin = True
        provider.described = {"code_challenge_methods_supported": None, "token_endpoint_auth_methods_supported": ["client_secret_post"]}
        async with Browser(town) as browser:
            provider.claims = {"nonce": "A" * 43}
            assert problem_of(await browser.go(provider="strict")) == "provider-answer-refused", "a nonce that is there must be ours"
            provider.claims = {}
            assert problem_of(await browser.go(provider="strict")) == ""
            assert await browser.session()

    monkeypatch.setitem(PRESETS, "linkedin", replace(PRESETS["linkedin"], issuer=provider.url, hosts=()))
    settings = oidc(provider.url) | {"kind": "linkedin"}
    del settings["issuer"]
    with_providers(work, {"strict": settings})


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "http://login.example.com"},
        {"issuer": "http://localhost:9400"},
        {"issuer": ""},
        {"kind": "google"},
        {"issuer": "https://user:word@login.example.com"},
        {"hosts": ["10.0.0.7"]},
    ],
)
def test_settings__that_cannot_be_safe__stop_the_start(wrong: dict[str, Any]) -> None:
    async def work(town: Town) -> None:
        raise AssertionError("it must not start")

    with pytest.raises(ConfigRejected) as refused:
        with_providers(work, {"strict": oidc("https://login.example.com") | wrong})
    assert refused.value.code == "provider-rejected"
    assert "identity.providers.strict" in refused.value.detail


def test_settings__take_a_reference_and_never_repeat_a_secret(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with (home.folder / "config.toml").open("a") as file:
        file.write('[identity.providers.google]\nkind = "google"\nclient-id = "hub"\nclient-secret = "hunter2 is my secret"\n')
    done = home.run("config", "check")
    (row,) = json.loads(done.stdout)
    assert (row["key"], row["code"]) == ("identity.providers.google.client-secret", "literal-secret")
    assert "hunter2" not in done.stdout + done.stderr
    assert "hunter2" not in home.run("config", "list").stdout


def test_missing_client_secret__is_not_told_to_strangers(provider: StrictProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(town: Town) -> None:
        async with Browser(town) as browser:
            back = await browser.consent(await browser.leave("strict"))
            monkeypatch.delenv(VARIABLE)
            answer = await browser.come_back(back, **JSON)
            assert (answer.status_code, answer.json()["code"]) == (502, "provider-unavailable")
            assert VARIABLE not in answer.text

    with_providers(work, {"strict": oidc(provider.url)})
