"""Live swaps under full load: 50 changes of one plugin among many, two in five deliberately broken, while connections ask the other plugins without pause.

Usage: python benchmarks/swaps.py [plugins …], by default 10 50 100. Prints failed requests (bar 0), broken changes that got through (bar 0), the median
time of a good change (bar 100 ms at 100 plugins), the 99th percentile of the other plugins' requests during the changes (bar 50 ms) beside the same
without any change, and the memory after the first and the last fifth of the changes (bar: flat).
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from textwrap import dedent

CHANGES = 50
CONNECTIONS = 8
PLUGIN = """
    import asyncio
    from typing import ClassVar
    from litestar import get
    from msgspec import Struct
    from luminai import hookimpl, policy
    class Config(Struct, forbid_unknown_fields=True):
        word: str = "first"
        fail: bool = False
    class Plugin:
        config: ClassVar = Config
        @hookimpl
        def routes(self, ctx):
            def made(number):
                @get(f"/api/{ctx.id}/{number}", opt=policy(anonymous=True), name=f"{ctx.id}-{number}")
                async def one() -> dict[str, str]:
                    return {"word": ctx.config.word}
                return one
            return [made(number) for number in range(5)]
        @hookimpl
        async def start(self, ctx):
            if ctx.config.fail:
                raise OSError("deliberately broken")
"""
SCHEMA = {"type": "object", "additionalProperties": False, "properties": {"word": {"type": "string"}, "fail": {"type": "boolean"}}}


def main() -> None:
    for count in [int(text) for text in sys.argv[1:]] or [10, 50, 100]:
        with tempfile.TemporaryDirectory() as name:
            measure(Path(name), count)


def measure(folder: Path, count: int) -> None:
    ids = [f"made-{number}" for number in range(count)]
    write(folder, ids)
    env = {
        **os.environ,
        "PYTHONPATH": str(folder / "site"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "LUMINAI_HOME": str(folder / "user"),
        "LUMINAI_URL": "",
    }
    luminai = Path(sys.executable).parent / "luminai"
    made = subprocess.run(
        [luminai, "--fields", "key", "keys", "create", "--name", "bench"], cwd=folder, env=env, capture_output=True, text=True, check=True
    )
    key = json.loads(made.stdout)["key"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [luminai, "serve", "--port", str(port), "--set", "log.level=error", "--set", "limits.enabled=false"]
    with subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.DEVNULL) as hub:
        wait_for(port)
        calm = Load(port, ids[1:])
        time.sleep(3)
        calm_p99, calm_failed = calm.end()
        load = Load(port, ids[1:])
        good, through, memory = change(hub.pid, port, key, ids[0])
        p99, failed = load.end()
        hub.terminate()
    print(
        f"{count:>4} plugins  failed requests {failed + calm_failed} of {len(load.seconds)}  broken ones that got through {through}  "
        f"change: median {statistics.median(good) * 1000:.0f} ms, worst {max(good) * 1000:.0f} ms  "
        f"others' p99 {p99 * 1000:.1f} ms (no changes: {calm_p99 * 1000:.1f} ms)  memory {memory[0]:.1f} -> {memory[1]:.1f} MB",
        flush=True,
    )


def change(pid: int, port: int, key: str, plugin: str) -> tuple[list[float], int, tuple[float, float]]:
    """Change one plugin's settings again and again; return seconds of the good changes, broken ones that got through, memory in MB."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    good: list[float] = []
    through = 0
    first = 0.0
    for number in range(CHANGES):
        broken = number % 5 in (1, 3)
        config = {"word": f"w{number}", "fail": number % 5 == 1} | ({"unknown": 1} if number % 5 == 3 else {})
        began = time.perf_counter()
        connection.request("PUT", f"/api/admin/plugins/{plugin}/desired", json.dumps({"config": config}), headers)
        answer = connection.getresponse()
        answer.read()
        took = time.perf_counter() - began
        if broken:
            through += answer.status != 409
        else:
            if answer.status != 200:
                raise SystemExit(f"a good change was answered {answer.status}")
            good.append(took)
        if number == CHANGES // 5:
            first = resident(pid)
    time.sleep(6)  # the last replaced generation drains
    return good, through, (first, resident(pid))


class Load:
    """Connections that ask plugin after plugin without pause, in a process of their own."""

    def __init__(self, port: int, ids: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(port), ",".join(ids), str(CONNECTIONS)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
        )
        self.seconds: list[float] = []

    def end(self) -> tuple[float, int]:
        """Return the 99th percentile in seconds, and how many requests failed."""
        out, _ = self.process.communicate("stop\n")
        answer = json.loads(out)
        self.seconds = answer["seconds"]
        return statistics.quantiles(self.seconds, n=100)[98], answer["failed"]


CLIENT = dedent("""
    import json, socket, sys, threading, time
    port, ids, connections = int(sys.argv[1]), sys.argv[2].split(","), int(sys.argv[3])
    seconds, failed, done = [], [], threading.Event()
    def ask(first):
        link = socket.create_connection(("127.0.0.1", port))
        number = first
        while not done.is_set():
            question = f"GET /api/{ids[number % len(ids)]}/{number % 5} HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n".encode()
            began = time.perf_counter()
            try:
                link.sendall(question)
                answer = link.recv(65536)
                while b'"word"' not in answer and answer:
                    answer += link.recv(65536)
                if not answer.startswith(b"HTTP/1.1 200"):
                    failed.append(answer[:80])
            except OSError as error:
                failed.append(repr(error))
                link = socket.create_connection(("127.0.0.1", port))
            seconds.append(time.perf_counter() - began)
            number += 7
    threads = [threading.Thread(target=ask, args=(first,)) for first in range(connections)]
    for thread in threads: thread.start()
    sys.stdin.readline()
    done.set()
    for thread in threads: thread.join()
    print(json.dumps({"seconds": seconds, "failed": len(failed)}))
""")


def write(folder: Path, ids: list[str]) -> None:
    sections = []
    for plugin in ids:
        package = f"luminai_{plugin.replace('-', '_')}"
        place = folder / "site" / package
        place.mkdir(parents=True)
        (place / "__init__.py").touch()
        (place / "plugin.py").write_text(dedent(PLUGIN))
        (place / "config.schema.json").write_text(json.dumps(SCHEMA))
        (place / "luminai-plugin.toml").write_text(
            f'manifest = 1\nid = "{plugin}"\ntitle = "{plugin}"\nsummary = "Made."\napi = ">=1.0,<2"\nprovides = ["routes"]\ngrants = ["anonymous-routes"]\n'
        )
        info = folder / "site" / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: luminai-{plugin}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[luminai.plugins]\n{plugin} = {package}.plugin:Plugin\n")
        sections.append(f'[plugins.{plugin}]\nenabled = true\napprove = ["anonymous-routes"]\n')
    (folder / "config.toml").write_text("".join(sections))


def wait_for(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("the hub did not start")


def resident(pid: int) -> float:
    """Return the process's resident memory in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
