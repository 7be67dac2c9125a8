"""Changes when something beside them goes wrong: the hub stops, the database fails for a moment, a restart concerns several processes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from luminai.host import upkeep
from luminai.testing import HubUnderTest, running_hub

SPEAKER = """
    import asyncio
    from litestar import get
    from luminai import hookimpl, policy
    EVENTS, GATES = [], {}
    class Plugin:
        @hookimpl
        def routes(self, ctx):
            @get("/api/speaker/hello", opt=policy(anonymous=True))
            async def hello() -> dict[str, int]:
                return {"generation": ctx.generation}
            return [hello]
        @hookimpl
        async def start(self, ctx):
            EVENTS.append(("start", ctx.base_dir.name))
            if "start" in GATES:
                await GATES["start"].wait()
            if (ctx.base_dir / "broken").exists():
                raise OSError("not on this machine")
        @hookimpl
        async def stop(self, ctx):
            EVENTS.append(("stop", ctx.base_dir.name))
"""


@asynccontextmanager
async def speaking(plugins: Any, **more: Any) -> AsyncIterator[tuple[HubUnderTest, Any]]:
    """Run a hub with the speaker; yield it and the speaker's module."""
    async with running_hub("speaker", installed=[plugins.make("speaker", SPEAKER)], **more) as hub:
        import luminai_speaker.plugin as code

        yield hub, code


@asynccontextmanager
async def missing(hub: HubUnderTest, table: str) -> AsyncIterator[None]:
    """Take a table away for a moment, as a half restored backup does."""
    await rename(hub, table, "mislaid")
    try:
        yield
    finally:
        await rename(hub, "mislaid", table)


async def rename(hub: HubUnderTest, old: str, new: str) -> None:
    def work(connection: Any) -> None:
        with connection.begin():
            connection.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}")

    await hub.hub.database.migrate(work)


async def told(caplog: pytest.LogCaptureFixture, event: str) -> None:
    """Wait until the log has the event."""
    while event not in caplog.messages:  # noqa: ASYNC110 - a log line is no event to wait for
        await asyncio.sleep(0.01)


def change(hub: HubUnderTest, method: str, path: str, **more: Any) -> Any:
    return hub.client("*").request(method, f"/api/admin/{path}", **more)


def test_swap__that_cannot_be_reported__still_stops_what_it_replaced(plugins: Any) -> None:
    async def main() -> None:
        async with speaking(plugins) as (hub, code):
            async with missing(hub, "core__nodes"):
                await change(hub, "POST", "plugins/speaker/restart")
            await hub.hub.supervisor.settle()
            assert [what for what, _ in code.EVENTS] == ["start", "start", "stop"]
            assert (await hub.client().request("GET", "/api/speaker/hello")).json() == {"generation": 2}
            assert (await change(hub, "POST", "plugins/speaker/restart")).status == 200

    asyncio.run(main())


def test_closing_hub__lets_a_change_end__and_takes_no_further_one(plugins: Any) -> None:
    async def main() -> None:
        async with speaking(plugins) as (hub, code):
            gate = code.GATES["start"] = asyncio.Event()
            under_way = asyncio.create_task(change(hub, "POST", "plugins/speaker/restart"))
            while len(code.EVENTS) < 2:  # noqa: ASYNC110 - the plugin tells by its list
                await asyncio.sleep(0)
            closing = asyncio.create_task(hub.hub.supervisor.close())
            late = asyncio.create_task(change(hub, "PUT", "plugins/speaker/desired", json={"enabled": False}))
            gate.set()
            assert (await under_way).json()["generation"] == 2
            await closing
            for answer in (await late, await change(hub, "POST", "plugins/speaker/restart"), await change(hub, "POST", "rollback", json={})):
                assert (answer.status, answer.json()["code"], answer.json()["retry_after"]) == (503, "stopping", 5)
            assert (await change(hub, "GET", "generations")).json()["revision"] == 1

    asyncio.run(main())


def test_noting_use__fails_once__and_goes_on(plugins: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(upkeep, "NOTE_SECONDS", 0.001)

    async def main() -> None:
        async with speaking(plugins) as (hub, _):
            write, failures = hub.hub.keys.touch, [ValueError("odd")]

            async def touch(ids: Sequence[str]) -> None:
                if failures:
                    raise failures.pop()
                await write(ids)

            monkeypatch.setattr(hub.hub.keys, "touch", touch)
            for number in range(2):
                made = (await hub.client("*").request("POST", "/api/keys", json={"name": f"k{number}", "scopes": ["hub:plugins"]})).json()
                assert (await hub.with_key(made["key"]).request("GET", "/api/admin/plugins")).status == 200
                if number == 0:
                    await told(caplog, "upkeep.failed")
            while True:
                keys = {one["name"]: one["last_used_at"] for one in (await hub.client("*").request("GET", "/api/keys")).json()["items"]}
                if keys["k1"]:
                    return

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())


@asynccontextmanager
async def two(plugins: Any, folder: Path, url: str) -> AsyncIterator[tuple[HubUnderTest, HubUnderTest, Any]]:
    for name in "ab":
        (folder / name).mkdir()
    key = {"vault": {"key-file": str(folder / "master.key")}}
    async with (
        speaking(plugins, folder=folder / "a", database_url=url, settings=key) as (first, code),
        speaking(plugins, folder=folder / "b", database_url=url, settings=key) as (second, _),
    ):
        code.EVENTS.clear()
        yield first, second, code


async def restart(hub: HubUnderTest, *, wait: int) -> int:
    return int((await change(hub, "POST", "plugins/speaker/restart", headers={"prefer": f"wait={wait}"})).status)


@pytest.mark.postgres
def test_restart__on_one_process__is_done_by_all_and_stands_in_the_history(plugins: Any, tmp_path: Path, own_postgres_url: str) -> None:
    async def main() -> None:
        async with two(plugins, tmp_path, own_postgres_url) as (first, second, code):
            assert await restart(first, wait=20) == 200
            await asyncio.gather(first.hub.supervisor.settle(), second.hub.supervisor.settle())
            assert sorted(code.EVENTS) == [("start", "a"), ("start", "b"), ("stop", "a"), ("stop", "b")]
            assert (await second.client().request("GET", "/api/speaker/hello")).json() == {"generation": 2}
            (entry,) = (await change(second, "GET", "changes")).json()["items"]
            assert (entry["summary"], entry["renewed"], entry["wishes"]) == ("speaker built anew", ["speaker"], {})
            (audited,) = (await change(second, "GET", "audit?action=plugin.restart")).json()["items"]
            assert audited["object"] == "plugin:speaker"

    asyncio.run(main())


@pytest.mark.postgres
def test_restart__that_another_process_cannot_do__leaves_its_old_plugin_serving_and_names_it(
    plugins: Any, tmp_path: Path, own_postgres_url: str
) -> None:
    async def main() -> None:
        async with two(plugins, tmp_path, own_postgres_url) as (first, second, _):
            (tmp_path / "b" / "broken").touch()
            assert await restart(first, wait=3) == 202
            assert (await second.client().request("GET", "/api/speaker/hello")).json() == {"generation": 1}
            nodes = (await change(first, "GET", "generations")).json()["nodes"]
            assert [node["problem"] for node in nodes if node["problem"]] == ["speaker at start: not on this machine"]
            (tmp_path / "b" / "broken").unlink()
            assert await restart(first, wait=20) == 200
            assert (await second.client().request("GET", "/api/speaker/hello")).json() == {"generation": 2}

    asyncio.run(main())


@pytest.mark.postgres
def test_following__fails_once__and_goes_on(plugins: Any, tmp_path: Path, own_postgres_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with two(plugins, tmp_path, own_postgres_url) as (first, second, _):
            async with missing(first, "core__plugin_changes"):
                await told(caplog, "follow.failed")
            assert await restart(first, wait=20) == 200
            assert (await second.client().request("GET", "/api/speaker/hello")).json() == {"generation": 2}

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
