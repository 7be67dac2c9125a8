"""Packages that the hub's own environment does not have, and a server of PostgreSQL that has pgvector."""

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from engines import _migrated, own_postgres_url
from vector_packages import packages

__all__ = ["_migrated", "own_postgres_url"]

SERVE = """
import sys, pgserver
server = pgserver.get_server(sys.argv[1], cleanup_mode="stop")
print(server.get_uri(), flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="session")
def pgvector_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a server with pgvector: `LUMINAI_TEST_PGVECTOR`, or one of the package pgserver, run by the Python beside it."""
    if given := os.environ.get("LUMINAI_TEST_PGVECTOR"):
        yield given
        return
    found = packages()
    if found is None or not (found / "pgserver").is_dir():
        pytest.skip("no PostgreSQL with pgvector: make vector-peers, or set LUMINAI_TEST_PGVECTOR")
    python = found.parents[2] / "bin" / "python"
    folder = Path("/tmp") / f"pgv{uuid.uuid4().hex[:8]}"  # noqa: S108 - a socket's path must be short; the name is not to be guessed
    with (tmp_path_factory.mktemp("pgserver") / "log").open("wb") as log:
        server = subprocess.Popen([python, "-c", SERVE, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        url = (server.stdout.readline() if server.stdout else "").strip()
        try:
            if not url:
                pytest.skip(f"pgserver does not start: {Path(log.name).read_text()[-300:]}")
            yield url
        finally:
            server.communicate(timeout=60)
            shutil.rmtree(folder, ignore_errors=True)
