"""What the process and its machine have in use, read from ``/proc`` (proc(5)); what a system does not tell is left out."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Final

from luminai.telemetry.descriptors import open_descriptors
from luminai.telemetry.figures import Family, Labels, Value

_PROC: Final = Path("/proc")
_LEAST_SECONDS: Final = 1.0
_CGROUP: Final = Path("/sys/fs/cgroup/memory.max")
"""The limit of a container (cgroup v2)."""


class Machine:
    """Looks at the process. Shares of CPU are those of at least a second, the same for all who ask within it.

    Args:
        data_dir: Folder on the disk that is looked at.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._looked = (time.monotonic(), time.process_time(), *_ticks())
        self._shares = (0.0, 0.0)

    def families(self) -> list[Family]:
        """Return what is in use now; shares are between 0 and 1."""
        own, every = self._cpu()
        found = [
            _gauge("luminai_process_threads", "Threads of the process.", threading.active_count()),
            _gauge("luminai_process_cpu_share", "Share of all processors that this process takes.", own),
            _gauge("luminai_machine_cpu_share", "Share of all processors that is busy.", every),
        ]
        with contextlib.suppress(OSError, ValueError, KeyError):
            memory = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in (_PROC / "meminfo").read_text().splitlines()}
            limit = memory["MemTotal"]
            with contextlib.suppress(OSError, ValueError):
                limit = min(limit, int(_CGROUP.read_text()))
            rss = int((_PROC / "self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            found.append(_gauge("luminai_process_memory_share", "Resident memory of the process by what it may have.", rss / limit))
            found.append(_gauge("luminai_machine_memory_share", "Memory in use.", 1 - memory["MemAvailable"] / memory["MemTotal"]))
        with contextlib.suppress(OSError, ValueError):
            moved = dict(line.split(": ") for line in (_PROC / "self/io").read_text().splitlines())
            rows: dict[Labels, Value] = {("read",): float(moved["read_bytes"]), ("write",): float(moved["write_bytes"])}
            found.append(Family(name="luminai_process_disk_bytes", kind="counter", help="Bytes from and to disks.", labels=("direction",), rows=rows))
        with contextlib.suppress(OSError, ValueError, IndexError):
            counts = [line.split(":")[1].split() for line in (_PROC / "net/dev").read_text().splitlines()[2:] if not line.strip().startswith("lo:")]
            came, left = sum(int(one[0]) for one in counts), sum(int(one[8]) for one in counts)
            through: dict[Labels, Value] = {("in",): float(came), ("out",): float(left)}
            found.append(
                Family(name="luminai_machine_network_bytes", kind="counter", help="Bytes over the network.", labels=("direction",), rows=through)
            )
        with contextlib.suppress(OSError):
            disk = shutil.disk_usage(self._data_dir)
            found.append(_gauge("luminai_disk_free_share", "Free room on the disk of the data folder.", disk.free / disk.total))
        descriptors = open_descriptors()
        if descriptors is not None and descriptors.limit:
            found.append(
                _gauge("luminai_process_descriptors_share", "Open files and sockets by how many may be.", descriptors.open / descriptors.limit)
            )
        return found

    def _cpu(self) -> tuple[float, float]:
        """Return the share of this process, and of all."""
        now, used, idle, total = time.monotonic(), time.process_time(), *_ticks()
        since, used_before, idle_before, total_before = self._looked
        if now - since >= _LEAST_SECONDS:
            own = (used - used_before) / (now - since) / (os.cpu_count() or 1)
            every = 1 - (idle - idle_before) / (total - total_before) if total > total_before else 0.0
            self._looked, self._shares = (now, used, idle, total), (own, max(0.0, every))
        return self._shares


def _gauge(name: str, help: str, value: float) -> Family:  # noqa: A002 - Prometheus' word
    return Family(name=name, kind="gauge", help=help, rows={(): float(value)})


def _ticks() -> tuple[int, int]:
    """Return idle and all ticks of all processors since the machine began."""
    try:
        ticks = [int(one) for one in (_PROC / "stat").read_text().splitlines()[0].split()[1:9]]
    except (OSError, ValueError, IndexError):
        return 0, 0
    return ticks[3] + ticks[4], sum(ticks)
