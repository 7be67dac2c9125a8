"""One hub for the tests of a module; each test has people of its own."""

from collections.abc import Iterator

import pytest
from paid_work import Person, Shop, open_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Return a hub with credits, and a plugin that does paid work."""
    with open_shop(tmp_path_factory.mktemp("shop")) as opened:
        yield opened
        books = opened.ask("POST", "/api/ledger/verify")
        assert books["count"] == 0, books


@pytest.fixture
def ann(shop: Shop) -> Person:
    """Return somebody who has nothing yet."""
    return shop.person()
