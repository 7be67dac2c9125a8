"""After an erasure nothing of the person is found anywhere, in no copy either, and the audit log still proves itself."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from home import Home
from identity.lives import OPEN, PASSWORD, Town
from privacy.lives import CANARY, CHAT, EMAIL, everything, files_with, live, on_hub, rows_by_table

from luminai.data.sqlite import FILE_NAME
from luminai.host.privacy_erase import finish_erasures
from luminai.testing import FrozenClock, running_hub

KEPT = {"core__audit_entries", "core__audit_holds", "core__consents", "core__people", "core__subject_keys"}
STUBBORN = """
    from luminai import hookimpl

    class Plugin:
        @hookimpl
        async def erase_subject(self, ctx, subject, dry_run):
            raise OSError("the other service is away")
"""


async def _plan(town: Town, person: str, token: str, planted: dict[str, int]) -> Any:
    """Try without the confirmation, and in a dry run."""
    refused = await town.ask("POST", "/api/users/me/erase", {"confirm": "somebody@example.org"}, token=token)
    assert (refused.status, refused.json()["code"]) == (422, "confirmation-differs")
    planned = (await town.ask("POST", "/api/users/me/erase", {"dry_run": True}, token=token)).json()
    assert planned["kept"].keys() - {"backups"} == KEPT
    assert planned["erased"] == {name: count for name, count in planted.items() if name not in KEPT} | {"core__people": 1}
    assert (planned["held"], planned["left"], planned["keys"]) == (False, {}, 1)
    assert await rows_by_table(town, person) == planted, "a dry run changes nothing"
    return planned


async def _look_back(town: Town, person: str) -> None:
    (entry,) = (await town.operator("GET", "audit?action=privacy.erase")).json()["items"]
    assert (entry["object"], entry["outcome"], entry["subject"]) == (person, "ok", "")
    again = await town.hub.client("*", subject="operator").request("POST", f"/api/admin/privacy/{person}/erase", json={"confirm": person})
    assert (again.status, again.json()["keys"]) == (200, 0), "erasing again is no error and makes no new key"


@pytest.mark.shows("TL-150c", "TL-D11")
def test_erase__of_somebody_with_data_everywhere__leaves_no_trace(tmp_path: Path, own_database: str) -> None:
    home = Home(tmp_path / "home")
    before = tmp_path / "before.sqlite3"

    async def work(town: Town) -> None:
        hub = town.hub.hub
        signed_in = await live(town)
        person, token = signed_in["person"]["id"], signed_in["access_token"]
        other = await town.settle_in("other@example.org")
        if not own_database:
            await hub.database.backup(before)
        planted = await rows_by_table(town, person)
        assert CANARY in (await everything(town)).lower(), "the scan sees what is not sealed"

        planned = await _plan(town, person, token, planted)
        done = await town.ask("POST", "/api/users/me/erase", {"confirm": EMAIL.upper()}, token=token)
        assert done.status == 200, done.text
        assert (done.json()["left"], done.json()["keys"], done.json()["is_log_emptied"]) == ({}, 1, True)
        assert done.json()["erased"].items() >= {name: n for name, n in planned["erased"].items() if name != "core__events"}.items()
        assert {name for name, count in (await rows_by_table(town, person)).items() if count} <= KEPT
        assert not await town.holds(token), "signed out at once"
        assert (await town.try_login(EMAIL)).status == 401
        assert await town.holds(other["access_token"]), "others are not touched"
        assert CANARY not in (await everything(town)).lower()
        assert files_with(hub.data_dir, CANARY) == [], "database, write-ahead log and data folder while the hub runs"
        await _look_back(town, person)
        await town.operator("POST", "audit/checkpoints")

    on_hub(work, home.folder, *CHAT, database_url=own_database)

    assert files_with(home.folder / "data", CANARY) == []
    if own_database:
        return
    verified = home.data("audit", "verify", "--offline")
    assert (verified["ok"], verified["findings"]) == (True, [])
    brought_back = tmp_path / "back"
    shutil.copytree(home.folder / "data" / "keys", brought_back / "data" / "keys")
    shutil.copy(before, brought_back / "data" / FILE_NAME)

    async def look(town: Town) -> None:
        people = (await town.operator("GET", "people")).json()["items"]
        shown = {one["status"]: (one["email"], one["name"]) for one in people if not one["email"]}
        assert shown == {"erased": ("", "")}, "an older backup brings the row back; the start erased it again"
        (person,) = [one["id"] for one in people if not one["email"]]
        export = await town.hub.client("hub:privacy").request("POST", f"/api/admin/privacy/{person}/export")
        assert "quokka" not in export.text.lower()
        assert "telephone" not in export.text
        assert await finish_erasures(town.hub.hub) == []
        assert CANARY not in (await everything(town)).lower(), "what was not sealed goes too"
        assert (await town.operator("GET", f"people/{person}")).json()["status"] == "erased"

    on_hub(look, brought_back, *CHAT)
    assert files_with(brought_back / "data", CANARY) == []


def test_erase__under_a_legal_hold__is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async def work(town: Town) -> None:
        signed_in = await town.settle_in("held@example.org")
        person, path = signed_in["person"]["id"], f"/api/admin/privacy/{signed_in['person']['id']}/erase"
        hold = (await town.operator("POST", "audit/holds", {"reason": "case 12/26", "subject": person})).json()
        operator = town.hub.client("*", subject="operator")
        assert (await operator.request("POST", path, json={"dry_run": True})).json()["held"] is True
        refused = await operator.request("POST", path, json={"confirm": person})
        assert (refused.status, refused.json()["code"]) == (409, "legal-hold")
        assert await town.holds(signed_in["access_token"])
        await operator.request("DELETE", f"/api/admin/audit/holds/{hold['id']}")
        assert (await operator.request("POST", path, json={"confirm": person})).status == 200
        assert not await town.holds(signed_in["access_token"])

    on_hub(work, tmp_path)


def test_erase__by_somebody_with_fewer_rights__is_refused(tmp_path: Path) -> None:
    async def work(town: Town) -> None:
        person = (await town.settle_in("admin@example.org"))["person"]["id"]
        assert (await town.operator("PUT", f"people/{person}/roles", {"roles": ["admin"]})).status == 200
        clerk = town.hub.client("hub:privacy", subject="clerk")
        for body in ({"dry_run": True}, {"confirm": person}):
            answer = await clerk.request("POST", f"/api/admin/privacy/{person}/erase", json=body)
            assert (answer.status, answer.json()["code"]) == (403, "role-beyond-own")
        assert (await town.try_login("admin@example.org")).status == 200

    on_hub(work, tmp_path)


def test_erase__rows_of_a_plugin_that_is_off__go_too(tmp_path: Path) -> None:
    signed_in = on_hub(live, tmp_path, *CHAT)
    person = signed_in["person"]["id"]

    async def work(town: Town) -> Any:
        assert "chat" not in {loaded.id for loaded in town.hub.hub.generation.plugins}
        return (await town.operator("POST", f"privacy/{person}/erase", {"confirm": person})).json()

    done = on_hub(work, tmp_path)

    assert done["left"] == {}
    assert {name: count for name, count in done["erased"].items() if name.startswith("chat__")} == {
        "chat__messages": 2,
        "chat__resonance": 1,
        "chat__sessions": 1,
        "chat__turn_approvals": 1,
        "chat__turn_slices": 1,
        "chat__turns": 1,
    }
    assert files_with(tmp_path / "data", CANARY) == []


def test_erase__plugin_that_fails__is_told_and_keeps_nobody_else_from_erasing(tmp_path: Path, plugins: Any) -> None:
    stubborn = plugins.make("stubborn", STUBBORN, provides="[]")

    async def work(town: Town) -> None:
        person = (await town.settle_in("left@example.org"))["person"]["id"]
        done = (await town.operator("POST", f"privacy/{person}/erase", {"confirm": person})).json()
        assert done["left"] == {"stubborn": "its erase_subject failed: OSError"}
        assert done["keys"] == 1
        (entry,) = (await town.operator("GET", "audit?action=privacy.erase")).json()["items"]
        assert entry["outcome"] == "failed"
        assert (await town.operator("GET", f"people/{person}")).json()["status"] == "erased"

    on_hub(work, tmp_path, "stubborn", installed=[stubborn])


def test_erase__while_a_turn_runs__stores_nothing_of_it(tmp_path: Path) -> None:
    async def main() -> None:
        clock = FrozenClock()
        async with running_hub(*CHAT, folder=tmp_path, settings=OPEN, clock=clock) as hub:
            town = Town(hub, clock)
            signed_in = await town.settle_in(EMAIL, PASSWORD)
            person = signed_in["person"]["id"]
            await town.operator("PUT", f"people/{person}/roles", {"roles": ["admin"]})
            asking = asyncio.create_task(town.ask("POST", "/api/chat", {"message": f"What of {CANARY}?"}, token=signed_in["access_token"]))
            for _ in range(10_000):
                if (await rows_by_table(town, person))["chat__messages"]:
                    break
            done = await town.operator("POST", f"privacy/{person}/erase", {"confirm": person})
            assert done.status == 200, done.text
            await asyncio.wait([asking])
            assert (await rows_by_table(town, person))["chat__messages"] == 0
            assert CANARY not in (await everything(town)).lower()

    asyncio.run(main())
