"""Animals that exhaust what all share: memory, descriptors, the interpreter's own modules. What is promised here is that the hub goes on."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from luminai.testing import HubUnderTest, running_hub

GIGABYTE = 2**30

HOARDER = """
    import asyncio, socket, tempfile
    from litestar import get
    from luminai import hookimpl, policy
    GATE, INSIDE, KEPT = asyncio.Event(), asyncio.Event(), []
    class Plugin:
        @hookimpl
        def routes(self, ctx):
            @get("/api/hoarder/memory", opt=policy(anonymous=True))
            async def memory() -> dict[str, int]:
                held = b"x" * 2**30
                INSIDE.set()
                await GATE.wait()
                return {"held": len(held)}
            @get("/api/hoarder/leak", opt=policy(anonymous=True))
            async def leak() -> None:
                KEPT.extend(tempfile.TemporaryFile(dir=ctx.data_dir) for _ in range(100))
                KEPT.extend(socket.socket() for _ in range(50))
            return [memory, leak]
"""
VANDAL = """
    import json
    from litestar import get
    from luminai import hookimpl, policy
    def wrong(*args, **given):
        raise ValueError("patched")
    class Plugin:
        @hookimpl
        async def start(self, ctx):
            json.dumps = json.loads = json.dump = json.load = wrong
            json.JSONEncoder.encode = json.JSONEncoder.iterencode = json.JSONDecoder.decode = wrong
        @hookimpl
        def routes(self, ctx):
            @get("/api/vandal/hello", opt=policy(anonymous=True))
            async def hello() -> dict[str, list[int]]:
                return {"numbers": [1, 2]}
            return [hello]
"""


def resident() -> int:
    """Return the bytes of memory that this process holds, without garbage of tests before."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


async def status(hub: HubUnderTest, path: str) -> int:
    return (await hub.client().request("GET", path)).status


def test_gigabyte__held_by_a_handler__others_are_answered_and_it_is_freed(plugins: Any) -> None:
    async def main() -> None:
        async with running_hub("hoarder", "good", installed=[plugins.make("hoarder", HOARDER), plugins.make("good")]) as hub:
            import luminai_hoarder.plugin as code

            before = resident()
            greedy = asyncio.create_task(hub.client().request("GET", "/api/hoarder/memory"))
            await code.INSIDE.wait()
            assert resident() - before > 0.9 * GIGABYTE
            assert await status(hub, "/api/good/hello") == 200
            code.GATE.set()
            assert (await greedy).json() == {"held": GIGABYTE}
            del greedy
            assert resident() - before < 0.1 * GIGABYTE

    asyncio.run(main())


def test_descriptors__leaked_by_a_plugin__are_shown_and_told_before_they_are_spent(plugins: Any) -> None:
    async def main() -> None:
        async with running_hub("hoarder", "good", installed=[plugins.make("hoarder", HOARDER), plugins.make("good")]) as hub:
            import luminai_hoarder.plugin as code

            operator = hub.client("*")
            before = (await operator.request("GET", "/api/admin/process")).json()["descriptors"]
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (before["open"] + 170, hard))
                assert "descriptors" not in await repairs(hub)
                assert await status(hub, "/api/hoarder/leak") == 200
                after = (await operator.request("GET", "/api/admin/process")).json()["descriptors"]
                assert after["open"] - before["open"] >= 150
                assert after["kinds"]["socket"] - before["kinds"].get("socket", 0) >= 50
                item = (await repairs(hub))["descriptors"]
                assert f"of {before['open'] + 170} descriptors" in item["cause"]
                assert any(line.endswith("plugins/hoarder: 100") for line in item["details"])
                assert await status(hub, "/api/hoarder/leak") == 500, "now they are spent"
                assert await status(hub, "/api/good/hello") == 200
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                for one in code.KEPT:
                    one.close()
            assert "descriptors" not in await repairs(hub)

    asyncio.run(main())


async def repairs(hub: HubUnderTest) -> dict[str, Any]:
    return {item["id"]: item for item in (await hub.client("*").request("GET", "/api/admin/repairs")).json()["items"]}


def test_json__patched_by_a_plugin__changes_no_answer_of_the_hub(plugins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = json.JSONDecoder().decode
    for module, names in ((json, ("dumps", "loads", "dump", "load")), (json.JSONEncoder, ("encode", "iterencode")), (json.JSONDecoder, ("decode",))):
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name))  # put back at the end

    async def main() -> list[bytes]:
        vandal, good = plugins.make("vandal", VANDAL), plugins.make("good")
        async with running_hub("vandal", "good", installed=[vandal, good]) as hub:
            with pytest.raises(ValueError, match="patched"):
                json.dumps({})
            operator = hub.client("*")
            paths = ("/api/status", "/openapi.json", "/api/vandal/hello", "/api/nothing", "/api/admin/plugins", "/api/admin/changes")
            answers = [(await operator.request("GET", path)).body for path in paths]
            for wish in ({"enabled": False}, {"enabled": True}):
                done = await operator.request("PUT", "/api/admin/plugins/good/desired", json=wish)
                assert done.status == 200, done.body
                answers.append(done.body)
            assert await status(hub, "/api/good/hello") == 200
            return answers

    answers = [decode(body.decode()) for body in asyncio.run(main())]
    assert answers[2] == {"numbers": [1, 2]}
    assert answers[3]["code"] == "unknown-route"
    assert [one["revision"] for one in answers[-2:]] == [1, 2]
