"""A person's way in a real browser: registering, the letter, signing in, the own account, and out again."""

import email
import email.policy
import json
import queue
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pyotp
import pytest
from aiosmtpd.controller import Controller
from home import Home, serving

PASSWORD = "nine wooden ladders"
CONFIG = """
[plugins.site]
enabled = true
approve = ["anonymous-routes", "site-root"]
[plugins.mail]
enabled = true
[plugins.mail.config]
host = "127.0.0.1"
port = {port}
security = "none"
from-address = "hub@example.org"
[identity.providers.gone]
kind = "oidc"
title = "Gone Ltd"
issuer = "http://127.0.0.1:9"
client-id = "hub"
client-secret = "env:GONE_SECRET"
"""

pytestmark = pytest.mark.browser


class Letters:
    """A mail server's letters, as they come."""

    def __init__(self) -> None:
        self._came: queue.Queue[tuple[str, str]] = queue.Queue()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        body = email.message_from_bytes(envelope.content, policy=email.policy.default).get_body(("plain",))
        assert body
        self._came.put((envelope.rcpt_tos[0], body.get_content()))
        return "250 OK"

    def link(self, to: str) -> str:
        """Return path and secret of the next link that somebody is written."""
        while True:
            whom, text = self._came.get(timeout=120)
            if whom == to and (found := re.search(r"https?://[^/]+(/account/\S+)", text)):
                return found[1]


class Hub(NamedTuple):
    home: Home
    letters: Letters


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Serve a hub whose letters arrive here."""
    letters = Letters()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Controller(letters, hostname="127.0.0.1", port=port)
    server.start()
    try:
        with serving(tmp_path_factory.mktemp("account") / "home", config=CONFIG.format(port=port), GONE_SECRET="s3cret") as home:
            yield Hub(home, letters)
    finally:
        server.stop()


@pytest.fixture
def address(hub: Hub) -> str:
    """Return where the hub is."""
    return hub.home.env["LUMINAI_URL"]


def sign_in(page: Any, who: str, password: str = PASSWORD) -> None:
    page.get_by_label("E-mail address").fill(who)
    page.get_by_label("Password", exact=True).fill(password)
    page.keyboard.press("Enter")


def focused(page: Any) -> str:
    found: str = page.evaluate("document.activeElement.id || document.activeElement.className")
    return found


def theme(page: Any) -> str:
    found: str = page.evaluate("document.documentElement.dataset.theme")
    return found


@pytest.mark.shows("LR-10", "LR-117")
def test_person__registers__confirms__governs_the_sessions__and_signs_out(hub: Hub, page: Any, browse: Callable[[str], Any], address: str) -> None:
    ada = "ada@example.org"
    register(page, ada)
    confirm(page, hub.letters.link(ada), ada, browse(address), address)
    change_the_profile(page)
    other = browse(address)
    sign_in_elsewhere(other, ada)
    end_the_other_session(page, other)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_text("You are signed out.").wait_for()
    page.goto("/account")
    page.wait_for_url("**/account/sign-in?next=%2Faccount")


def register(page: Any, ada: str) -> None:
    """Open an account after two mistakes, each told at its field."""
    page.goto("/account")
    page.wait_for_url("**/account/sign-in?next=%2Faccount")
    page.get_by_role("link", name="Open one").click()
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("E-mail address").fill("ada")
    page.get_by_label("Password", exact=True).fill("password")
    page.get_by_role("button", name="Open the account").click()
    assert focused(page) == "register-email", "the first field that is wrong, before anything is sent"
    page.get_by_label("E-mail address").fill(ada)
    page.get_by_role("button", name="Open the account").click()
    page.get_by_text("A password has 15 to 128 characters.").wait_for()
    secret = page.get_by_label("Password", exact=True)
    assert (focused(page), secret.get_attribute("aria-invalid"), secret.input_value()) == ("register-password", "true", "")
    assert (page.get_by_label("Name").input_value(), page.get_by_label("E-mail address").input_value()) == ("Ada", ada)
    secret.fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_text(f"A letter is on its way to {ada}").wait_for()


def confirm(page: Any, link: str, ada: str, scanner: Any, address: str) -> None:
    """Follow the letter's link, which a program has followed before."""
    scanner.goto(link)  # looking at it, scripts included, confirms nothing
    page.goto(link)
    assert page.url == f"{address}/account/verify", "the secret has left the address bar"
    page.get_by_role("button", name="Confirm my address").click()
    page.wait_for_url("**/account")
    page.get_by_text(f"Signed in as {ada}").wait_for()
    scanner.get_by_role("button", name="Confirm my address").click()
    scanner.get_by_role("alert").get_by_text("The link is wrong, used or expired.").wait_for()


def change_the_profile(page: Any) -> None:
    assert page.get_by_label("Name").input_value() == "Ada"
    page.get_by_label("Colours", exact=True).select_option("light")
    page.get_by_label("Play sounds").uncheck()
    page.get_by_label("Language").fill("not a tag")
    page.get_by_role("button", name="Save").click()
    page.locator("#profile-locale[aria-invalid=true]").wait_for()
    assert focused(page) == "profile-locale"
    page.get_by_label("Language").fill("de-CH")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Saved.").wait_for()
    assert theme(page) == "light"
    assert page.locator("#sessions li").count() == 1
    assert "this one" in page.locator("#sessions li").inner_text()


def sign_in_elsewhere(other: Any, ada: str) -> None:
    """Sign in with another browser, after a wrong password."""
    other.goto("/account/sign-in?next=/about")
    assert theme(other) == "dark"
    sign_in(other, ada, "not my password")
    other.get_by_role("alert").get_by_text("Address or password is wrong.").wait_for()
    assert (focused(other), other.get_by_label("E-mail address").input_value()) == ("problem", ada)
    assert other.get_by_label("Password", exact=True).input_value() == ""
    sign_in(other, ada)
    other.wait_for_url(re.compile(r"^[^?]*/about$"))
    assert theme(other) == "light", "the account brings its colours along"
    other.goto("/account")
    other.get_by_text(f"Signed in as {ada}").wait_for()
    assert (other.get_by_label("Language").input_value(), other.get_by_label("Play sounds").is_checked()) == ("de-CH", False)


def end_the_other_session(page: Any, other: Any) -> None:
    page.reload()
    page.locator("#sessions li").nth(1).wait_for()
    page.get_by_role("button", name="End the session of").click()
    page.locator("#sessions li").nth(1).wait_for(state="detached")
    other.reload()
    other.wait_for_url("**/account/sign-in?*")


def test_invited_person__chooses_a_password__turns_the_second_factor_on__and_erases_the_account(hub: Hub, page: Any) -> None:
    bea = "bea@example.org"
    hub.home.data("people", "invite", bea, "--role", "member")
    page.goto(hub.letters.link(bea))
    assert "#" not in page.url
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Set the password").click()
    page.get_by_text("Your password is set.").wait_for()
    sign_in(page, bea)
    page.get_by_text(f"Signed in as {bea}").wait_for()

    recovery = turn_the_second_factor_on(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    assert bea in json.dumps(json.loads(Path(download.value.path()).read_text()))

    page.get_by_role("button", name="Sign out").click()
    page.get_by_text("You are signed out.").wait_for()
    sign_in(page, bea)
    page.locator("#code-code").wait_for()
    assert focused(page) == "code-code"
    page.locator("#code-code").fill("abcdefghijklmnopqrstuvwx")
    page.keyboard.press("Enter")
    page.get_by_text("The code does not hold.").wait_for()
    page.locator("#code-code").fill(recovery[0])
    page.keyboard.press("Enter")
    page.get_by_text(f"Signed in as {bea}").wait_for()
    page.get_by_text("Turn it off…").click()
    page.get_by_role("button", name="Turn it off").click()
    page.get_by_text("The second factor is off.").wait_for()
    erase(page, bea)


def turn_the_second_factor_on(page: Any) -> list[str]:
    """Give the password once more, then a code, and return the recovery codes."""
    page.route("**/api/auth/totp/enrol", stale, times=1)
    page.get_by_role("button", name="Turn it on").click()
    again = page.get_by_role("dialog", name="Is it you?")
    again.get_by_label("Password", exact=True).fill("not my password")
    again.get_by_role("button", name="Go on").click()
    again.get_by_text("The password is wrong.").wait_for()
    assert focused(page) == "again-password"
    again.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    secret = page.locator(".secret code")
    secret.wait_for()
    assert not again.is_visible()
    key = secret.inner_text().replace(" ", "")
    assert f"secret={key}" in (page.locator(".uri a").get_attribute("href") or "")
    code = page.locator("#factor-confirm-code")
    code.fill("12345")
    page.get_by_role("button", name="Confirm").click()
    assert (focused(page), code.get_attribute("aria-invalid")) == ("factor-confirm-code", "true")
    code.fill(pyotp.TOTP(key).now())
    page.get_by_role("button", name="Confirm").click()
    page.locator("#recovery li").first.wait_for()
    recovery: list[str] = page.locator("#recovery li").all_inner_texts()
    page.get_by_role("button", name="I have kept them").click()
    assert page.locator("#recovery li").count() == 0
    return recovery


def erase(page: Any, bea: str) -> None:
    page.get_by_role("button", name="Erase my account…").click()
    page.get_by_label("Type your e-mail address to confirm").fill("ada@example.org")
    page.get_by_role("button", name="Erase for good").click()
    page.get_by_text("What you typed is not what is to be erased.").wait_for()
    assert focused(page) == "erase-confirm"
    page.get_by_label("Type your e-mail address to confirm").fill(bea)
    page.get_by_role("button", name="Erase for good").click()
    page.get_by_text("Your account is erased.").wait_for()


def signed_in(hub: Hub, address: str, who: str) -> dict[str, str]:
    """Let the operator invite somebody, who chooses a password; return the headers of the session."""
    hub.home.data("people", "invite", who, "--role", "member")
    token = hub.letters.link(who).partition("#token=")[2]
    httpx.post(f"{address}/api/auth/password/reset", json={"token": token, "password": PASSWORD}).raise_for_status()
    session = httpx.post(f"{address}/api/auth/login", json={"email": who, "password": PASSWORD, "device": "test"}).raise_for_status().json()
    return {"authorization": f"Bearer {session['access_token']}"}


def test_invitation_to_an_organisation__survives_the_sign_in__and_can_be_declined_without_one(hub: Hub, page: Any, address: str) -> None:
    owner, guest, stranger = "dora@example.org", "eli@example.org", "fran@example.org"
    headers = signed_in(hub, address, owner)
    signed_in(hub, address, guest)
    organisation = hub.home.data("organisations", "create", "Blue Whale", "--owner", owner)["id"]
    for invitee in (guest, stranger):
        invited = {"email": invitee, "roles": ["member"]}
        httpx.post(f"{address}/api/organisations/{organisation}/invitations", json=invited, headers=headers).raise_for_status()

    page.goto(hub.letters.link(guest))
    assert page.url == f"{address}/account/invitation", "the secret has left the address bar"
    page.get_by_role("button", name="Join").click()
    page.wait_for_url("**/account/sign-in?*")
    assert "token" not in page.url
    sign_in(page, guest)
    page.wait_for_url("**/account/invitation")
    page.get_by_role("button", name="Join").click()
    page.get_by_text("You belong to Blue Whale now.").wait_for()
    members = httpx.get(f"{address}/api/organisations/{organisation}/members", headers=headers).json()["items"]
    assert [one["email"] for one in members] == [owner, guest]

    page.goto(hub.letters.link(stranger))
    page.get_by_role("button", name="Decline").click()
    page.get_by_text("The invitation is declined.").wait_for()
    assert httpx.get(f"{address}/api/organisations/{organisation}/invitations", headers=headers).json()["items"] == []


def stale(route: Any) -> None:
    """Answer as if the password had been given long ago; what follows is the hub's own again."""
    body = '{"title":"Not allowed","status":403,"code":"step-up-required"}'
    route.fulfill(status=403, content_type="application/problem+json", body=body)


def test_strangers__learn_nothing_of_accounts__wait_when_told__and_are_told_of_other_services(page: Any) -> None:
    page.goto("/account/reset")
    page.get_by_label("E-mail address").fill("nobody@example.org")
    page.keyboard.press("Enter")
    page.get_by_text("If there is an account for nobody@example.org, a letter is on its way.").wait_for()
    page.goto("/account/link")
    page.get_by_role("button", name="Send me a link").click()
    page.get_by_role("alert").get_by_text("No identity waits in this browser. Begin again on the sign-in page.").wait_for()

    page.goto("/account/sign-in")
    page.get_by_role("link", name="Sign in with Gone Ltd").click()
    page.get_by_text("Signing in through the other service did not work.").wait_for()
    for _ in range(6):
        with page.expect_response("**/api/auth/login"):
            sign_in(page, "nobody@example.org")
        page.locator("#sign-in:not([aria-busy=true]) .problem p").wait_for()
    assert re.search(r"Too many (tries|requests)\. Try again in (\d+ s|\d min)\.", page.locator("#sign-in .problem").inner_text())

    page.route("**/api/**", lambda route: route.abort())
    page.reload()
    page.get_by_text("Other ways to sign in could not be loaded.").wait_for()
    sign_in(page, "ada@example.org")
    page.locator("#sign-in").get_by_text("The hub cannot be reached. Check your connection, then try again.").wait_for()
    page.unroute("**/api/**")
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("link", name="Sign in with Gone Ltd").wait_for()


def test_pages__on_a_small_screen__need_no_sideways_scrolling(page: Any) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    for path in (
        "/account/sign-in?problem=link-required",
        "/account/register",
        "/account/verify",
        "/account/reset",
        "/account/link",
        "/account/invitation",
    ):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
