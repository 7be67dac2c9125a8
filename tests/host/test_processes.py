"""Several processes on one database serve the same wishes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from luminai.testing import HubUnderTest, running_hub

PICKY = """
    from luminai import hookimpl
    class Plugin:
        @hookimpl
        async def start(self, ctx):
            if not (ctx.base_dir / "here").exists():
                raise OSError("the file is not on this machine")
"""

pytestmark = pytest.mark.postgres


@asynccontextmanager
async def two_hubs(plugins: Any, folder: Path, url: str) -> AsyncIterator[tuple[HubUnderTest, HubUnderTest]]:
    installed = [plugins.make("good"), plugins.make("other"), plugins.make("picky", PICKY, provides="[]")]
    off = {"enabled": False, "approve": ["anonymous-routes"]}
    settings = {"plugins": {"other": off, "picky": off}, "vault": {"key-file": str(folder / "master.key")}}
    for name in "ab":
        (folder / name).mkdir()
    more: dict[str, Any] = {"installed": installed, "settings": settings, "database_url": url}
    async with running_hub("good", folder=folder / "a", **more) as first, running_hub("good", folder=folder / "b", **more) as second:
        yield first, second


async def wish(hub: HubUnderTest, plugin: str, wait: int, **body: Any) -> Any:
    headers = {"prefer": f"wait={wait}"}
    return await hub.client("*").request("PUT", f"/api/admin/plugins/{plugin}/desired", json=body, headers=headers)


def test_change_on_one_process__is_followed_by_the_other(plugins: Any, tmp_path: Path, own_postgres_url: str) -> None:
    async def main() -> None:
        async with two_hubs(plugins, tmp_path, own_postgres_url) as (first, second):
            done = await wish(first, "other", 20, enabled=True)
            assert (done.status, done.headers["preference-applied"]) == (200, "wait=20")
            assert (await second.client().request("GET", "/api/other/hello")).status == 200
            state = (await second.client("*").request("GET", "/api/admin/generations")).json()
            assert (state["converged"], [node["revision"] for node in state["nodes"]]) == (True, [state["revision"]] * 2)
            late = await second.client("*").request(
                "PUT", "/api/admin/plugins/other/desired", json={"enabled": False}, headers={"if-match": f'"{state["revision"] - 1}"'}
            )
            assert late.json()["code"] == "revision-changed"
            assert (await wish(second, "other", 20, enabled=False)).status == 200
            assert (await first.client().request("GET", "/api/other/hello")).json()["code"] == "plugin-off"

    asyncio.run(main())


def test_process_that_cannot_follow__keeps_serving_and_is_named(plugins: Any, tmp_path: Path, own_postgres_url: str) -> None:
    async def main() -> None:
        async with two_hubs(plugins, tmp_path, own_postgres_url) as (first, second):
            (tmp_path / "a" / "here").touch()
            done = await wish(first, "picky", 3, enabled=True)
            assert done.status == 202
            assert (await second.client().request("GET", "/api/good/hello")).status == 200
            state = (await first.client("*").request("GET", "/api/admin/generations")).json()
            assert not state["converged"]
            assert [node["problem"] for node in state["nodes"] if node["problem"]] == ["picky at start: the file is not on this machine"]
            repairs = (await first.client("*").request("GET", "/api/admin/repairs")).json()["items"]
            assert any(item["id"].startswith("node:") and "not on this machine" in item["cause"] for item in repairs)

    asyncio.run(main())
