"""Several hub processes on one PostgreSQL and one Redis behind nginx, as ``deploy/`` sets it up, and clients who repeat what got no answer."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import string
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import town_plugin
from home import LUMINAI, Home

TEMPLATE = Path(__file__).parents[1] / "deploy" / "nginx.conf.template"
CONFIG = """
[plugins.town]
enabled = true
[schedules]
min-interval = 1
[identity]
registration = "open"
verify-email = "off"
[limits]
address = { requests = 0 }
person = { requests = 0 }
api-key = { requests = 0 }
anonymous = { requests = 0 }
[limits.classes]
narrow = { requests = 20, seconds = 3600 }
"""
NGINX = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    {site}
}}
"""
PATIENCE = 60.0


class Node:
    """One process; it has the same port again when it begins again."""

    def __init__(self, home: Home, role: str) -> None:
        self._home = home
        self._role = role
        self._log = home.folder / f"{uuid4().hex}.log"
        self.url = ""
        self.begin()

    def begin(self) -> None:
        """Start it; ``ready`` waits for it."""
        command = [LUMINAI, "serve", "--port", self.url.rpartition(":")[2] or "0", "--role", self._role]
        with self._log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=self._home.folder, env=self._home.env, stderr=log)

    def ready(self) -> str:
        """Wait until it serves; return what it said."""

        def said() -> str:
            text = self._log.read_text()
            assert self.process.poll() is None, text
            return text if "Press Ctrl-C" in text else ""

        text: str = until(said)
        address = re.search(r"ready at (\S+)", text)
        assert address, text
        self.url = address[1]
        return text

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it and wait."""
        self.process.send_signal(how)
        self.process.wait(PATIENCE)


class Fleet:
    """The processes, the proxy before those that answer requests, and a key of the operator."""

    def __init__(self, home: Home, webs: list[Node], workers: list[Node], database_url: str) -> None:
        self.home, self.webs, self.workers = home, webs, workers
        self.database_url = database_url
        self.url = ""
        self.key = ""
        self._client = httpx.Client(timeout=30, limits=httpx.Limits(max_keepalive_connections=0))

    def ask(self, method: str, path: str, body: Any = None, *, url: str = "", key: str = "", **headers: str) -> httpx.Response:
        """Ask by the proxy, or one process at its own ``url``."""
        sent = {"Authorization": f"Bearer {key or self.key}", **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self._client.request(method, (url or self.url) + path, json=body, headers=sent)

    def insist(self, path: str, body: Any) -> int:
        """Post until it is sure that it took effect, always with the same key; return how often it had to be repeated."""
        key, end = uuid4().hex, time.monotonic() + PATIENCE
        for repeats in range(10_000):
            try:
                answer = self.ask("POST", path, body, Idempotency_Key=key)
            except httpx.TransportError:
                continue
            if answer.status_code < 300 or "idempotency-answer-lost" in answer.text:
                return repeats
            assert answer.status_code in (409, 502, 503, 504), answer.text
            assert time.monotonic() < end, answer.text
            threading.Event().wait(0.02)
        raise AssertionError("it was repeated too often")

    def rows(self, statement: str) -> list[Any]:
        """Ask the database itself."""
        import asyncpg

        async def ask() -> list[Any]:
            async with asyncio.timeout(PATIENCE):
                while True:
                    try:
                        connection = await asyncpg.connect(self.database_url)
                    except asyncpg.TooManyConnectionsError:  # other tests use the server too
                        await asyncio.sleep(0.1)
                    else:
                        break
            try:
                return [tuple(row) for row in await connection.fetch(statement)]
            finally:
                await connection.close()

        return asyncio.run(ask())

    def work_under(self, disturb: Callable[[], None], *, count: int, clients: int = 6) -> tuple[int, list[int]]:
        """Have clients post ``count`` numbers, and look as often; ``disturb`` runs once a third is done.

        Return how many posts were repeated, and the statuses of the looks, which no client repeats.
        """
        first = int(self.rows("SELECT coalesce(max(number), -1) + 1 FROM town__effects")[0][0])
        done, a_third = threading.Semaphore(0), count // 3

        def one(number: int) -> tuple[int, int]:
            repeats = self.insist("/api/town/note", {"number": number})
            done.release()
            return repeats, self.ask("GET", "/api/town/process").status_code

        with ThreadPoolExecutor(clients) as pool:
            asked = [pool.submit(one, first + number) for number in range(count)]
            for _ in range(a_third):
                assert done.acquire(timeout=PATIENCE)
            disturb()
            found = [each.result() for each in asked]
        return sum(repeats for repeats, _ in found), [status for _, status in found]


def until(is_so: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Wait until something is so, and return it."""
    end = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < end, "it did not become so in time"
        threading.Event().wait(0.05)
    return found


@contextmanager
def serving_fleet(folder: Path, database_url: str, redis_url: str, *, webs: int, workers: int) -> Iterator[Fleet]:
    """Serve a hub by so many processes behind nginx. The first makes keys and tables; the others begin at the same time."""
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")
    if nginx is None:
        assert not os.environ.get("LUMINAI_REQUIRE_SERVICES"), "nginx is not installed"
        pytest.skip("nginx is not installed")
    town_plugin.install(folder / "site")
    home = Home(folder / "home")
    (home.folder / "config.toml").write_text(CONFIG)
    settings = {f"LUMINAI_{table}__REDIS_URL": redis_url for table in ("LIMITS", "LIVE", "CACHE")}
    search = f"{folder / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    home.env |= {**settings, "LUMINAI_DATABASE__URL": database_url, "LUMINAI_SERVER__PROXIES": "1", "PYTHONPATH": search}
    nodes = [Node(home, "web")]
    try:
        token = re.search(r"token: (\S+)", nodes[0].ready())
        assert token, "a new hub offers a token"
        home.env["LUMINAI_URL"] = nodes[0].url
        done = home.run("setup", "--token-stdin", given=token[1] + "\n")
        assert done.returncode == 0, done.stderr
        nodes += [Node(home, "web") for _ in range(webs - 1)] + [Node(home, "worker") for _ in range(workers)]
        for node in nodes[1:]:
            node.ready()
        fleet = Fleet(home, nodes[:webs], nodes[webs:], database_url)
        fleet.key = home.data("keys", "create", "--name", "operator", "--scope", "*")["key"]
        with _proxy(nginx, folder / "nginx", fleet.webs) as fleet.url:
            yield fleet
    finally:
        for node in nodes:
            node.process.terminate()
        for node in nodes:
            node.process.wait(PATIENCE)


@contextmanager
def _proxy(nginx: str, folder: Path, webs: list[Node]) -> Iterator[str]:
    """Run nginx by the template of ``deploy/``; yield its address."""
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    servers = " ".join(f"server {node.url.removeprefix('http://')} max_fails=2 fail_timeout=2s;" for node in webs)
    site = string.Template(TEMPLATE.read_text()).safe_substitute(LUMINAI_LISTEN=f"127.0.0.1:{port}", LUMINAI_SERVERS=servers)
    (folder / "nginx.conf").write_text(NGINX.format(site=site))
    command = [nginx, "-p", folder, "-e", "stderr", "-c", "nginx.conf"]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stderr=log) as process:

        def answers() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        try:
            until(answers)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
