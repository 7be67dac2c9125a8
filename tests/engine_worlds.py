"""Where job engines are tried: a throw-away database, and the packages that the hub's own environment does not have."""

from __future__ import annotations

import asyncio
import json
import os
import select
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import pytest
from clusters import Cluster, postgres_programs
from engines import _database
from home import Home

from luminai.testing import engine_probe
from luminai.testing.engine_suite import CONFIG, LEASE, EngineWorld, assert_done_once, effects, put, wait_until_done
from luminai.testing.fleet import Fleet

ENVIRONMENT = Path(__file__).parent.parent / ".venv-engines"
CUT_OFF = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
FORGET = "UPDATE core__jobs SET told_until = NULL WHERE state = 'queued'"


def packages() -> tuple[Path, ...]:
    """Return the folder of the engines' packages; skip where it was not made."""
    found = ENVIRONMENT / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    if not found.is_dir():
        if os.environ.get("LUMINAI_REQUIRE_SERVICES"):
            raise FileNotFoundError(found)
        pytest.skip("the engines' packages are not there: make engines")
    return (found,)


@contextmanager
def own_server(ground: Path) -> Iterator[Cluster]:
    """Run a database server of a test's own."""
    server = Cluster(ground / "server", postgres_programs())
    server.make()
    server.configure(fsync="off", max_connections="60")
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def on_postgres(template: str, also: Callable[[], None] | None = None, **given: Any) -> Iterator[EngineWorld]:
    """Make a world on PostgreSQL whose connections break when it is disturbed; ``also`` is what breaks besides."""

    def do(url: str, statement: str) -> None:
        async def execute() -> None:
            import asyncpg

            connection = await asyncpg.connect(url)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        asyncio.run(execute())

    def disturb() -> None:
        do(url, CUT_OFF)
        if also is not None:
            also()

    with _database(template) as url:
        env = {"ENGINE_URL": url} | given.pop("env", {})
        yield EngineWorld(database_url=url, env=env, disturb=disturb, deliver_again=lambda: do(url, FORGET), **given)


def assert_lives_through_restarts(folder: Path, server: Cluster, engine: str, config: str = "", search: tuple[Path, ...] = ()) -> None:
    """Have a database server crash and come back, twice, while 200 jobs run on it, and look what became of them."""
    engine_probe.install(folder / "site")
    told = f'{CONFIG}[jobs]\nengine = "{engine}"\nlease-seconds = {LEASE}\n[database]\nurl = "{server.url}"\n{config}'
    fleet = Fleet(folder / "home", told, search=(folder / "site", *search), env={"ENGINE_URL": server.url})
    try:
        fleet.serve()
        put(fleet, "many", number=0, count=200, seconds=0.05)
        for done in (30, 110):
            wait_until_done(fleet, 0, 200, done)
            server.stop()
            server.start()
        assert_done_once(fleet, 0, 200)
    finally:
        fleet.close()


def assert_reaches_silver(folder: Path, plugin: str, settings: str, env: dict[str, str]) -> None:
    """Check an engine as its author would: with its packages, and the settings in a file."""
    home = Home(folder / "home")
    path = os.pathsep.join([*map(str, packages()), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    home.env |= env | {"PYTHONPATH": path}
    (home.folder / "settings.toml").write_text(settings)
    done = home.run("plugins", "check", plugin, "--level", "silver", "--settings", "settings.toml", "--json")
    found = json.loads(done.stdout)
    assert found["level"] == "silver", [rule for rule in found["rules"] if rule["outcome"] != "passed"]


def assert_waits_for_its_server(folder: Path, engine: str, config: str, variable: str, server: str) -> None:
    """Start a hub on SQLite while the engine's server is away, and bring the server back: the plugin runs, says what is wrong, and goes on.

    Args:
        variable: Takes the address.
        server: The address, with host and port as ``127.0.0.1:…``.
    """
    port = server.partition("127.0.0.1:")[2].partition("/")[0]
    with Cable(int(port)) as cable:
        engine_probe.install(folder / "site")
        told = f'{CONFIG}[jobs]\nengine = "{engine}"\n{config}'
        env = {variable: server.replace(f"127.0.0.1:{port}", f"127.0.0.1:{cable.port}")}
        fleet = Fleet(folder / "home", told, search=(folder / "site", *packages()), env=env)

        def said() -> dict[str, Any]:
            checks = fleet.send("GET", "/health/detailed")["checks"]
            return next(one for one in checks if (one["plugin"], one["name"]) == (f"engine-{engine}", "messages"))

        try:
            fleet.serve()
            put(fleet, "effect", number=1)
            assert said()["state"] == "degraded", said()
            assert effects(fleet, 1, 1) == []
            cable.lay()
            assert len(fleet.wait_for(lambda: effects(fleet, 1, 1))) == 1
            fleet.wait_for(lambda: said()["state"] == "ok")
        finally:
            fleet.close()


class Cable:
    """A way to a server of this machine that is laid later: before that nobody answers at its port."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._socket, suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def lay(self) -> None:
        """Answer from now on."""
        self._socket.listen()
        self._run(self._accept)

    def _run(self, work: Callable[..., None], *given: Any) -> None:
        thread = threading.Thread(target=work, args=given)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                self._run(self._carry, self._socket.accept()[0])

    def _carry(self, near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", self._to)) as far, suppress(OSError):
            while True:
                for one, other in ((near, far), (far, near)):
                    if one in select.select([near, far], [], [])[0]:
                        if not (some := one.recv(65536)):
                            return
                        other.sendall(some)
