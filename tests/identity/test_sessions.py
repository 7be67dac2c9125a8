"""How long somebody stays signed in, and what ends it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from identity.lives import OPEN, PASSWORD, Town, in_town

from luminai.testing import FrozenClock, running_hub

ADA = "ada@example.org"
DAYS = 7 * 24 * 3600


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest) -> str:
    """Return "" for SQLite, and the URL of a PostgreSQL database of this test alone."""
    found: str = request.getfixturevalue("own_postgres_url") if request.param == "postgresql" else ""
    return found


async def refresh(town: Town, token: str, **more: Any) -> Any:
    return await town.post("refresh", {"refresh_token": token, **more})


@pytest.mark.shows("PX-36", "TL-146")
def test_refresh_token__used_again_after_the_grace__ends_its_session_at_once(url: str) -> None:
    async def work(town: Town) -> None:
        first, bystander = await town.settle_in(ADA), await town.login(ADA)
        second = (await refresh(town, first["refresh_token"])).json()
        assert second["session"] == first["session"]
        assert second["refresh_token"] != first["refresh_token"]
        assert await town.holds(second["access_token"])

        town.clock.advance(11)
        stolen = await refresh(town, first["refresh_token"])
        assert (stolen.status, stolen.json()["code"]) == (401, "token-reused")
        assert not await town.holds(second["access_token"])
        assert (await refresh(town, second["refresh_token"])).json()["code"] == "session-ended"
        assert await town.holds(bystander["access_token"]), "another session goes on"

    in_town(work, database_url=url)


def test_refresh_token__two_tabs_at_once__get_the_same_child_and_both_go_on(url: str) -> None:
    async def work(town: Town) -> None:
        first = await town.settle_in(ADA)
        tabs = await asyncio.gather(*(refresh(town, first["refresh_token"]) for _ in range(8)))
        assert [tab.status for tab in tabs] == [200] * 8
        children = {tab.json()["refresh_token"] for tab in tabs}
        assert len(children) == 1
        town.clock.advance(9)
        assert (await refresh(town, first["refresh_token"])).json()["refresh_token"] in children, "the grace lasts 10 s"
        grandchild = await refresh(town, children.pop())
        assert grandchild.status == 200

    in_town(work, database_url=url)


@pytest.mark.shows("TL-149", "TL-D17")
def test_session__idle_for_half_an_hour__locks_until_the_password_is_given() -> None:
    async def work(town: Town) -> None:
        signed = await town.settle_in(ADA)
        for _ in range(5):  # in use it stays open
            town.clock.advance(9 * 60)
            assert await town.holds(signed["access_token"])
            signed = (await refresh(town, signed["refresh_token"])).json()
        for _ in range(3):  # a page that only refreshes is not in use
            town.clock.advance(9 * 60)
            signed = (await refresh(town, signed["refresh_token"])).json()
        town.clock.advance(3 * 60)
        locked = await refresh(town, signed["refresh_token"])
        assert (locked.status, locked.json()["code"]) == (401, "session-locked")
        assert (await refresh(town, signed["refresh_token"], password="wrong")).json()["code"] == "sign-in-refused"
        unlocked = await refresh(town, signed["refresh_token"], password=PASSWORD)
        assert unlocked.json()["session"] == signed["session"]
        assert await town.holds(unlocked.json()["access_token"])

    in_town(work)


def test_access_token__of_a_session_that_locks_sooner__holds_no_more() -> None:
    async def work(town: Town) -> None:
        signed = await town.settle_in(ADA)
        town.clock.advance(5 * 60 - 1)
        assert await town.holds(signed["access_token"])
        town.clock.advance(5 * 60)
        answer = await town.ask("GET", "/api/auth/verify", token=signed["access_token"])
        assert (answer.status, answer.json()["code"]) == (401, "session-locked")

    in_town(work, settings={"identity": {"registration": "open", "lock-minutes": 5}})


@pytest.mark.parametrize(("role", "is_given_before", "ends_after"), [("member", False, 30 * 24), ("admin", False, 8), ("admin", True, 8)])
def test_session__whatever_happens__ends_in_time(role: str, is_given_before: bool, ends_after: int) -> None:
    async def work(town: Town) -> None:
        signed = await town.settle_in(ADA)
        await town.operator("PUT", f"people/{signed['person']['id']}/roles", {"roles": [role]})
        signed = await town.login(ADA) if is_given_before else signed
        for _ in range(ends_after - 1):
            town.clock.advance(3600)
            answer = await refresh(town, signed["refresh_token"])
            assert answer.status == 200, answer.text
            signed = answer.json()
        town.clock.advance(3600)
        assert (await refresh(town, signed["refresh_token"])).json()["code"] == "session-ended"

    in_town(work, settings={"identity": {"registration": "open", "lock-minutes": 0}})


def test_session__idle_for_twelve_hours__ends() -> None:
    async def work(town: Town) -> None:
        signed = await town.settle_in(ADA)
        town.clock.advance(12 * 3600)
        late = await refresh(town, signed["refresh_token"], password=PASSWORD)
        assert late.json()["code"] == "session-ended"

    in_town(work)


@pytest.mark.shows("TL-138", "TL-D17")
def test_session__of_seven_days__slides_with_each_use__and_access_locks_all_the_same() -> None:
    async def work(town: Town) -> None:
        signed = await town.settle_in(ADA)
        for _ in range(3):  # longer than seven days in all
            town.clock.advance(DAYS - 1)
            assert (await refresh(town, signed["refresh_token"])).json()["code"] == "session-locked"
            signed = (await refresh(town, signed["refresh_token"], password=PASSWORD)).json()
            assert await town.holds(signed["access_token"])
        town.clock.advance(29 * 60)
        signed = (await refresh(town, signed["refresh_token"])).json()
        money = await town.post("totp/enrol", token=signed["access_token"])
        assert money.json()["code"] == "step-up-required", "a refresh alone opens nothing of money or administration"
        assert (await town.post("reauthenticate", {"password": PASSWORD}, token=signed["access_token"])).status == 204
        assert (await town.post("totp/enrol", token=signed["access_token"])).status == 200
        town.clock.advance(DAYS)
        assert (await refresh(town, signed["refresh_token"], password=PASSWORD)).json()["code"] == "session-ended"

    in_town(work, settings={"identity": {"registration": "open", "idle-hours": 168}})


@pytest.mark.shows("LR-126", "TL-22")
def test_sessions__are_listed_and_ended_by_their_owner_alone() -> None:
    async def work(town: Town) -> None:
        here = await town.settle_in(ADA)
        there = await town.login(ADA, device="Phone", address="2001:db8::7")
        stranger = await town.settle_in("eve@example.org")
        mine = here["access_token"]

        listed = (await town.ask("GET", "/api/auth/sessions?limit=1", token=mine)).json()
        rest = (await town.ask("GET", f"/api/auth/sessions?cursor={listed['next_cursor']}", token=mine)).json()
        seen = [(one["id"], one["device"], one["address"], one["is_current"]) for one in listed["items"] + rest["items"]]
        assert [one[0] for one in seen] == [there["session"], here["session"]]
        assert seen[0][1:] == ("Phone", "2001:db8::7", False)
        assert seen[1][3]

        path = f"/api/auth/sessions/{there['session']}"
        foreign = await town.ask("DELETE", path, token=stranger["access_token"])
        missing = await town.ask("DELETE", f"/api/auth/sessions/ses_{'0' * 32}", token=stranger["access_token"])
        assert (foreign.status, foreign.json()["code"]) == (missing.status, missing.json()["code"]) == (404, "session-not-found")
        assert await town.holds(there["access_token"])
        assert (await town.ask("DELETE", path, token=mine)).status == 204
        assert not await town.holds(there["access_token"]), "ended at once, although it was in use a moment ago"

        third = await town.login(ADA)
        assert (await town.ask("DELETE", "/api/auth/sessions", token=mine)).status == 204
        assert (await town.holds(third["access_token"]), await town.holds(mine)) == (False, True)
        assert (await town.post("logout", token=mine)).status == 204
        assert not await town.holds(mine)
        assert (await refresh(town, here["refresh_token"])).json()["code"] == "session-ended"

    in_town(work)


def test_step_up__left_alone_for_ten_minutes__administration_asks_for_the_password() -> None:
    async def work(town: Town) -> None:
        signed = await town.settle_in(ADA)
        await town.operator("PUT", f"people/{signed['person']['id']}/roles", {"roles": ["admin"]})
        token = signed["access_token"]
        act = "/api/admin/identity/rotate-keys"
        assert (await town.ask("POST", act, token=token)).status == 200
        town.clock.advance(599)
        token = (await refresh(town, signed["refresh_token"])).json()["access_token"]
        assert (await town.ask("POST", act, token=token)).status == 200
        town.clock.advance(1)
        stale = await town.ask("POST", act, token=token)
        assert (stale.status, stale.json()["code"]) == (403, "step-up-required"), "to the second, although the credential is remembered for five"
        assert (await town.ask("GET", "/api/admin/roles", token=token)).status == 200, "looking stays open"
        assert (await town.post("reauthenticate", {"password": "wrong"}, token=token)).json()["code"] == "sign-in-refused"
        assert (await town.post("reauthenticate", {"password": PASSWORD}, token=token)).status == 204
        assert (await town.ask("POST", act, token=token)).status == 200

    in_town(work)


@pytest.mark.postgres
def test_revocation__made_in_another_process__holds_within_five_seconds(own_postgres_url: str, tmp_path: Path) -> None:
    async def work() -> None:
        clock = FrozenClock()
        shared: Any = {"settings": OPEN | {"vault": {"key-file": str(tmp_path / "key")}}, "clock": clock, "database_url": own_postgres_url}
        async with running_hub(**shared) as one, running_hub(**shared) as two:
            here, there = Town(one, clock), Town(two, clock)
            signed = await here.settle_in(ADA)
            access = signed["access_token"]
            assert await there.holds(access)
            assert (await here.operator("POST", f"people/{signed['person']['id']}/suspend")).status == 200
            assert not await here.holds(access)
            clock.advance(5)
            assert not await there.holds(access)

    asyncio.run(work())


def test_last_use__is_written_down_and_survives_a_restart(tmp_path: Path) -> None:
    async def work() -> None:
        clock = FrozenClock()
        async with running_hub(folder=tmp_path, settings=OPEN, clock=clock) as hub:
            signed = await Town(hub, clock).settle_in(ADA)
            clock.advance(500)
            assert await Town(hub, clock).holds(signed["access_token"])
        async with running_hub(folder=tmp_path, settings=OPEN, clock=clock) as hub:
            town = Town(hub, clock)
            again = (await refresh(town, signed["refresh_token"])).json()
            listed = (await town.ask("GET", "/api/auth/sessions", token=again["access_token"])).json()["items"]
            assert listed[0]["last_used_at"] == clock.now().isoformat().replace("+00:00", "Z")

    asyncio.run(work())
