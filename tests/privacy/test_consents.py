"""What people agree to is written down with the version of the text, and never changed afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from identity.lives import Town
from privacy.lives import on_hub

from luminai.identity.consents import has_consent

CONSENTS = "/api/users/me/consents"
FLAG = "/api/users/me/do-not-sell"


@pytest.mark.shows("TL-150e")
def test_consent__given_and_taken_back__is_recorded_with_its_version(tmp_path: Path, own_database: str) -> None:
    async def work(town: Town) -> None:
        ann, bob = await town.settle_in("ann@example.org"), await town.settle_in("bob@example.org")
        token, person = ann["access_token"], ann["person"]["id"]

        async def say(version: str, given: bool, purpose: str = "research") -> Any:
            return await town.ask("POST", CONSENTS, {"purpose": purpose, "version": version, "given": given}, token=token)

        unasked = (await town.ask("GET", CONSENTS, token=token)).json()
        question = {"purpose": "research", "title": "Use my conversations for research", "version": "2"}
        assert unasked == {"purposes": [question | {"given": None, "is_current": False}], "items": [], "next_cursor": None}
        assert [
            (one.status, one.json()["code"]) for one in (await say("1", True), await say("2", True, "cookies"), await say("2", False, "cookies"))
        ] == [
            (409, "consent-text-changed"),
            (404, "purpose-not-found"),
            (404, "purpose-not-found"),
        ]
        first, same = (await say("2", True)).json(), (await say("2", True)).json()
        assert first == same, "the same answer is one answer"
        assert await town.hub.hub.database.read(lambda session: has_consent(session, person, "research"))
        assert not await town.hub.hub.database.read(lambda session: has_consent(session, bob["person"]["id"], "research"))
        assert (await say("1", False)).status == 200, "taken back at any time, whatever text was shown"
        assert not await town.hub.hub.database.read(lambda session: has_consent(session, person, "research"))

        shown = (await town.ask("GET", f"{CONSENTS}?limit=1", token=token)).json()
        assert shown["purposes"] == [question | {"given": False, "is_current": False}]
        assert [(one["version"], one["given"], one["how"]) for one in shown["items"]] == [("1", False, "account")]
        older = (await town.ask("GET", f"{CONSENTS}?cursor={shown['next_cursor']}", token=token)).json()
        assert (older["items"], older["next_cursor"]) == ([first], None)
        assert (await town.ask("GET", CONSENTS, token=bob["access_token"])).json() == unasked, "nobody sees another's"

    on_hub(work, tmp_path, database_url=own_database)


@pytest.mark.shows("TL-151")
def test_do_not_sell__by_signal_of_the_browser_or_by_hand(tmp_path: Path) -> None:
    async def work(town: Town) -> None:
        registered = {"email": "gpc@example.org", "password": "nine wooden ladders"}
        assert (await town.post("register", registered, headers={"sec-gpc": "1"})).status == 202
        signal = (await town.login("gpc@example.org"))["access_token"]
        plain = (await town.settle_in("plain@example.org"))["access_token"]
        assert (await town.ask("GET", FLAG, token=signal)).json()["do_not_sell"] is True
        assert (await town.ask("GET", FLAG, token=plain)).json() == {"do_not_sell": False, "at": None}
        assert (await town.ask("PUT", FLAG, {"do_not_sell": True}, token=plain)).json()["do_not_sell"] is True
        assert (await town.ask("PUT", FLAG, {"do_not_sell": False}, token=signal)).json()["do_not_sell"] is False
        assert [(await town.ask("GET", FLAG, token=token)).json()["do_not_sell"] for token in (signal, plain)] == [False, True]
        items = (await town.ask("GET", CONSENTS, token=signal)).json()["items"]
        assert [(one["purpose"], one["given"], one["how"]) for one in items] == [
            ("do-not-sell", False, "account"),
            ("do-not-sell", True, "registration"),
        ]

    on_hub(work, tmp_path)


def test_consents__of_a_key__are_refused(tmp_path: Path) -> None:
    async def work(town: Town) -> None:
        key = town.hub.client("*")
        answers = [
            await key.request("GET", CONSENTS),
            await key.request("POST", CONSENTS, json={"purpose": "research", "version": "2", "given": True}),
            await key.request("GET", FLAG),
            await key.request("PUT", FLAG, json={"do_not_sell": True}),
        ]
        assert {(answer.status, answer.json()["code"]) for answer in answers} == {(403, "not-a-session")}

    on_hub(work, tmp_path)


def test_settings__purpose_called_do_not_sell__is_refused(tmp_path: Path) -> None:
    from luminai import ConfigRejected

    async def work(_: Town) -> None: ...

    settings = {"privacy": {"purposes": {"do-not-sell": {"title": "Sell my data", "version": "1"}}}}
    with pytest.raises(ConfigRejected):
        on_hub(work, tmp_path, settings=settings)
