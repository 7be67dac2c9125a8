"""What serving one small request costs behind each server: CPU of its process, the same bare Litestar app with the hub's headers, in turns, in one run.

Usage: pip install granian hypercorn (those that are not installed are left out); python benchmarks/servers.py [rounds].
"hub" is uvicorn with the hub's own connection: bounds on bytes and time included.
"""

import importlib.util
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

from overhead import cpu, measure

APP = """
    import sys
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
    same = [*_COMMON, *_STRICT, (b"luminai-generation", b"1"), (b"x-request-id", b"req_0123456789abcdef01")]
    app = Litestar([item], openapi_config=None, logging_config=None, response_headers=[ResponseHeader(name=n.decode(), value=v.decode()) for n, v in same])
"""
UVICORN = """
    import uvicorn
    uvicorn.run(app, port=int(sys.argv[1]), http="{http}", log_config=None, access_log=False, lifespan="off", server_header=False)
"""
HUB = """
    import uvicorn
    from collections import Counter
    from functools import partial
    from luminai.config.settings import ConnectionSettings
    from luminai.http.server.bodies import Bodies
    from luminai.http.server.connection import Connection
    own = partial(Connection, ConnectionSettings(), Counter(), Bodies())
    uvicorn.run(app, port=int(sys.argv[1]), http=own, log_config=None, access_log=False, lifespan="off", server_header=False, proxy_headers=False)
"""
OTHERS = {
    "granian": ["--interface", "asgi", "--no-ws", "--loop", "uvloop", "--workers", "1", "--log-level", "error", "--port", "{port}", "bare:app"],
    "hypercorn": ["-w", "1", "-k", "uvloop", "-b", "127.0.0.1:{port}", "bare:app"],
}


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bare.py").write_text(dedent(APP))
        scripts = {"uvicorn": UVICORN.format(http="httptools"), "uvicorn h11": UVICORN.format(http="h11"), "hub": HUB}
        started: list[subprocess.Popen[bytes]] = []
        servers: dict[str, tuple[Worker, int]] = {}
        try:
            for title, script in scripts.items():
                path = folder / f"behind_{title.replace(' ', '_')}.py"
                path.write_text(dedent(APP) + dedent(script))
                servers[title] = start(started, [sys.executable, str(path), "{port}"], folder)
            for title, arguments in OTHERS.items():
                if importlib.util.find_spec(title):
                    servers[title] = start(started, [str(Path(sys.executable).parent / title), *arguments], folder)
            figures: dict[str, list[float]] = {title: [] for title in servers}
            for _ in range(rounds + 1):
                for title, (worker, port) in servers.items():
                    figures[title].append(measure(worker, port, "/api/made/item", ""))
        finally:
            for process in started:
                process.terminate()
                process.wait()
    for title, values in figures.items():
        ratios = [value / base for value, base in zip(values[1:], figures["uvicorn"][1:], strict=True)]
        print(f"{title:<12} {statistics.median(values[1:]) * 1e6:6.1f} µs CPU a request   ratio to uvicorn {statistics.median(ratios):.3f}")


class Worker(NamedTuple):
    """The process that answers; of some servers it is a child."""

    pid: int


def start(started: list[subprocess.Popen[bytes]], command: list[str], folder: Path) -> tuple[Worker, int]:
    """Start a server; return who works and the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    filled = [part.format(port=port) for part in command]
    process = subprocess.Popen(
        filled, cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    started.append(process)
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
        except OSError:
            time.sleep(0.05)
            continue
        return Worker(max([process.pid, *children(process.pid)], key=cpu)), port
    raise SystemExit(f"{command[0]} did not start")


def children(pid: int) -> list[int]:
    """Return the ids of a process's children."""
    return [int(one) for task in Path(f"/proc/{pid}/task").iterdir() for one in (task / "children").read_text().split()]


if __name__ == "__main__":
    main()
