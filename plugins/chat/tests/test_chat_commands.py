"""``luminai chat`` at a terminal: what broke off is told, and gone on with."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest
from faces_models import FIRST, REST, broken_off, model_service
from home import LUMINAI, Home, serving

CONFIG = """
[plugins.ai-openai]
enabled = true
approve = ["secrets", "outbound:127.0.0.1:{port}"]
[[plugins.ai-openai.config.instances]]
name = "up"
base-url = "http://127.0.0.1:{port}/v1"
models = [{{ id = "m" }}, {{ id = "spare" }}]
[plugins.ai-gateway]
enabled = true
[[plugins.ai-gateway.config.routes]]
name = "anew"
models = ["up/m", "up/spare"]
mid-stream = "restart"
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with model_service() as there, serving(tmp_path_factory.mktemp("chat") / "home", config=CONFIG.format(port=there.port)) as home:
        there.answer = broken_off
        yield home


def typed(hub: Home, *command: str, lines: Sequence[str] = ()) -> str:
    """Return all that a terminal shows of a command in which ``lines`` are typed, each when it is asked for."""
    own, other = pty.openpty()
    with (
        closing(os.fdopen(own, "rb", buffering=0)) as screen,
        subprocess.Popen([LUMINAI, *command], cwd=hub.folder, env=hub.env | {"TERM": "dumb"}, stdin=other, stdout=other, stderr=other) as process,
    ):
        os.close(other)
        seen, waiting = b"", list(lines)
        while piece := _read(screen):
            seen += piece
            if waiting and seen.endswith("› ".encode()):
                os.write(own, f"{waiting.pop(0)}\n".encode())
        assert process.wait(30) == 0, seen
    return seen.decode().replace("\r\n", "\n")


def _read(screen) -> bytes:
    try:
        return screen.read(4096)
    except OSError:  # nobody holds the other side any more
        return b""


def test_chat__reply_that_breaks_off__says_how_to_go_on_and_goes_on(hub: Home) -> None:
    shown = typed(hub, "chat", "--model", "up/m", "Which tower?")
    assert FIRST in shown
    assert "[cut]" in shown
    command = next(line for line in shown.splitlines() if "--continue" in line).split()
    assert (command[0], command[-2:]) == ("luminai", ["goes", "on."])

    shown = typed(hub, *command[1:-2])

    assert REST.strip() in shown
    assert FIRST not in shown, "what was said is not said again"
    assert "[cut]" not in shown
    turn = hub.data("chat", "--model", "up/m", "Which tower?")["turn_id"]
    more = hub.data("chat", "--continue", turn)
    assert (more["response"], more["end_state"]) == (REST, "finished")


def test_talk__continue__goes_on_with_the_last_reply(hub: Home) -> None:
    shown = typed(hub, "chat", "--model", "up/m", lines=["/continue", "Which tower?", "/continue", "/continue", "/quit"])

    assert shown.count("There is no reply to go on with.") == 1
    assert shown.index(FIRST) < shown.index("[cut]") < shown.index(REST.strip()) < shown.index("✗ This turn is finished")


def test_chat__model_that_begins_anew__is_told_between_the_two(hub: Home) -> None:
    shown = typed(hub, "chat", "--model", "gateway/anew", "Which tower?")

    assert shown.count(FIRST) == 2
    assert shown.index(FIRST) < shown.index("up/spare begins anew:") < shown.rindex(FIRST)


def test_continue__with_a_question__is_refused(hub: Home) -> None:
    done = hub.run("chat", "--continue", "turn_1", "And then?")

    assert done.returncode == 2
    assert "give it nothing but --model" in done.stderr
