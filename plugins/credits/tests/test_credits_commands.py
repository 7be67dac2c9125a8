"""`luminai credits`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from paid_work import BASIC, Shop

from luminai.http.inprocess import InProcessClient
from luminai_credits import commands


class Desk:
    """A terminal whose hub is the one of the test."""

    is_tty = False

    def __init__(self, shop: Shop, client: InProcessClient) -> None:
        self._shop = shop
        self._client = client
        self.said: list[object] = []

    def request(self, method: str, path: str, *, body: object = None, query: object = None, offline: bool = False) -> object:
        return self._shop.ask(method, path, client=self._client, json=body, query=query, expect=201 if path.endswith("/grants") else 200)

    def emit(self, data: object, *, columns: object = ()) -> None:
        self.said.append(data)


@pytest.fixture
def desk(shop: Shop) -> Desk:
    return Desk(shop, shop.operator)


def run(desk: Desk, *arguments: str) -> object:
    done = CliRunner().invoke(commands.credits, arguments, obj=desk, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(json.dumps(desk.said[-1]))


def test_grant_then_balance__of_somebody__shows_it(shop: Shop, desk: Desk) -> None:
    subject = shop.person().subject

    run(desk, "grant", subject, "studio", "25", "--key", f"k-{subject}", "--reason", "Sorry")
    run(desk, "grant", subject, "studio", "25", "--key", f"k-{subject}", "--reason", "Sorry")

    (wallet,) = run(desk, "balance", subject)
    assert (wallet["product"], wallet["available"]) == ("studio", 25)
    assert run(desk, "balance")[0]["product"] == "studio"


def test_quote__of_an_alias_with_quantities__names_the_cost(desk: Desk) -> None:
    assert run(desk, "quote", "PAINT")["amount"] == 10
    assert run(desk, "quote", "studio.write", "output_tokens=2500")["amount"] == 3
    refused = CliRunner().invoke(commands.credits, ["quote", "studio.write", "output_tokens=many"], obj=desk)
    assert refused.exit_code == 2


def test_import__of_a_file__tells_what_changes(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "studio.toml").write_text(BASIC)

    assert run(desk, "import", str(tmp_path / "studio.toml"), "--dry-run")["changed"] is False
