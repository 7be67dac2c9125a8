"""A plugin that misbehaves while it runs, or kills the process, costs its own work and nobody else's."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from home import LUMINAI, Home

from luminai.host.starts import StartLog
from luminai.telemetry.clock import SystemClock
from luminai.testing import FrozenClock, HubUnderTest, running_hub

MOODY = """
    from litestar import get
    from luminai import Decision, Denied, hookimpl, policy
    BROKEN = []
    class Plugin:
        @hookimpl
        def routes(self, ctx):
            @get("/api/moody/hello", opt=policy(anonymous=True))
            async def hello() -> dict[str, str]:
                if BROKEN:
                    raise ValueError("moody")
                return {"from": "moody"}
            return [hello]
        @hookimpl
        def decisions(self, ctx):
            async def decide(value):
                if BROKEN:
                    raise ValueError("moody")
                return value + "!"
            return [Decision(point="filter.words", decide=decide)]
"""
LOUD = """
    from litestar import get
    from luminai import Decision, hookimpl, policy
    class Plugin:
        @hookimpl
        def routes(self, ctx):
            @get("/api/loud/say", opt=policy(anonymous=True))
            async def say() -> dict[str, str]:
                return {"said": await ctx.decisions.filter("filter.words", "hello")}
            return [say]
        @hookimpl
        def decisions(self, ctx):
            async def decide(value):
                return value.upper()
            return [Decision(point="filter.words", decide=decide, before=("moody",))]
"""
BREAKER = {"breaker": {"failures": 3, "cool-down-seconds": 10.0}}


def on_hub(factory: Any, work: Any, **more: Any) -> None:
    made = [factory.make("moody", MOODY, provides='["routes", "decisions"]'), factory.make("loud", LOUD, provides='["routes", "decisions"]')]
    clock = FrozenClock()

    async def main() -> None:
        async with running_hub("moody", "loud", installed=made, clock=clock, settings=BREAKER | more) as hub:
            import luminai_moody.plugin as code

            await work(hub, clock, code.BROKEN)

    asyncio.run(main())


async def ask(hub: HubUnderTest, path: str) -> tuple[int, Any]:
    answer = await hub.client().request("GET", path)
    return answer.status, answer.json()


def test_breaker__of_routes__rests_them_then_tries_once(plugins: Any) -> None:
    async def work(hub: HubUnderTest, clock: FrozenClock, broken: list[int]) -> None:
        broken.append(1)
        for _ in range(3):
            assert (await ask(hub, "/api/moody/hello"))[0] == 500
        status, problem = await ask(hub, "/api/moody/hello")
        assert (status, problem["code"], problem["plugin"], problem["retry_after"]) == (503, "breaker-open", "moody", 10)
        assert (await ask(hub, "/api/loud/say"))[0] == 200
        repairs = (await hub.client("*").request("GET", "/api/admin/repairs")).json()["items"]
        assert "breaker:moody:routes" in {item["id"] for item in repairs}
        clock.advance(11)
        assert (await ask(hub, "/api/moody/hello"))[0] == 500, "one is tried"
        assert (await ask(hub, "/api/moody/hello"))[1]["code"] == "breaker-open"
        broken.clear()
        clock.advance(11)
        assert (await ask(hub, "/api/moody/hello"))[0] == 200
        assert (await ask(hub, "/api/moody/hello"))[0] == 200

    on_hub(plugins, work)


def test_breaker__of_a_decision__leaves_the_other_steps(plugins: Any) -> None:
    async def work(hub: HubUnderTest, clock: FrozenClock, broken: list[int]) -> None:
        assert (await ask(hub, "/api/loud/say"))[1] == {"said": "HELLO!"}
        broken.append(1)
        for _ in range(5):
            assert (await ask(hub, "/api/loud/say"))[1] == {"said": "HELLO"}
        step = next(one for one in hub.hub.generation.wiring.decisions.chain("filter.words") if one.owner == "moody")
        assert (step.calls, step.breaker.is_open) == (4, True)
        broken.clear()
        clock.advance(11)
        assert (await ask(hub, "/api/loud/say"))[1] == {"said": "HELLO!"}

    on_hub(plugins, work)


def test_breaker__in_a_dry_run__only_reports(plugins: Any) -> None:
    async def work(hub: HubUnderTest, clock: FrozenClock, broken: list[int]) -> None:
        broken.append(1)
        for _ in range(9):
            assert (await ask(hub, "/api/moody/hello"))[0] == 500

    on_hub(plugins, work, breaker={"failures": 3, "dry-run": True})


def test_plugin__that_breaks_again_and_again__is_parked_and_can_be_released(plugins: Any) -> None:
    async def work(hub: HubUnderTest, clock: FrozenClock, broken: list[int]) -> None:
        broken.append(1)
        for _ in range(3):
            await ask(hub, "/api/moody/hello")
        for _ in range(2):
            clock.advance(11)
            await ask(hub, "/api/moody/hello")
        while hub.state("moody") == "enabled":  # noqa: ASYNC110 - there is no event to wait for from outside
            await asyncio.sleep(0)
        assert hub.state("moody") == "quarantined"
        assert (await ask(hub, "/api/moody/hello"))[1]["code"] == "plugin-off"
        assert (await ask(hub, "/api/loud/say"))[1] == {"said": "HELLO"}
        operator = hub.client("*")
        repairs = (await operator.request("GET", "/api/admin/repairs")).json()["items"]
        item = next(one for one in repairs if one["id"] == "plugin:moody:parked")
        assert "3 times within an hour" in item["cause"]
        broken.clear()
        assert (await operator.request("POST", f"/api/admin/repairs/{item['id']}/fix")).json()["built"] == ["moody"]
        assert (await ask(hub, "/api/moody/hello"))[0] == 200

    on_hub(plugins, work, plugins={"moody": {"on-failure": "quarantine"}})


ZOO = {
    "wrong-type": "return 3",
    "raises-base": "raise BaseException('odd')",
    "huge-exception": "raise ValueError('x' * 10_000_000)",
    "slow": "await asyncio.sleep(3600)",
    "logs": "[ctx.log.info('noise %d', n) for n in range(20_000)]; return None",
    "leaks-task": "asyncio.get_running_loop().create_task(asyncio.sleep(3600)); raise ValueError('leak')",
    "closes-loop-things": "asyncio.current_task().cancel(); await asyncio.sleep(0)",
}


@pytest.mark.parametrize("animal", ZOO)
@pytest.mark.filterwarnings("ignore")
def test_zoo__in_start__the_others_serve(plugins: Any, animal: str) -> None:
    code = f"""
        import asyncio
        from luminai import hookimpl
        class Plugin:
            @hookimpl
            async def start(self, ctx):
                {ZOO[animal]}
    """
    made = [plugins.make(f"zoo-{animal}", code, provides="[]"), plugins.make("good")]

    async def main() -> None:
        async with running_hub(f"zoo-{animal}", "good", installed=made, settings={"hub": {"plugin-seconds": 0.5}}) as hub:
            assert (await ask(hub, "/api/good/hello"))[0] == 200

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore")
def test_zoo__exit_in_the_middle_of_an_answer__breaks_off_that_answer_alone(plugins: Any) -> None:
    code = """
        from litestar import asgi
        from litestar.types import Receive, Scope, Send
        from luminai import hookimpl, policy
        class Plugin:
            @hookimpl
            def routes(self, ctx):
                @asgi("/api/quitter/hello", opt=policy(anonymous=True), copy_scope=True)
                async def hello(scope: Scope, receive: Receive, send: Send) -> None:
                    await send({"type": "http.response.start", "status": 200, "headers": []})
                    raise SystemExit(3)
                return [hello]
    """

    async def main() -> None:
        async with running_hub("quitter", "good", installed=[plugins.make("quitter", code), plugins.make("good")]) as hub:
            with pytest.raises(RuntimeError, match="raised SystemExit"):
                await hub.client().request("GET", "/api/quitter/hello")
            assert (await ask(hub, "/api/good/hello"))[0] == 200

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore")
def test_zoo__what_would_end_the_process__ends_the_task_the_check_and_the_step(plugins: Any) -> None:
    code = """
        import asyncio
        from litestar import get
        from luminai import Decision, HealthCheck, hookimpl, policy
        class Plugin:
            @hookimpl
            async def start(self, ctx):
                async def leave():
                    raise SystemExit(3)
                ctx.spawn(leave(), name="leave")
                await asyncio.sleep(0.01)
            @hookimpl
            def health_checks(self, ctx):
                async def check():
                    raise SystemExit(3)
                return [HealthCheck(name="leave", check=check)]
            @hookimpl
            def decisions(self, ctx):
                async def decide(value):
                    raise SystemExit(3)
                return [Decision(point="filter.words", decide=decide)]
    """
    made = [plugins.make("leaver", code, provides='["health_checks", "decisions"]'), plugins.make("loud", LOUD, provides='["routes", "decisions"]')]

    async def main() -> None:
        async with running_hub("leaver", "loud", installed=made) as hub:
            assert hub.state("leaver") == "enabled"
            health = (await hub.client().request("GET", "/health")).json()
            assert health["status"] == "failing"
            assert await ask(hub, "/api/loud/say") == (200, {"said": "HELLO"})

    asyncio.run(main())


REQUESTS = {
    "exit": "raise SystemExit(3)",
    "generator-exit": "raise GeneratorExit",
    "recursion": "raise RecursionError",
    "deep": "f = lambda: f(); f()",
    "half": "return (1, 2, object())",
    "memory": "bytearray(2**60)",
    "raises-in-del": "type('D', (), {'__del__': lambda self: 1 / 0})(); raise ValueError",
}


@pytest.mark.parametrize("animal", REQUESTS)
@pytest.mark.filterwarnings("ignore")
def test_zoo__in_a_request__that_request_fails_and_no_other(plugins: Any, animal: str) -> None:
    code = f"""
        from litestar import get
        from luminai import hookimpl, policy
        class Plugin:
            @hookimpl
            def routes(self, ctx):
                @get("/api/zoo-{animal}/hello", opt=policy(anonymous=True))
                async def hello() -> dict[str, str]:
                    {REQUESTS[animal]}
                return [hello]
    """
    made = [plugins.make(f"zoo-{animal}", code), plugins.make("good")]

    async def main() -> None:
        async with running_hub(f"zoo-{animal}", "good", installed=made) as hub:
            status, problem = await ask(hub, f"/api/zoo-{animal}/hello")
            assert (status, problem["code"]) == (500, "internal")
            assert (await ask(hub, "/api/good/hello"))[0] == 200

    asyncio.run(main())


def test_plugin__that_blocks_the_loop__is_named_with_file_and_line(plugins: Any) -> None:
    code = """
        import time
        from litestar import get
        from luminai import hookimpl, policy
        class Plugin:
            @hookimpl
            def routes(self, ctx):
                @get("/api/blocker/hello", opt=policy(anonymous=True))
                async def hello() -> dict[str, str]:
                    time.sleep(1.2)
                    return {}
                return [hello]
    """

    async def main() -> Any:
        async with running_hub("blocker", installed=[plugins.make("blocker", code)]) as hub:
            await ask(hub, "/api/blocker/hello")
            return (await hub.client("*").request("GET", "/api/admin/repairs")).json()["items"]

    item = next(item for item in asyncio.run(main()) if item["id"] == "stall:blocker")
    assert item["details"][0].startswith("luminai_blocker/plugin.py:10 1 times")


def test_start_log__process_died_twice_at_a_plugin__parks_it(tmp_path: Path) -> None:
    for times in (1, 2):
        log = StartLog(tmp_path, SystemClock())
        log.begin()
        assert (log.suspects, log.parked) == (frozenset({"deadly"}) if times > 1 else frozenset(), {})
        log.entering("fine", "load")
        log.left("fine")
        log.entering("deadly", "load")
        log.close()  # and the process is gone
    log = StartLog(tmp_path, SystemClock())
    log.begin()
    assert log.parked == {"deadly": "load"}
    assert log.failed == 2
    log.went_well()
    log.close()
    log = StartLog(tmp_path, SystemClock())
    log.begin()
    assert (log.suspects, log.parked, log.failed) == (frozenset(), {}, 0)
    log.close()


def serve_once(home: Home, *options: str, stop: bool = True) -> tuple[int, str]:
    """Serve until the announcement (then stop in order), or until the process is gone; return its exit code and what it said."""
    with subprocess.Popen([LUMINAI, "serve", "--port", "0", *options], cwd=home.folder, env=home.env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        said = ""
        for line in process.stderr:
            said += line
            if "Press Ctrl-C" in line:
                os.kill(process.pid, signal.SIGTERM if stop else signal.SIGKILL)
        return process.wait(30), said


@pytest.fixture
def deadly(tmp_path: Path) -> Home:
    """Return a home whose environment has a plugin that kills the process while it starts."""
    site = tmp_path / "site"
    package = site / "luminai_deadly"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(
        "import os\nfrom luminai import hookimpl\nclass Plugin:\n    @hookimpl\n    async def start(self, ctx):\n        os._exit(77)\n"
    )
    (package / "luminai-plugin.toml").write_text('manifest = 1\nid = "deadly"\ntitle = "D"\nsummary = "D."\napi = ">=1.0,<2"\n')
    info = site / "luminai_deadly-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: luminai-deadly\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[luminai.plugins]\ndeadly = luminai_deadly.plugin:Plugin\n")
    home = Home(tmp_path / "home")
    home.env["PYTHONPATH"] = str(site)
    return home


def test_process__killed_twice_by_a_plugin__starts_without_it_and_says_so(deadly: Home) -> None:
    path = deadly.folder / "config.toml"
    path.write_text(path.read_text() + "[plugins.deadly]\nenabled = true\n")
    assert serve_once(deadly)[0] == 77
    assert serve_once(deadly)[0] == 77
    code, said = serve_once(deadly)
    assert code == 0
    assert "deadly" in said
    assert "died twice" in said
    assert "SAFE MODE" not in said
    assert serve_once(deadly)[0] == 0, "it stays parked"


def test_three_starts_that_went_wrong__bring_safe_mode__and_a_good_end_leads_out(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    for _ in range(3):
        assert serve_once(home, stop=False)[0] == -signal.SIGKILL
    code, said = serve_once(home)
    assert code == 0
    assert "SAFE MODE (3 starts in a row went wrong)" in said
    assert "0 plugins" in said
    code, said = serve_once(home)
    assert "SAFE MODE" not in said
    assert "5 plugins" in said


def test_safe_and_only__limit_what_runs__and_import_nothing_else(deadly: Home) -> None:
    path = deadly.folder / "config.toml"
    path.write_text(path.read_text() + "[plugins.deadly]\nenabled = true\n[hub]\nsafe-plugins = ['resonance']\n")
    code, said = serve_once(deadly, "--safe")
    assert (code, "SAFE MODE (asked for)" in said, "1 plugins" in said) == (0, True, True)
    code, said = serve_once(deadly, "--only", "personas,resonance")
    assert (code, "2 plugins" in said) == (0, True)
