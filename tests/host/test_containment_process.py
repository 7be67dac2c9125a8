"""A plugin that tries to end or to exhaust the process, in a hub that is served as one."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest
from home import LUMINAI, Home

from luminai.host.starts import StartLog
from luminai.testing import FrozenClock

ROUTES = """
    import asyncio, ctypes, logging, os, sys
    from litestar import get, websocket
    from litestar.response import ServerSentEvent, Stream
    from luminai import hookimpl, policy
    FREE = policy(anonymous=True)

    async def parts(last):
        yield "one "
        await asyncio.sleep(0)
        raise last("enough")

    async def leave():
        sys.exit(3)

    class Plugin:
        @hookimpl
        def routes(self, ctx):
            @get("/api/zoo/stream", opt=FREE)
            async def stream() -> Stream:
                return Stream(parts(SystemExit))
            @get("/api/zoo/interrupt", opt=FREE)
            async def interrupt() -> Stream:
                return Stream(parts(KeyboardInterrupt))
            @get("/api/zoo/events", opt=FREE)
            async def events() -> ServerSentEvent:
                return ServerSentEvent(parts(SystemExit))
            @get("/api/zoo/group", opt=FREE)
            async def group() -> None:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(leave())
            @get("/api/zoo/forgotten", opt=FREE)
            async def forgotten() -> None:
                await asyncio.wait([asyncio.create_task(leave())])
            @get("/api/zoo/thread", opt=FREE, sync_to_thread=True)
            def thread() -> None:
                sys.exit(3)
            @get("/api/zoo/crash", opt=FREE)
            async def crash() -> None:
                ctypes.string_at(0)
            @get("/api/zoo/exit", opt=FREE)
            async def exit() -> None:
                os._exit(77)
            @get("/api/zoo/noise", opt=FREE)
            async def noise(times: int) -> None:
                for number in range(times):
                    if number % 1000 == 0:
                        await asyncio.sleep(0)
                    logging.getLogger("luminai_zoo.inner").warning("noise %d", number)
            return [stream, interrupt, events, group, forgotten, thread, crash, exit, noise]
"""
CONFIG = """
[plugins.zoo]
enabled = true
approve = ["anonymous-routes"]
[plugins.personas]
enabled = true
approve = ["anonymous-routes"]
"""


@pytest.fixture
def zoo(tmp_path: Path) -> Home:
    """Return a home whose hub runs the zoo beside ``personas``."""
    site = tmp_path / "site"
    package = site / "luminai_zoo"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(dedent(ROUTES))
    (package / "luminai-plugin.toml").write_text(
        'manifest = 1\nid = "zoo"\ntitle = "Zoo"\nsummary = "Z."\napi = ">=1.0,<2"\nprovides = ["routes"]\ngrants = ["anonymous-routes"]\n'
    )
    info = site / "luminai_zoo-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: luminai-zoo\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[luminai.plugins]\nzoo = luminai_zoo.plugin:Plugin\n")
    home = Home(tmp_path / "home")
    (home.folder / "config.toml").write_text(CONFIG)
    home.env["PYTHONPATH"] = str(site)
    return home


class Served:
    """A served hub: its process and what it said on stderr so far."""

    def __init__(self, home: Home) -> None:
        self.process = subprocess.Popen([LUMINAI, "serve", "--port", "0"], cwd=home.folder, env=home.env, stderr=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self.port = 0
        self.token = ""
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.append(line)
            if " ready at " in line:
                self.port = int(line.partition("ready at http://127.0.0.1:")[2].split()[0])
            if "with this token: " in line:
                self.token = line.rpartition(" ")[2].strip()
            if "Press Ctrl-C" in line:
                break
        self._drain = threading.Thread(target=lambda: self.lines.extend(self.process.stderr or ()), daemon=True)
        self._drain.start()

    def get(self, path: str) -> int:
        """Return the status of an answer that came whole; 0 when the connection was cut."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
        except (http.client.HTTPException, OSError):
            return 0
        finally:
            connection.close()
        return answer.status

    def ended(self) -> tuple[int, str]:
        """Return exit code and all that was said, once the process is gone."""
        code = self.process.wait(30)
        self._drain.join()
        if self.process.stderr:
            self.process.stderr.close()
        return code, "".join(self.lines)


@contextmanager
def served(home: Home) -> Iterator[Served]:
    """Serve, and stop in order if the hub still lives."""
    hub = Served(home)
    try:
        yield hub
    finally:
        if hub.process.poll() is None:
            os.kill(hub.process.pid, signal.SIGTERM)
        hub.ended()


CUT = {"stream", "interrupt", "events"}


def test_exit__in_a_streamed_body_or_a_task__costs_that_answer_alone(zoo: Home) -> None:
    with served(zoo) as hub:
        for animal in (*sorted(CUT), "group", "forgotten", "thread"):
            status = hub.get(f"/api/zoo/{animal}")
            assert status == (0 if animal in CUT else 200 if animal == "forgotten" else 500), animal
            assert hub.get("/api/personas") == 200, animal

    code, said = hub.ended()
    assert code == 0
    told = [line for line in said.splitlines() if '"exit.contained"' in line]
    assert len(told) == 5
    assert all('"plugin":"zoo"' in line and "luminai_zoo/plugin.py:" in line for line in told)


def test_segfault__of_a_plugin_at_work__twice__parks_it(zoo: Home) -> None:
    for _ in range(2):
        with served(zoo) as hub:
            assert hub.get("/api/zoo/crash") == 0
        assert hub.ended()[0] == -signal.SIGSEGV

    with served(zoo) as hub:
        assert hub.get("/api/zoo/crash") == 503
        assert hub.get("/api/personas") == 200
    code, said = hub.ended()
    assert code == 0
    assert "the process died twice while it was at work" in said
    assert '"process.crashed","plugin":"zoo","place":"luminai_zoo/plugin.py:' in said
    assert "SAFE MODE" not in said


def test_exit_without_a_word__three_times__brings_safe_mode(zoo: Home) -> None:
    for _ in range(3):
        with served(zoo) as hub:
            assert hub.get("/api/zoo/exit") == 0
        assert hub.ended()[0] == 77

    with served(zoo) as hub:
        assert hub.get("/api/zoo/exit") == 503
        assert hub.get("/api/status") == 200
    assert "SAFE MODE (3 starts in a row went wrong)" in hub.ended()[1]


@pytest.mark.parametrize("times", [50_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_log__flooded_by_a_plugin__is_cut_off_and_counted(zoo: Home, times: int) -> None:
    with served(zoo) as hub:
        zoo.env["LUMINAI_URL"] = f"http://127.0.0.1:{hub.port}"
        assert zoo.run("setup", "--token-stdin", given=hub.token + "\n").returncode == 0
        assert hub.get(f"/api/zoo/noise?times={times}") == 200
        assert hub.get("/api/personas") == 200
        (item,) = [one for one in zoo.data("repairs", "list") if one["id"] == "log-flood:zoo"]

    written = sum('"noise ' in line for line in hub.ended()[1].splitlines())
    assert 1000 <= written < times / 5
    assert f"{times - written} were dropped" in item["cause"]


def test_start_log__crash_in_native_code__is_laid_to_the_innermost_known_plugin(tmp_path: Path) -> None:
    frames = """
        Fatal Python error: Segmentation fault
        Current thread 0x00007f (most recent call first):
          File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at
          File "/srv/site/luminai_stranger/deep/inside.py", line 3 in read
          File "/srv/site/luminai_the_guest/plugin.py", line 12 in hello
          File "/srv/site/uvicorn/server.py", line 60 in run
    """
    clock = FrozenClock()

    def crash() -> StartLog:
        log = StartLog(tmp_path, clock)
        log.begin()
        log.entering("calm", "start")
        log.went_well()
        log.close()
        (tmp_path / "crash.txt").write_text(frames)
        log = StartLog(tmp_path, clock)
        log.begin({"the-guest", "calm", "srv"})
        log.close()
        return log

    assert crash().suspects == {"the-guest"}
    clock.advance(601)
    assert crash().parked == {}, "the first is too long ago"
    assert crash().parked == {"the-guest": "work"}
    assert crash().parked == {}, "it begins anew"


def test_start_log__crash_while_several_start__is_counted_for_one(tmp_path: Path) -> None:
    for times in range(3):
        log = StartLog(tmp_path, FrozenClock())
        log.begin({"calm", "deadly"})
        assert log.parked == ({"deadly": "start"} if times == 2 else {})
        log.entering("calm", "start")
        log.entering("deadly", "start")
        log.close()
        (tmp_path / "crash.txt").write_text('  File "/site/luminai_deadly/plugin.py", line 3 in start\n')


def test_start_log__several_processes_of_one_folder__have_each_their_own(tmp_path: Path) -> None:
    def begin() -> StartLog:
        log = StartLog(tmp_path, FrozenClock())
        log.begin({"calm"})
        return log

    logs = [begin() for _ in range(5)]
    for log in logs:
        log.entering("calm", "start")
    assert [(log.failed, log.parked) for log in logs] == [(0, {})] * 5, "those that only start at the same time did not go wrong"
    logs[1].close()
    logs.append(begin())
    assert (logs[-1].failed, logs[-1].suspects) == (1, {"calm"}), "it takes the place of the one that died"
    for log in logs:
        log.close()
