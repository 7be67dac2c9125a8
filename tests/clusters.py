"""PostgreSQL servers of a test's own, to be stopped and started while hubs use them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


class Cluster:
    """A PostgreSQL server of a folder of its own. The server refuses to run as root, who then hands the folder to the user ``postgres``."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self.programs = folder, programs
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"postgresql://luminai@127.0.0.1:{self.port}/postgres"

    def run(self, program: str, *options: str) -> None:
        user: Any = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
        done = subprocess.run(
            [self.programs / program, *options],
            cwd="/",
            check=False,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a server that stays keeps what it inherits open
            stderr=subprocess.DEVNULL,
            **user,
        )
        log = self.folder.with_suffix(".log")
        assert done.returncode == 0, f"{program}: {log.read_text() if log.exists() else done.returncode}"

    def make(self) -> None:
        """Make its files."""
        self.run("initdb", "--auth=trust", "--username=luminai", "--no-sync", "--no-instructions", "--pgdata", str(self.folder))

    def configure(self, **settings: str) -> None:
        """Add settings, and what a throw-away server on this machine needs."""
        settings |= {"port": str(self.port), "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "shared_buffers": "16MB"}
        with (self.folder / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        self.run("pg_ctl", "start", "--wait", "--timeout=60", "--pgdata", str(self.folder), "--log", str(self.folder.with_suffix(".log")))

    def stop(self) -> None:
        """End it as a crash would: nothing is brought to an end."""
        self.run("pg_ctl", "stop", "--wait", "--mode=immediate", "--pgdata", str(self.folder))

    async def ask(self, statement: str) -> Any:
        import asyncpg

        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()


def postgres_programs() -> Path:
    """Return the folder of the server's programs; skip where there is none."""
    found = shutil.which("pg_ctl") or next(map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), reverse=True)), None)
    if found is None:
        if os.environ.get("LUMINAI_REQUIRE_SERVICES"):
            pytest.fail("PostgreSQL's pg_ctl is not installed")
        pytest.skip("PostgreSQL's pg_ctl is not installed")
    return Path(found).resolve().parent


@pytest.fixture
def ground() -> Iterator[Path]:
    """Return a folder that the server's user may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="luminai-cluster-") as name:
        if os.getuid() == 0:
            shutil.chown(name, "postgres", "postgres")
        yield Path(name)
