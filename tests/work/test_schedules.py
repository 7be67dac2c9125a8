"""Schedules: declared by plugins and added by people, fired once each in somebody's name, refused with a clear problem, paused and changed."""

import asyncio
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, text, update
from work.scheduled import EVERY_10, MANIFEST, PERSON, PLUGIN, SCHEMA, Works

from luminai.data.tables_people import memberships
from luminai.data.tables_schedules import schedules
from luminai.testing import FrozenClock, running_hub


def test_schedule__fires_at_its_moments_in_its_owners_name(on_schedules: Any) -> None:
    async def test(works: Works) -> None:
        added = await works.add()
        assert (added["state"], added["origin"], added["revision"], added["input"]) == ("active", "person", 1, {"word": "ten"})
        assert added["next_fires"] == [f"2026-01-01T00:00:{second}0Z" for second in "12345"]
        await works.hub.advance(35)
        assert works.times("ten") == [10, 20, 30]
        assert {(who, trigger) for _, _, who, trigger in works.seen} == {(PERSON, f"schedule:{added['id']}")}
        shown = await works.ask("GET", f"/{added['id']}")
        assert (shown["last_fire_at"], shown["next_fire_at"]) == ("2026-01-01T00:00:30Z", "2026-01-01T00:00:40Z")
        job = (await works.person.request("GET", f"/api/jobs/{shown['last_job']}")).json()
        assert (job["state"], job["trigger"]) == ("succeeded", f"schedule:{added['id']}")

    on_schedules(test)


def test_bad_input__is_refused_with_every_problem_and_nothing_is_kept(on_schedules: Any) -> None:
    async def test(works: Works) -> None:
        assert await works.refusal(action="work.none") == (404, "unknown-action", [])
        assert await works.refusal(input={"word": "", "number": -1}) == (400, "bad-action-input", ["/input/number", "/input/word"])
        assert await works.refusal(trigger="cron: 0 0 30 2 *") == (400, "schedule-never-fires", ["/trigger"])
        assert await works.refusal(zone="Mars/Olympus") == (400, "unknown-zone", ["/zone"])
        assert await works.refusal(trigger="cron: 0 8 * * 1") == (400, "bad-trigger", ["/trigger"])
        assert await works.refusal(action="work.queue", overlap="skip") == (400, "bad-overlap", ["/overlap"])
        everything = await works.refusal(input={"word": ""}, zone="Mars/Olympus", trigger="every: never")
        assert everything == (400, "bad-action-input", ["/input/word", "/zone", "/trigger"])
        large = {"word": "x", **{f"more{number}": "y" * 1000 for number in range(80)}}
        assert (await works.refusal(input=large))[:2] == (413, "action-input-too-large")
        for fields in (
            {"trigger": "x" * 201},
            {"grace": -1},
            {"jitter": 4000},
            {"misfire": "never"},
            {"name": ""},
            {"start": "0001-01-01T00:00:00Z"},
        ):
            answer = await works.person.request("POST", "/api/schedules", json=EVERY_10 | fields)
            assert answer.status == 400, fields
        stranger = works.hub.client("other:read", subject="usr_b")
        assert (await works.ask("POST", body=EVERY_10, by=stranger, status=404))["code"] == "unknown-action"
        assert (await works.ask("GET"))["items"] == []
        for _ in range(4):
            await works.add()
        assert (await works.refusal())[:2] == (409, "too-many-schedules")

    on_schedules(test)


def test_schedule_more_frequent_than_the_operator_allows__is_refused_and_a_plugins_is_paused(on_schedules: Any) -> None:
    async def test(works: Works) -> None:
        assert (await works.refusal(trigger="every: 3599s"))[:2] == (400, "schedule-too-frequent")
        assert (await works.refusal(trigger="cron: 0,30 8 * * *"))[:2] == (400, "schedule-too-frequent")
        await works.add(trigger="every: 2h")
        hourly = (await works.all())["hourly"]
        assert (hourly["state"], hourly["paused_because"].partition(":")[0]) == ("paused", "schedule-too-frequent")

    on_schedules(test, settings={"schedules": {"min-interval": 7200}})


def test_strangers__see_and_change_nothing_of_another(on_schedules: Any) -> None:
    async def test(works: Works) -> None:
        added = await works.add()
        other = works.hub.client("work:run", subject=f"usr_{'b' * 32}")
        assert (await works.ask("GET", by=other))["items"] == []
        path = f"/{added['id']}"
        calls = (("GET", "", None), ("PATCH", "", {"revision": 1}), ("DELETE", "", None), ("POST", "/pause", {}), ("POST", "/resume", None))
        for method, rest, body in (*calls, ("POST", "/run", None)):
            assert (await works.ask(method, path + rest, body, by=other, status=404))["code"] == "schedule-not-found"
        assert (await other.request("GET", "/api/admin/schedules")).status == 403
        # an operator looks after it, but does not put words into another's mouth
        assert (await works.ask("PATCH", path, {"revision": 1, "input": {"word": "mine"}}, by=works.operator, status=403))[
            "code"
        ] == "schedule-of-another"
        assert (await works.ask("POST", f"{path}/pause", {"reason": "too loud"}, by=works.operator))["paused_because"] == "too loud"

    on_schedules(test)


def test_edit_pause_resume_run_remove__do_what_they_say_and_are_recorded(on_schedules: Any) -> None:
    async def test(works: Works) -> None:
        added = await works.add()
        path = f"/{added['id']}"
        edited = await works.ask("PATCH", path, {"revision": 1, "trigger": "every: 1m", "input": {"word": "minute"}, "name": "minute"})
        assert (edited["revision"], edited["next_fire_at"], edited["input"], edited["name"]) == (
            2,
            "2026-01-01T00:01:00Z",
            {"word": "minute"},
            "minute",
        )
        assert (await works.ask("PATCH", path, {"revision": 1, "trigger": "every: 1s"}, status=409))["code"] == "revision-changed"
        assert (await works.ask("PATCH", path, {"revision": 2, "trigger": "every: x", "input": {}}, status=400))["code"] == "bad-action-input"
        paused = await works.ask("POST", f"{path}/pause", {"reason": "not now"})
        assert (paused["state"], paused["next_fire_at"], paused["next_fires"]) == ("paused", None, [])
        await works.hub.advance(150)
        assert works.times("minute") == []
        resumed = await works.ask("POST", f"{path}/resume")
        assert (resumed["state"], resumed["next_fire_at"]) == ("active", "2026-01-01T00:03:00Z")
        assert (await works.ask("POST", f"{path}/resume", status=409))["code"] == "not-paused"
        job = await works.ask("POST", f"{path}/run", status=202)
        assert (job["subject"], job["input"]) == (PERSON, {"word": "minute"})
        await works.hub.advance(40)
        assert works.times("minute") == [150, 180]
        await works.ask("DELETE", path, status=204)
        await works.hub.advance(120)
        assert works.times("minute") == [150, 180]
        entries = (await works.operator.request("GET", "/api/admin/audit?action=schedule")).json()["items"]
        assert {one["action"].partition(".")[2] for one in entries if one["object"] == added["id"]} == {
            "add",
            "edit",
            "pause",
            "resume",
            "run",
            "remove",
        }

    on_schedules(test)


def test_owner_who_lost_the_scope__is_refused_and_the_schedule_paused(on_schedules: Any) -> None:
    async def test(works: Works) -> None:
        added = await works.add()
        nobody = await works.add(by=works.operator, name="no key holds it")
        await works.hub.advance(10)
        assert works.times("ten") == [10]
        await works.hub.hub.database.write(lambda session: session.execute(delete(memberships).where(memberships.c.person_id == PERSON)))
        await works.hub.advance(30)
        assert works.times("ten") == [10]
        for one in (added, nobody):
            shown = await works.ask("GET", f"/{one['id']}", by=works.operator)
            assert (shown["state"], shown["paused_because"].partition(":")[0]) == ("paused", "unknown-action")
        assert (await works.ask("POST", f"/{added['id']}/run", status=404))["code"] == "unknown-action"
        entries = (await works.operator.request("GET", "/api/admin/audit?action=schedule.pause")).json()["items"]
        assert {(one["object"], one["outcome"]) for one in entries} == {(added["id"], "denied"), (nobody["id"], "denied")}

    on_schedules(test)


def test_services_schedule__runs_while_a_key_of_its_name_holds(on_schedules: Any) -> None:
    async def test(works: Works) -> None:
        info, secret = await works.hub.hub.keys.create("robot", ["work:run"], subject="robot")
        client = works.hub.with_key(secret)
        added = (await client.request("POST", "/api/schedules", json=EVERY_10)).json()
        await works.hub.advance(10)
        assert works.times("ten") == [10]
        await works.hub.hub.keys.revoke(info.id)
        await works.hub.advance(10)
        assert works.times("ten") == [10]
        assert (await works.ask("GET", f"/{added['id']}", by=works.operator))["state"] == "paused"

    on_schedules(test)


def test_declared_schedules__follow_the_plugin_and_keep_what_an_operator_changed(on_schedules: Any) -> None:
    async def test(works: Works) -> None:
        found = await works.all()
        assert {name: (one["origin"], one["subject"], one["state"]) for name, one in found.items()} == dict.fromkeys(
            ("daily", "hourly"), ("plugin", "hub", "active")
        )
        assert found["daily"]["next_fire_at"] == "2026-01-01T07:00:00Z"
        await works.hub.advance(7200)
        assert works.times("hourly") == [3600, 7200]
        daily, hourly = (found[name]["id"] for name in ("daily", "hourly"))
        assert (await works.ask("DELETE", f"/{daily}", by=works.operator, status=409))["code"] == "schedule-declared"

        # a new version of the plugin declares another time: it is followed, its id stays
        await works.hub.swap("work", config={"trigger": "cron: 0 9 * * mon-fri"})
        assert ((await works.all())["daily"]["id"], (await works.all())["daily"]["next_fire_at"]) == (daily, "2026-01-01T08:00:00Z")
        # an operator changes the time: that stays, whatever the plugin declares
        shown = await works.ask("GET", f"/{daily}", by=works.operator)
        await works.ask("PATCH", f"/{daily}", {"revision": shown["revision"], "trigger": "cron: 0 10 * * *"}, by=works.operator)
        await works.ask("POST", f"/{hourly}/pause", {"reason": "loud"}, by=works.operator)
        await works.hub.swap("work", config={"trigger": "cron: 0 11 * * mon-fri"})
        found = await works.all()
        assert (found["daily"]["trigger"], found["daily"]["edited"], found["hourly"]["state"]) == ("cron: 0 10 * * *", True, "paused")

        # one that vanishes is retired, and comes back as it was
        await works.hub.swap("work", config={"has-second": False})
        assert (await works.all())["hourly"]["state"] == "retired"
        assert (await works.ask("POST", f"/{hourly}/resume", by=works.operator, status=409))["code"] == "schedule-retired"
        await works.hub.swap("work", config={"has-second": True})
        assert ((await works.all())["hourly"]["id"], (await works.all())["hourly"]["state"]) == (hourly, "paused")

    on_schedules(test)


def test_plugin_that_is_off__has_its_schedules_wait_and_come_back_by_their_misfire_rule(on_schedules: Any) -> None:
    async def test(works: Works) -> None:
        ten = await works.add(trigger="every: 10m", grace=5)
        await works.hub.swap("work", enabled=False)
        assert {one["state"] for one in (await works.all()).values()} == {"off"}
        await works.hub.advance(3 * 3600 + 30)
        assert works.seen == []
        await works.hub.swap("work", enabled=True)
        works.seen = sys.modules["luminai_work.plugin"].SEEN
        await works.hub.advance(0)
        assert (len(works.times("hourly")), len(works.times("ten")), len(works.times("daily"))) == (3, 1, 0)
        assert (await works.ask("GET", f"/{ten['id']}"))["last_fire_at"] == "2026-01-01T03:00:00Z"

    on_schedules(test)


def test_schedules_that_are_100_seconds_behind__fire_as_often_as_their_rules_say(on_schedules: Any) -> None:
    async def test(works: Works) -> None:
        for misfire in ("skip", "once", "all"):
            await works.add(misfire=misfire, grace=34, input={"word": misfire})
        works.clock.advance(104)  # nobody looked meanwhile
        async with asyncio.timeout(30):
            while sum(len(works.times(misfire)) for misfire in ("skip", "once", "all")) < 15:  # the hub's own workers take part
                await works.hub.advance(0)
        assert [len(works.times(misfire)) for misfire in ("skip", "once", "all")] == [4, 1, 10]
        await works.hub.advance(6)
        assert {works.times(misfire)[-1] for misfire in ("skip", "once", "all")} == {110}

    on_schedules(test)


def test_overlap__is_what_the_schedule_says(on_schedules: Any) -> None:
    expected = {"allow": 3 * ["running"], "skip": ["running", "skipped", "skipped"], "queue": ["running", "waiting", "waiting"]}
    expected["replace"] = ["cancelled", "cancelled", "running"]

    async def test(works: Works) -> None:
        owned = {(await works.add(action="work.wait", overlap=overlap))["id"]: overlap for overlap in expected}
        async with asyncio.timeout(20):
            for count in (1, 2, 3):
                works.clock.advance(10)
                await works.hub.hub.schedules.settle()
                works.hub.hub.jobs.wake()
                while True:
                    found: dict[str, list[str]] = {}
                    for one in reversed((await works.person.request("GET", "/api/jobs?limit=100")).json()["items"]):
                        found.setdefault(owned[one["trigger"].partition(":")[2]], []).append(one["state"])
                    if {name: states[:count] for name, states in expected.items() if name != "replace"} | {
                        "replace": (count - 1) * ["cancelled"] + ["running"]
                    } == found:
                        break
                    await asyncio.sleep(0.01)
        works.open.set()
        await works.hub.advance(0)
        works.open.clear()

    on_schedules(test, settings={"schedules": {"min-interval": 1}, "jobs": {"slots": 20, "plugin-slots": 20}})


def test_jitter__puts_a_run_off_by_the_same_amount_on_every_node(on_schedules: Any) -> None:
    async def test(works: Works) -> None:
        await works.add(trigger="every: 1m", jitter=30)
        await works.hub.advance(300)
        late = [at % 60 for at in works.times("ten")]
        assert len(late) in (4, 5)
        assert all(0 <= one < 30 for one in late)
        assert len({*late}) > 2

    on_schedules(test)


def test_one_off__fires_once_and_has_ended(on_schedules: Any) -> None:
    async def test(works: Works) -> None:
        added = await works.add(trigger="at: 2026-01-01T01:00:10", zone="Europe/Berlin")
        await works.hub.advance(100)
        assert works.times("ten") == [10]
        shown = await works.ask("GET", f"/{added['id']}")
        assert (shown["state"], shown["next_fires"]) == ("ended", [])

    on_schedules(test)


def test_several_clocks_at_once__fire_every_moment_once(on_schedules: Any) -> None:
    async def test(works: Works) -> None:
        from luminai.host.schedule_wiring import schedules_of

        hub = works.hub.hub
        clocks = [hub.schedules, *(schedules_of(hub)[1] for _ in range(3))]
        row = await works.add()
        # 300 rows of it, without asking for each
        statement = f"INSERT INTO core__schedules SELECT {', '.join(_copied(column.name) for column in schedules.columns)} FROM core__schedules, "
        numbers = "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) SELECT i FROM n) AS numbers WHERE id = :id"
        await hub.database.write(lambda session: session.execute(text(statement + numbers), {"id": row["id"]}))
        await hub.database.write(
            lambda session: session.execute(update(schedules).where(schedules.c.id != row["id"]).values(subject="hub", origin="plugin", input=b""))
        )
        await hub.database.write(lambda session: _seal_all(hub, session))
        for _ in range(3):
            works.clock.advance(10)
            await asyncio.gather(*(clock.settle() for clock in clocks))
        count = "SELECT count(*), count(DISTINCT once), count(DISTINCT trigger) FROM core__jobs WHERE once IS NOT NULL"
        assert tuple(await hub.database.read(lambda session: session.execute(text(count)).one())) == (903, 903, 301)

    on_schedules(test, settings={"schedules": {"min-interval": 1}, "jobs": {"slots": 0}})


def _copied(name: str) -> str:
    return "'sch_' || CAST(i AS VARCHAR)" if name == "id" else name


def _seal_all(hub: Any, session: Any) -> None:
    for one in session.execute(text("SELECT id FROM core__schedules WHERE id LIKE 'sch_%' AND length(id) < 20")).scalars().all():
        sealed = hub.vault.seal(session, subject="hub", place=f"core__schedules.input:{one}", value=b'{"word": "many"}')
        session.execute(update(schedules).where(schedules.c.id == one).values(input=sealed))


def test_clock__wakes_by_itself_for_what_was_just_added(on_schedules: Any) -> None:
    async def test(works: Works) -> None:
        await works.add(trigger="every: 1s")
        works.clock.advance(1)
        works.hub.hub.schedules.wake()
        async with asyncio.timeout(20):
            while not works.times("ten"):  # noqa: ASYNC110 - the plugin under test is to know nothing of its test
                await asyncio.sleep(0.01)
        assert works.times("ten") == [1]

    on_schedules(test)


def test_wrong_declaration__fails_its_plugin_alone_and_says_why(plugins: Any) -> None:
    wrong = {
        "unknown-action": 'name="daily", action="none", trigger="every: 1h"',
        "bad-action-input": 'name="daily", action="note", trigger="every: 1h", input={"word": ""}',
        "schedule-never-fires": 'name="daily", action="note", trigger="cron: 0 0 30 2 *", input={"word": "x"}',
        "bad-schedule": 'name="Daily", action="note", trigger="every: 1h", input={"word": "x"}',
    }
    installed = []
    for code, given in wrong.items():
        source = PLUGIN.replace("return [daily, hourly] if ctx.config.has_second else [daily]", f"return [Schedule({given})]")
        scopes = MANIFEST.replace("work:", f"{code}:")
        installed.append(plugins.make(code, source, provides='["actions", "schedules"]', manifest=scopes, files={"config.schema.json": SCHEMA}))

    async def main() -> None:
        async with running_hub(*wrong, installed=installed) as hub:
            assert {code: (hub.status(code).running, hub.status(code).code) for code in wrong} == {code: (False, code) for code in wrong}
            with pytest.raises(TypeError):
                await hub.advance(1)  # its clock is the machine's

    asyncio.run(main())


def test_start_without_schedules__does_not_load_the_library(tmp_path: Any) -> None:
    script = """
import asyncio, sys
from luminai.testing import running_hub
async def main():
    async with running_hub(installed=[]):
        pass
asyncio.run(main())
sys.exit(any(name.startswith(("apscheduler", "tzlocal")) for name in sys.modules))
"""
    assert subprocess.run([sys.executable, "-c", script], check=False, cwd=tmp_path).returncode == 0


def test_declared_moment_in_the_past__is_no_fault_of_the_plugin(plugins: Any) -> None:
    past = 'Schedule(name="daily", action="note", trigger="at: 2020-01-01T00:00", input={"word": "x"})'
    source = PLUGIN.replace("return [daily, hourly] if ctx.config.has_second else [daily]", f"return [{past}]")
    installed = [plugins.make("work", source, provides='["actions", "schedules"]', manifest=MANIFEST, files={"config.schema.json": SCHEMA})]

    async def main() -> None:
        async with running_hub("work", installed=installed, clock=FrozenClock()) as hub:
            found = (await hub.client("hub:schedules").request("GET", "/api/admin/schedules")).json()["items"]
            assert [one["state"] for one in found] == ["ended"]
            await hub.advance(timedelta(days=1).total_seconds())

    asyncio.run(main())
