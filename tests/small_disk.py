"""A small file system of a test's own, to run full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

MEGABYTES = 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 4 MB; skip where this user may not."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", folder], capture_output=True, text=True, check=False)
    if done.returncode:
        if os.environ.get("LUMINAI_REQUIRE_SERVICES") and os.geteuid() == 0:
            pytest.fail(f"a small file system cannot be mounted: {done.stderr}")
        pytest.skip(f"only root may mount a small file system ({done.stderr.strip()})")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Path:
    """Take what room is left; deleting the returned file gives it back."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return ballast
