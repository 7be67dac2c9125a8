"""Actions run as jobs: asked for over HTTP and by plugins, once each, in somebody's name, with what became of them to be seen."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from luminai.data.tables_jobs import jobs
from luminai.testing import FrozenClock, HubUnderTest, running_hub

PLUGIN = """
    import asyncio
    from litestar import post
    from luminai import Action, Forbidden, Unavailable, hookimpl, policy
    from msgspec import Meta, Struct
    from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select
    from typing import Annotated

    metadata = MetaData()
    effects = Table("work__effects", metadata, Column("id", Integer, primary_key=True), Column("job", String(40)), Column("word", String(40)))
    OPEN = asyncio.Event()
    SEEN = []

    class Given(Struct, forbid_unknown_fields=True):
        word: Annotated[str, Meta(min_length=1, max_length=40)]
        number: Annotated[int, Meta(ge=0)] = 0

    class Done(Struct):
        said: str

    class Plugin:
        @hookimpl
        def actions(self, ctx):
            async def note(job, given):
                SEEN.append((job.actor.subject, sorted(job.actor.scopes), job.trigger, job.attempt))
                await job.progress(1, 2, "half")
                def unit(session):
                    session.execute(insert(effects).values(job=job.id, word=given.word))
                    job.finish(session, Done(given.word.upper()))
                await ctx.db.write(unit)
                return None
            async def fail(job, given):
                SEEN.append(job.attempt)
                if given.word == "forbidden":
                    raise Forbidden("Not this one.", code="work.no")
                if given.word == "secret":
                    raise RuntimeError("the password is 123")
                if job.attempt <= given.number:
                    raise Unavailable("Not yet.")
                return Done(f"at {job.attempt}")
            async def wait(job, given):
                SEEN.append(f"begin {given.word}")
                await OPEN.wait()
                SEEN.append(f"end {given.word}")
                return Done(given.word)
            async def bad(job, given):
                return "no struct"
            kinds = dict(scope="work:run", input=Given, output=Done)
            key = lambda given: given.word.partition("-")[0]
            return [
                Action(name="note", summary="Note a word.", run=note, **kinds),
                Action(name="fail", summary="Fail.", run=fail, retries=2, backoff=60, **kinds),
                Action(name="wait", summary="Wait.", run=wait, **kinds),
                Action(name="slow", summary="Too slow.", run=wait, timeout=0.05, **kinds),
                Action(name="single", summary="One at a time.", run=wait, at_once=1, **kinds),
                Action(name="queue", summary="One after the other.", run=wait, concurrency="queue", key=key, **kinds),
                Action(name="skip", summary="One of a key.", run=wait, concurrency="skip", key=key, **kinds),
                Action(name="replace", summary="The newest of a key.", run=wait, concurrency="replace", key=key, **kinds),
                Action(name="bad", summary="Bad output.", run=bad, **kinds),
            ]
        @hookimpl
        def models(self):
            return metadata
        @hookimpl
        def routes(self, ctx):
            @post("/api/work/put", opt=policy("work:run"))
            async def put() -> dict[str, str]:
                def unit(session):
                    session.execute(insert(effects).values(job="route", word="route"))
                    return ctx.actions.put(session, "work.note", {"word": "route"}, once="route")
                return {"job": await ctx.db.write(unit)}
            @post("/api/work/roll-back", opt=policy("work:run"))
            async def roll_back() -> None:
                def unit(session):
                    ctx.actions.put(session, "work.note", {"word": "never"})
                    raise Unavailable("No.")
                await ctx.db.write(unit)
            @post("/api/work/foreign", opt=policy("work:run"))
            async def foreign() -> None:
                await ctx.db.write(lambda session: ctx.actions.put(session, "other.thing", {}))
            return [put, roll_back, foreign]
"""
STEP = """
    import sqlalchemy as sa
    from alembic import op
    revision, down_revision = "0001", None
    def upgrade():
        columns = [sa.Column("job", sa.String(40)), sa.Column("word", sa.String(40))]
        op.create_table("work__effects", sa.Column("id", sa.Integer, primary_key=True), *columns)
    def downgrade():
        op.drop_table("work__effects")
"""
MANIFEST = """
tables = true
scopes = { "work:run" = "Work." }
"""


class Works:
    """A hub with the plugin, its clock, and what the plugin saw."""

    def __init__(self, hub: HubUnderTest, clock: FrozenClock) -> None:
        self.hub = hub
        self.clock = clock
        module: Any = sys.modules["luminai_work.plugin"]
        self.seen: list[Any] = module.SEEN
        self.open: asyncio.Event = module.OPEN
        self.client = hub.client("work:run", subject="usr_a")
        self.operator = hub.client("hub:jobs", "work:run", subject="operator")

    async def ask(self, action: str, word: str = "w", *, wait: int = 0, **query: Any) -> Any:
        """Ask for an action and return the job."""
        headers = {"prefer": f"wait={wait}"} if wait else {}
        number = {"number": query.pop("number")} if "number" in query else {}
        given = "&".join(f"{name}={value}" for name, value in query.items())
        answer = await self.client.request("POST", f"/api/actions/work.{action}?{given}", json={"word": word, **number}, headers=headers)
        assert answer.status in (200, 202), answer.body
        return answer.json()

    async def job(self, job_id: str) -> Any:
        """Return a job as its owner sees it."""
        return (await self.client.request("GET", f"/api/jobs/{job_id}")).json()

    async def settle(self) -> None:
        """Run what is due."""
        await self.hub.hub.jobs.settle()

    async def ended(self, job_id: str) -> None:
        """Wait until a job is running no more."""
        async with asyncio.timeout(20):
            while (await self.job(job_id))["state"] == "running":  # noqa: ASYNC110 - the face that is tested tells it
                await asyncio.sleep(0.01)

    async def begun(self, word: str, *, times: int = 1) -> None:
        """Wait until so many runs of ``wait`` have begun."""
        async with asyncio.timeout(20):
            while self.seen.count(f"begin {word}") < times:  # noqa: ASYNC110 - the plugin under test is to know nothing of its test
                await asyncio.sleep(0.01)

    async def rows(self) -> list[Any]:
        """Return the plugin's effects."""
        from sqlalchemy import text

        return [tuple(row) for row in await self.hub.hub.database.read(lambda session: session.execute(text("SELECT word FROM work__effects")).all())]


@pytest.fixture
def on_hub(plugins: Any) -> Callable[..., Any]:
    """Return what runs a test's coroutine on a hub with the plugin."""
    files = {"migrations/versions/0001_first.py": STEP}
    installed = [plugins.make("work", PLUGIN, provides='["actions", "models", "routes"]', manifest=MANIFEST, files=files)]

    @asynccontextmanager
    async def opened(**given: Any) -> Any:
        clock = FrozenClock()
        async with running_hub("work", installed=installed, clock=clock, **given) as hub:
            assert hub.status("work").running, hub.status("work")
            yield Works(hub, clock)

    def run(test: Callable[[Works], Awaitable[None]], **given: Any) -> None:
        async def main() -> None:
            async with opened(**given) as works:
                await test(works)

        asyncio.run(main())

    return run


@pytest.mark.shows("LK-13")
def test_action__runs_once_in_the_name_of_who_asked(on_hub: Any) -> None:
    async def test(works: Works) -> None:
        job = await works.ask("note", "hello", wait=20)
        assert (job["state"], job["output"], job["input"], job["action"]) == ("succeeded", {"said": "HELLO"}, {"word": "hello"}, "work.note")
        assert (job["done"], job["total"], job["note"]) == (1, 2, "half")
        assert works.seen == [("usr_a", ["work:run"], "http", 1)]
        assert await works.rows() == [("hello",)]
        history = (await works.client.request("GET", f"/api/jobs/{job['id']}/history")).json()
        assert [(one["attempt"], one["outcome"], one["version"], one["generation"]) for one in history] == [(1, "succeeded", "1.0", 1)]
        listed = (await works.client.request("GET", "/api/jobs?action=work.note&state=succeeded")).json()["items"]
        assert [one["id"] for one in listed] == [job["id"]]
        entries = (await works.hub.client("hub:audit").request("GET", "/api/admin/audit?action=action.run")).json()["items"]
        assert [one["object"] for one in entries] == [job["id"]]

    on_hub(test)


def test_actions__are_listed_with_their_shapes_for_those_who_may_run_them(on_hub: Any) -> None:
    async def test(works: Works) -> None:
        items = (await works.client.request("GET", "/api/actions?limit=2")).json()
        assert [one["name"] for one in items["items"]] == ["work.bad", "work.fail"]
        assert items["next_cursor"] == "work.fail"
        shown = (await works.client.request("GET", "/api/actions/work.note")).json()
        assert shown["input"]["$defs"]["Given"]["required"] == ["word"]
        stranger = works.hub.client("other:read", subject="usr_b")
        assert (await stranger.request("GET", "/api/actions")).json()["items"] == []
        for method, path in (("GET", "/api/actions/work.note"), ("POST", "/api/actions/work.note")):
            refused = await stranger.request(method, path, **({"json": {"word": "x"}} if method == "POST" else {}))
            missing = await stranger.request(method, path.replace("note", "none"), **({"json": {"word": "x"}} if method == "POST" else {}))
            assert (refused.status, refused.json()["code"]) == (missing.status, missing.json()["code"]) == (404, "unknown-action")
        near = (await works.client.request("POST", "/api/actions/work.nota", json={"word": "x"})).json()
        assert near["hint"] == "Did you mean work.note?"

    on_hub(test)


def test_input__is_refused_with_all_its_problems_and_nothing_is_put(on_hub: Any) -> None:
    async def test(works: Works) -> None:
        answer = await works.client.request("POST", "/api/actions/work.note", json={"word": "", "number": -1, "more": 1})
        assert (answer.status, answer.json()["code"]) == (400, "bad-action-input")
        assert [one.get("pointer", "") for one in answer.json()["errors"]] == ["", "/number", "/word"]
        large = await works.client.request(
            "POST", "/api/actions/work.note", json={"word": "x", **{f"more{number}": "y" * 1000 for number in range(80)}}
        )
        assert (large.status, large.json()["code"]) == (413, "action-input-too-large")
        for query in ("priority=10", "expires_in=0", "run_at=tomorrow"):
            assert (await works.client.request("POST", f"/api/actions/work.note?{query}", json={"word": "x"})).status == 400
        assert (await works.client.request("GET", "/api/jobs")).json()["items"] == []

    on_hub(test)


def test_failure__is_tried_again_later_and_then_dead_until_somebody_looks_after_it(on_hub: Any) -> None:
    async def test(works: Works) -> None:
        good, bad = await works.ask("fail", "good", number=2), await works.ask("fail", "bad", number=9)
        for seconds in (0, 70, 140):
            works.clock.advance(seconds)
            await works.settle()
        good, bad = await works.job(good["id"]), await works.job(bad["id"])
        assert (good["state"], good["attempts"], good["output"]) == ("succeeded", 3, {"said": "at 3"})
        assert (bad["state"], bad["attempts"], bad["error_code"], bad["error"]) == ("dead", 3, "unavailable", "Not yet.")

        path = f"/api/admin/jobs/{bad['id']}"
        assert (await works.client.request("POST", f"{path}/retry")).status == 403
        wrong = await works.operator.request("POST", f"{path}/edit", json={"word": ""})
        assert wrong.json()["code"] == "bad-action-input"
        edited = await works.operator.request("POST", f"{path}/edit", json={"word": "mended", "number": 0})
        assert edited.json()["state"] == "queued", edited.body
        await works.settle()
        mended = await works.job(bad["id"])
        assert (mended["state"], mended["attempts"], mended["input"]["word"]) == ("succeeded", 4, "mended")
        assert (await works.operator.request("POST", f"{path}/discard")).json()["code"] == "job-not-dead"
        history = (await works.client.request("GET", f"/api/jobs/{bad['id']}/history")).json()
        assert [(one["attempt"], one["outcome"]) for one in history] == [(4, "succeeded"), (3, "dead"), (2, "retrying"), (1, "retrying")]

    on_hub(test)


def test_errors__that_will_not_go_away_are_not_tried_again_and_foreign_words_stay_inside(on_hub: Any) -> None:
    async def test(works: Works) -> None:
        refused, secret = await works.ask("fail", "forbidden", wait=20), await works.ask("fail", "secret")
        assert (refused["state"], refused["attempts"], refused["error_code"]) == ("dead", 1, "work.no")
        await works.settle()
        secret = await works.job(secret["id"])
        assert (secret["state"], secret["error_code"], secret["error"]) == ("retrying", "job-failed", "RuntimeError")
        slow, bad = await works.ask("slow", wait=20), await works.ask("bad", wait=20)
        assert (slow["state"], slow["error_code"]) == ("dead", "deadline-exceeded")
        assert (bad["state"], bad["error_code"]) == ("dead", "bad-action-output")
        gone = await works.operator.request("POST", f"/api/admin/jobs/{bad['id']}/discard")
        assert gone.json()["state"] == "discarded"
        assert (await works.job(bad["id"]))["input"] is None

    on_hub(test)


def test_plugin__puts_a_job_into_its_own_unit(on_hub: Any) -> None:
    async def test(works: Works) -> None:
        first = (await works.client.request("POST", "/api/work/put")).json()["job"]
        second = (await works.client.request("POST", "/api/work/put")).json()["job"]
        assert first == second, "the same text in `once` is the same job"
        assert (await works.client.request("POST", "/api/work/roll-back")).status == 503
        assert (await works.client.request("POST", "/api/work/foreign")).json()["code"] == "unknown-action"
        await works.settle()
        assert sorted(await works.rows()) == [("route",), ("route",), ("route",)]
        assert [(one[0], one[2]) for one in works.seen] == [("usr_a", "plugin:work")]

    on_hub(test)


def test_concurrency__allows_skips_queues_or_replaces(on_hub: Any) -> None:
    async def test(works: Works) -> None:
        first = {rule: await works.ask(rule, "a-1") for rule in ("queue", "skip", "replace")}
        await works.begun("a-1", times=3)
        second = {rule: await works.ask(rule, "a-2") for rule in first}
        other = await works.ask("skip", "b-1")
        assert second["queue"]["state"] == second["replace"]["state"] == "waiting"
        assert second["skip"]["state"] == "skipped"
        assert other["state"] != "skipped"
        third = await works.ask("replace", "a-3")
        for replaced in (first["replace"], second["replace"]):  # the second may have begun before the third was asked for
            await works.ended(replaced["id"])
        works.open.set()
        await works.settle()
        states = {rule: (await works.job(job["id"]))["state"] for rule, job in first.items()}
        assert states == {"queue": "succeeded", "skip": "succeeded", "replace": "cancelled"}
        assert (await works.job(second["queue"]["id"]))["state"] == "succeeded"
        assert (await works.job(second["replace"]["id"]))["state"] == "cancelled"
        assert (await works.job(third["id"]))["state"] == "succeeded"

    on_hub(test)


@pytest.mark.shows("LK-26", "LK-29")
def test_slots__bound_a_process_a_plugin_and_an_action(on_hub: Any) -> None:
    async def test(works: Works) -> None:
        for number in range(4):
            await works.ask("single", f"s{number}")
        for number in range(4):
            await works.ask("wait", f"w{number}")
        await works.begun("s0")
        await works.begun("w1")
        assert works.hub.hub.jobs.running == 3, "plugin-slots"
        assert sum(word.startswith("begin s") for word in works.seen) == 1
        works.open.set()
        await works.settle()
        assert sum(word.startswith("end") for word in works.seen) == 8

    on_hub(test, settings={"jobs": {"plugin-slots": 3}})


@pytest.mark.shows("LK-52")
def test_moment_priority_and_expiry(on_hub: Any) -> None:
    async def test(works: Works) -> None:
        await works.operator.request("POST", "/api/admin/job-pauses", json={"target": "*"})
        later = await works.ask("note", "later", run_at="2026-01-01T01:00:00Z")
        low, high = await works.ask("note", "low", priority=1), await works.ask("note", "high", priority=9)
        late = await works.ask("note", "late", expires_in=10)
        assert later["state"] == "scheduled"
        works.clock.advance(20)
        await works.operator.request("POST", "/api/admin/job-pauses/resume", json={"target": "*"})
        await works.settle()
        assert [word for (word,) in await works.rows()][:2] == ["high", "low"], (low, high)
        assert (await works.job(late["id"]))["state"] == "expired"
        assert (await works.job(later["id"]))["state"] == "scheduled"
        works.clock.advance(3600)
        await works.settle()
        assert (await works.job(later["id"]))["state"] == "succeeded"

    on_hub(test, settings={"jobs": {"plugin-slots": 1}})


def test_cancel__ends_what_waits_and_what_runs(on_hub: Any) -> None:
    async def test(works: Works) -> None:
        running, later = await works.ask("wait", "x"), await works.ask("note", run_at="2026-01-02T00:00:00Z")
        await works.begun("x")
        for job in (running, later):
            assert (await works.client.request("POST", f"/api/jobs/{job['id']}/cancel")).status == 200
        await works.settle()
        assert (await works.job(running["id"]))["state"] == (await works.job(later["id"]))["state"] == "cancelled"
        again = await works.client.request("POST", f"/api/jobs/{running['id']}/cancel")
        assert (again.status, again.json()["code"]) == (409, "job-settled")
        assert "end x" not in works.seen

    on_hub(test)


def test_jobs_of_others__are_as_little_there_as_those_that_never_were(on_hub: Any) -> None:
    async def test(works: Works) -> None:
        job = await works.ask("note", wait=20)
        stranger = works.hub.client("work:run", subject="usr_b")
        for method, tail in (("GET", ""), ("GET", "/history"), ("POST", "/cancel")):
            foreign = await stranger.request(method, f"/api/jobs/{job['id']}{tail}")
            missing = await stranger.request(method, f"/api/jobs/job_{0:032x}{tail}")
            assert (foreign.status, foreign.json()["code"]) == (missing.status, missing.json()["code"]) == (404, "job-not-found")
        assert (await stranger.request("GET", "/api/jobs")).json()["items"] == []
        assert len((await works.operator.request("GET", "/api/admin/jobs")).json()["items"]) == 1
        assert (await works.operator.request("GET", f"/api/jobs/{job['id']}")).json()["subject"] == "usr_a"

    on_hub(test)


def test_plugin_that_is_off__has_its_jobs_parked_and_gets_them_back(on_hub: Any) -> None:
    async def test(works: Works) -> None:
        running = await works.ask("wait", "x")
        await works.begun("x")
        await works.hub.swap("work", enabled=False)
        await works.hub.hub.jobs.settle()
        parked = (await works.operator.request("GET", f"/api/jobs/{running['id']}")).json()
        assert (parked["state"], parked["attempts"], parked["error_code"]) == ("parked", 0, "plugin-off")
        sys.modules["luminai_work.plugin"].OPEN.set()  # type: ignore[attr-defined]
        await works.hub.swap("work", enabled=True)
        await works.hub.hub.jobs.settle()
        back = await works.job(running["id"])
        assert (back["state"], back["error_code"], back["error"]) == ("succeeded", "", "")

    on_hub(test, settings={"server": {"drain-seconds": 1}})


def test_claim_whose_answer_was_lost__is_taken_back_while_its_worker_goes_on(on_hub: Any) -> None:
    async def test(works: Works) -> None:
        busy = await works.ask("wait", "busy")
        await works.begun("busy")
        await works.operator.request("POST", "/api/admin/job-pauses", json={"target": "work.note"})
        job = await works.ask("note", "lost")
        values = {"state": "running", "token": "x", "worker": works.hub.hub.nodes.id, "lease_until": works.clock.now() + timedelta(seconds=60)}
        unit = update(jobs).where(jobs.c.id == job["id"]).values(attempts=1, **values)
        await works.hub.hub.database.write(lambda session: session.execute(unit) and None)
        await works.operator.request("POST", "/api/admin/job-pauses/resume", json={"target": "work.note"})
        works.clock.advance(61)
        works.hub.hub.jobs.wake()
        async with asyncio.timeout(20):
            while (await works.job(job["id"]))["state"] != "succeeded":
                works.clock.advance(6)  # a beat each, which keeps what runs and nothing else
                works.hub.hub.jobs.wake()
        assert (await works.job(busy["id"]))["state"] == "running"
        works.open.set()

    on_hub(test)


def test_pause_of_everything__leaves_the_ledger_alone_when_a_moment_comes(on_hub: Any) -> None:
    async def test(works: Works) -> None:
        looks, read = [], works.hub.hub.database.read

        def counted(unit: Any, **given: Any) -> Any:
            looks.extend([unit] * (unit.__module__ == "luminai.host.job_dispatch"))
            return read(unit, **given)

        works.hub.hub.database.read = counted  # type: ignore[method-assign]
        await works.operator.request("POST", "/api/admin/job-pauses", json={"target": "*"})
        job = await works.ask("note", run_at=(works.clock.now() + timedelta(seconds=60)).strftime("%Y-%m-%dT%H:%M:%SZ"))
        works.clock.advance(61)
        looks.clear()
        works.hub.hub.jobs.wake()
        async with asyncio.timeout(20):
            while not looks:  # noqa: ASYNC110 - the loop that is watched tells nobody
                await asyncio.sleep(0.01)
        looks.clear()
        for _ in range(100):
            assert (await works.job(job["id"]))["state"] == "scheduled"
        assert len(looks) < 25, "it waits longer and longer, and does not ask as often as it can"

    on_hub(test)


def test_restart__takes_up_what_the_dead_process_had_and_gives_up_what_killed_it_three_times(on_hub: Any) -> None:
    async def test(works: Works) -> None:
        await works.operator.request("POST", "/api/admin/job-pauses", json={"target": "*"})
        job = await works.ask("note", "again")
        for round_ in range(3):
            values = {"state": "running", "token": f"gone{round_}", "worker": "node_gone", "lease_until": works.clock.now(), "attempts": round_ + 1}
            await works.hub.hub.database.write(lambda session, values=values: session.execute(update(jobs).values(**values)) and None)
            works.clock.advance(61)
            await works.settle()
            assert (await works.job(job["id"]))["state"] == ("dead" if round_ == 2 else "queued")
        found = await works.job(job["id"])
        assert (found["crashes"], found["error_code"]) == (3, "worker-gone")
        history = (await works.client.request("GET", f"/api/jobs/{job['id']}/history")).json()
        assert {one["outcome"] for one in history} == {"crashed"}

    on_hub(test)


@pytest.mark.shows("LK-25", "LK-28")
def test_progress__is_pushed_to_who_asked_for_the_job_and_to_nobody_else(on_hub: Any) -> None:
    async def test(works: Works) -> None:
        await works.operator.request("POST", "/api/admin/job-pauses", json={"target": "*"})
        job = (await works.ask("note"))["id"]
        room = f"/api/live?room=core.job.{job}"
        stranger = works.hub.client("work:run", subject="usr_b")
        for client, path in ((stranger, room), (works.client, room.replace(job, f"job_{'0' * 32}"))):
            assert (await client.request("GET", path)).status == 404
        async with works.client.stream("GET", room) as mine, works.operator.stream("GET", room) as theirs:
            await works.operator.request("POST", "/api/admin/job-pauses/resume", json={"target": "*"})
            await works.settle()
            for answer in (mine, theirs):
                said = [chunk.decode().split("\n")[-4:-2] async for chunk in until_said(answer.chunks, b"succeeded")]
                assert said[1:] == [
                    ["event: state", 'data: {"state":"running"}'],
                    ["event: progress", 'data: {"done":1,"total":2,"note":"half"}'],
                    ["event: state", 'data: {"state":"succeeded"}'],
                ]

    on_hub(test)


async def until_said(chunks: Any, word: bytes) -> Any:
    """Yield chunks, the last one with ``word``; heartbeats are left out."""
    async for chunk in chunks:
        if b"event" in chunk:
            yield chunk
        if word in chunk:
            return
