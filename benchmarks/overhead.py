"""What the hub's edge costs: CPU a routed request against a bare Litestar app with the same handler, in turns, in one run.

Usage: python benchmarks/overhead.py [rounds]. Both run behind uvicorn in a process of their own; 32 keep-alive connections ask both.
Bar: at most 10 % more CPU a request. "same headers" is bare Litestar that sends the security headers which the hub adds; "quiet" is the hub with neither
access log nor rate limits, "hub" with the log, "limits" with both, as it comes; "guarded" also sends an API key and passes the policy check.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from textwrap import dedent
from typing import Any

REQUESTS = 16_000
CONNECTIONS = 32
BARE = """
    import sys, uvicorn
    from litestar import Litestar, get
    from litestar.datastructures import ResponseHeader
    from luminai.http.table import _COMMON, _STRICT
    from msgspec import Struct
    class Item(Struct):
        name: str
        size: int
    @get("/api/made/item")
    async def item() -> Item:
        return Item("one", 1)
    same = [*_COMMON, *_STRICT, (b"luminai-generation", b"1"), (b"x-request-id", b"req_0123456789abcdef01")] if sys.argv[2:] else []
    headers = [ResponseHeader(name=name.decode(), value=value.decode()) for name, value in same]
    app = Litestar([item], openapi_config=None, logging_config=None, response_headers=headers)
    uvicorn.run(app, port=int(sys.argv[1]), log_config=None, access_log=False, lifespan="off", server_header=False)
"""
HUB = """
    import asyncio, sys
    from pathlib import Path
    from luminai.config.layers import Configuration, Layer
    from luminai.host import serve as room
    from luminai.host.hub import Hub
    port, access, data = sys.argv[1:]
    many = {"requests": 1_000_000, "per": "address"}
    limits = {"address": many, "anonymous": many, "api-key": many} if access == "limits" else {"enabled": False}
    own = Layer("file", "config.toml", {"hub": {"data": data}, "server": {"port": int(port)}, "log": {"level": "error", "format": "json"}, "limits": limits, "plugins": {"made": {"enabled": True, "approve": ["anonymous-routes"]}}}, {}, {})
    if access == "quiet":
        room.AccessLog = lambda *a, **k: None
    room.serve(lambda: Configuration([own], (), Path(".")), announce=False)
"""
PLUGIN = """
    from litestar import get
    from msgspec import Struct
    from luminai import hookimpl, policy
    class Item(Struct):
        name: str
        size: int
    class Plugin:
        @hookimpl
        def routes(self, ctx):
            @get("/api/made/item", opt=policy(anonymous=True))
            async def item() -> Item:
                return Item("one", 1)
            @get("/api/made/guarded", opt=policy())
            async def guarded() -> Item:
                return Item("one", 1)
            return [item, guarded]
"""


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        site = write(folder)
        key = subprocess.run(
            [Path(sys.executable).parent / "luminai", "--fields", "key", "keys", "create", "--name", "bench"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "LUMINAI_URL": "", "LUMINAI_HOME": name},
        ).stdout.split('"')[3]
        servers = {
            "bare": start(folder, "bare.py", site),
            "bare, same headers": start(folder, "bare.py", site, "headers"),
            "hub": start(folder, "hub.py", site, "log", "log-data"),
            "limits": start(folder, "hub.py", site, "limits", "data"),
            "quiet": start(folder, "hub.py", site, "quiet", "quiet-data"),
        }
        plans = {
            "bare": ("bare", "/api/made/item", ""),
            "bare, same headers": ("bare, same headers", "/api/made/item", ""),
            "hub": ("hub", "/api/made/item", ""),
            "hub, limits": ("limits", "/api/made/item", ""),
            "hub, limits, guarded": ("limits", "/api/made/guarded", key),
            "quiet": ("quiet", "/api/made/item", ""),
        }
        try:
            figures: dict[str, list[float]] = {plan: [] for plan in plans}
            for _ in range(rounds + 1):
                for plan, (server, path, credential) in plans.items():
                    figures[plan].append(measure(*servers[server], path, credential))
        finally:
            for process, _ in servers.values():
                process.terminate()
                process.wait()
    base = figures["bare"][1:]
    for plan, values in figures.items():
        ratios = [value / bare for value, bare in zip(values[1:], base, strict=True)]
        print(
            f"{plan:<21} {statistics.median(values[1:]) * 1e6:6.1f} µs CPU a request   ratio to bare: median {statistics.median(ratios):.3f}  min {min(ratios):.3f}  max {max(ratios):.3f}"
        )


def write(folder: Path) -> Path:
    site = folder / "site"
    package = site / "luminai_made"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(dedent(PLUGIN))
    (package / "luminai-plugin.toml").write_text(
        'manifest = 1\nid = "made"\ntitle = "Made"\nsummary = "Made."\napi = ">=1.0,<2"\nprovides = ["routes"]\ngrants = ["anonymous-routes"]\n'
    )
    info = site / "luminai_made-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: luminai-made\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[luminai.plugins]\nmade = luminai_made.plugin:Plugin\n")
    for name, code in (("bare.py", BARE), ("hub.py", HUB)):
        (folder / name).write_text(dedent(code))
    return site


def start(folder: Path, script: str, site: Path, *arguments: str) -> tuple[subprocess.Popen[bytes], int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        "XDG_CACHE_HOME": str(folder),
    }
    process = subprocess.Popen([sys.executable, script, str(port), *arguments], cwd=folder, env=env, stderr=subprocess.DEVNULL)
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
        except OSError:
            time.sleep(0.05)
        else:
            return process, port
    raise SystemExit(f"{script} did not start")


def measure(process: Any, port: int, path: str, key: str) -> float:
    """Return CPU seconds a request of the server process under ``CONNECTIONS`` keep-alive connections, all asked before any is read."""
    credential = f"Authorization: Bearer {key}\r\n" if key else ""
    question = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: */*\r\n{credential}\r\n".encode()
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    before = cpu(process.pid)
    for _ in range(REQUESTS // CONNECTIONS):
        for connection in connections:
            connection.sendall(question)
        for connection in connections:
            answer = b""
            while b'"size":1}' not in answer:
                answer += connection.recv(65536)
                if not answer.startswith(b"HTTP/1.1 200"):
                    raise SystemExit(f"{path} answered {answer[:80]!r}")
    used = cpu(process.pid) - before
    for connection in connections:
        connection.close()
    return used / (REQUESTS // CONNECTIONS * CONNECTIONS)


def cpu(pid: int) -> float:
    """Return the CPU seconds of all threads of a process, to the nanosecond."""
    total = sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir())
    return total / 1e9


if __name__ == "__main__":
    main()
