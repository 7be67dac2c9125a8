"""There is always a way back in: `luminai serve --safe` comes up whatever stands in the configuration."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from home import LUMINAI, Home
from hypothesis import given, settings
from hypothesis import strategies as st

from luminai.config.layers import Configuration, Layer
from luminai.config.problems import check_core
from luminai.config.sound import sound_part

BROKEN = '[hub]\ndata = "elsewhere"\n[server\nport = 1\n'
WRONG = """
[hub]
data = "elsewhere"
safe-plugins = ["No Id"]
[log]
level = "loud"
[plugins.personas]
enabled = "perhaps"
[plugins.personas.config]
whatever = 1
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def write(home: Home, text: str | bytes, name: str = "config.toml") -> None:
    path = home.folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


@contextmanager
def safely(home: Home, *, setup: bool = True) -> Iterator[tuple[str, dict[str, Any]]]:
    """Serve in safe mode, signed in as operator (``setup``: anew); yield what was said and the hub's public state."""
    command = [LUMINAI, "serve", "--safe", "--port", "0"]
    with subprocess.Popen(command, cwd=home.folder, env=home.env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        said = ""
        for line in process.stderr:
            said += line
            if "Press Ctrl-C" in line:
                break
        try:
            assert "ready at " in said, said
            url = home.env["LUMINAI_URL"] = said.partition("ready at ")[2].split()[0]
            if setup:
                token = said.partition("with this token: ")[2].split()[0]
                assert home.run("setup", "--token-stdin", given=token + "\n").returncode == 0
            with urlopen(f"{url}/api/status") as answer:  # noqa: S310 - the hub under test
                yield said, json.load(answer)
        finally:
            process.terminate()
            process.stderr.read()
    assert process.returncode == 0


def refused(home: Home) -> dict[str, Any]:
    done = home.run("serve", "--port", "0")
    assert done.returncode == 7, done.stderr
    problem: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    return problem


def test_unparsable_file__is_refused_with_the_way_out__and_left_out_in_safe_mode(home: Home) -> None:
    write(home, BROKEN)

    problem = refused(home)
    assert [(item["file"], item["line"], item["code"]) for item in problem["errors"]] == [("config.toml", 3, "toml-syntax")]
    assert "`luminai serve --safe`" in problem["hint"]

    with safely(home) as (said, status):
        assert "Left out: config.toml:3 is not TOML" in said
        assert f"Data folder: {home.folder}/data; database: SQLite there." in said
        assert "SAFE MODE (asked for)" in said
        assert (status["safe_mode"], status["services"]) == (True, [])
        assert status["left_out"] == [{"file": "config.toml", "line": 3, "code": "toml-syntax"}]
        items = {item["id"]: item for item in json.loads(home.run("repairs", "list").stdout)}
        assert items["left-out"]["severity"] == "error"
        assert items["left-out"]["details"][0].startswith("config.toml:3")
        assert home.data("plugins", "list") == []
        assert (home.folder / "config.toml").read_text() == BROKEN


def test_wrong_core_settings__cost_only_themselves(home: Home) -> None:
    write(home, WRONG)
    home.env["LUMINAI_SERVER__DRAIN_SECONDS"] = "long"

    with safely(home) as (said, status):
        assert [(one["file"], one["line"], one["code"]) for one in status["left_out"]] == [
            ("config.toml", 4, "wrong-value"),
            ("config.toml", 6, "not-allowed"),
            ("config.toml", 8, "wrong-value"),
            ("LUMINAI_SERVER__DRAIN_SECONDS", 0, "wrong-value"),
        ]
        assert "loud" not in json.dumps(status), "what it is only operators see"
        assert "is 'loud', expected one of" in said
        assert f"Data folder: {home.folder}/elsewhere" in said, "what is right of the file holds"
        assert home.data("config", "explain", "hub.data")[-1]["value"] == "elsewhere"


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [("config.toml", b"[hub]\nstrict = '\xff'\n", 2), ("config.toml", b"#" * 1_100_000, 0), ("config.d/10-more.toml", b"strict = ", 1)],
    ids=["not-text", "too-large", "one-of-several"],
)
def test_file_that_cannot_be_read__is_named(home: Home, name: str, content: bytes, line: int) -> None:
    write(home, content, name)

    assert "`luminai serve --safe`" in refused(home)["hint"]
    with safely(home) as (_, status):
        assert [(one["file"], one["line"]) for one in status["left_out"]] == [(Path(name).name, line)]


@pytest.mark.parametrize(
    ("text", "code"), [("no key\n", "master-key-malformed"), ("A" * 43 + "\n", "master-key-wrong"), (None, "master-key-missing")]
)
def test_master_key__corrupt_wrong_or_gone__stays_locked_and_explains_itself(home: Home, text: str | None, code: str) -> None:
    write(home, "")
    with safely(home):
        assert home.run("keys", "create", "--name", "second", "--scope", "hub:plugins").returncode == 0
    key = home.folder / "data" / "keys" / "master.key"
    kept = key.read_text()
    key.unlink() if text is None else key.write_text(text)

    assert json.loads(home.run("serve", "--port", "0").stderr.splitlines()[-1])["code"] == code
    with safely(home, setup=False) as (_, status):
        assert status["left_out"] == [{"file": "master.key", "line": 0, "code": code}]
        assert home.data("plugins", "list") == []
        item = next(one for one in json.loads(home.run("repairs", "list").stdout) if one["id"] == "left-out")
        assert "master key" in item["cause"]
    assert (key.read_text() if key.exists() else None) == text, "it makes no key of its own"
    key.write_text(kept)
    key.chmod(0o600)
    with safely(home, setup=False) as (_, status):
        assert status["left_out"] == []


def test_corrupt_records_and_audit_key__do_not_keep_safe_mode_from_starting(home: Home) -> None:
    write(home, "")
    with safely(home):
        pass
    data = home.folder / "data"
    (data / "starts.json").write_bytes(b"\x00not json")
    (data / "crash.txt").write_bytes(b'File "\xff/luminai_personas/plugin.py", line 3')
    key = data / "keys" / "audit.key"
    assert key.exists()
    key.write_bytes(b"no key")

    with safely(home, setup=False) as (said, _):
        assert "SAFE MODE (asked for)" in said


def test_reload_of_what_is_still_wrong__is_refused__and_of_what_was_corrected__says_what_it_needs(home: Home) -> None:
    write(home, BROKEN)
    with safely(home):
        assert home.refusal("plugins", "reload") == (7, "config-invalid")
        write(home, '[hub]\ndata = "elsewhere"\n')
        answer = home.data("plugins", "reload")
        assert (answer["restart_required"], answer["reasons"]) == (True, ["[hub] changed"])


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.sampled_from(["debug", "data", "auto"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
_KEYS = st.sampled_from(["data", "strict", "safe-plugins", "host", "port", "level", "format", "url", "chat", "enabled", "approve", "config", "a.b"])
_TABLES = st.dictionaries(
    st.sampled_from(["hub", "server", "log", "database", "plugins", "breaker", "odd"]),
    st.dictionaries(_KEYS, st.dictionaries(_KEYS, _VALUES, max_size=3) | _VALUES, max_size=4) | _VALUES,
    max_size=4,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(_TABLES, max_size=3))
def test_sound_part__of_anything__can_be_started_with__and_keeps_what_is_right(tables: list[dict[str, Any]]) -> None:
    config = Configuration([Layer("file", f"{number}.toml", table, {}, {}) for number, table in enumerate(tables)], (), Path())

    sound = sound_part(config)

    assert check_core(sound) == []
    assert sound.settings.hub.data
    assert bool(sound.left_out) == bool(check_core(config))
    if not sound.left_out:
        assert sound.table == config.table
