"""A conversation of somebody who is signed in, in a real browser: it is saved, and what broke off goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from faces_models import FIRST, REST, broken_off, model_service
from home import Home, serving

PASSWORD = "nine wooden ladders"
CONFIG = """
[plugins.site]
enabled = true
approve = ["anonymous-routes", "site-root"]
[plugins.ai-openai]
enabled = true
approve = ["secrets", "outbound:127.0.0.1:{port}"]
[[plugins.ai-openai.config.instances]]
name = "up"
base-url = "http://127.0.0.1:{port}/v1"
models = [{{ id = "m" }}]
"""

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Serve a hub whose model breaks off, and goes on when it is asked to."""
    folder = tmp_path_factory.mktemp("saved") / "home"
    with model_service() as there, serving(folder, config=CONFIG.format(port=there.port), LUMINAI_PLUGINS__CHAT__CONFIG__MODEL="up/m") as home:
        there.answer = broken_off
        yield home


@pytest.fixture
def address(hub: Home) -> str:
    """Return where the hub is."""
    return hub.env["LUMINAI_URL"]


def test_reply_that_breaks_off__goes_on_in_a_conversation_that_is_saved(hub: Home, page: Any, address: str) -> None:
    page.goto("/playground")
    assert page.get_by_text("Nothing is saved.").is_visible()
    page.get_by_role("button", name="Save what is said here").click()
    page.wait_for_url("**/account/sign-in?next=%2Fplayground")
    ada = "ada@example.org"
    token = hub.data("people", "invite", ada, "--role", "member")["token"]
    page.goto(f"/account/reset#token={token}")
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Set the password").click()
    page.get_by_text("Your password is set.").wait_for()
    page.goto("/account/sign-in?next=/playground")
    page.get_by_label("E-mail address").fill(ada)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/playground")
    page.get_by_role("button", name="Save what is said here").click()
    page.get_by_text("is saved under your account").wait_for()

    page.get_by_label("Your question").fill("Which tower?")
    page.keyboard.press("Enter")
    first = page.locator(".bubble.theirs", has_text=FIRST)
    first.get_by_text("This answer is cut.").wait_for()
    first.get_by_role("button", name="Go on").click()

    rest = page.locator(".bubble.theirs", has_text=REST.strip())
    rest.locator(".badge").wait_for()
    assert FIRST not in rest.inner_text()
    assert "This answer is" not in rest.inner_text()
    assert first.get_by_role("button", name="Go on").count() == 0
