"""The tutorial `first-plugin`, executed: every file is written, every command run, every shown answer compared."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COPIER = Path(os.environ.get("LUMINAI_TEST_COPIER") or ROOT / ".venv-template" / "bin" / "copier")
PAGE = ROOT / "docs" / "tutorials" / "first-plugin.md"
BLOCK = re.compile(r"(?P<before>[^\n]*)\n\n```(?P<language>\w+)\n(?P<text>.*?)```$", re.DOTALL | re.MULTILINE)
WRITE = re.compile(r"Write `([^`]+)`:$")
RUN_AS = {
    "luminai": "-c 'import sys; from luminai.cli.main import main; sys.exit(main())'",
    "pip": "-m pip",
}


def blocks() -> list[tuple[str, str, str]]:
    """Return the page's blocks as (language, file to write or "", text)."""
    found = []
    for match in BLOCK.finditer(PAGE.read_text()):
        file = WRITE.search(match["before"])
        found.append((match["language"], file[1] if file else "", match["text"]))
    return found


def environment(folder: Path, port: int) -> dict[str, str]:
    """Make a Python environment that sees what this one has installed and takes installs of its own, and return its variables.

    Build isolation and the index are off, since nothing may be fetched here; a reader's pip needs neither setting.
    """
    env_dir = folder / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", env_dir], check=True)
    python = env_dir / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(env_dir), "platbase": str(env_dir)}))
    paths = [*os.environ.get("PYTHONPATH", "").split(os.pathsep), sysconfig.get_path("purelib")]
    (site / "outside.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in paths if path))
    for name, arguments in RUN_AS.items():
        script = env_dir / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{python}" {arguments} "$@"\n')
        script.chmod(0o755)
    (env_dir / "bin" / "copier").symlink_to(COPIER)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LUMINAI_", "PYTHON", "PIP_", "GIT_"))}
    return {
        **kept,
        "PATH": f"{env_dir / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "VIRTUAL_ENV": str(env_dir),
        "HOME": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "LUMINAI_PORT": str(port),
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


class Reader:
    """Somebody who does what the page says, in a folder of their own with two terminals."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.work = folder / "work"
        self.work.mkdir()
        self.env = environment(folder, self.port)
        self.variables = folder / "variables.sh"
        self.variables.write_text("")
        self._hub: subprocess.Popen[str] | None = None

    def run(self, text: str) -> str:
        """Run a block in the second terminal, or start the hub anew in the first, and return what was said."""
        if text.strip() == "luminai serve":
            return self._serve()
        text = text.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")
        script = f'set -euo pipefail\n. "{self.variables}"\n{text}\nexport -p > "{self.variables}"\n'
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.work, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def stop(self) -> None:
        """Press Ctrl-C in the first terminal."""
        if self._hub is not None:
            self._hub.send_signal(signal.SIGINT)
            self._hub.wait(20)
            self._drain.join()
            assert self._hub.stderr
            self._hub.stderr.close()
            self._hub = None

    def _serve(self) -> str:
        self.stop()
        hub = subprocess.Popen(["luminai", "serve"], cwd=self.work, env=self.env, stderr=subprocess.PIPE, text=True)
        self._hub = hub
        assert hub.stderr
        said = ""
        for line in hub.stderr:
            said += line
            if "Press Ctrl-C" in line:
                break
        self._drain = threading.Thread(target=hub.stderr.read, daemon=True)
        self._drain.start()
        assert f"ready at http://127.0.0.1:{self.port}" in said, said
        return said


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Return a reader with an empty folder."""
    if not COPIER.exists() and not os.environ.get("LUMINAI_REQUIRE_SERVICES"):
        pytest.skip("copier is not installed: run the tests with `make test`")
    reader = Reader(tmp_path)
    yield reader
    reader.stop()


def test_tutorial__done_as_written__says_what_it_shows(reader: Reader) -> None:
    said = ""
    for language, file, text in blocks():
        if language == "bash":
            said = reader.run(text)
        elif file:
            path = reader.work / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        else:
            shown = ".*".join(re.escape(part) for part in text.strip().split("…"))
            assert re.search(shown, said, re.DOTALL), f"the page shows\n{text}\nbut it says\n{said}"


def test_tutorial__every_block__is_a_command_a_file_or_an_answer() -> None:
    page, found = PAGE.read_text(), blocks()

    assert len(found) == page.count("\n```\n"), "a block without an empty line before it is not executed"
    assert {language for language, file, _ in found if not file} <= {"bash", "json", "text"}
    assert sum(text.strip() == "luminai serve" for _, _, text in found) == 2
