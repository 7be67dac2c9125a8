"""The account's pages as the server gives them: strict, the same for everybody, and telling what they are told to."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from luminai.testing import HubUnderTest, running_hub

PAGES = {
    "/account": "Account",
    "/account/sign-in": "Sign in",
    "/account/register": "Open an account",
    "/account/verify": "Confirm your address",
    "/account/reset": "Choose a new password",
    "/account/link": "Show that it is you",
    "/account/invitation": "Your invitation",
}


class Elements(HTMLParser):
    """The elements of a page, each with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.all: list[tuple[str, dict[str, str]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, {name: value or "" for name, value in attrs}))

    def of(self, *tags: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.all if tag in tags]


def on_site(work: Callable[[HubUnderTest], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with running_hub("personas", "resonance", "knowledge", "ai-offline", "chat", "site", config={"chat": {"playground": True}}) as hub:
            return await work(hub)

    return asyncio.run(main())


@pytest.fixture(scope="module")
def pages() -> dict[str, Any]:
    async def work(hub: HubUnderTest) -> dict[str, Any]:
        return {path: await hub.client().request("GET", path) for path in PAGES}

    found: dict[str, Any] = on_site(work)
    return found


@pytest.mark.parametrize("path", PAGES)
def test_page__is_strict__named__and_sends_no_form_by_itself(pages: dict[str, Any], path: str) -> None:
    page = pages[path]
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert f"<h1>{PAGES[path]}</h1>" in page.text
    assert f"<title>{PAGES[path]} · LuminAI Hub</title>" in page.text
    assert '<meta name="robots" content="noindex">' in page.text
    assert "<noscript>" in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]* src=)|<style|style=|https?://|\son[a-z]+=", page.text), "nothing inline, nothing from elsewhere"
    elements = Elements(page.text)
    for form in elements.of("form"):
        # A browser without the script must not put a password into an address.
        assert form.get("method") == "post" or form.get("role") == "search", form
    senders = [one for one in elements.of("button") if one.get("type", "submit") == "submit"]
    assert senders
    assert all("disabled" in one for one in senders), "the script enables them"


@pytest.mark.parametrize("path", PAGES)
def test_page__each_field_has_a_label_and_a_place_for_its_error(pages: dict[str, Any], path: str) -> None:
    elements = Elements(pages[path].text)
    ids = [attributes["id"] for _, attributes in elements.all if "id" in attributes]
    assert len(ids) == len(set(ids))
    labelled = {one["for"] for one in elements.of("label")}
    fields = [one for one in elements.of("input", "select") if one.get("type") != "hidden" and one.get("aria-hidden") != "true"]
    for field in fields:
        assert field["id"] in labelled, field
        assert set(field["aria-describedby"].split()) <= set(ids), field
        assert f"{field['id']}-error" in field["aria-describedby"], field
    for secret in elements.of("input"):
        assert secret.get("type") != "password" or ("data-secret" in secret and secret["autocomplete"] in ("current-password", "new-password"))


def test_scripts__import_one_another_by_the_addresses_that_they_are_served_under() -> None:
    async def work(hub: HubUnderTest) -> None:
        client, seen = hub.client(), set()
        waiting = set()
        for path in ("/account", "/account/sign-in", "/account/invitation", "/playground"):
            waiting |= set(re.findall(r'(?:src|href)="(/static/[^"]+\.js)"', (await client.request("GET", path)).text))
        while waiting:
            url = waiting.pop()
            seen.add(url)
            script = await client.request("GET", url)
            assert (script.status, script.headers["content-type"]) == (200, "text/javascript; charset=utf-8"), url
            assert "innerHTML" not in script.text.replace("no innerHTML", "")
            imported = re.findall(r'^import .* from "([^"]+)";$', script.text, re.MULTILINE)
            assert all(re.fullmatch(r"/static/[a-z-]+\.[0-9a-f]{12}\.js", one) for one in imported), imported
            waiting |= set(imported) - seen
        assert {re.sub(r"\.[0-9a-f]{12}", "", url).rpartition("/")[2] for url in seen} >= {
            "dom.js",
            "theme.js",
            "account-session.js",
            "account-home.js",
        }

    on_site(work)


def test_sign_in_page__says_what_went_wrong_or_was_done__and_leads_to_own_pages_only() -> None:
    async def work(hub: HubUnderTest) -> None:
        client = hub.client()

        async def page(path: str = "/account/sign-in", **query: str) -> str:
            answer = await client.request("GET", path, query=query)
            assert answer.status == 200
            return answer.text

        for problem, words in {
            "link-required": "There is an account with your address already.",
            "email-not-verified": "The other service does not vouch for your e-mail address.",
            "account-suspended": "This account is suspended.",
            "session-ended": "Your session has ended.",
            "registration-closed": "Nobody can open an account here.",
            "whatever-comes": "Signing in through the other service did not work.",
            "<b>call 0800</b>": "Signing in through the other service did not work.",
        }.items():
            text = await page(problem=problem, next="/docs?q=a&b=c")
            assert words in text, problem
            assert "0800" not in text
            waits = problem in ("link-required", "email-not-verified")
            assert ('href="/account/link?next=/docs%3Fq%3Da%26b%3Dc"' in text) == waits, problem
        assert 'role="status">You are signed out.' in await page(done="signed-out")
        assert 'role="status"></p>' in await page(done="<b>")
        assert "<b>" not in await page(done="<b>")
        assert 'data-again="true"' in await page(again="true")

        for path in ("/account/sign-in", "/account/register", "/account/link"):
            assert 'data-next="/docs?q=a&amp;b=c#d"' in await page(path, next="/docs?q=a&b=c#d")
            for evil in ("//evil.example", "/\\evil.example", "/\t/evil.example", "https://evil.example", "javascript:alert(1)", "", "docs"):
                text = await page(path, next=evil)
                assert 'data-next="/account"' in text, evil
                assert "evil" not in text
            assert (await client.request("GET", path, query={"next": "/" + "a" * 512})).status == 400
        for path in ("/account/nowhere", "/accounts"):
            assert (await client.request("GET", path)).status == 404
        assert (await client.request("POST", "/account/sign-in")).status == 405
        assert "Disallow: /account" in (await client.request("GET", "/robots.txt")).text

    on_site(work)
