"""The command on a real terminal: tables, colours, a conversation."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from typing import Any

from home import LUMINAI, Home

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
DEADLINE = 60.0


class Terminal:
    """A command with a pseudo-terminal as its screen and keyboard."""

    def __init__(self, home: Home, *command: str, columns: int = 100, **env: str) -> None:
        self._screen, theirs = pty.openpty()
        env = {**home.env, "COLUMNS": str(columns), "LINES": "30", "TERM": "xterm", **env}
        self._process = subprocess.Popen([LUMINAI, *command], cwd=home.folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.raw = ""

    @property
    def text(self) -> str:
        return ESCAPES.sub("", self.raw).replace("\r\n", "\n")

    def type(self, line: str) -> None:
        os.write(self._screen, line.encode() + b"\n")

    def until(self, wanted: str, *, times: int = 1) -> str:
        """Read until ``wanted`` was seen ``times`` times."""
        end = time.monotonic() + DEADLINE
        while self.text.count(wanted) < times:
            assert time.monotonic() < end, self.text
            assert self._read(), self.text
        return self.text

    def end(self) -> int:
        """Read to the end and return the exit code."""
        while self._read():
            pass
        os.close(self._screen)
        return self._process.wait(DEADLINE)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._screen], [], [], DEADLINE)
        try:
            found = os.read(self._screen, 65536) if ready else b""
        except OSError:  # the other side was closed
            return False
        self.raw += found.decode(errors="replace")
        return bool(found)


def run(home: Home, *command: str, **env: Any) -> tuple[int, Terminal]:
    terminal = Terminal(home, *command, **env)
    return terminal.end(), terminal


def test_list__on_a_terminal__is_a_table_that_fits(served: Home) -> None:
    code, terminal = run(served, "plugins", "list", columns=72)
    lines = terminal.text.splitlines()
    assert code == 0
    assert lines[0].split()[:3] == ["ID", "STATE", "VERSION"]
    assert {line.split()[0] for line in lines[1:]} == {"personas", "resonance", "knowledge", "ai-offline", "chat"}
    assert all(len(line) <= 72 for line in lines)


def test_show__on_a_terminal__is_lines_of_key_and_value(served: Home) -> None:
    code, terminal = run(served, "plugins", "inspect", "chat")
    assert code == 0
    assert re.search(r"^state +enabled$", terminal.text, re.MULTILINE)


def test_error__on_a_terminal__is_a_sentence_with_code_and_hint_and_colour_only_when_wanted(served: Home) -> None:
    code, terminal = run(served, "plugins", "inspect", "chatt")
    assert code != 0
    assert "✗ There is no plugin chatt.  [plugin-not-found]" in terminal.text
    assert "hint: " in terminal.text
    assert "\x1b[31m" in terminal.raw
    _, plain = run(served, "plugins", "inspect", "chatt", NO_COLOR="1")
    assert "\x1b[31m" not in plain.raw


def test_chat__on_a_terminal__is_a_conversation_in_one_session(served: Home) -> None:
    terminal = Terminal(served, "chat")
    terminal.until("› ")
    terminal.type("What is a generation?")
    terminal.until("R=")
    first = terminal.until("› ", times=2)
    assert "immutable snapshot" in first
    assert "↳ Generations" in first
    terminal.type("/persona airth")
    terminal.until("› ", times=3)
    terminal.type("What is a generation?")
    assert "Airth" in terminal.until("R=", times=2)
    terminal.until("› ", times=4)
    terminal.type("/quit")
    assert terminal.end() == 0


def test_chat__end_of_input__ends_the_conversation(served: Home) -> None:
    terminal = Terminal(served, "chat")
    terminal.until("› ")
    terminal.type("\x04")
    assert terminal.end() == 0
