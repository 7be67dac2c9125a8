# ruff: noqa: S101 - a hub that does not start fails the test
"""Hubs in processes of their own on one database, for tests that kill them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

T = TypeVar("T")
SECONDS: Final = 60.0
"""Longest wait for anything."""


class NotNow(AssertionError):
    """The hub answers that it cannot, for now (503)."""


class Node:
    """One process that serves the hub."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        command = [sys.executable, "-c", "from luminai.cli.main import main; main()", "serve", "--port", "0"]
        self._process = subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # noqa: S603
        assert self._process.stderr is not None
        said = ""
        for line in self._process.stderr:
            said += line
            if "Press Ctrl-C" in line:
                break
        address, token = re.search(r"ready at (\S+)", said), re.search(r"token: (\S+)", said)
        assert address is not None, said
        self.url, self.token = address[1], token[1] if token is not None else ""
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it without a word (SIGKILL)."""
        self._process.kill()
        self._gone()

    def stop(self) -> None:
        """End it as an operator does (SIGTERM)."""
        self._process.send_signal(signal.SIGTERM)
        self._gone()

    def _drain(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as said:
            said.read()

    def _gone(self) -> None:
        self._process.wait(SECONDS)
        self._reader.join()


class Fleet:
    """A hub, served by any number of processes.

    Args:
        folder: Its home, empty.
        config: config.toml.
        search: Folders in which its processes find more packages.
        env: More environment.
    """

    def __init__(self, folder: Path, config: str, *, search: tuple[Path, ...] = (), env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.toml").write_text(config)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LUMINAI_")}
        path = os.pathsep.join([*map(str, search), *filter(None, [os.environ.get("PYTHONPATH", "")])])
        self._env = {**kept, "LUMINAI_HOME": str(folder / "user"), "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": path, **(env or {})}
        self._nodes: list[Node] = []
        self._key = ""

    @property
    def nodes(self) -> list[Node]:
        """Those that run, the oldest first."""
        return [node for node in self._nodes if node.is_alive]

    def serve(self, count: int = 1) -> list[Node]:
        """Have so many processes serve, and return them."""
        for extra in self.nodes[count:]:
            extra.stop()
        while len(self.nodes) < count:
            (self.folder / "data" / "starts.json").unlink(missing_ok=True)  # kills from outside are no bad starts
            node = Node(self.folder, self._env)
            self._nodes.append(node)
            if not self._key:
                self._key = self.send("POST", "/api/setup", {"token": node.token})["key"]
        return self.nodes

    def close(self) -> None:
        """End all of them."""
        for node in self.nodes:
            node.stop()

    def send(self, method: str, path: str, body: object = None) -> Any:
        """Ask the oldest process as the hub's operator; return the answer's JSON.

        Raises:
            NotNow: it cannot, for now.
            AssertionError: it refuses.
        """
        address = urlsplit(self.nodes[0].url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=SECONDS)
        headers = {"Idempotency-Key": uuid4().hex, "Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            raw = answer.read()
        finally:
            connection.close()
        if answer.status == 503:
            raise NotNow(raw)
        assert answer.status < 300, raw
        return json.loads(raw) if raw else None

    def wait_for(self, look: Callable[[], T], *, seconds: float = SECONDS) -> T:
        """Return the first answer of ``look`` that is true; while the hub cannot answer there is none.

        Raises:
            AssertionError: there is none in time.
        """
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(NotNow):
                if found := look():
                    return found
            assert time.monotonic() < end, "not in time"
            threading.Event().wait(0.02)
