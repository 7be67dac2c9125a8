"""Four times as much as a hub can do, without pause: what still gets through, how fast the rest is refused, and whether operators get in.

Usage: python benchmarks/overload.py [seconds], by default 60. The route works on 8 requests at once, 40 ms each, so 200 answers a second are all there
can be; half of the 800 requests a second that come are of one client behind a proxy of the operator's, the rest of 40 others. Requests come by the
clock, whether those before them were answered or not. Bars: at least 80 % of those 200 get through; refusals and their `Retry-After` within 50 ms
and the operators' lane within 250 ms (99th percentiles); the loud client gets at most half of what gets through; calm again within 5 s.
"""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from textwrap import dedent

PLACES, SLOTS, SECONDS_EACH = 16, 8, 0.04
PEAK = SLOTS / SECONDS_EACH
CALM = 10.0
"""Seconds of the run after, at three quarters of what can be done."""
PLUGIN = f"""
    import asyncio
    from litestar import get
    from luminai import hookimpl, policy
    slots = asyncio.Semaphore({SLOTS})
    class Plugin:
        @hookimpl
        def routes(self, ctx):
            @get("/api/made/work", opt=policy(anonymous=True))
            async def work() -> dict[str, str]:
                async with slots:
                    await asyncio.sleep({SECONDS_EACH})
                return {{}}
            return [work]
"""
MANIFEST = """
    manifest = 1
    id = "made"
    title = "Made"
    summary = "Made."
    api = ">=1.0,<2"
    provides = ["routes"]
    grants = ["anonymous-routes"]
"""
CONFIG = f"""
    [log]
    level = "error"
    [server]
    proxies = 1
    [connections]
    requests = {PLACES}
    per-address = 0
    [limits]
    enabled = false
    [plugins.made]
    enabled = true
    approve = ["anonymous-routes"]
"""


class Answers:
    """What came back: status and seconds of each request, by who asked."""

    def __init__(self) -> None:
        self.all: list[tuple[str, int, float, bool]] = []

    def good(self, who: str = "") -> int:
        return sum(status == 200 and one.startswith(who) for one, status, _, _ in self.all)

    def late(self, wanted: Callable[[str, int], bool]) -> float:
        """Return the 99th percentile of the seconds of those wanted."""
        found = sorted(seconds for who, status, seconds, _ in self.all if wanted(who, status))
        return found[int(len(found) * 0.99)] if found else float("nan")


class Wires:
    """Keep-alive connections, as many as are needed at once."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, path: str, who: str) -> tuple[int, bool]:
        """Return status and whether the answer says when to come back; 0 when there was none."""
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {who}\r\n\r\n".encode())
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if length := re.search(rb"content-length: (\d+)", head):
                await reader.readexactly(int(length[1]))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            return 0, False
        if b"connection: close" in head:
            writer.close()
        else:
            self._idle.append((reader, writer))
        return int(head[9:12]), b"retry-after:" in head


async def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    with tempfile.TemporaryDirectory() as name:
        process, port = serve(Path(name))
        try:
            await measure(Wires(port), seconds)
        finally:
            process.terminate()
            process.communicate()


async def measure(wires: Wires, seconds: float) -> None:
    during, after = Answers(), Answers()
    calm = by_turns([f"198.51.100.{number}" for number in range(40)])
    storm = by_turns([address for number in range(40) for address in ("192.0.2.1", f"198.51.100.{number}")])
    await run(wires, during, seconds, PEAK * 4, storm)
    ended = time.perf_counter()
    while (await timed(wires, "/api/made/work", "198.51.100.1"))[0] != 200:  # noqa: ASYNC110 - nobody tells when it is calm
        await asyncio.sleep(0.1)
    calm_again = time.perf_counter() - ended
    await run(wires, after, CALM, PEAK * 0.75, calm)

    through = during.good() / seconds
    shed = [one for one in during.all if one[0] != "lane" and one[1] != 200]
    print(f"{'':>34} {'figure':>10} {'bar':>8}")
    print(f"{'through, of what can be done':>34} {through / PEAK:>9.0%} {'80%':>8}   ({through:.0f} of {PEAK:.0f} a second)")
    print(
        f"{'refused, p99 ms':>34} {during.late(lambda who, status: who != 'lane' and status != 200) * 1000:>10.1f} {'50':>8}   ({len(shed)} requests)"
    )
    print(
        f"{'refused without Retry-After':>34} {sum(not told for *_, told in shed):>10} {'0':>8}   ({dict(Counter(status for _, status, *_ in shed))})"
    )
    print(f"{'operators lane, p99 ms':>34} {during.late(lambda who, _: who == 'lane') * 1000:>10.1f} {'250':>8}")
    print(f"{'operators lane, refused':>34} {sum(who == 'lane' and status != 200 for who, status, *_ in during.all):>10} {'0':>8}")
    print(f"{'loud client, of what got through':>34} {during.good('192.0.2.1') / max(1, during.good()):>9.0%} {'50%':>8}")
    print(f"{'calm again after s':>34} {calm_again:>10.2f} {'5':>8}   (then {sum(status != 200 for _, status, *_ in after.all)} refused)")


async def run(wires: Wires, answers: Answers, seconds: float, rate: float, who: Callable[[int], str]) -> None:
    """Ask by the clock, and the operators' lane ten times a second beside it."""
    lane = by_turns(["lane"])
    await asyncio.gather(
        paced(seconds, rate, lambda number: note(wires, answers, "/api/made/work", who(number))),
        paced(seconds, 10, lambda number: note(wires, answers, "/api/status", lane(number))),
    )


async def paced(seconds: float, rate: float, work: Callable[[int], Awaitable[None]]) -> None:
    began, tasks = time.perf_counter(), []
    for number in range(int(seconds * rate)):
        wait = began + number / rate - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.ensure_future(work(number)))
    await asyncio.gather(*tasks)


async def note(wires: Wires, answers: Answers, path: str, who: str) -> None:
    status, told, seconds = await timed(wires, path, who if who != "lane" else "203.0.113.9")
    answers.all.append((who, status, seconds, told))


async def timed(wires: Wires, path: str, who: str) -> tuple[int, bool, float]:
    began = time.perf_counter()
    status, told = await wires.ask(path, who)
    return status, told, time.perf_counter() - began


def by_turns(names: list[str]) -> Callable[[int], str]:
    return lambda number: names[number % len(names)]


def serve(folder: Path) -> tuple[subprocess.Popen[str], int]:
    package = folder / "site" / "luminai_made"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(dedent(PLUGIN))
    (package / "luminai-plugin.toml").write_text(dedent(MANIFEST))
    info = folder / "site" / "luminai_made-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: luminai-made\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[luminai.plugins]\nmade = luminai_made.plugin:Plugin\n")
    (folder / "config.toml").write_text(dedent(CONFIG))
    env = {**os.environ, "PYTHONPATH": str(folder / "site"), "XDG_CACHE_HOME": str(folder), "LUMINAI_SERVER__PORT": "0"}
    process = subprocess.Popen([Path(sys.executable).parent / "luminai", "serve"], cwd=folder, env=env, stderr=subprocess.PIPE, text=True)
    line = process.stderr.readline() if process.stderr else ""
    found = re.search(r"ready at http://127\.0\.0\.1:(\d+)", line)
    if not found:
        raise SystemExit(f"the hub did not start: {line}")
    return process, int(found[1])


if __name__ == "__main__":
    asyncio.run(main())
