"""A newcomer's way in a real browser: landing page, playground, a question about the docs, a streamed answer with sources and R."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
INERT = ["<img src=x onerror=document.title='hacked'>", "[x](javascript:document.title='hacked')", "<script>document.title='hacked'</script>"]

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the repository's own default configuration on a fresh data folder."""
    data = tmp_path_factory.mktemp("data")
    command = [Path(sys.executable).parent / "luminai", "--config", ROOT / "config.toml", "serve", "--port", "0", "--data", data]
    with subprocess.Popen(command, cwd=data, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        found = next((match for line in process.stderr if (match := re.search(r"ready at (http://\S+)", line))), None)
        assert found, "the hub did not start"
        yield found[1]
        process.send_signal(signal.SIGTERM)
        process.stderr.read()


@pytest.mark.shows("LR-110", "LR-116", "LR-93")
def test_newcomer__asks_about_the_docs__sees_sources_and_r(page: Any) -> None:
    page.goto("/")
    page.get_by_role("link", name="Ask it something").click()
    page.get_by_label("Your question").fill("What is a generation?")
    page.keyboard.press("Enter")
    badge = page.locator(".bubble.theirs .badge")
    badge.wait_for()

    assert re.fullmatch(r"R 0\.\d\d (critical|steady|resonant)", badge.inner_text())
    answer = page.locator(".bubble.theirs")
    assert "A generation is an immutable snapshot of the running plugins" in answer.inner_text()
    answer.get_by_text("How R came about").click()
    assert "phi_e" in answer.locator("dl").inner_text()
    if os.environ.get("LUMINAI_TEST_KEEP_SCREENSHOT"):
        answer.get_by_text("How R came about").click()
        page.evaluate("window.scrollTo(0, 0)")
        page.screenshot(path=ROOT / "docs/images/playground.png")
    source = answer.locator(".sources a").first
    assert source.inner_text() == "Generations"
    source.click()
    page.wait_for_url("**/docs/explanation/generations#generations")
    assert page.get_by_role("heading", name="Generations", exact=True).is_visible()


def test_hostile_text__stays_text(page: Any) -> None:
    page.goto("/playground")
    for text in INERT:
        page.get_by_label("Your question").fill(text)
        page.keyboard.press("Enter")
        page.locator(".bubble.mine", has_text=text).wait_for()
        page.locator("#stop").wait_for(state="hidden")

    assert page.title().startswith("Playground")
    assert page.locator(".log img, .log script").count() == 0


def test_problem__is_shown_with_its_hint__and_can_be_tried_again(page: Any) -> None:
    page.goto("/playground")
    page.route(
        "**/api/chat",
        lambda route: route.fulfill(
            status=429,
            content_type="application/problem+json",
            body='{"title":"Too many requests","status":429,"code":"x","detail":"The quota is spent.","hint":"Wait.","retry_after":5}',
        ),
    )
    page.get_by_role("button", name="What is a generation?").click()
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "Try again in 5 s." in alert.inner_text()

    page.unroute("**/api/chat")
    alert.get_by_role("button", name="Try again").click()
    page.locator(".bubble.theirs .badge").wait_for()


def test_colours__change_and_stay(page: Any) -> None:
    page.goto("/")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.get_by_role("button", name="Change colours").click()
    page.goto("/about")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
