"""``luminai ledger``, ``luminai credits`` and ``luminai payments`` against a running hub, as an operator types them."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from home import Home, serving

CONFIG = """
[plugins.ledger]
enabled = true
[plugins.credits]
enabled = true
[plugins.credits.config]
products = ["phoenix"]
[plugins.pay-sandbox]
enabled = true
approve = ["secrets"]
[plugins.payments]
enabled = true
approve = ["webhooks"]
"""
BEAN_CHECK = Path(__file__).parents[2] / ".venv-peers" / "bin" / "bean-check"
DAMAGED = 8


class Desk:
    """An operator's desk, and the purse of a person who pays."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._key = self.said("keys", "create", "--name", "payer", "--scope", "payments:pay")["key"]

    def said(self, *command: str, code: int = 0) -> Any:
        """Return what a command says."""
        done = self.home.call(*command)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    def refused(self, *command: str) -> str:
        """Return the code with which the hub refuses a command."""
        done = self.home.call(*command)
        assert done.returncode not in (0, 2), done.stdout
        code: str = json.loads(done.stderr.splitlines()[-1])["code"]
        return code

    def paid(self, method: str) -> Any:
        """Return a payment; people pay by HTTP, so there is no command for it."""
        headers = {"authorization": f"Bearer {self._key}", "content-type": "application/json"}
        body = json.dumps({"amount": 1000, "asset": "EUR", "method": method}).encode()
        request = urllib.request.Request(f"{self.home.env['LUMINAI_URL']}/api/payments/charge", body, headers)  # noqa: S310 - our own hub
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
            return json.load(answer)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Return the desk of a running hub that sells energy."""
    with serving(tmp_path_factory.mktemp("money") / "home", config=CONFIG) as home:
        yield Desk(home)


def test_payments__are_listed_repaired_and_refunded(desk: Desk) -> None:
    good, lost = desk.paid("card"), desk.paid("card_answer_lost")
    assert (good["status"], lost["status"]) == ("captured", "unknown")
    assert [one["id"] for one in desk.said("payments", "list", "--status", "unknown")] == [lost["id"]]

    assert desk.said("payments", "repair") == {"looked": 1, "settled": 1, "open": 0}
    assert [one["id"] for one in desk.said("payments", "list", "--status", "captured")] == [lost["id"], good["id"]]

    part = desk.said("payments", "refund", good["id"], "--amount", "400", "--reason", "ordered twice")
    assert (part["status"], part["refunded"]) == ("partially_refunded", 400)
    assert desk.refused("payments", "refund", good["id"], "--amount", "601") == "payments.too-much"
    assert desk.said("payments", "refund", good["id"])["status"] == "refunded"
    assert desk.refused("payments", "refund", good["id"]) == "payments.not-refundable"
    assert desk.home.call("payments", "refund", good["id"], "--amount", "0").returncode == 2
    told = desk.said("payments", "reconcile")
    assert (told["incidents"], told["complete"]) == (0, True)


def test_credits__are_given_shown_quoted_and_imported(desk: Desk, tmp_path: Path) -> None:
    subject = "user_" + "7" * 32
    grant = ("credits", "grant", subject, "phoenix", "25", "--reason", "Sorry", "--key", "ticket-17")
    given = desk.said(*grant)
    assert desk.said(*grant)["id"] == given["id"]
    assert desk.refused(*grant[:4], "26", *grant[5:]) == "credits.key-reused"
    (wallet,) = desk.said("credits", "balance", subject)
    assert (wallet["unit"], wallet["available"]) == ("PHX_ENERGY", 125)
    assert [one["available"] for one in desk.said("credits", "balance")] == [100]
    assert desk.said("credits", "quote", "CV_MIRROR_MATCH")["amount"] == 25

    lumiku = tmp_path / "lumiku.toml"
    lumiku.write_text(files("luminai_credits").joinpath("products", "lumiku.toml").read_text())
    assert desk.said("credits", "import", str(lumiku), "--dry-run")["changed"]
    assert desk.refused("credits", "quote", "pose-generator.generate") == "credits.unknown-action"
    assert desk.said("credits", "import", str(lumiku))["version"] == 1
    assert desk.said("credits", "quote", "pose-generator.generate", "poses=4")["amount"] == 120
    assert desk.home.call("credits", "quote", "pose-generator.generate", "poses=many").returncode == 2


def test_ledger__is_verified_read_reconciled_and_exported(desk: Desk) -> None:
    desk.paid("card")
    assert desk.said("ledger", "verify")["count"] == 0
    report = desk.said("ledger", "reconcile")["report"]["verification"]
    assert (report["count"], report["sealed_seq"]) == (0, report["through_seq"])
    assert desk.said("ledger", "verify")["seal_in_audit_log"] == "found"
    (clearing,) = desk.said("ledger", "accounts", "--purpose", "payments:clearing:sandbox")
    lines = desk.said("ledger", "statement", clearing["id"], "--limit", "1000")
    assert sum(line["amount"] if line["side"] == "debit" else -line["amount"] for line in lines) == -lines[0]["posted"]
    assert desk.refused("ledger", "statement", "acc_" + "0" * 32) == "ledger.account-not-found"
    books = desk.home.call("ledger", "export").stdout
    assert "10.00 EUR" in books
    if BEAN_CHECK.exists() or os.environ.get("LUMINAI_REQUIRE_SERVICES"):
        file = desk.home.folder / "books.beancount"
        file.write_text(books)
        checked = subprocess.run([BEAN_CHECK, file], capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_ledger__written_to_past_the_hub__refuses_it_and_tells_of_what_was_forced(desk: Desk) -> None:
    """With a program of one's own on the database's file, while the hub runs. It comes last: the books are damaged afterwards."""
    desk.paid("card")
    change = "UPDATE ledger__transfers SET amount = amount + 1 WHERE seq = (SELECT max(seq) FROM ledger__transfers)"
    with closing(sqlite3.connect(desk.home.folder / "data" / "hub.sqlite3", timeout=30, isolation_level=None)) as database:
        with pytest.raises(sqlite3.DatabaseError, match="ledger: transfer-changed"):
            database.execute(change)
        database.execute("DROP TRIGGER ledger__transfer_changed")
        database.execute(change)

    found = desk.said("ledger", "verify", code=DAMAGED)
    assert {one["kind"] for one in found["differences"]} == {"rule-missing", "snapshot"}
    assert desk.said("ledger", "reconcile", code=DAMAGED)["report"]["verification"]["count"] == found["count"]
