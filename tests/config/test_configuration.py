"""Layers, provenance, problems with file and line, secrets."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from luminai import ConfigRejected, Secret
from luminai.config.binding import bind, schema_of, secret_resolver
from luminai.config.layers import load
from luminai.config.positions import key_lines, line_of, lookup
from luminai.config.problems import VerdictCache, check_core, check_plugin_config

BAD = """\
[hub]
enviroment = "development"
strict = "no"

[server]
port = 99999
host = 3
max-body-bytes = 12

[plugins.chat]
enabled = "yes"
on-failure = "optionl"
approve = "anonymous-routes"

[databse]
url = ""
"""


def written(folder: Path, text: str, name: str = "config.toml") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_problems__nine_mistakes__are_told_at_once_with_line_and_hint(tmp_path: Path) -> None:
    problems = check_core(load(written(tmp_path, BAD), {}))

    assert {(problem.pointer, problem.line) for problem in problems} == {
        ("hub.enviroment", 2),
        ("hub.strict", 3),
        ("server.port", 6),
        ("server.host", 7),
        ("server.max-body-bytes", 8),
        ("plugins.chat.enabled", 11),
        ("plugins.chat.on-failure", 12),
        ("plugins.chat.approve", 13),
        ("databse", 15),
    }
    hints = {problem.pointer: problem.hint for problem in problems}
    assert hints["hub.enviroment"] == "Did you mean environment?"
    assert hints["databse"] == "Did you mean database?"
    assert hints["plugins.chat.on-failure"] == "Did you mean optional?"
    details = {problem.pointer: problem.detail for problem in problems}
    assert details["server.port"] == "is 99999, expected a whole number from 0 to 65535"
    assert {problem.file for problem in problems} == {"config.toml"}


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"[hub\n", "toml-syntax"), (b"\xff\xfe", "config-unreadable"), (b"# " + b"x" * 1024 * 1024, "config-unreadable"), (None, "config-unreadable")],
)
def test_file__unreadable__is_told_and_never_raised_raw(tmp_path: Path, content: bytes | None, code: str) -> None:
    path = tmp_path / "config.toml"
    if content is not None:
        path.write_bytes(content)
    try:
        codes = {problem.code for problem in check_core(load(path, {}))}
    except ConfigRejected as error:
        codes = {error.code}

    assert codes == {code}


@given(layers=st.lists(st.sampled_from(["file", "extra", "environment", "command line"]), unique=True), port=st.integers(1, 1000))
def test_layers__the_last_that_sets_a_key_wins__and_explain_tells_all(tmp_path_factory: pytest.TempPathFactory, layers: list[str], port: int) -> None:
    folder = tmp_path_factory.mktemp("layers")
    ports = {"file": port, "extra": port + 1, "environment": port + 2, "command line": port + 3}
    main = written(folder, f"[server]\nport = {ports['file']}\n" if "file" in layers else "")
    if "extra" in layers:
        written(folder / "config.d", f"[server]\nport = {ports['extra']}\n", "10.toml")
    environ = {"LUMINAI_PORT": str(ports["environment"])} if "environment" in layers else {}
    found = load(main, environ, [f"server.port={ports['command line']}"] if "command line" in layers else [])

    chain = [step.value for step in found.explain("server.port")]
    expected = [8000, *(ports[layer] for layer in ports if layer in layers)]
    assert chain == expected
    assert found.settings.server.port == expected[-1]
    assert next(item.value for item in found.items() if item.key == "server.port") == expected[-1]


def test_environment__nested_names_and_typos(tmp_path: Path) -> None:
    environ = {
        "LUMINAI_PLUGINS__STORAGE_LOCAL__CONFIG__MAX_BYTES": "12",
        "LUMINAI_PLUGINS__STORAGE_LOCAL__ENABLED": "true",
        "LUMINAI_PROT": "1",
        "LUMINAI_API_KEY": "x",
        "DATABASE_URL": "postgresql://db",
    }
    found = load(written(tmp_path, ""), environ)

    assert found.settings.plugins["storage-local"].config == {"max-bytes": 12}
    assert found.settings.plugins["storage-local"].enabled
    assert found.settings.database.url == "postgresql://db"
    assert [(problem.pointer, problem.hint) for problem in found.problems] == [("LUMINAI_PROT", "Did you mean LUMINAI_PORT?")]
    assert str(found.explain("plugins.storage-local.config.max-bytes")[-1].origin) == "environment LUMINAI_PLUGINS__STORAGE_LOCAL__CONFIG__MAX_BYTES"


KEYS = st.from_regex(r"[a-z][a-z0-9-]{0,6}", fullmatch=True)
VALUES = st.sampled_from(["1", '"text # no comment"', "[\n  1,\n  2,\n]", '"""\na = 1\n[x]\n"""', "{ a = 1 }", "true", "'lit'"])


@given(tables=st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=4), max_size=4), comments=st.booleans())
def test_key_lines__every_key__stands_on_the_line_that_is_told(tables: dict[str, dict[str, str]], comments: bool) -> None:
    text = ""
    for table, keys in tables.items():
        text += ("# [not.a.table]\n\n" if comments else "") + f"[t.{table}]\n"
        text += "".join(f"{key} = {value}\n" for key, value in keys.items())
    rows, lines = text.split("\n"), key_lines(text)

    for table, keys in tables.items():
        assert rows[lines["t", table] - 1] == f"[t.{table}]"
        for key in keys:
            assert rows[line_of(lines, ("t", table, key)) - 1].startswith(f"{key} = ")


def test_key_lines__quoted_dotted_and_arrays_of_tables() -> None:
    text = '"a.b".c = 1\n[[x]]\nn = 1\n[[x]]\nn = 2\n[x.y]\nz = 3\n'
    lines = key_lines(text)

    assert (lines["a.b", "c"], lines["x", 0, "n"], lines["x", 1, "n"], lines["x", 1, "y", "z"]) == (1, 3, 5, 7)
    assert lookup({"x": [{"n": 1}]}, ("x", 0, "n")) == 1


class Inner(Struct, frozen=True, forbid_unknown_fields=True):
    depth: int = 3


class Example(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    api_key: Secret
    size: Annotated[int, Meta(ge=1, le=9)] = 2
    inner: Inner = Inner()


def with_section(tmp_path: Path, section: str) -> Any:
    return load(written(tmp_path, f"[plugins.example]\nenabled = true\n[plugins.example.config]\n{section}"), {})


def test_secret__literal__is_refused_and_never_echoed(tmp_path: Path) -> None:
    found = with_section(tmp_path, 'api-key = "sk live secret value"\n')

    problems = check_plugin_config(found, "example", schema_of(Example), VerdictCache(tmp_path))
    assert [(problem.code, problem.line) for problem in problems] == [("literal-secret", 4)]
    assert "sk live" not in str(problems)
    with pytest.raises(ConfigRejected) as refused:
        bind(Example, {"api-key": "sk live secret value"}, str)
    assert "sk live" not in str(refused.value) + str(refused.value.errors)


@pytest.mark.shows("LR-124")
def test_secret__reference__is_resolved_when_asked_and_cannot_be_encoded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EXAMPLE_KEY", "hunter2")
    bound = bind(Example, {"api-key": "env:EXAMPLE_KEY"}, secret_resolver({}))

    assert bound.api_key.reveal() == "hunter2"
    monkeypatch.setenv("EXAMPLE_KEY", "hunter3")
    assert bound.api_key.reveal() == "hunter3", "a rotated one needs no restart"
    assert "hunter2" not in repr(bound)
    with pytest.raises(TypeError):
        msgspec.json.encode(bound)
    monkeypatch.delenv("EXAMPLE_KEY")
    with pytest.raises(ConfigRejected):
        bound.api_key.reveal()


def test_verdict__known_from_before__needs_no_jsonschema(tmp_path: Path) -> None:
    found = with_section(tmp_path, 'api-key = "env:X"\n')
    assert check_plugin_config(found, "example", schema_of(Example), VerdictCache(tmp_path / "cache")) == []
    script = f"""
import json, sys
from pathlib import Path
from luminai.config.layers import load
from luminai.config.problems import VerdictCache, check_plugin_config
schema = json.loads({msgspec.json.encode(schema_of(Example)).decode()!r})
cache = VerdictCache(Path({str(tmp_path / "cache")!r}))
assert check_plugin_config(load(Path({str(tmp_path / "config.toml")!r}), {{}}), "example", schema, cache) == []
assert "jsonschema" not in sys.modules and "litestar" not in sys.modules and "sqlalchemy" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_schema__refers_elsewhere__is_refused_and_never_fetched(tmp_path: Path) -> None:
    found = with_section(tmp_path, "a = 1\n")

    problems = check_plugin_config(found, "example", {"$ref": "http://127.0.0.1:1/schema"}, VerdictCache(tmp_path))
    assert [problem.code for problem in problems] == ["schema-invalid"]
