"""The classes of limits with the figures that hold where an operator sets none: whose requests are counted together."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from identity.lives import OPEN, Town, in_town

from luminai.testing import FrozenClock, running_hub
from luminai.testing.postgres import server

ADA, BOB = "ada@example.org", "bob@example.org"
PROFILE = "/api/users/profile"
SITE = ("personas", "resonance", "knowledge", "ai-offline", "chat", "site")
by_the_hub = pytest.mark.skipif(bool(server()), reason="PostgreSQL counts by its own clock, which no test moves.")


def limited(**limits: Any) -> Any:
    return OPEN | {"limits": {"enabled": True} | limits}


async def passed(town: Town, times: int, method: str, path: str, body: Any = None, **who: Any) -> tuple[int, str]:
    """Return how many of so many requests were let through, and the class of the last answer."""
    answers = [await town.ask(method, path, body, **who) for _ in range(times)]
    assert {one.json()["code"] for one in answers if one.status == 429} <= {"rate-limited"}
    return sum(one.status != 429 for one in answers), answers[-1].headers.get("ratelimit-policy", "")


@by_the_hub
@pytest.mark.shows("LK-27", "LK-43", "LR-38", "LW-67", "TL-142e")
def test_person__has_sixty_a_minute_over_all_sessions_and_addresses() -> None:
    async def work(town: Town) -> None:
        ada, bob = await town.settle_in(ADA), await town.settle_in(BOB)
        again = await town.login(ADA)
        assert await passed(town, 40, "GET", PROFILE, token=ada["access_token"]) == (40, '"person";q=60;w=60')
        assert await passed(town, 40, "GET", PROFILE, token=again["access_token"]) == (20, '"person";q=60;w=60')
        refused = await town.ask("GET", PROFILE, token=ada["access_token"])
        assert (refused.status, refused.headers["retry-after"], refused.headers["ratelimit"]) == (429, "1", '"person";r=0;t=60')
        assert (await town.ask("GET", PROFILE, token=bob["access_token"])).status == 200
        town.clock.advance(2)
        assert (await passed(town, 5, "GET", PROFILE, token=ada["access_token"]))[0] == 2, "one a second comes back"

    in_town(work, settings=limited())


@by_the_hub
@pytest.mark.shows("LK-27", "TL-139")
def test_bucket__a_hundred_a_minute_for_a_person_and_a_thousand_for_an_address() -> None:
    async def work(town: Town) -> None:
        ada, bob = await town.settle_in(ADA), await town.settle_in(BOB)
        here: Any = {"address": "192.0.2.1"}
        assert await passed(town, 110, "GET", PROFILE, token=ada["access_token"], **here) == (100, '"person";q=100;w=60')
        answers = [await town.ask("GET", PROFILE, **here) for _ in range(1000 - 110)]
        assert {one.headers["ratelimit-policy"] for one in answers} == {'"anonymous";q=100;w=60'}
        beyond = await town.ask("GET", PROFILE, token=bob["access_token"], **here)
        assert (beyond.status, beyond.headers["ratelimit-policy"]) == (429, '"address";q=1000;w=60')
        assert (await town.ask("GET", PROFILE, token=bob["access_token"])).status == 200, "from elsewhere"
        town.clock.advance(60)
        assert await passed(town, 101, "GET", PROFILE, token=ada["access_token"], **here) == (100, '"person";q=100;w=60')

    in_town(work, settings=limited(person={"requests": 100}))


@by_the_hub
@pytest.mark.shows("LR-41", "LR-42")
def test_making_keys__twenty_a_minute_for_an_address__and_exports_a_thousand_for_a_person() -> None:
    async def work(town: Town) -> None:
        signed, bob = await town.settle_in(ADA), (await town.settle_in(BOB))["access_token"]
        ada, ada_id = signed["access_token"], signed["person"]["id"]
        wish, here = {"name": "one", "scopes": []}, {"address": "192.0.2.1"}
        assert await passed(town, 12, "POST", "/api/users/keys", wish, token=ada, **here) == (12, '"key-creation";q=20;w=60')
        assert await passed(town, 12, "POST", "/api/users/keys", wish, token=bob, **here) == (8, '"key-creation";q=20;w=60')
        assert await passed(town, 1, "POST", "/api/users/keys", wish, token=bob) == (1, '"key-creation";q=20;w=60')

        assert await passed(town, 1, "POST", "/api/users/me/export", {}, token=ada) == (1, '"export";q=1000;w=60')
        others = f"/api/admin/privacy/{ada_id}/export"  # which she may not ask for; it counts all the same
        assert await passed(town, 1004, "POST", others, {}, token=ada) == (999, '"export";q=1000;w=60')

    in_town(work, settings=limited())


@by_the_hub
@pytest.mark.shows("LR-40", "LR-43", "LR-D9")
def test_website_and_playground__a_hundred_a_minute_for_an_address_or_who_is_signed_in(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "light.md").write_text("# Light\n\nLight is what the eye sees.\n")
    question, here = {"message": "What is light?"}, {"address": "192.0.2.1"}

    async def work(town: Town) -> None:
        ada = (await town.settle_in(ADA))["access_token"]
        assert await passed(town, 60, "GET", "/about", **here) == (60, '"website";q=100;w=60')
        assert await passed(town, 50, "GET", "/account", **here) == (40, '"website";q=100;w=60')
        assert await passed(town, 105, "GET", "/about", token=ada) == (100, '"website";q=100;w=60')
        assert await passed(town, 1, "GET", "/about") == (1, '"website";q=100;w=60')

        asked = await town.ask("POST", "/api/chat", question, **here)
        assert (asked.status, asked.json()["session_id"], asked.json()["playground"]) == (200, None, True)
        assert await passed(town, 103, "POST", "/api/chat", {"message": ""}, **here) == (99, '"playground";q=100;w=60')
        form = {"content-type": "application/x-www-form-urlencoded"}
        spent = await town.hub.client(address="192.0.2.1").request("POST", "/playground", body=b"message=light", headers=form)
        assert (spent.status, spent.headers["ratelimit-policy"]) == (429, '"playground";q=100;w=60')
        signed = await town.ask("POST", "/api/chat", question, token=ada, **here)
        assert (signed.status, signed.json()["playground"]) == (200, False), "who is signed in does not play"
        assert signed.headers["ratelimit-policy"] == '"person";q=60;w=60'
        listed = await town.ask("GET", "/api/sessions", token=ada)
        assert [one["id"] for one in listed.json()["items"]] == [signed.json()["session_id"]]

    async def main() -> None:
        clock = FrozenClock()
        async with running_hub(*SITE, folder=tmp_path, config={"chat": {"playground": True}}, settings=limited(), clock=clock) as hub:
            await work(Town(hub, clock))

    asyncio.run(main())


@by_the_hub
@pytest.mark.shows("PX-14", "PX-48")
def test_each_route__is_counted_for_itself__whatever_stands_in_its_path() -> None:
    async def work(town: Town) -> None:
        ada, bob = (await town.settle_in(ADA))["access_token"], (await town.settle_in(BOB))["access_token"]
        assert await passed(town, 5, "GET", PROFILE, token=ada) == (3, '"person";q=3;w=60')
        assert (await passed(town, 5, "PATCH", PROFILE, {"name": "Ada"}, token=ada))[0] == 3, "another method is another route"
        assert (await passed(town, 5, "GET", PROFILE, token=bob))[0] == 3, "and another person has their own"
        ids = [f"/api/auth/sessions/ses_{number:032}" for number in range(5)]
        assert [(await town.ask("DELETE", path, token=ada)).status for path in ids] == [404] * 3 + [429] * 2
        town.clock.advance(60)
        assert (await passed(town, 5, "GET", PROFILE, token=ada))[0] == 3

    in_town(work, settings=limited(person={"requests": 3, "each-route": True}))


@pytest.mark.postgres
@pytest.mark.shows("TL-10", "TL-12")
def test_hubs_behind_one_balancer__know_the_same_people_and_count_together(own_postgres_url: str, tmp_path: Path) -> None:
    async def work() -> None:
        settings = limited(person={"requests": 10, "seconds": 3600}) | {"vault": {"key-file": str(tmp_path / "key")}}
        shared: Any = {"settings": settings, "clock": FrozenClock(), "database_url": own_postgres_url}
        async with running_hub(**shared) as one, running_hub(**shared) as two:
            towns = Town(one, shared["clock"]), Town(two, shared["clock"])
            token = (await towns[0].settle_in(ADA))["access_token"]
            answers = await asyncio.gather(*(towns[number % 2].ask("GET", PROFILE, token=token) for number in range(40)))
            assert sorted(answer.status for answer in answers) == [200] * 10 + [429] * 30
            assert [(await town.ask("GET", PROFILE, token=token + "x")).status for town in towns] == [401, 401]

    asyncio.run(work())
