"""API keys: a form that tells mistakes, an end, a successor with an overlap; nobody makes a key beyond the own rights."""

from __future__ import annotations

import string
import zlib
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from identity.lives import Town, in_town
from identity.test_administration import person_with
from sqlalchemy import insert
from sqlalchemy.orm import Session

from luminai.data.ids import new_id
from luminai.data.tables import api_keys
from luminai.http.inprocess import Answer
from luminai.identity.key_reminders import remind
from luminai.identity.tokens import KeyEnvironment, KeyKind, digest, new_key, parse_key
from luminai.telemetry.logs import mask

ADA = "ada@example.org"
DAY = 86_400
BASE_62 = string.digits + string.ascii_letters


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest) -> str:
    """Return "" for SQLite, and the URL of a PostgreSQL database of this test alone."""
    found: str = request.getfixturevalue("own_postgres_url") if request.param == "postgresql" else ""
    return found


def old_form(key_id: str, secret: str) -> str:
    """Return a key as releases before this form wrote it: no words, base 36."""
    head = f"lum_{key_id.removeprefix('key_')}_{secret}"
    number, checksum = zlib.crc32(head.encode()), ""
    for _ in range(7):
        number, rest = divmod(number, 36)
        checksum = (string.digits + string.ascii_lowercase)[rest] + checksum
    return head + checksum


async def operator(
    town: Town, method: str, path: str = "", body: Any = None, *, scopes: tuple[str, ...] = ("*",), subject: str = "operator"
) -> Answer:
    return await town.hub.client(*scopes, subject=subject).request(method, f"/api/keys{path}", json=body)


async def made(town: Town, name: str, *scopes: str, **more: Any) -> Any:
    answer = await operator(town, "POST", body={"name": name, "scopes": scopes or ("hub:keys",), **more})
    assert answer.status == 201, answer.text
    return answer.json()


async def listed(town: Town) -> dict[str, Any]:
    return {one["id"]: one for one in (await operator(town, "GET", "?limit=100")).json()["items"]}


@given(st.uuids(), st.sampled_from(["live", "test"]), st.sampled_from(["person", "service"]), st.data())
def test_text__of_any_key__is_read_back_and_every_single_change_is_noticed(
    number: Any, environment: KeyEnvironment, kind: KeyKind, data: st.DataObject
) -> None:
    key_id = f"key_{number.hex}"
    text, secret = new_key(key_id, environment=environment, kind=kind)

    parsed = parse_key(text)
    assert parsed is not None
    assert (parsed.id, parsed.digest) == (key_id, secret)
    assert text.startswith(f"lum_{environment}_{kind}_")
    assert mask(f"with {text}, said") == "with lum_***, said"
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from(BASE_62 + "_- ") | st.characters())
    if other != text[place]:
        assert parse_key(text[:place] + other + text[place + 1 :]) is None
    assert parse_key(text[:place] + text[place + 1 :]) is None
    assert parse_key(text[:place] + other + text[place:]) is None


async def negatives(town: Town) -> dict[str, str]:
    """Return what must not hold, by what it is: the cases of the note on reliability, 6.6, as they apply to keys. Each is made of a good key."""
    good = (await made(town, "good"))["key"]
    head, _, checksum = good.rpartition("_")
    secret_at = len(head) - 20
    swapped = "b" if head[secret_at] == "a" else "a"
    changed = head[:secret_at] + swapped + head[secret_at + 1 :]
    foreign, _ = new_key(new_id("key"), environment="test", kind="service")
    forged, _ = new_key(f"key_{good.split('_')[3]}", environment="test", kind="service")
    found = {
        "unknown": foreign,
        "another secret of a known id": forged,
        "truncated": good[:-1],
        "truncated by half": good[: len(good) // 2],
        "without checksum": head,
        "prefix alone": "lum_",
        "changed byte": f"{changed}_{checksum}",
        "wrong checksum": f"{head}_{'0' * 6 if checksum != '0' * 6 else '1' * 6}",
        "longer": good + "0",
        "twice": f"{good} {good}",
        "trailing space": good + " ",
        "trailing newline": good + "\n",
        "leading tab": "\t" + good,
        "space inside": good[:50] + " " + good[50:],
        "no-break space behind": good + "\u00a0",
        "Cyrillic letter": good.replace("e", "\u0435"),
        "full-width letter": good.replace("l", "\uff4c", 1),
        "Arabic digit": good[:30] + "\u0661" + good[31:],
        "zero-width space": good[:20] + "\u200b" + good[20:],
        "upper-case prefix": "LUM_" + good[4:],
        "other prefix": "hub_" + good[4:],
        "no prefix": good[4:],
        "live for test": good.replace("_test_", "_live_"),
        "unknown environment": good.replace("_test_", "_prod_"),
        "person for service": good.replace("_service_", "_person_"),
        "quoted": f'"{good}"',
        "percent-encoded": good.replace("_", "%5F"),
        "longer than any key": good + "0" * 9000,
        "NUL": good + "\0",
    }
    ended = [await made(town, name) for name in ("expired", "revoked", "rotated")]
    found |= {one["name"]: one["key"] for one in ended}
    assert all([await town.holds(one["key"]) for one in ended])
    assert (await operator(town, "DELETE", f"/{ended[1]['id']}")).status == 204
    assert (await operator(town, "POST", f"/{ended[2]['id']}/rotate", {"overlap_seconds": 3600})).status == 201
    assert await town.holds(ended[2]["key"])
    town.clock.advance(3600)
    assert await town.holds(good)
    assert not await town.holds(ended[2]["key"])
    town.clock.advance(90 * DAY - 3600)
    return found


def test_key__that_does_not_hold__is_refused_with_one_answer__mistyped_ones_without_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(town: Town) -> None:
        found = await negatives(town)
        looked: list[str] = []
        find = town.hub.hub.keys.find

        async def counted(key_id: str) -> Any:
            looked.append(key_id)
            return await find(key_id)

        monkeypatch.setattr(town.hub.hub.keys, "find", counted)
        answers, asked = {}, set()
        for name, credential in found.items():
            looked.clear()
            answer = await town.ask("GET", "/api/auth/verify", token=credential)
            told = {key: value for key, value in answer.json().items() if key not in ("instance", "request_id", "trace_id")}
            same = {key: value for key, value in answer.headers.items() if key not in ("x-request-id", "traceparent", "server-timing", "date")}
            answers[name] = (answer.status, repr(told), repr(sorted(same.items())))
            asked |= {name} if looked else set()
        assert answers["unknown"][0] == 401
        assert "bad-credential" in answers["unknown"][1]
        assert {name: answer for name, answer in answers.items() if answer != answers["unknown"]} == {}
        assert asked == {"unknown", "another secret of a known id", "expired", "revoked", "rotated"}
        fresh = (await made(town, "fresh"))["key"]
        assert await town.holds(fresh)
        assert looked

    in_town(work)


def test_key__of_before__holds_on__as_long_as_it_was_made_for(url: str) -> None:
    async def work(town: Town) -> None:
        texts = []
        for days in (None, 5):
            key_id = new_id("key")
            text = old_form(key_id, "Ab-_" * 10 + "xyz")
            ends = town.clock.now() + timedelta(days=days) if days else None
            row = {"id": key_id, "name": "old", "subject": "operator", "scopes": "hub:keys", "digest": digest(text[:-7])}
            row |= {"created_at": town.clock.now(), "expires_at": ends}

            def unit(session: Session, row: Any = row) -> None:
                session.execute(insert(api_keys).values(**row))

            await town.hub.hub.database.write(unit)
            texts.append(text)
        assert [await town.holds(text) for text in texts] == [True, True]
        assert not await town.holds(texts[0][:-1] + ("0" if texts[0][-1] != "0" else "1"))
        assert {one["last_four"] for one in (await listed(town)).values()} == {""}
        town.clock.advance(5 * DAY)
        assert [await town.holds(text) for text in texts] == [True, False]

    in_town(work, database_url=url)


def test_key__without_an_end_given__lasts_ninety_days__and_the_operator_is_told_before() -> None:
    async def work(town: Town) -> None:
        usual, brief = await made(town, "usual"), await made(town, "brief", expires_in_days=15)
        endless = await made(town, "endless", expires_in_days="none")
        assert usual["expires_at"] == (town.clock.now() + timedelta(days=90)).isoformat().replace("+00:00", "Z")
        assert endless["expires_at"] is None
        for days in (0, 366, "never"):
            assert (await operator(town, "POST", body={"name": "x", "scopes": ["hub:keys"], "expires_in_days": days})).status == 400
        rows = await listed(town)
        assert {row["name"]: row["state"] for row in rows.values()} == {"usual": "active", "brief": "active", "endless": "active"}
        assert rows[usual["id"]]["last_four"] == usual["key"][-4:]
        assert usual["key"] not in repr(rows)

        town.clock.advance(DAY)
        rows = await listed(town)
        assert {row["name"]: row["state"] for row in rows.values()} == {"usual": "active", "brief": "ending", "endless": "active"}
        repairs = (await town.operator("GET", "repairs")).json()
        told = {one["id"]: one["severity"] for one in repairs["items"] if "key" in one["id"]}
        assert told == {f"ending-key::{brief['id']}": "warning", f"endless-key::{endless['id']}": "notice"}
        assert (await operator(town, "POST", f"/{brief['id']}/rotate", {})).status == 201
        assert not [one for one in (await town.operator("GET", "repairs")).json()["items"] if one["id"].startswith("ending-key")]

        town.clock.advance(89 * DAY)
        assert not await town.holds(usual["key"])
        assert await town.holds(endless["key"])
        assert (await listed(town))[usual["id"]]["state"] == "expired"

    in_town(work)


def test_key_days__set_by_the_operator__are_the_default() -> None:
    async def work(town: Town) -> None:
        token = await town.hub.hub.keys.offer_setup()
        first = (await town.ask("POST", "/api/setup", {"token": token})).json()
        assert first["expires_at"] is None
        assert (await made(town, "other"))["expires_at"] is None
        assert (await made(town, "given", expires_in_days=1))["expires_at"] is not None

    in_town(work, settings={"identity": {"key-days": "none"}})


@pytest.mark.shows("PX-56")
def test_key__rotated__both_hold_until_the_overlap_is_over(url: str) -> None:
    async def work(town: Town) -> None:
        old = await made(town, "deploy", "hub:keys", "hub:audit", expires_in_days=30)
        town.clock.advance(10 * DAY)
        answer = await operator(town, "POST", f"/{old['id']}/rotate", {})
        assert (answer.status, answer.headers["cache-control"]) == (201, "no-store")
        new = answer.json()
        assert (new["replaces"], new["name"], new["scopes"]) == (old["id"], "deploy", ["hub:audit", "hub:keys"])
        assert new["key"] != old["key"]
        rows = await listed(town)
        assert (rows[old["id"]]["state"], rows[old["id"]]["replaced_by"]) == ("rotated", new["id"])
        assert rows[old["id"]]["expires_at"] == new["old_holds_until"]
        assert rows[new["id"]]["subject"] == "operator"
        again = await operator(town, "POST", f"/{old['id']}/rotate", {})
        assert (again.status, again.json()["code"]) == (409, "key-rotated")

        town.clock.advance(DAY - 1)
        assert [await town.holds(one["key"]) for one in (old, new)] == [True, True]
        town.clock.advance(1)
        assert [await town.holds(one["key"]) for one in (old, new)] == [False, True]
        town.clock.advance(29 * DAY)  # as long as the old one was made for
        assert not await town.holds(new["key"])
        ended = await operator(town, "POST", f"/{new['id']}/rotate", {})
        assert (ended.status, ended.json()["code"]) == (409, "key-ended")

        third = await made(town, "third", expires_in_days=1)
        long = (await operator(town, "POST", f"/{third['id']}/rotate", {"overlap_seconds": 7 * DAY})).json()
        assert long["old_holds_until"] == third["expires_at"], "an overlap makes no key last longer"
        at_once = (await operator(town, "POST", f"/{long['id']}/rotate", {"overlap_seconds": 0, "expires_in_days": "none"})).json()
        assert at_once["expires_at"] is None
        assert [await town.holds(one["key"]) for one in (long, at_once)] == [False, True]
        for body in ({"overlap_seconds": 7 * DAY + 1}, {"overlap_seconds": -1}, {"expires_in_days": 0}, {"scopes": ["*"]}):
            assert (await operator(town, "POST", f"/{at_once['id']}/rotate", body)).status == 400
        assert (await operator(town, "POST", f"/key_{'0' * 32}/rotate", {})).json()["code"] == "key-not-found"

        assert (await operator(town, "DELETE", f"/{at_once['id']}")).status == 204
        entries = (await town.operator("GET", f"audit?object={old['id']}")).json()["items"]
        assert [one["action"] for one in entries] == ["key.rotate", "key.create"]
        assert entries[0]["detail"]["successor"] == new["id"]
        assert entries[0]["detail"]["old_holds_until"]
        entries = (await town.operator("GET", f"audit?object={at_once['id']}")).json()["items"]
        assert [one["action"] for one in entries] == ["key.revoke"]

    in_town(work, database_url=url)


def test_rotating__hands_nobody_rights_of_others() -> None:
    async def work(town: Town) -> None:
        mighty = await made(town, "mighty", "*")
        beyond = await operator(town, "POST", f"/{mighty['id']}/rotate", {}, scopes=("hub:keys",))
        assert (beyond.status, beyond.json()["code"]) == (403, "scope-beyond-own")
        foreign = await operator(town, "POST", f"/{mighty['id']}/rotate", {}, subject="somebody")
        assert (foreign.status, foreign.json()["code"]) == (403, "key-of-another")
        reader = await made(town, "reader", "hub:audit")
        assert (await town.ask("POST", f"/api/keys/{reader['id']}/rotate", {}, token=reader["key"])).json()["code"] == "missing-scope"
        assert {row["state"] for row in (await listed(town)).values()} == {"active"}
        assert await town.holds(mighty["key"])

    in_town(work)


def test_person__makes_keys_for_themselves__with_some_of_the_own_scopes(url: str) -> None:
    async def work(town: Town) -> None:
        signed = await person_with(town, ADA, "hub:audit", "hub:mail")
        other = await person_with(town, "bob@example.org", "hub:audit")
        token, path = signed["access_token"], "/api/users/keys"

        async def ask(method: str, more: str = "", body: Any = None, *, by: str = token) -> Answer:
            return await town.ask(method, path + more, body, token=by)

        assert (await ask("POST", "", {"name": "mine", "scopes": ["hub:keys"]})).json()["code"] == "scope-beyond-own"
        assert (await ask("POST", "", {"name": "mine", "scopes": ["*"]})).json()["code"] == "scope-beyond-own"
        never = await ask("POST", "", {"name": "mine", "scopes": ["hub:audit"], "expires_in_days": "none"})
        assert (never.status, never.json()["code"]) == (403, "endless-key")
        mine = (await ask("POST", "", {"name": "mine", "scopes": ["hub:audit"]})).json()
        theirs = (await ask("POST", "", {"name": "theirs", "scopes": ["hub:audit"]}, by=other["access_token"])).json()
        assert mine["key"].startswith("lum_test_person_")
        assert (await town.ask("GET", "/api/admin/audit", token=mine["key"])).status == 200
        assert (await town.ask("GET", "/api/admin/mail", token=mine["key"])).status == 403

        assert [one["name"] for one in (await ask("GET")).json()["items"]] == ["mine"]
        for method, more in (("POST", "/rotate"), ("DELETE", "")):
            refused = await ask(method, f"/{theirs['id']}{more}", {} if more else None)
            assert (refused.status, refused.json()["code"]) == (404, "key-not-found")
        for method, more in (("GET", ""), ("POST", ""), ("POST", f"/{mine['id']}/rotate"), ("DELETE", f"/{mine['id']}")):
            body = {"name": "again", "scopes": ["hub:audit"]} if method == "POST" and not more else {} if method == "POST" else None
            refused = await ask(method, more, body, by=mine["key"])
            assert (refused.status, refused.json()["code"]) == (403, "not-a-session"), "a key makes no keys"

        new = (await ask("POST", f"/{mine['id']}/rotate", {"overlap_seconds": 60})).json()
        assert [await town.holds(one["key"]) for one in (mine, new)] == [True, True]
        foreign = await operator(town, "POST", f"/{new['id']}/rotate", {})
        assert foreign.json()["code"] == "key-of-another", "nobody gets a key that acts as somebody else"
        assert (await ask("DELETE", f"/{new['id']}")).status == 204
        assert [await town.holds(one["key"]) for one in (mine, new)] == [True, False]

        town.clock.advance(11 * 60)
        later = (await town.post("refresh", {"refresh_token": signed["refresh_token"]})).json()["access_token"]
        stale = await ask("POST", "", {"name": "late", "scopes": ["hub:audit"]}, by=later)
        assert (stale.status, stale.json()["code"]) == (403, "step-up-required")
        found = [(await town.operator("GET", f"audit?object={one['id']}")).json()["items"] for one in (mine, new)]
        assert [[entry["action"] for entry in entries] for entries in found] == [["key.rotate", "key.create"], ["key.revoke"]]

    in_town(work, database_url=url)


def test_person__has_at_most_fifty_keys_that_hold() -> None:
    async def work(town: Town) -> None:
        signed = await person_with(town, ADA, "hub:audit")
        asked = {"name": "one", "scopes": ["hub:audit"]}
        for _ in range(50):
            last = await town.ask("POST", "/api/users/keys", asked, token=signed["access_token"])
            assert last.status == 201
        more = await town.ask("POST", "/api/users/keys", asked, token=signed["access_token"])
        assert (more.status, more.json()["code"]) == (409, "too-many-keys")
        assert (await town.ask("DELETE", f"/api/users/keys/{last.json()['id']}", token=signed["access_token"])).status == 204
        assert (await town.ask("POST", "/api/users/keys", asked, token=signed["access_token"])).status == 201

    in_town(work)


def test_use__is_written_down_now_and_then__not_with_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(town: Town) -> None:
        keys, verifier = town.hub.hub.keys, town.hub.hub.verifier
        one, unused = await made(town, "one"), await made(town, "unused")
        touch, written, failures = keys.touch, [], [OSError("full")]

        async def counted(ids: Any) -> None:
            written.append(list(ids))
            if failures:
                raise failures.pop()
            await touch(ids)

        monkeypatch.setattr(keys, "touch", counted)
        for _ in range(20):
            town.clock.advance(6)  # beyond what is remembered
            assert await town.holds(one["key"])
        assert written == []
        with pytest.raises(OSError, match="full"):
            await verifier.note_use()
        await verifier.note_use()
        await verifier.note_use()
        assert written == [[one["id"]], [one["id"]]]
        rows = await listed(town)
        assert rows[one["id"]]["last_used_at"] == town.clock.now().isoformat().replace("+00:00", "Z")
        assert rows[unused["id"]]["last_used_at"] is None

    in_town(work)


def test_person__is_told_of_a_key_made_or_replaced(plugins: Any) -> None:
    async def work(town: Town) -> None:
        signed = await person_with(town, ADA, "hub:audit")
        token = signed["access_token"]
        one = (await town.ask("POST", "/api/users/keys", {"name": "laptop", "scopes": ["hub:audit"]}, token=token)).json()
        assert (await town.ask("POST", f"/api/users/keys/{one['id']}/rotate", {}, token=token)).status == 201
        told = [mail.text for mail in await town.letters(ADA) if "API key" in mail.text]
        assert ["“laptop” was made" in told[0], "“laptop” was replaced" in told[1], len(told)] == [True, True, 2]
        assert one["key"] not in "".join(told)

    in_town(work, plugins=plugins)


@pytest.mark.shows("LR-149")
def test_own_key__ends_soon__its_owner_is_reminded_two_times_and_of_no_other(url: str, plugins: Any) -> None:
    async def work(town: Town) -> None:
        signed = await person_with(town, ADA, "hub:audit")
        token, path = signed["access_token"], "/api/users/keys"
        for name in ("mine", "rotated", "revoked"):
            key = (await town.ask("POST", path, {"name": name, "scopes": ["hub:audit"]}, token=token)).json()
            if name == "rotated":
                await town.ask("POST", f"{path}/{key['id']}/rotate", {"overlap_seconds": 604_800}, token=token)
            if name == "revoked":
                await town.ask("DELETE", f"{path}/{key['id']}", token=token)
        found: list[tuple[int, str]] = []
        for day in range(92):
            town.clock.advance(DAY)
            before = len(await town.letters(ADA))
            for _ in range(3):
                await remind(town.hub.hub.identity)
            found += [(day + 1, mail.text) for mail in (await town.letters(ADA))[before:]]
        assert [day for day, text in found if "key “mine”" in text] == [76, 87]
        assert [day for day, text in found if "key “rotated”" in text] == [76, 87], "its successor, which ends the same day"
        assert len(found) == 4

    in_town(work, plugins=plugins, database_url=url)
