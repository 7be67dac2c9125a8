"""How long a hub takes from its process's start to ready, with 0, 10, 50 and 100 generated plugins of five routes each, every plugin's app built.

Beside it a bare server in the same run: the same libraries (Litestar, uvicorn, SQLAlchemy) and the same routes in one app, nothing else.

Usage: python benchmarks/boot.py [runs]. Bars on two cores: 0.6 s with none, 1.6 s with 100. Prints medians, and what the phases took.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from textwrap import dedent

LUMINAI = Path(sys.executable).parent / "luminai"
COUNTS = (0, 10, 50, 100)
PLUGIN = """
    from litestar import get, post
    from litestar.params import FromPath, JSONBody
    from msgspec import Struct
    from luminai import hookimpl, policy

    class Item(Struct):
        name: str
        size: int

    class Plugin:
        @hookimpl
        def routes(self, ctx):
            base = f"/api/{ctx.id}"
            @get(f"{base}/items", opt=policy())
            async def list_items() -> list[Item]: return []
            @get(f"{base}/items/{{item_id:str}}", opt=policy())
            async def show(item_id: FromPath[str]) -> Item: return Item(item_id, 1)
            @post(f"{base}/items", opt=policy())
            async def add(data: JSONBody[Item]) -> Item: return data
            @get(f"{base}/count", opt=policy())
            async def count() -> int: return 0
            @get(f"{base}/about", opt=policy())
            async def about() -> dict[str, str]: return {"id": ctx.id}
            return [list_items, show, add, count, about]
"""
BARE = """
import importlib
from pathlib import Path
from types import SimpleNamespace
import sqlalchemy.orm, uvicorn
from litestar import Litestar
handlers = []
for folder in sorted(Path("site").glob("luminai_made_*[0-9]")):
    plugin = importlib.import_module(f"{folder.name}.plugin").Plugin()
    handlers += plugin.routes(SimpleNamespace(id=folder.name))
class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print("ready", flush=True)
Server(uvicorn.Config(Litestar(handlers, openapi_config=None), port=0, log_config=None, lifespan="off")).run()
"""


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"{'plugins':>8} {'wall s':>8} {'bare s':>8} {'ratio':>6} {'hub ms':>8} {'apps ms':>8}   median of {runs}")
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            site = write_plugins(Path(folder), count)
            results = [(*boot(Path(folder), site), bare(Path(folder), site)) for _ in range(runs + 1)][1:]
        wall, hub, apps, alone = (statistics.median(column) for column in zip(*results, strict=True))
        print(f"{count:>8} {wall:>8.2f} {alone:>8.2f} {wall / alone:>6.2f} {hub:>8.0f} {apps:>8.0f}", flush=True)


def write_plugins(folder: Path, count: int) -> Path:
    site = folder / "site"
    site.mkdir()
    config = ['[log]\nlevel = "error"\n']
    for number in range(count):
        plugin_id, package = f"made-{number}", f"luminai_made_{number}"
        (site / package).mkdir()
        (site / package / "__init__.py").touch()
        (site / package / "plugin.py").write_text(dedent(PLUGIN))
        (site / package / "luminai-plugin.toml").write_text(
            f'manifest = 1\nid = "{plugin_id}"\ntitle = "Made {number}"\nsummary = "Made."\napi = ">=1.0,<2"\nprovides = ["routes"]\n'
        )
        info = site / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: luminai-made-{number}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[luminai.plugins]\n{plugin_id} = {package}.plugin:Plugin\n")
        config.append(f"[plugins.{plugin_id}]\nenabled = true\n")
    (folder / "config.toml").write_text("\n".join(config))
    return site


def boot(folder: Path, site: Path) -> tuple[float, float, float]:
    """Start a hub; return seconds until it said that it is ready, its own milliseconds, and those of importing to building all apps."""
    env = {**os.environ, "PYTHONPATH": str(site), "XDG_CACHE_HOME": str(folder), "LUMINAI_SERVER__PORT": "0"}
    began = time.perf_counter()
    with subprocess.Popen([LUMINAI, "serve"], cwd=folder, env=env, stderr=subprocess.PIPE, text=True) as process:
        line = process.stderr.readline() if process.stderr else ""
        wall = time.perf_counter() - began
        found = re.search(r"ready at \S+  \((\d+) ms", line)
        if not found:
            raise SystemExit(f"the hub did not start: {line}")
        process.terminate()
        process.stderr.read()
    return wall, float(found[1]), phases(folder, site)


def bare(folder: Path, site: Path) -> float:
    """Start the bare server; return seconds until it listened."""
    began = time.perf_counter()
    env = {**os.environ, "PYTHONPATH": str(site)}
    with subprocess.Popen([sys.executable, "-c", BARE], cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        line = process.stdout.readline() if process.stdout else ""
        wall = time.perf_counter() - began
        if line != "ready\n":
            raise SystemExit(f"the bare server did not start: {line}")
        process.terminate()
    return wall


def phases(folder: Path, site: Path) -> float:
    """Return the milliseconds of import, bind, collect and check of all plugins, from a report made in a process of its own."""
    code = """
import asyncio, json, os
from pathlib import Path
from luminai.config.layers import load
from luminai.host.hub import Hub
async def main():
    hub = Hub(load(Path("config.toml"), {"LUMINAI_DATA": "phases"}))
    await hub.start()
    print(json.dumps(sum(sum(one.timings_ms.values()) for one in hub.report.plugins)))
    await hub.stop()
asyncio.run(main())
"""
    env = {**os.environ, "PYTHONPATH": str(site), "XDG_CACHE_HOME": str(folder)}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout))


if __name__ == "__main__":
    main()
