"""A folder with a configuration and a user file of its own, and a hub served from it, as a person has them."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from luminai.cli.main import main

LUMINAI = Path(sys.executable).parent / "luminai"
CONFIG = """
[plugins.personas]
enabled = true
approve = ["anonymous-routes"]
[plugins.resonance]
enabled = true
approve = ["anonymous-routes"]
[plugins.knowledge]
enabled = true
approve = ["anonymous-routes"]
[plugins.ai-offline]
enabled = true
[plugins.chat]
enabled = true
approve = ["anonymous-routes"]
[plugins.chat.config]
playground = true
"""
PAGE = "# Generations\n\nA generation is an immutable snapshot of the running plugins with their apps and schedules.\n"


class Home:
    """A folder with a configuration and a user file of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "docs").mkdir(parents=True)
        (folder / "docs" / "generations.md").write_text(PAGE)
        (folder / "config.toml").write_text(CONFIG)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LUMINAI_")}
        self.env = {**kept, "LUMINAI_HOME": str(folder / "user"), "XDG_CACHE_HOME": str(folder / "cache"), "LUMINAI_PORT": "9"}
        self.token = ""
        self.pid = 0
        self.log: list[str] = []

    def run(self, *command: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run([LUMINAI, *command], cwd=self.folder, env=self.env, input=given, capture_output=True, text=True, check=False)

    def call(self, *command: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command as ``run`` does, but in this process: for many commands of which only the answers are of interest."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name in os.environ.keys() - self.env.keys():
                patch.delenv(name)
            for name, value in self.env.items():
                patch.setenv(name, value)
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", ["luminai", *command])
            patch.setattr(sys, "stdin", io.StringIO(given))
            with pytest.raises(SystemExit) as ended:
                main()
        code = ended.value.code
        assert isinstance(code, int)
        return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())

    def data(self, *command: str) -> Any:
        done = self.run(*command)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def refusal(self, *command: str) -> tuple[int, str]:
        done = self.run(*command)
        return done.returncode, json.loads(done.stderr.splitlines()[-1])["code"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Return a home without a running hub."""
    return Home(tmp_path_factory.mktemp("alone") / "home")


@contextmanager
def serving(folder: Path, *options: str, config: str = "", **settings: str) -> Iterator[Home]:
    """Serve a hub from a home of its own, signed in as its operator; ``config`` joins its config.toml, ``settings`` its environment."""
    home = Home(folder)
    with (folder / "config.toml").open("a") as file:
        file.write(config)
    if "PYTHONPATH" in settings and "PYTHONPATH" in home.env:  # the code under test may be found by it
        settings["PYTHONPATH"] += os.pathsep + home.env["PYTHONPATH"]
    home.env |= settings
    with subprocess.Popen([LUMINAI, "serve", "--port", "0", *options], cwd=home.folder, env=home.env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        said = ""
        for line in process.stderr:
            said += line
            if "Press Ctrl-C" in line:
                break
        address, token = re.search(r"ready at (\S+)", said), re.search(r"token: (\S+)", said)
        assert address, said
        assert token, said
        home.env["LUMINAI_URL"] = address[1]
        done = home.call("setup", "--token-stdin", given=token[1] + "\n")
        assert done.returncode == 0, done.stderr
        home.token = token[1]
        home.pid = process.pid
        drain = threading.Thread(target=home.log.extend, args=(process.stderr,), daemon=True)
        drain.start()
        try:
            yield home
        finally:
            process.send_signal(signal.SIGTERM)
            drain.join()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Return a home with a running hub, signed in as its operator."""
    with serving(tmp_path_factory.mktemp("served") / "home") as home:
        yield home
