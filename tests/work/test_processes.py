"""What an action computes in a process of its own: beside the hub, bounded, and really ended when it is given up."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from luminai.testing import FrozenClock, HubUnderTest, running_hub

HEAVY = """
    import ctypes, os, re, signal, sys, time
    from pathlib import Path
    from typing import Annotated
    from luminai import Forbidden
    from msgspec import Meta, Struct

    class Given(Struct, forbid_unknown_fields=True):
        what: Annotated[str, Meta(max_length=200)]
        number: int = 0

    class Found(Struct):
        pid: int
        text: str = ""
        data: bytes = b""

    def work(given: Given) -> Found:
        if given.what == "look":
            print("into the answers?")
            sys.stdout.flush()
            os.write(1, b"noise")
            seen = sorted(name for name in sys.modules if name.startswith(("luminai_", "sqlalchemy", "litestar")))
            return Found(os.getpid(), ",".join(seen) + ";" + os.environ.get("LUMINAI_CANARY", "") + sys.stdin.read())
        if given.what == "forbidden":
            raise Forbidden("Not this one.", code="heavy.no", hint="Ask for another.")
        if given.what == "raise":
            raise ValueError("the password is 123")
        if given.what == "exit":
            sys.exit(3)
        if given.what == "large":
            return Found(os.getpid(), data=bytes(given.number))
        if given.what == "memory":
            return Found(os.getpid(), data=bytearray(2 * 2**30))
        if given.what.startswith("/"):
            Path(given.what).write_text(str(os.getpid()))
            re.match("(a*)*b", "a" * 64)  # holds the interpreter for ages
        if given.what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        return Found(os.getpid(), "done")
"""
PLUGIN = """
    from luminai import Action, hookimpl
    from luminai_heavy.heavy import Found, Given, work
    from msgspec import Struct

    class Done(Struct):
        pid: int
        text: str
        size: int

    class Plugin:
        @hookimpl
        def actions(self, ctx):
            async def run(job, given, found):
                return Done(found.pid, found.text, len(found.data))
            kinds = dict(summary="Compute.", scope="heavy:run", input=Given, output=Done, run=run, compute=work)
            return [
                Action(name="work", timeout=30, **kinds),
                Action(name="again", timeout=30, retries=1, **kinds),
                Action(name="short", timeout=0.5, **kinds),
            ]
"""
MANIFEST = """
scopes = { "heavy:run" = "Compute." }
"""
HubTest = Callable[[HubUnderTest, Any], Awaitable[None]]


@pytest.fixture
def on_hub(plugins: Any) -> Callable[..., None]:
    """Return what runs a test's coroutine on a hub with the plugin, and what asks for its actions there."""
    installed = [plugins.make("heavy", PLUGIN, provides='["actions"]', manifest=MANIFEST, files={"heavy.py": HEAVY})]

    def run(test: HubTest, **jobs: Any) -> None:
        async def main() -> None:
            async with running_hub("heavy", installed=installed, clock=FrozenClock(), settings={"jobs": jobs}) as hub:
                assert hub.status("heavy").running, hub.status("heavy")
                client = hub.client("heavy:run")

                async def ask(what: str, *, action: str = "work", wait: int = 20, **more: Any) -> Any:
                    path = f"/api/actions/heavy.{action}"
                    headers = {"prefer": f"wait={wait}"} if wait else {}
                    answer = await client.request("POST", path, json={"what": what, **more}, headers=headers)
                    assert answer.status in (200, 202), answer.body
                    return answer.json()

                await test(hub, ask)
                children = hub.hub.processes.pids
            assert not any(is_there(pid) for pid in children), "a stopped hub leaves no process"

        asyncio.run(main())

    return run


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def holds(what: Callable[[], Any]) -> Any:
    """Wait until something is true, and return it."""
    async with asyncio.timeout(20):
        while not (found := what()):  # noqa: ASYNC110 - other processes are waited for
            await asyncio.sleep(0.01)
    return found


def test_compute__runs_in_another_process_that_holds_its_module_alone(on_hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMINAI_CANARY", "secret")

    async def test(hub: HubUnderTest, ask: Any) -> None:
        looked = await ask("look")
        assert (looked["state"], looked["output"]["text"]) == ("succeeded", "luminai_heavy,luminai_heavy.heavy;")
        assert looked["output"]["pid"] != os.getpid()
        again = await ask("large", number=10 * 2**20)
        assert (again["output"]["pid"], again["output"]["size"]) == (looked["output"]["pid"], 10 * 2**20), "it is used again, and takes large results"

    on_hub(test)


def test_compute__that_raises_is_a_failed_attempt_that_says_no_more_than_it_may(on_hub: Any) -> None:
    async def test(hub: HubUnderTest, ask: Any) -> None:
        ends = {what: await ask(what, number=17 * 2**20) for what in ("forbidden", "raise", "exit", "large")}
        assert {what: (job["state"], job["error_code"], job["error"]) for what, job in ends.items()} == {
            "forbidden": ("dead", "heavy.no", "Not this one."),
            "raise": ("dead", "job-failed", "ValueError"),
            "exit": ("dead", "job-failed", "SystemExit"),
            "large": ("dead", "job-failed", "OverflowError"),
        }

    on_hub(test)


def test_compute__whose_process_dies_is_tried_again_and_the_hub_serves_on(on_hub: Any) -> None:
    async def test(hub: HubUnderTest, ask: Any) -> None:
        died = await ask("die", action="again", wait=0)
        await hub.hub.jobs.settle()
        client = hub.client("heavy:run")
        seen = (await client.request("GET", f"/api/jobs/{died['id']}")).json()
        assert (seen["state"], seen["error_code"], seen["error"]) == ("retrying", "job-failed", "Its process ended with signal 9.")
        await hub.advance(60)
        assert (await client.request("GET", f"/api/jobs/{died['id']}")).json()["state"] == "dead"
        assert (await ask("next"))["output"]["text"] == "done"

    on_hub(test)


def test_compute__above_its_memory_fails_alone(on_hub: Any) -> None:
    async def test(hub: HubUnderTest, ask: Any) -> None:
        assert (await ask("memory"))["error"] == "MemoryError"
        assert (await ask("next"))["state"] == "succeeded"

    on_hub(test, **{"process-megabytes": 512})


def test_compute__past_its_deadline_is_killed(on_hub: Any, tmp_path: Path) -> None:
    async def test(hub: HubUnderTest, ask: Any) -> None:
        pid = (await ask("next"))["output"]["pid"]
        late = await ask(str(tmp_path / "pid"), action="short")
        assert (late["state"], late["error_code"]) == ("dead", "deadline-exceeded")
        await holds(lambda: not is_there(pid))

    on_hub(test)


def test_compute__of_a_cancelled_job_is_killed(on_hub: Any, tmp_path: Path) -> None:
    async def test(hub: HubUnderTest, ask: Any) -> None:
        told = tmp_path / "pid"
        job = await ask(str(told), wait=0)
        pid = int(await holds(lambda: told.exists() and told.read_text()))
        assert is_there(pid)
        await hub.client("heavy:run").request("POST", f"/api/jobs/{job['id']}/cancel", json={})
        await holds(lambda: not is_there(pid))
        await holds(lambda: not hub.hub.jobs.running)
        assert (await hub.client("heavy:run").request("GET", f"/api/jobs/{job['id']}")).json()["state"] == "cancelled"

    on_hub(test)


def test_compute__more_jobs_than_processes__wait_without_losing_time(on_hub: Any, tmp_path: Path) -> None:
    async def test(hub: HubUnderTest, ask: Any) -> None:
        first, second = [await ask(str(tmp_path / name), wait=0) for name in ("first", "second")]
        await holds(lambda: (tmp_path / "first").exists() or (tmp_path / "second").exists())
        client = hub.client("heavy:run")
        states = [(await client.request("GET", f"/api/jobs/{job['id']}")).json()["state"] for job in (first, second)]
        assert sorted(states) == ["queued", "running"]
        assert len(hub.hub.processes.pids) == 1
        for job in (first, second):
            await client.request("POST", f"/api/jobs/{job['id']}/cancel", json={})
        await holds(lambda: not hub.hub.jobs.running)

    on_hub(test, processes=1)


ALONE = """
import asyncio, sys
import msgspec
from luminai.work.processes import ProcessPool
from luminai_heavy.heavy import Given

async def main():
    await ProcessPool(most=1, megabytes=1024).call("heavy", "luminai_heavy.heavy:work", msgspec.msgpack.encode(Given(sys.argv[1])))

asyncio.run(main())
"""


def test_compute__ends_with_a_hub_that_is_killed(on_hub: Any, plugins: Any, tmp_path: Path) -> None:
    told = tmp_path / "pid"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    hub = subprocess.Popen([sys.executable, "-c", ALONE, str(told)], env=env)

    async def main() -> None:
        pid = int(await holds(lambda: told.exists() and told.read_text()))
        assert is_there(pid)
        hub.kill()
        await holds(lambda: not is_there(pid))

    try:
        asyncio.run(main())
    finally:
        hub.kill()
        hub.wait()


@pytest.mark.parametrize(
    ("compute", "said"),
    [
        ("lambda given: None", "top of a module"),
        ("bare", "in its annotations"),
        ("waits", "plain function"),
    ],
)
def test_compute__that_no_process_could_call__is_refused_when_the_plugin_loads(plugins: Any, compute: str, said: str) -> None:
    code = PLUGIN.replace("compute=work", f"compute={compute}").replace(
        "class Done(Struct):",
        "def bare(given):\n        return given\n\n    async def waits(given: Given) -> Found:\n        ...\n\n    class Done(Struct):",
    )
    installed = [plugins.make("heavy", code, provides='["actions"]', manifest=MANIFEST, files={"heavy.py": HEAVY})]

    async def main() -> None:
        async with running_hub("heavy", installed=installed) as hub:
            status = hub.status("heavy")
            assert (status.running, status.code) == (False, "bad-action")
            assert said in status.reason

    asyncio.run(main())
