"""An export holds every row of the person that the data map knows of, and nothing that proves who somebody is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from identity.lives import Town
from privacy.lives import CHAT, EMAIL, NAME, items_of, live, on_hub, rows_by_table

GREEDY = """
    from luminai import ExportItem, hookimpl

    class Plugin:
        @hookimpl
        async def export_subject(self, ctx, subject):
            yield ExportItem("first", {"subject": subject})
            raise OSError("the other service is away")
"""


@pytest.mark.shows("TL-150a", "TL-150d")
def test_export__of_somebody_with_data_everywhere__has_every_row(tmp_path: Path, own_database: str) -> None:
    async def work(town: Town) -> None:
        signed_in = await live(town)
        person = signed_in["person"]["id"]
        assert (await town.operator("POST", "audit/holds", {"reason": "case 12", "subject": person})).status == 201
        expected = await rows_by_table(town, person)
        assert [name for name, count in expected.items() if not count] == [], "every table that can hold something of a person does"
        answer = await town.ask("POST", "/api/users/me/export", token=signed_in["access_token"])
        assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (200, "application/json")
        document = json.loads(answer.body)
        assert (document["subject"], document["missing"], document["complete"]) == (person, [], True)
        found = items_of(answer.body)
        for name, count in expected.items():
            owner, _, short = name.partition("__")
            if owner == "core":
                extra = int(name == "core__audit_entries")  # the entry of this very export
                assert len(found[owner, short]) == count + extra, name
        assert len(found["chat", "session"]) == expected["chat__sessions"]
        assert len(found["chat", "message"]) == expected["chat__messages"]
        assert sum("resonance" in one for one in found["chat", "message"]) == expected["chat__resonance"]
        assert len(found["chat", "turn"]) == expected["chat__turns"]
        assert len(found["chat", "approval"]) == expected["chat__turn_approvals"]
        (account,) = found["core", "people"]
        assert account["profile"] == {"email": EMAIL, "name": NAME}
        assert set(account["withheld"]) == {"email_digest", "password", "totp_secret"}
        assert {one["device"]["name"] for one in found["core", "sessions"]} == {"Zanzibar's telephone"}
        assert {one["head"]["to"] for one in found["core", "mail"]} == {EMAIL}
        assert found["chat", "message"][0]["content"] == "What does Zanzibar Quokka dream of?"
        text = answer.text
        assert "argon2" not in text
        assert "#token=" not in text, "a letter's link opens the account"

    on_hub(work, tmp_path, *CHAT, database_url=own_database)


def test_export__is_for_the_freshly_signed_in_person_and_operators_alone(tmp_path: Path) -> None:
    async def work(town: Town) -> list[Any]:
        ann, bob = await town.settle_in("ann@example.org"), await town.settle_in("bob@example.org")
        theirs = f"/api/admin/privacy/{ann['person']['id']}/export"
        answers = [
            await town.ask("POST", "/api/users/me/export"),
            await town.hub.client("chat:read", subject=ann["person"]["id"]).request("POST", "/api/users/me/export"),
            await town.ask("POST", theirs, token=bob["access_token"]),
            await town.hub.client("hub:people").request("POST", theirs),
            await town.hub.client("hub:privacy").request("POST", theirs),
            await town.hub.client("hub:privacy").request("POST", f"/api/admin/privacy/usr_{'0' * 32}/export"),
        ]
        assert items_of(answers[4].body)["core", "people"][0]["profile"]["email"] == "ann@example.org"
        town.clock.advance(660)
        refreshed = (await town.post("refresh", {"refresh_token": ann["refresh_token"]})).json()
        answers.append(await town.ask("POST", "/api/users/me/export", token=refreshed["access_token"]))
        log = (await town.operator("GET", "audit?action=privacy.export")).json()["items"]
        assert [(one["action"], one["subject"]) for one in log] == [("privacy.export", ann["person"]["id"])]
        return [(answer.status, answer.json().get("code")) for answer in answers]

    assert on_hub(work, tmp_path) == [
        (401, "not-signed-in"),
        (403, "not-a-session"),
        (403, "missing-scope"),
        (403, "missing-scope"),
        (200, None),
        (404, "person-not-found"),
        (403, "step-up-required"),
    ]


def test_export__plugin_that_is_off_or_fails__is_named_as_missing(tmp_path: Path, plugins: Any) -> None:
    async def fill(town: Town) -> Any:
        return await live(town)

    signed_in = on_hub(fill, tmp_path, *CHAT)
    person = signed_in["person"]["id"]
    from luminai.host.discovery import installed_plugins

    greedy = plugins.make("greedy", GREEDY, provides="[]")

    async def work(town: Town) -> Any:
        return (await town.hub.client("hub:privacy").request("POST", f"/api/admin/privacy/{person}/export")).json()

    document = on_hub(work, tmp_path, "greedy", installed=[*installed_plugins(), greedy])

    assert document["complete"] is False
    missing = {one["owner"]: one for one in document["missing"]}
    held = {"chat__messages": 2, "chat__resonance": 1, "chat__sessions": 1, "chat__turn_approvals": 1, "chat__turn_slices": 1, "chat__turns": 1}
    assert missing["chat"] == {"owner": "chat", "why": "it is off", "tables": held}
    assert missing["greedy"]["why"] == "its export failed: OSError"
    assert [one["data"] for one in document["items"] if one["owner"] == "greedy"] == [{"subject": person}]
    assert [one["name"] for one in document["items"] if one["owner"] == "core"].count("people") == 1
