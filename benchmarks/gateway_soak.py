"""Memory of the hub as a gateway under a mixed load: whole and streamed replies, every scene of `gateway_traffic.SCENES`, readers that leave in the middle.

Usage: python benchmarks/gateway_soak.py [--minutes 10] [--warm 5] [--folder DIR] [--json FILE]

Everything is on, as in gateway.py: a key, credits, records, hooks. After the warm-up, in which caches fill, what counts is how much higher the median
of the last third of the samples lies than that of the first third. The exit code is 1 when that is more than 3 %, when memory was above 200 MB, or when
the hub told something that is not true. The largest cache is that of SQLite's pages, 16 MB of the connection that writes: calls of a few KB fill it, so
the warm-up begins with as many as that takes, without the scenes, which wait more than they call.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from gateway import LOADS, ROOT, Gateway, answers, free_port, hub, memory, process, untrue
from gateway_traffic import Load, Reply, run, runner

MOST = 200.0
GROWTH = 0.03
LEAVING = LOADS["paced 40"]._replace(warm=0, seconds=0.3)
"""Each reader is gone after 0.3 of 2 seconds."""
FILLING = 12_000
"""More calls than it takes until SQLite holds as many pages as it may; each adds 2.5 KB until then, and none after it."""


def mixed(gateway: Gateway, *, scenes: bool = True) -> tuple[int, list[str]]:
    """Send some of each kind; return how many calls that was, and what was told that is not so."""
    where = {"port": gateway.port, "headers": gateway.headers}
    loads: list[Load] = [LOADS["json 64"]._replace(warm=0, requests=640), LOADS["stream 1"]._replace(warm=0, connections=8, requests=32), LEAVING]
    lies = []
    for load in loads:
        statuses: Counter[int] = Counter()

        def look(reply: Reply, load: Load = load, statuses: Counter[int] = statuses) -> bool:
            statuses[reply.status if reply.marks == load.tokens else -reply.status] += 1
            return True

        runner()(run(load._replace(**where), look))
        if load is not LEAVING and statuses.keys() != {200}:
            lies.append(f"{load.requests} calls were answered {dict(statuses)}, below 0 not whole")
    return sum(load.requests for load in loads), lies + (untrue(gateway) if scenes else [])


def growth(samples: Sequence[float]) -> float:
    """Return by how much of itself memory grew, of samples taken evenly."""
    third = max(1, len(samples) // 3)
    return statistics.median(samples[-third:]) / statistics.median(samples[:third]) - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--warm", type=float, default=None, metavar="MINUTES", help="before that; half of them by default")
    parser.add_argument("--folder", default=None, help="on the disk that counts")
    parser.add_argument("--json", type=Path, default=None, help="write all samples there")
    asked = parser.parse_args()
    samples: list[float] = []
    lies: list[str] = []
    calls = 0
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        service = free_port()
        if (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(0, {1})
        traffic = [sys.executable, str(ROOT / "benchmarks/gateway_traffic.py"), "serve", str(service)]
        with process(traffic, service, 1, Path(name)), hub(service, Path(name)) as gateway:
            answers(gateway)
            while calls < FILLING:
                sent, told = mixed(gateway, scenes=False)
                calls, lies = calls + sent, lies + told
            print(f"{calls:>8} calls  {memory(gateway.pid):6.1f} MB  (SQLite's pages are in)", flush=True)
            counts = time.monotonic() + (asked.minutes / 2 if asked.warm is None else asked.warm) * 60
            end = counts + asked.minutes * 60
            while (now := time.monotonic()) < end:
                sent, told = mixed(gateway)
                calls, lies = calls + sent, lies + told
                held = memory(gateway.pid)
                if now >= counts:
                    samples.append(held)
                print(f"{calls:>8} calls  {held:6.1f} MB  {len(told)} untrue{'' if now >= counts else '  (warm-up)'}", flush=True)
    grew = growth(samples)
    is_met = grew <= GROWTH and max(samples) <= MOST and not lies
    print(f"{'met   ' if is_met else 'MISSED'} {asked.minutes:g} minutes, {calls} calls and the scenes: {samples[0]:.0f} MB at first, at most")
    print(f"       {max(samples):.0f} (bar {MOST:.0f}), grew by {grew:.1%} (bar {GROWTH:.0%}), {len(lies)} untrue (bar 0)")
    for lie in dict.fromkeys(lies):
        print(f"       {lie}")
    if asked.json is not None:
        asked.json.write_text(json.dumps({"minutes": asked.minutes, "calls": calls, "memory": samples, "untrue": lies}, indent=1))
    sys.exit(0 if is_met else 1)


if __name__ == "__main__":
    main()
