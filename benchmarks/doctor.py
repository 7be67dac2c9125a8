"""How long `luminai plugins doctor` takes to judge 100 plugins without importing one, beside `luminai --version`, in turns, in one run.

Usage: python benchmarks/doctor.py [rounds]. Bar: 0.5 s.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from swaps import write

LUMINAI = Path(sys.executable).parent / "luminai"


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, [f"made-{number}" for number in range(100)])
        env = {**os.environ, "PYTHONPATH": str(folder / "site"), "XDG_CACHE_HOME": str(folder / "cache"), "LUMINAI_HOME": str(folder / "user")}
        commands = {"luminai --version": ["--version"], "luminai plugins doctor, 100 plugins": ["plugins", "doctor"]}
        figures: dict[str, list[float]] = {title: [] for title in commands}
        for _ in range(rounds + 1):
            for title, arguments in commands.items():
                began = time.perf_counter()
                subprocess.run([LUMINAI, *arguments], cwd=folder, env=env, capture_output=True, check=True)
                figures[title].append(time.perf_counter() - began)
    for title, seconds in figures.items():
        print(f"{title:<40} {statistics.median(seconds[1:]):.3f} s")


if __name__ == "__main__":
    main()
