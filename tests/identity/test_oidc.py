"""Signing in through a real OpenID provider that others wrote (``oidc-provider-mock``: Authlib and Flask), in a process of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from identity import oidc_lives
from identity.lives import OTHER, PASSWORD, Town, second_factor
from identity.oidc_lives import Browser, MockProvider, needs_peers, problem_of, with_providers

pytestmark = needs_peers
ADA = "ada@example.org"


def oidc(url: str) -> dict[str, Any]:
    """Return settings of this provider, which does not decode what RFC 6749 has a client encode."""
    return oidc_lives.oidc(url, **{"client-id": "hub-1"})


@pytest.fixture(scope="module")
def provider() -> Iterator[MockProvider]:
    """Return a provider that runs."""
    made = MockProvider()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture(autouse=True)
def ada(request: pytest.FixtureRequest) -> None:
    """Let the provider know Ada, and vouch for her address."""
    if "provider" in request.fixturenames:
        request.getfixturevalue("provider").knows("ada-1", email=ADA, email_verified=True, name="Ada")


@pytest.mark.shows("LR-34", "TL-148")
def test_sign_up_and_in__whole_way(provider: MockProvider, plugins: Any) -> None:
    async def work(town: Town) -> None:
        async with Browser(town) as browser:
            (listed,) = (await browser.http.get("/api/auth/providers")).json()["items"]
            assert listed == {"name": "mock", "title": "Mock", "kind": "oidc", "start": "/api/auth/oauth/mock/start"}
            location = await browser.leave(next="/chat?tab=1")
            asked = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
            assert asked["redirect_uri"] == "http://localhost/api/auth/oauth/mock/callback"
            assert (asked["code_challenge_method"], asked["scope"]) == ("S256", "openid email profile")
            back = await browser.come_back(await browser.consent(location, "ada-1"))
            assert (back.status_code, back.headers["location"], back.headers["cache-control"]) == (302, "/chat?tab=1", "no-store")
            signed = await browser.session()
            assert (signed["person"]["email"], signed["person"]["name"], signed["person"]["verified_at"] is not None) == (ADA, "Ada", True)
            assert await town.holds(signed["access_token"])
            assert "luminai_trip" not in browser.http.cookies

        provider.knows("ada-1", email="new@example.org", email_verified=True, name="Ada")
        async with Browser(town) as elsewhere:
            assert problem_of(await elsewhere.go("ada-1")) == ""
            again = await elsewhere.session()
            assert again["person"]["id"] == signed["person"]["id"], "known by issuer and sub, whatever the address"
            assert again["person"]["email"] == ADA
        provider.knows("somebody-else", email="Other@example.org", email_verified=True)
        async with Browser(town) as third:
            await third.go("somebody-else")
            assert (await third.session())["person"]["id"] != signed["person"]["id"]

    with_providers(work, {"mock": oidc(provider.url)}, plugins=plugins)


def test_return__holds_once_in_the_browser_that_left(provider: MockProvider) -> None:
    async def work(town: Town) -> None:
        async with Browser(town) as browser, Browser(town) as other, Browser(town) as none:
            await other.leave()
            back = await browser.consent(await browser.leave(), "ada-1")
            for wrong in (other, none):
                assert problem_of(await wrong.come_back(back)) == "round-trip-refused", "somebody else's way back"
            forged = re.sub(r"state=[^&]+", "state=" + "A" * 43, back)
            assert problem_of(await browser.come_back(forged)) == "round-trip-refused"
            assert problem_of(await browser.come_back(back.replace("/mock/", "/twin/"))) == "round-trip-refused", "it left for another one"
            assert problem_of(await browser.come_back(back)) == "round-trip-refused", "and that was its one return"

            back = await browser.consent(await browser.leave(), "ada-1")
            assert problem_of(await browser.come_back(back)) == ""
            assert await browser.session()
            browser.http.cookies.clear()
            assert problem_of(await browser.come_back(back)) == "round-trip-refused", "replayed"

            back = await other.consent(await other.leave(), "ada-1")
            town.clock.advance(601)
            assert problem_of(await other.come_back(back)) == "round-trip-refused", "expired"
            assert [await one.session() for one in (browser, other, none)] == [None, None, None]

    with_providers(work, {"mock": oidc(provider.url), "twin": oidc(provider.url)})


def test_code__of_another_browser__holds_in_no_other(provider: MockProvider) -> None:
    """The thief's own state and cookie are right; the code, and so the nonce in its token, are those of the victim."""

    async def work(town: Town) -> None:
        async with Browser(town) as victim, Browser(town) as thief:
            stolen = parse_qs(urlsplit(await victim.consent(await victim.leave(), "ada-1")).query)["code"][0]
            mine = await thief.consent(await thief.leave(), "ada-1")
            answer = await thief.come_back(re.sub(r"code=[^&]+", f"code={stolen}", mine), accept="application/json")
            assert (answer.status_code, answer.json()["code"]) == (401, "provider-answer-refused")
            assert "made for another sign-in" in answer.json()["detail"]
            assert await thief.session() is None

    with_providers(work, {"mock": oidc(provider.url)})


def test_provider_says_no__is_told_on_the_page_and_as_a_problem(provider: MockProvider) -> None:
    async def work(town: Town) -> None:
        async with Browser(town) as browser:
            for headers in ({}, {"accept": "application/json"}):
                location = await browser.leave()
                state = parse_qs(urlsplit(location).query)["state"][0]
                back = await browser.consent(location, action="deny")
                answer = await browser.come_back(f"{back}&state={state}", **headers)  # this provider forgets the state
                if headers:
                    assert (answer.status_code, answer.json()["code"]) == (403, "provider-refused")
                else:
                    assert answer.headers["location"] == "/account/sign-in?problem=provider-refused&next=%2F"
            assert await browser.session() is None
            unknown = await browser.http.get("/api/auth/oauth/nobody/start", headers={"accept": "application/json"})
            assert (unknown.status_code, unknown.json()["code"]) == (404, "provider-not-found")

    with_providers(work, {"mock": oidc(provider.url)})


def test_unverified_address__waits_for_a_letter_in_the_same_browser_and_tells_nothing(provider: MockProvider, plugins: Any) -> None:
    async def work(town: Town) -> None:
        settled = await town.settle_in(ADA)
        for sub, email in (("mallory", ADA), ("newcomer", "new@example.org")):
            provider.knows(sub, email=email, email_verified=False)
            async with Browser(town) as browser, Browser(town) as other:
                assert problem_of(await browser.go(sub)) == "email-not-verified", "the same for known and unknown addresses"
                assert await browser.session() is None
                cross = await browser.post("oauth/letter", **{"sec-fetch-site": "cross-site"})
                assert cross.json()["code"] == "cross-site"
                assert (await browser.post("oauth/letter")).status_code == 202
                token = await town.link(email)
                assert (await other.post("oauth/link", {"token": token})).json()["code"] == "link-expired", "the letter alone is not enough"
                assert (await browser.post("oauth/link", {"token": token[::-1]})).json()["code"] == "token-refused"
                if sub == "mallory":
                    assert (await browser.post("oauth/link", {"password": OTHER})).json()["code"] == "sign-in-refused"
                    continue  # the letter goes to Ada, whose browser does not wait for it
                linked = await browser.post("oauth/link", {"token": token})
                assert (linked.status_code, linked.json()["person"]["email"]) == (200, email)
                assert (await browser.session())["person"]["verified_at"]
                assert (await browser.post("oauth/link", {"token": token})).json()["code"] == "link-expired"
        assert (await town.login(ADA))["person"]["id"] == settled["person"]["id"]

    with_providers(work, {"mock": oidc(provider.url)}, plugins=plugins)


@pytest.mark.parametrize("by", ["password", "letter"])
def test_known_address__is_linked_only_by_password_or_letter(provider: MockProvider, plugins: Any, by: str) -> None:
    async def work(town: Town) -> None:
        before = await town.settle_in(ADA)
        async with Browser(town) as browser:
            back = await browser.consent(await browser.leave(next="/notes"), "ada-1")
            if by == "password":
                assert (await browser.come_back(back)).headers["location"] == "/account/sign-in?problem=link-required&next=%2Fnotes"
            else:
                refused = await browser.come_back(back, accept="application/json")
                assert (refused.status_code, refused.json()["code"]) == (409, "link-required")
            assert await browser.session() is None
            for _ in range(2):
                assert (await browser.post("oauth/link", {"password": "wrong"})).json()["code"] == "sign-in-refused"
            body = {"password": PASSWORD}
            if by == "letter":
                assert (await browser.post("oauth/letter")).status_code == 202
                body = {"token": await town.link(ADA)}
            linked = await browser.post("oauth/link", body)
            assert linked.status_code == 200, linked.text
            assert linked.json()["person"]["id"] == before["person"]["id"]
            assert not await town.holds(before["access_token"]), "a new way in ends other sessions"
            assert "was linked" in (await town.letters(ADA))[-1].text
        async with Browser(town) as again:
            assert problem_of(await again.go("ada-1")) == ""
            assert (await again.session())["person"]["id"] == before["person"]["id"]

    with_providers(work, {"mock": oidc(provider.url)}, plugins=plugins)


def test_account_that_nobody_confirmed__loses_its_password_by_the_letter(provider: MockProvider, plugins: Any) -> None:
    """Somebody signs up with Ada's address and a password of his own, and waits for her to confirm it (pre-hijacking)."""

    async def work(town: Town) -> None:
        await town.register(ADA, OTHER)
        async with Browser(town) as browser:
            assert problem_of(await browser.go("ada-1")) == "link-required"
            await browser.post("oauth/letter")
            assert (await browser.post("oauth/link", {"token": await town.link(ADA)})).status_code == 200
        assert (await town.try_login(ADA, OTHER)).json()["code"] == "sign-in-refused"

    with_providers(work, {"mock": oidc(provider.url)}, plugins=plugins)


def test_second_factor__is_asked_for_all_the_same(provider: MockProvider) -> None:
    async def work(town: Town) -> None:
        settled = await town.settle_in(ADA)
        secret, _ = await second_factor(town, settled)
        town.clock.advance(60)
        async with Browser(town) as browser:
            await browser.go("ada-1")
            without = await browser.post("oauth/link", {"password": PASSWORD})
            assert (without.status_code, without.json()["code"]) == (401, "code-needed")
            assert (await browser.post("oauth/link", {"password": PASSWORD, "code": town.code(secret)})).status_code == 200
        town.clock.advance(60)
        async with Browser(town) as browser:
            answer = await browser.go("ada-1", next="/notes")
            assert problem_of(answer) == "code-needed"
            assert await browser.session() is None
            parts = urlsplit(answer.headers["location"])
            assert parse_qs(parts.query)["next"] == ["/notes"]
            challenge = parse_qs(parts.fragment)["mfa_token"][0]
            assert (await browser.post("mfa", {"mfa_token": challenge, "code": town.code(secret)})).status_code == 200
            assert await browser.session()
            told = await browser.come_back(await browser.consent(await browser.leave(), "ada-1"), accept="application/json")
            assert (told.status_code, sorted(told.json())) == (200, ["expires_in", "methods", "mfa_token"])

    with_providers(work, {"mock": oidc(provider.url)})


def test_linking__of_a_signed_in_person__is_fresh_and_never_takes_the_last_way_in(provider: MockProvider) -> None:
    async def work(town: Town) -> None:
        provider.knows("grace-1", email="grace@example.org", email_verified=True)
        settled, elsewhere = await town.settle_in("ada.home@example.org"), await town.login("ada.home@example.org")
        async with Browser(town) as browser, Browser(town) as grace:
            browser.token = settled["access_token"]
            begun = await browser.post("identities", {"provider": "mock", "next": "/account"})
            assert begun.status_code == 200, begun.text
            back = await browser.consent(begun.json()["location"], "ada-1")
            assert problem_of(await grace.come_back(back)) == "round-trip-refused", "nobody else's browser can link to her account"
            begun = await browser.post("identities", {"provider": "mock", "next": "/account"})
            linked = await browser.come_back(await browser.consent(begun.json()["location"], "ada-1"))
            assert linked.headers["location"] == "/account"
            assert not await town.holds(elsewhere["access_token"])
            assert await town.holds(settled["access_token"])
            (listed,) = (await browser.signed("GET", "/api/auth/identities")).json()["items"]
            assert (listed["provider"], listed["title"], listed["issuer"]) == ("mock", "Mock", provider.url)

            await grace.go("grace-1")
            await grace.session()
            begun = await grace.post("identities", {"provider": "mock"})
            taken = await grace.come_back(await grace.consent(begun.json()["location"], "ada-1"))
            assert problem_of(taken) == "identity-taken"
            (hers,) = (await grace.signed("GET", "/api/auth/identities")).json()["items"]
            last = await grace.signed("DELETE", f"/api/auth/identities/{hers['id']}")
            assert (last.status_code, last.json()["code"]) == (409, "last-way-in")
            foreign = await grace.signed("DELETE", f"/api/auth/identities/{listed['id']}")
            assert (foreign.status_code, foreign.json()["code"]) == (404, "identity-not-found")

            town.clock.advance(601)
            for answer in (
                await browser.post("identities", {"provider": "mock"}),
                await browser.signed("DELETE", f"/api/auth/identities/{listed['id']}"),
            ):
                assert (answer.status_code, answer.json()["code"]) in ((403, "step-up-required"), (401, "bad-credential"))
            browser.token = (await town.login("ada.home@example.org"))["access_token"]
            assert (await browser.signed("DELETE", f"/api/auth/identities/{listed['id']}")).status_code == 204
        async with Browser(town) as after:
            await after.go("ada-1")
            assert (await after.session())["person"]["id"] != settled["person"]["id"], "what is unlinked is a stranger"

    with_providers(work, {"mock": oidc(provider.url)})


@pytest.mark.parametrize(("registration", "code"), [("invite", "invitation-needed"), ("closed", "registration-closed")])
def test_registration_that_is_not_open__holds_here_too(provider: MockProvider, plugins: Any, registration: str, code: str) -> None:
    async def work(town: Town) -> None:
        async with Browser(town) as browser:
            assert problem_of(await browser.go("ada-1")) == code
        made = (await town.operator("POST", "people", {"email": ADA, "name": "Ada"})).json()
        async with Browser(town) as browser:
            assert problem_of(await browser.go("ada-1")) == "link-required"
            assert (await browser.post("oauth/letter")).status_code == 202
            linked = await browser.post("oauth/link", {"token": await town.link(ADA)})
            assert (linked.json()["person"]["id"], linked.json()["person"]["status"]) == (made["person"]["id"], "active")
        await town.operator("POST", f"people/{made['person']['id']}/suspend")
        async with Browser(town) as browser:
            assert problem_of(await browser.go("ada-1")) == "account-suspended"

    with_providers(work, {"mock": oidc(provider.url)}, plugins=plugins, registration=registration)


def test_provider_changes_its_keys__is_followed_after_a_minute_at_most(provider: MockProvider) -> None:
    async def work(town: Town) -> None:
        async with Browser(town) as browser:
            assert problem_of(await browser.go("ada-1")) == ""
            provider.stop()
            assert problem_of(await browser.come_back("/api/auth/oauth/mock/callback?error=x")) == "round-trip-refused"
            provider.start()
            provider.knows("ada-1", email=ADA, email_verified=True)
            assert problem_of(await browser.go("ada-1")) == "provider-answer-refused", "asked less than a minute ago"
            town.clock.advance(61)
            assert problem_of(await browser.go("ada-1")) == ""

    with_providers(work, {"mock": oidc(provider.url)})


def test_provider_is_down__is_said(provider: MockProvider) -> None:
    async def work(town: Town) -> None:
        async with Browser(town) as browser:
            provider.stop()
            try:
                answer = await browser.http.get("/api/auth/oauth/mock/start")
                assert problem_of(answer) == "provider-unavailable"
            finally:
                provider.start()

    with_providers(work, {"mock": oidc(provider.url)})
