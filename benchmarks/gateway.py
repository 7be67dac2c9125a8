"""The hub as a gateway beside LiteLLM's proxy and Portkey's, in turns, in one run, over one fake model service.

Usage: make gateway-peers; python benchmarks/gateway.py [--only hub,litellm,portkey] [--rounds 3] [--quick] [--folder DIR] [--json FILE]

Each gateway has core 0 for itself; the service and the load share core 1. LiteLLM is in the leanest set-up that it documents for production: no database,
no callbacks, no retries, one worker. The hub has everything on: an API key, credits that are held and settled, a stored record of each call, hooks,
limits. CPU is that of a gateway's whole process tree, to the nanosecond; it also holds on a busy machine, times do not. Of several rounds the median.

"truth": every scene of `gateway_traffic.SCENES`, whole and streamed: cut, stalled, reset and malformed replies, wrong and missing counts. A reply is
wrong when its tokens, its usage or how it says that it ended is not what the service did; figures are never made up for a reply that broke off.
A missed bar is printed as such; the exit code is 1 only when the hub told something that is not true.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from gateway_traffic import ASKED, NO_END, SCENES, Load, Reply, run, runner

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".venv-gateways"
PATH = "/v1/chat/completions"
LOADS = {
    "json 1": Load(0, PATH, (), connections=1, requests=800, warm=150),
    "json 64": Load(0, PATH, (), connections=64, requests=3000, warm=400),
    "stream 1": Load(0, PATH, (), connections=1, requests=60, warm=10, streams=True, tokens=64),
    "paced 40": Load(0, PATH, (), connections=40, requests=120, warm=40, streams=True, tokens=100, model="fake-t50-i20"),
}
OFFERED = 40 / (0.05 + 100 * 0.02) * 100
"""Tokens a second that 40 paced streams would bring through nothing at all."""
MODELS = ["fake", "fake-t50-i20", *(f"fake-{scene}" for scene in SCENES if scene)]
BROKEN = frozenset(f"fake-{name}" for name, scene in SCENES.items() if scene.ends == NO_END)
"""A provider of their own: one that failed too often rests, and the others must not rest with it."""
STALL_SECONDS = 2.0
IN_TIME = 8.0
PRODUCT = """
product = "bench"
title = "Bench"
unit = "BENCH_CREDIT"
unit-title = "Credits"
start = 2020-01-01
default-plan = "free"
welcome = 1000000000

[[prices]]
action = "ai-gateway.chat"
per = { input_tokens = { amount = 1, each = 1000 }, output_tokens = { amount = 2, each = 1000 } }

[[plans]]
id = "free"
title = "Free"
"""


class Gateway(NamedTuple):
    """A running one: where it listens, what its callers send, its process (0: no gateway at all)."""

    name: str
    port: int
    headers: tuple[str, ...]
    pid: int
    started: float = 0.0


def tree(pid: int) -> list[int]:
    """Return the ids of a process and all below it."""
    found = [pid] if pid else []
    for one in found:
        try:
            found += [int(child) for task in Path(f"/proc/{one}/task").iterdir() for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def cpu(pid: int) -> float:
    """Return the CPU seconds of a process tree."""
    total = 0
    for one in tree(pid):
        try:
            total += sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{one}/task").iterdir())
        except OSError:
            continue
    return total / 1e9


def memory(pid: int) -> float:
    """Return the resident memory of a process tree in MB."""
    pages = 0
    for one in tree(pid):
        try:
            pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
        except OSError:
            continue
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(command: list[str], port: int, core: int, folder: Path, **env: str) -> Iterator[tuple[int, float]]:
    """Run a server pinned to a core; give its id and the seconds until it answers."""
    pinned = ["taskset", "-c", str(core), *command] if shutil.which("taskset") and (os.cpu_count() or 1) > 1 else command
    log = folder / f"{port}.log"
    began = time.perf_counter()
    with log.open("wb") as out:
        one = subprocess.Popen(pinned, cwd=folder, env={**os.environ, **env}, stdout=out, stderr=out, start_new_session=True)
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2)
                break
            except urllib.error.HTTPError:
                break
            except OSError:
                if one.poll() is not None or time.perf_counter() - began > 180:
                    raise SystemExit(f"{command[0]} did not start:\n{log.read_text(errors='replace')[-3000:]}") from None
                time.sleep(0.05)
        yield one.pid, time.perf_counter() - began
    finally:
        os.killpg(one.pid, signal.SIGTERM)
        try:
            one.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(one.pid, signal.SIGKILL)
            one.wait()


@contextmanager
def direct(service: int, folder: Path) -> Iterator[Gateway]:  # noqa: ARG001 - as all of them
    yield Gateway("direct", service, (), 0)


@contextmanager
def litellm(service: int, folder: Path) -> Iterator[Gateway]:
    port = free_port()
    models = [
        {"model_name": name, "litellm_params": {"model": f"openai/{name}", "api_base": f"http://127.0.0.1:{service}/v1", "api_key": "up"}}
        for name in MODELS
    ]
    settings = {
        "model_list": models,
        "router_settings": {"num_retries": 0},
        "litellm_settings": {"num_retries": 0, "request_timeout": STALL_SECONDS, "set_verbose": False},
        "general_settings": {"master_key": "sk-bench"},
    }
    (folder / "litellm.yaml").write_text(json.dumps(settings))  # JSON is YAML
    command = [str(PEERS / "bin/litellm"), "--config", "litellm.yaml", "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    own = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
    with process(command, port, 0, folder, **own) as (pid, started):
        yield Gateway("litellm", port, ("authorization: Bearer sk-bench",), pid, started)


@contextmanager
def portkey(service: int, folder: Path) -> Iterator[Gateway]:
    port = free_port()
    script = PEERS / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"
    headers = ("authorization: Bearer up", "x-portkey-provider: openai", f"x-portkey-custom-host: http://127.0.0.1:{service}/v1")
    own = {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost", "NODE_ENV": "production"}
    with process(["node", str(script), "--headless", f"--port={port}"], port, 0, folder, **own) as (pid, started):
        yield Gateway("portkey", port, (*headers, f"x-portkey-request-timeout: {STALL_SECONDS * 1000:.0f}"), pid, started)


@contextmanager
def hub(service: int, folder: Path) -> Iterator[Gateway]:
    port = free_port()
    many, all_from_here = {"requests": 1_000_000, "per": "caller"}, {"requests": 1_000_000, "per": "address"}
    plugins: dict[str, Any] = {
        **{name: {} for name in ("ledger", "knowledge", "resonance", "personas", "ai-offline", "chat")},
        "credits": {"products": ["product.toml"]},
        "ai-openai": {
            "instances": [
                {
                    "name": name,
                    "base-url": f"http://127.0.0.1:{service}/v1",
                    "models": [{"id": model} for model in MODELS if (model in BROKEN) is broken],
                }
                for name, broken in (("fake", False), ("broken", True))
            ],
        },
        "ai-gateway": {
            "calls-per-person": 1000,
            "direct": {"idle-seconds": STALL_SECONDS, "retries": 0},
            "routes": [
                {"name": name, "models": [f"{'broken' if name in BROKEN else 'fake'}/{name}"], "idle-seconds": STALL_SECONDS, "retries": 0}
                for name in MODELS
            ],
        },
        "ai-faces": {},
    }
    (folder / "product.toml").write_text(PRODUCT)
    lines = [
        f'[hub]\ndata = "data"\n[server]\nport = {port}\n[log]\nlevel = "error"\n[limits]\napi-key = {toml(many)}\naddress = {toml(all_from_here)}\n'
    ]
    grants = {"ai-openai": ["secrets", f"outbound:127.0.0.1:{service}"], "ai-faces": ["site-root"]}
    grants |= {name: ["anonymous-routes"] for name in ("chat", "personas", "resonance", "knowledge")}
    for name, config in plugins.items():
        lines.append(f"[plugins.{name}]\nenabled = true\napprove = {toml(grants.get(name, []))}\nconfig = {toml(config)}\n")
    (folder / "config.toml").write_text("\n".join(lines))
    command = str(Path(sys.executable).parent / "luminai")
    own = {"LUMINAI_HOME": str(folder / "home"), "XDG_CACHE_HOME": str(folder), "LUMINAI_URL": ""}

    def luminai(*arguments: str) -> Any:
        done = subprocess.run([command, *arguments], cwd=folder, env={**os.environ, **own}, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"luminai {' '.join(arguments)}: {done.stderr[-2000:]}")
        return json.loads(done.stdout)

    key = luminai("keys", "create", "--name", "bench")
    with process([command, "serve"], port, 0, folder, **own) as (pid, started):
        yield Gateway("hub", port, (f"authorization: Bearer {key['key']}",), pid, started)


def toml(value: Any) -> str:
    """Return a value as an inline one of TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(one)}" for key, one in value.items()) + "}"
    return "[" + ", ".join(toml(one) for one in value) + "]" if isinstance(value, list) else json.dumps(value)


GATEWAYS = {"direct": direct, "litellm": litellm, "portkey": portkey, "hub": hub}


def measure(gateway: Gateway, load: Load, *, quick: bool) -> dict[str, float]:
    """Return the figures of a load, with the gateway's own CPU a request and a token."""
    filled = load._replace(port=gateway.port, headers=gateway.headers, requests=max(load.connections, load.requests // (8 if quick else 1)))
    before = [0.0]

    def warm() -> None:
        before[0] = cpu(gateway.pid)

    found = runner()(run(filled, before=warm))
    own = cpu(gateway.pid) - before[0]
    return {
        **found,
        "cpu_request_ms": own / found["requests"] * 1e3,
        "cpu_token_us": own / max(1, found["tokens"]) * 1e6,
        "memory": memory(gateway.pid),
    }


def answers(gateway: Gateway) -> None:
    """Raise unless a gateway answers at all: figures of errors are none."""
    found: list[Reply] = []
    runner()(run(Load(gateway.port, PATH, gateway.headers, requests=1), lambda reply: not found.append(reply)))
    if found[0].status != 200:
        raise SystemExit(f"{gateway.name} answers {bytes(found[0].got[-800:]).decode(errors='replace')}")


def untrue(gateway: Gateway) -> list[str]:
    """Return what a gateway told that is not so, over all scenes."""
    lies = []
    for name, scene in SCENES.items():
        for streams in (False, True):
            said: list[tuple[int, str, int | None]] = []

            def look(reply: Reply, said: list[Any] = said) -> bool:
                said.append(reply.said() if reply.start >= 0 else (0, "none", None))
                return True

            model = f"fake-{name}" if name else "fake"
            load = Load(gateway.port, PATH, gateway.headers, requests=4, streams=streams, tokens=ASKED, model=model, seconds=IN_TIME)
            runner()(run(load._replace(connections=4), look))
            wrong = [one for one in said if not scene.is_told(one, streamed=streams)]
            if wrong:
                lies.append(f"{name or 'whole'}{', streamed' if streams else ''}: {len(wrong)} of {len(said)}, e.g. {wrong[0]}")
    return lies


Figures = dict[str, dict[str, dict[str, float]]]


def show(figures: Figures, lies: Mapping[str, list[str]]) -> None:
    """Print what each came to, then the bars."""
    for scene, load in LOADS.items():
        for name, found in figures.items():
            one = found[scene]
            line = f"{scene:<9} {name:<8} {one['per_second']:8.0f}/s  p50 {one['p50']:8.2f}  p99 {one['p99']:8.2f} ms"
            if load.streams:
                line += f"  {one['tokens_per_second']:8.0f} tokens/s  first {one['first_p50']:7.2f} ms  gap p99 {one['gap_p99']:6.2f} ms"
                line += f"  {one['cpu_token_us']:7.1f} µs CPU a token"
            else:
                line += f"  {one['cpu_request_ms']:7.3f} ms CPU a request"
            print(f"{line}  {one['memory']:5.0f} MB  {one['wrong']:.0f} wrong")
    for name, found_lies in lies.items():
        print(f"truth     {name:<8} {len(found_lies)} of {2 * len(SCENES)} scenes untrue" + "".join(f"\n            {lie}" for lie in found_lies))
    if "hub" in figures:
        bars(figures, lies)


def bars(figures: Figures, lies: Mapping[str, list[str]]) -> None:
    """Print the hub beside its bars."""
    own, base, other = figures["hub"], figures["direct"], figures.get("litellm")

    def line(what: str, is_met: bool | None, said: str) -> None:
        print(f"{'met   ' if is_met else 'MISSED' if is_met is not None else '  ?   '} {what:<38} {said}")

    def ratio(what: str, scene: str, name: str, bar: float, unit: str) -> None:
        if other is None:
            line(what, None, f"{own[scene][name]:.3f} {unit}, LiteLLM was not measured")
            return
        found = own[scene][name] / other[scene][name]
        is_met = found <= bar if bar < 1 else found >= bar
        line(what, is_met, f"{own[scene][name]:.3f} {unit}, LiteLLM {other[scene][name]:.3f}: ratio {found:.3f}, bar {bar:.3f}")

    print()
    ratio("own CPU a JSON request", "json 64", "cpu_request_ms", 1 / 5, "ms")
    ratio("JSON at 64 connections", "json 64", "per_second", 8, "requests/s")
    ratio("own CPU a paced token", "paced 40", "cpu_token_us", 1 / 8, "µs")
    share = own["paced 40"]["tokens_per_second"] / OFFERED
    line("40 paced streams, share of offered", share >= 0.95, f"{share:.1%}, bar 95 %; direct {base['paced 40']['tokens_per_second'] / OFFERED:.1%}")
    line(
        "40 paced streams, gap p99",
        own["paced 40"]["gap_p99"] <= 30,
        f"{own['paced 40']['gap_p99']:.1f} ms, bar 30; direct {base['paced 40']['gap_p99']:.1f}",
    )
    added = own["stream 1"]["first_p50"] - base["stream 1"]["first_p50"]
    line("first token added, one stream, p50", added <= 3, f"{added:.2f} ms, bar 3")
    most = max(one["memory"] for one in own.values())
    line("memory after the run", most <= 200, f"{most:.0f} MB, bar 200")
    line("truth", not lies["hub"], f"{len(lies['hub'])} untrue scenes, bar 0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="hub,litellm,portkey")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="an eighth of the requests")
    parser.add_argument("--folder", default=None, help="on the disk that counts")
    parser.add_argument("--json", type=Path, default=None, help="write all figures there")
    asked = parser.parse_args()
    there = {"hub": True, "litellm": (PEERS / "bin/litellm").exists(), "portkey": (PEERS / "portkey/node_modules").exists()}
    names = ["direct", *(name for name in asked.only.split(",") if there[name])]
    for name in asked.only.split(","):
        if not there[name]:
            print(f"{name} is not installed (make gateway-peers): left out")
    rounds: list[Figures] = []
    lies: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        service = free_port()
        if (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(0, {1})
        with process([sys.executable, str(ROOT / "benchmarks/gateway_traffic.py"), "serve", str(service)], service, 1, Path(name)):
            for number in range(asked.rounds):
                figures: Figures = {}
                for peer in names:
                    folder = Path(name) / f"{peer}-{number}"
                    folder.mkdir()
                    with GATEWAYS[peer](service, folder) as gateway:
                        answers(gateway)
                        figures[peer] = {scene: measure(gateway, load, quick=asked.quick) for scene, load in LOADS.items()}
                        if number == 0 and peer != "direct":
                            lies[peer] = untrue(gateway)
                rounds.append(figures)
    middle = {
        peer: {scene: {key: statistics.median(one[peer][scene][key] for one in rounds) for key in rounds[0][peer][scene]} for scene in LOADS}
        for peer in names
    }
    show(middle, lies)
    if asked.json is not None:
        asked.json.write_text(json.dumps({"rounds": rounds, "untrue": lies}, indent=1))
    sys.exit(1 if lies.get("hub") else 0)


if __name__ == "__main__":
    main()
