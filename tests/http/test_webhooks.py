"""A delivery is kept before it is answered, handled after, and takes effect once: whatever is repeated, fails or dies in between."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from webhook_post import deliver, effects, faults, own_url, post, signed, the_only, with_post

from luminai.http.inprocess import Answer, InProcessClient
from luminai.testing import FrozenClock, postgres, running_hub

__all__ = ["own_url", "post"]


def test_delivery__genuine__is_kept_and_answered_then_handled_once(post, own_url) -> None:
    async def work(hub: Any) -> None:
        first = await deliver(hub)
        again = await deliver(hub)
        assert (first.status, again.status) == (202, 200)
        assert first.json()["queued"] == 1
        assert again.json() == first.json()

        await hub.hub.webhooks.settle()
        late = await deliver(hub)
        assert (late.status, late.json()) == (200, first.json())
        await hub.hub.webhooks.settle()

        assert await effects(hub) == ["d-1 hello"]
        found = await the_only(hub)
        assert (found["state"], found["attempts"], found["summary"]) == ("done", 1, "letter hello")

    with_post(post, work, database_url=own_url)


def test_delivery__replayed_a_hundred_times_at_once__has_one_effect(post, own_url) -> None:
    async def work(hub: Any) -> None:
        answers = await asyncio.gather(*(deliver(hub) for _ in range(100)))
        await hub.hub.webhooks.settle()

        assert sorted(answer.status for answer in answers) == [200] * 99 + [202]
        assert len({answer.text for answer in answers}) == 1
        assert await effects(hub) == ["d-1 hello"]

    with_post(post, work, database_url=own_url)


def test_delivery__same_body_under_another_id__has_no_second_effect(post) -> None:
    """The sender does not sign its id, so whoever saw one request could make up another id."""

    async def work(hub: Any) -> None:
        first, forged, other = await deliver(hub), await deliver(hub, delivery="d-2"), await deliver(hub, b"other", "d-3")
        await hub.hub.webhooks.settle()
        assert (first.status, forged.status, other.status) == (202, 200, 202)
        assert forged.json() == first.json()
        assert sorted(await effects(hub)) == ["d-1 hello", "d-3 other"]

    with_post(post, work)


def test_delivery__with_an_id_that_is_signed__counts_by_its_id_alone(post) -> None:
    async def work(hub: Any) -> None:
        answers = [await deliver(hub, b"sealed", delivery) for delivery in ("d-1", "d-2", "d-1")]
        await hub.hub.webhooks.settle()
        assert [answer.status for answer in answers] == [202, 202, 200]
        assert sorted(await effects(hub)) == ["d-1 sealed", "d-2 sealed"]

    with_post(post, work)


def test_delivery__with_nothing_to_do__is_answered_and_known(post) -> None:
    async def work(hub: Any) -> None:
        answers = [await deliver(hub, b"nothing"), await deliver(hub, b"nothing")]
        await hub.hub.webhooks.settle()
        assert [(answer.status, answer.json()["queued"]) for answer in answers] == [(202, 0), (200, 0)]
        assert (await the_only(hub))["state"] == "done"
        assert await effects(hub) == []

    with_post(post, work)


BODY = b"hello"
GOOD = signed(BODY)


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "code"),
    [
        ("post", BODY, {"x-id": "d-1"}, 401, "signature-missing"),
        ("post", BODY, GOOD | {"x-signature": ""}, 401, "signature-missing"),
        ("post", BODY, GOOD | {"x-signature": "0" * 64}, 401, "bad-signature"),
        ("post", BODY, signed(BODY, key=b"another key of sixteen bytes"), 401, "bad-signature"),
        ("post", b"hellp", GOOD, 401, "bad-signature"),
        ("post", BODY, GOOD | {"x-id": ""}, 400, "bad-delivery-id"),
        ("post", BODY, GOOD | {"x-id": "d" * 201}, 400, "bad-delivery-id"),
        ("post", b"", signed(b""), 400, "empty-body"),
        ("post", b"x" * 100_001, signed(b"x" * 100_001), 413, "body-too-large"),
        ("post", BODY, GOOD | {"content-encoding": "gzip"}, 415, "content-encoding-refused"),
        ("post", b"crash verify", signed(b"crash verify"), 503, "webhook-broken"),
        ("post/third", BODY, GOOD, 404, "webhook-not-found"),
        ("nobody", BODY, GOOD, 404, "webhook-not-found"),
        ("Post", BODY, GOOD, 400, "invalid-input"),
    ],
)
def test_delivery__that_cannot_be_taken__is_refused_and_leaves_nothing(
    post, path: str, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    async def work(hub: Any) -> tuple[Any, Any]:
        answer = await hub.client().request("POST", f"/api/webhook/{path}", body=body, headers=headers)
        rows = (await hub.client("hub:webhooks").request("GET", "/api/admin/webhooks")).json()["items"]
        return answer, rows

    answer, rows = with_post(post, work)
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert "hunter2" not in answer.text
    assert rows == []


def test_delivery__with_a_header_twice__is_refused(post) -> None:
    async def work(hub: Any) -> Answer:
        async def doubling(scope: Any, receive: Any, send: Any) -> None:
            scope["headers"].append((b"x-signature", b"0" * 64))
            await hub.hub.edge(scope, receive, send)

        return await InProcessClient(doubling).request("POST", "/api/webhook/post", body=BODY, headers=GOOD)

    answer = with_post(post, work)
    assert (answer.status, answer.json()["code"]) == (400, "duplicate-header")


def test_delivery__in_many_chunks_above_the_bound__is_cut_off(post) -> None:
    """Without a Content-Length only counting helps."""

    async def work(hub: Any) -> tuple[Answer, int]:
        asked = 0

        async def endless(scope: Any, _: Any, send: Any) -> None:
            async def receive() -> dict[str, Any]:
                nonlocal asked
                asked += 1
                return {"type": "http.request", "body": b"x" * 30_000, "more_body": True}

            scope["headers"] = [header for header in scope["headers"] if header[0] != b"content-length"]
            await hub.hub.edge(scope, receive, send)

        return await InProcessClient(endless).request("POST", "/api/webhook/post", body=BODY, headers=GOOD), asked

    answer, asked = with_post(post, work)
    assert (answer.status, answer.json()["code"]) == (413, "body-too-large")
    assert asked <= 4


def test_receive__that_fails__is_tried_with_growing_pauses_until_dead_then_by_an_operator(post) -> None:
    clock = FrozenClock()

    async def work(hub: Any) -> None:
        operator = hub.client("hub:webhooks")
        await hub.hub.webhooks.settle()
        faults()["unit"] = True
        await deliver(hub)
        pauses = []
        for attempt in range(1, 9):
            await hub.hub.webhooks.settle()
            found = await the_only(hub)
            assert found["attempts"] == attempt
            if found["state"] == "failed":
                due = msgspec.convert(found["next_at"], type=type(clock.now()))
                pauses.append((due - clock.now()).total_seconds())
                clock.advance(pauses[-1] - 1)
                await hub.hub.webhooks.settle()
                assert (await the_only(hub))["attempts"] == attempt, "it was tried before its time"
                clock.advance(1)
        assert pauses == [10, 40, 160, 640, 2560, 10240, 21600]
        assert (found["state"], found["error"]) == ("dead", "ValueError")
        assert await effects(hub) == [], "what a failed unit wrote is rolled back"
        assert (await deliver(hub)).status == 200, "a dead delivery is known"
        (item,) = [one for one in (await hub.client("*").request("GET", "/api/admin/repairs")).json()["items"] if one["id"] == "webhook:post:dead"]
        assert (item["severity"], item["title"]) == ("error", "Plugin post could not handle 1 delivery")
        assert f"luminai webhooks retry {found['id']}" in " ".join(item["fix"]["steps"])

        faults().clear()
        clock.advance(86_400)
        await hub.hub.webhooks.settle()
        assert await effects(hub) == [], "nobody but an operator brings it back"
        again = await operator.request("POST", f"/api/admin/webhooks/{found['id']}/retry")
        assert (again.status, again.json()["state"]) == (200, "waiting")
        await hub.hub.webhooks.settle()
        assert await effects(hub) == ["d-1 hello"]
        assert (await operator.request("POST", f"/api/admin/webhooks/{found['id']}/retry")).json()["code"] == "delivery-settled"

    with_post(post, work, clock=clock)


def test_receive__that_fails_after_its_unit__is_done_all_the_same(post) -> None:
    async def work(hub: Any) -> None:
        faults()["after"] = True
        await deliver(hub)
        await hub.hub.webhooks.settle()
        assert (await the_only(hub))["state"] == "done"
        assert await effects(hub) == ["d-1 hello"]

    with_post(post, work)


def test_receive__without_finish__is_marked_when_it_returns(post) -> None:
    async def work(hub: Any) -> None:
        await deliver(hub, b"without finish")
        await hub.hub.webhooks.settle()
        assert (await the_only(hub))["state"] == "done"
        assert await effects(hub) == ["d-1 without finish"]

    with_post(post, work)


def test_receive__told_when_to_come_back__is_left_alone_until_then(post) -> None:
    clock = FrozenClock()

    async def work(hub: Any) -> dict[str, Any]:
        from luminai.contracts.errors import Unavailable

        faults()["receive"] = Unavailable("The shop is closed.", code="post.closed", retry_after=3600)
        await deliver(hub)
        await hub.hub.webhooks.settle()
        return await the_only(hub)

    found = with_post(post, work, clock=clock)
    assert found["next_at"] == "2026-01-01T01:00:00Z"
    assert found["error"] == "post.closed: The shop is closed."


def test_lease__lost_to_another_worker__rolls_the_late_one_back(post, own_url) -> None:
    """A worker that stalled past its lease comes back after another one did the work: its unit must not commit."""
    clock = FrozenClock()

    async def work(hub: Any) -> None:
        inbox = hub.hub.webhooks.inbox
        faults().update(hold=asyncio.Event(), held=asyncio.Event())
        await deliver(hub)
        await faults()["held"].wait()
        assert (await the_only(hub))["handling"]
        clock.advance(61)
        (taken,) = await inbox.claim(("post", ""), most=5, seconds=30)
        assert taken.attempt == 2
        faults().pop("hold").set()
        await hub.hub.webhooks.settle()
        assert await effects(hub) == [], "the first worker has no lease any more"
        await inbox.done(taken)
        assert (await the_only(hub))["state"] == "done"

    with_post(post, work, clock=clock, database_url=own_url)


def test_deliveries__of_a_plugin_that_is_off__wait_until_it_is_back(post) -> None:
    clock = FrozenClock()

    async def work(hub: Any) -> None:
        faults()["unit"] = True
        await deliver(hub)
        await hub.hub.webhooks.settle()
        faults().clear()
        await hub.swap("post", enabled=False)
        clock.advance(3600)
        await hub.hub.webhooks.settle()
        refused = await deliver(hub, b"meanwhile", "d-2")
        assert (refused.status, refused.json()["code"], refused.headers["retry-after"]) == (503, "plugin-off", "60")
        assert (await the_only(hub))["state"] == "failed"
        await hub.swap("post", enabled=True)
        await hub.hub.webhooks.settle()
        assert await effects(hub) == ["d-1 hello"]

    with_post(post, work, clock=clock)


def test_swap__while_a_delivery_is_handled__waits_for_it(post) -> None:
    async def work(hub: Any) -> None:
        faults().update(hold=asyncio.Event(), held=asyncio.Event())
        await deliver(hub)
        await faults()["held"].wait()
        swapping = asyncio.create_task(hub.swap("post"))
        while hub.hub.generation.number == 1:  # noqa: ASYNC110 - the swap itself is what is waited for
            await asyncio.sleep(0)
        assert (await the_only(hub))["handling"]
        assert not swapping.done()
        faults()["hold"].set()
        await swapping
        assert faults()["order"] == ["received", "stopped"], "a plugin is stopped after its last delivery"
        await hub.hub.webhooks.settle()
        found = await the_only(hub)
        assert (found["state"], found["attempts"]) == ("done", 1)
        assert await effects(hub) == ["d-1 hello"]

    with_post(post, work)


def test_stop__in_the_middle_of_a_delivery__costs_no_attempt_and_no_effect(post, tmp_path) -> None:
    settings = {"server": {"drain-seconds": 0}}

    async def main() -> None:
        async with running_hub("post", installed=[post], folder=tmp_path, settings=settings) as hub:
            faults().update(hold=asyncio.Event(), held=asyncio.Event())
            await deliver(hub)
            await faults()["held"].wait()
        faults().clear()
        async with running_hub("post", installed=[post], folder=tmp_path, settings=settings) as hub:
            await hub.hub.webhooks.settle()
            found = await the_only(hub)
            assert (found["state"], found["attempts"]) == ("done", 1)
            assert await effects(hub) == ["d-1 hello"]

    asyncio.run(main())


DIES = """
import asyncio, sys
from pathlib import Path
sys.path[:0] = [{packages!r}, {tests!r}]
import msgspec
from luminai.host.discovery import InstalledPlugin
from luminai.testing import running_hub
import webhook_post as these

async def main():
    post = msgspec.json.decode({plugin!r}, type=InstalledPlugin)
    async with running_hub("post", installed=[post], folder=Path({folder!r})) as hub:
        these.faults()["die"] = {when!r}
        answer = await these.deliver(hub)
        assert answer.status == 202, answer.text
        await hub.hub.webhooks.settle()

asyncio.run(main())
"""


@pytest.mark.parametrize("when", ["before commit", "after commit"])
def test_process__dies_around_the_effect__which_happens_once(post, tmp_path, when: str) -> None:
    if when == "before commit" and postgres.server():
        pytest.skip("on PostgreSQL the dead process's lease holds until it ends")
    folder = tmp_path / "home"
    folder.mkdir()
    packages, tests = str(Path(post.package_dir).parent), str(Path(__file__).parent.parent)
    code = DIES.format(packages=packages, tests=tests, plugin=msgspec.json.encode(post), folder=str(folder), when=when)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr

    async def main() -> None:
        async with running_hub("post", installed=[post], folder=folder) as hub:
            assert (await deliver(hub)).status == 200
            await hub.hub.webhooks.settle()
            assert await effects(hub) == ["d-1 hello"]
            found = await the_only(hub)
            assert (found["state"], found["attempts"]) == ("done", 2 if when == "before commit" else 1)

    asyncio.run(main())
