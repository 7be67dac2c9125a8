"""What a reader of a room costs, and how late an event is: event streams of a served hub against a bare Litestar app with a queue a reader.

Usage: python benchmarks/live.py [readers] [rooms] [rounds]. Each server has a process of its own, and the readers, who hold raw connections, another.
A round publishes one event to every room; late is each reader's time from the call of publish to the bytes' arrival, so the last one is "at all readers".
"burst" says all rooms' events at once, "spread" one after the other over a second. Bars: p99 at most 1 s, memory at most 40 kB a reader.
The readers' process asks for as many open files as it may have (`ulimit -Hn`), as the hub does; that must be above their number.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from textwrap import dedent
from typing import Any

from overhead import cpu, start

from luminai.telemetry.descriptors import raise_limit

BARE = """
    import asyncio, sys, time, uvicorn
    from litestar import Litestar, get, post
    from litestar.response import ServerSentEvent
    rooms = {}
    @get("/api/live")
    async def follow(room: str) -> ServerSentEvent:
        queue = asyncio.Queue()
        rooms.setdefault(room, set()).add(queue)
        async def events():
            yield {"event": "joined", "data": "{}"}
            while True:
                yield {"event": "tick", "data": await queue.get()}
        return ServerSentEvent(events())
    @post("/api/beat/round")
    async def round_(rooms_: int, seconds: float = 0.0) -> None:
        for number in range(rooms_):
            data = '{"at":%f}' % time.monotonic()
            for queue in rooms.get(f"beat.room.{number}", ()):
                queue.put_nowait(data)
            await asyncio.sleep(seconds / rooms_)
    app = Litestar([follow, round_], openapi_config=None, logging_config=None)
    uvicorn.run(app, port=int(sys.argv[1]), log_config=None, access_log=False, lifespan="off", backlog=4096)
"""
HUB = """
    import sys
    from pathlib import Path
    from luminai.config.layers import Configuration, Layer
    from luminai.host import serve as room
    port, data = sys.argv[1:]
    table = {"hub": {"data": data}, "server": {"port": int(port)}, "log": {"level": "error", "format": "json"}, "limits": {"enabled": False},
             "connections": {"total": 100_000, "per-address": 0, "streams-per-person": 0}, "plugins": {"beat": {"enabled": True}}}
    room.serve(lambda: Configuration([Layer("file", "config.toml", table, {}, {})], (), Path(".")), announce=False)
"""
PLUGIN = """
    import asyncio, time
    from litestar import post
    from luminai import Channel, hookimpl, policy
    from msgspec import Struct
    class Tick(Struct):
        at: float
    class Plugin:
        @hookimpl
        def channels(self, ctx):
            async def anybody(actor, params):
                return True
            return [Channel(name="room.{id}", kinds={"tick": Tick}, may_join=anybody)]
        @hookimpl
        def routes(self, ctx):
            @post("/api/beat/round", opt=policy())
            async def round_(rooms_: int, seconds: float = 0.0) -> None:
                for number in range(rooms_):
                    ctx.live.publish(f"beat.room.{number}", "tick", Tick(time.monotonic()))
                    await asyncio.sleep(seconds / rooms_)
            return [round_]
"""
AT = re.compile(rb'\{"at":([0-9.]+)\}')


class Reader(asyncio.Protocol):
    """One connection: counts its event ``joined``, then notes how late each event comes."""

    def __init__(self, question: bytes, joined: Any, late: list[float]) -> None:
        self.question = question
        self.joined = joined
        self.late = late
        self.is_in = False

    def connection_made(self, transport: Any) -> None:
        transport.write(self.question)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        if not self.is_in and b"joined" in data:
            self.is_in = True
            self.joined()
        self.late += [now - float(at) for at in AT.findall(data)]


async def read(port: int, readers: int, rooms: int, rounds: int, key: str, pid: int) -> dict[str, Any]:
    """Open all readers, have the rounds said, and return the figures."""
    credential = f"Authorization: Bearer {key}\r\n" if key else ""
    loop, late, everybody = asyncio.get_running_loop(), [], asyncio.Semaphore(0)
    before, began = rss(pid), time.monotonic()
    for first in range(0, readers, 100):
        some = range(first, min(first + 100, readers))
        for number in some:
            question = f"GET /api/live?room=beat.room.{number % rooms} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{credential}\r\n".encode()
            await loop.create_connection(lambda question=question: Reader(question, everybody.release, late), "127.0.0.1", port)
        async with asyncio.timeout(60):
            for _ in some:
                await everybody.acquire()
    opened = time.monotonic() - began
    await asyncio.sleep(1)
    figures: dict[str, Any] = {"kB a reader": round((rss(pid) - before) / readers, 1), "opened/s": round(readers / opened)}
    for name, seconds in (("burst", 0.0), ("spread", 1.0)):
        late.clear()
        used = cpu(pid)
        for _ in range(rounds):
            wanted = len(late) + readers
            question = f"POST /api/beat/round?rooms_={rooms}&seconds={seconds} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{credential}Content-Length: 0\r\nConnection: close\r\n\r\n"
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(question.encode())
            async with asyncio.timeout(60):
                while len(late) < wanted:  # noqa: ASYNC110 - what is waited for is another process
                    await asyncio.sleep(0.01)
            writer.close()
        ordered = sorted(late)
        figures[name] = {
            "p50 ms": round(ordered[len(ordered) // 2] * 1000, 1),
            "p99 ms": round(ordered[len(ordered) * 99 // 100] * 1000, 1),
            "last ms": round(ordered[-1] * 1000, 1),
            "µs CPU an event and reader": round((cpu(pid) - used) / len(late) * 1e6, 1),
        }
    figures["kB a reader, after"] = round((rss(pid) - before) / readers, 1)
    return figures


def rss(pid: int) -> int:
    """Return the resident memory of a process in kB."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])  # type: ignore[index]


def main() -> None:
    raise_limit()
    if sys.argv[1:2] == ["read"]:
        port, readers, rooms, rounds, pid = map(int, sys.argv[2:7])
        print(json.dumps(asyncio.run(read(port, readers, rooms, rounds, sys.argv[7], pid)), ensure_ascii=False))
        return
    given = [int(one) for one in sys.argv[1:]]
    readers, rooms, rounds = (*given, *(10_000, 100, 5)[len(given) :])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        site = write(folder)
        env = {**os.environ, "LUMINAI_URL": "", "LUMINAI_HOME": name}
        command = [Path(sys.executable).parent / "luminai", "--fields", "key", "keys", "create", "--name", "bench"]
        key = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, env=env).stdout.split('"')[3]
        for server, script, credential, arguments in (("bare", "bare.py", "", ()), ("hub", "hub.py", key, ("data",))):
            process, port = start(folder, script, site, *arguments)
            try:
                asked = [sys.executable, __file__, "read", *map(str, (port, readers, rooms, rounds, process.pid)), credential]
                done = subprocess.run(asked, capture_output=True, text=True, check=False)
            finally:
                process.terminate()
                process.wait()
            print(server, done.stdout.strip() or done.stderr[-2000:])


def write(folder: Path) -> Path:
    site = folder / "site"
    package = site / "luminai_beat"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(dedent(PLUGIN))
    manifest = 'manifest = 1\nid = "beat"\ntitle = "Beat"\nsummary = "Beat."\napi = ">=1.0,<2"\nprovides = ["routes", "channels"]\n'
    (package / "luminai-plugin.toml").write_text(manifest)
    info = site / "luminai_beat-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: luminai-beat\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[luminai.plugins]\nbeat = luminai_beat.plugin:Plugin\n")
    for name, code in (("bare.py", BARE), ("hub.py", HUB)):
        (folder / name).write_text(dedent(code))
    return site


if __name__ == "__main__":
    main()
