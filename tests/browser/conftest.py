"""A real browser, Debian's Chromium, whose pages fail the test on any trouble that they write to the console."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import which
from typing import Any

import pytest

CHROMIUM = which("chromium") or which("chromium-browser")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
REFUSED = re.compile(r"the server responded with a status of 4(00|01|03|22|29) |net::ERR_FAILED")
"""What the browser itself says of every answer that refuses something, and where a test cuts it off; the pages are made to show those."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip where there is no browser, unless one is required."""
    if CHROMIUM is None and not os.environ.get("LUMINAI_REQUIRE_SERVICES"):
        for item in items:
            if item.path.is_relative_to(Path(__file__).parent):
                item.add_marker(pytest.mark.skip(reason="Chromium is not installed"))


@pytest.fixture
def browse() -> Iterator[Callable[[str], Any]]:
    """Return what opens a page of ``address`` in a browser of its own: without cookies, without anything kept."""
    from playwright.sync_api import sync_playwright

    assert CHROMIUM, "Chromium is required"
    troubles: list[str] = []

    def note(message: Any) -> None:
        if message.type in ("error", "warning") and not REFUSED.search(message.text):
            troubles.append(message.text)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)

        def opened(address: str) -> Any:
            page = browser.new_page(viewport={"width": 1100, "height": 900}, base_url=address)
            page.on("console", note)
            page.on("pageerror", lambda error: troubles.append(str(error)))
            return page

        yield opened
        browser.close()
    assert troubles == []


@pytest.fixture
def page(browse: Callable[[str], Any], address: str) -> Any:
    """Return a page of the hub that the module's ``address`` names."""
    return browse(address)
