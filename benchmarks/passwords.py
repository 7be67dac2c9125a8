"""What checking a password costs: the hub's argon2id beside the two settings that libraries come with, in turns in one run.

Usage: python benchmarks/passwords.py [checks]. For each setting the median milliseconds and the memory of one check, and checks a second with as many
threads as the hub uses (one a core). Last, the longest stall of the event loop while checks come without pause (bar 100 ms), and how many of 200 that
come at once the hub works on, the rest being told to come again.
"""

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher

from luminai.contracts.errors import Unavailable
from luminai.identity.passwords import MEMORY_KIB, Passwords

SETTINGS = {
    "the hub's (OWASP's, ASVS)": (2, MEMORY_KIB, 1),
    "OWASP's other": (1, 47_104, 1),
    "argon2-cffi as it comes": (3, 65_536, 4),
}


def main() -> None:
    checks = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    print(f"{'':>28} {'ms':>7} {'MiB':>6} {'checks/s':>9}")
    hashers = {name: PasswordHasher(time_cost=t, memory_cost=m, parallelism=p) for name, (t, m, p) in SETTINGS.items()}
    works = {name: checking(hasher) for name, hasher in hashers.items()}
    took: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(checks):
        for name, work in works.items():
            took[name].append(timed(work))
    for name, work in works.items():
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            began = time.perf_counter()
            list(pool.map(lambda work: work(), [work] * checks))
            rate = checks / (time.perf_counter() - began)
        print(f"{name:>28} {statistics.median(took[name]) * 1000:>7.1f} {SETTINGS[name][1] / 1024:>6.0f} {rate:>9.0f}")
    asyncio.run(flood(checks))


def checking(hasher: PasswordHasher) -> Callable[[], object]:
    stored = hasher.hash("nine wooden ladders")
    return lambda: hasher.verify(stored, "nine wooden ladders")


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


async def flood(checks: int) -> None:
    passwords = Passwords()
    stored = await passwords.hash("nine wooden ladders")
    watch = asyncio.ensure_future(longest_stall(5.0))
    await asyncio.gather(*(again(passwords, stored, checks) for _ in range(4)))
    watch.cancel()
    stall = await asyncio.gather(watch, return_exceptions=True)
    found = await asyncio.gather(*(passwords.verify(stored, "wrong") for _ in range(200)), return_exceptions=True)
    refused = sum(isinstance(one, Unavailable) for one in found)
    print(f"longest stall of the loop {stall[0]}; of 200 at once {200 - refused} were looked at, {refused} told to come again")


async def again(passwords: Passwords, stored: str, checks: int) -> None:
    for _ in range(checks):
        await passwords.verify(stored, "nine wooden ladders")


async def longest_stall(seconds: float) -> str:
    longest, end = 0.0, time.perf_counter() + seconds
    while (before := time.perf_counter()) < end:
        try:
            await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            break
        longest = max(longest, time.perf_counter() - before - 0.005)
    return f"{longest * 1000:.0f} ms"


if __name__ == "__main__":
    main()
