"""The command against a running hub, and without one."""

import json
import subprocess
import sys
import tomllib
from itertools import pairwise

import pytest
from home import CONFIG, Home
from hypothesis import given
from hypothesis import strategies as st

from luminai.cli.client import parse_events
from luminai.data.migrations import core_source


@pytest.mark.shows("LR-35", "LR-36")
def test_setup__saves_the_key_for_its_owner_alone__once(served: Home) -> None:
    file = served.folder / "user" / "config.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    again = served.run("setup", "--token-stdin", given=served.token + "\n")
    assert again.returncode == 4
    file.chmod(0o644)
    try:
        refused = served.run("status")
    finally:
        file.chmod(0o600)
    assert refused.returncode == 7
    assert "chmod 600" in refused.stderr


@pytest.mark.shows("LR-70", "LR-79", "LR-80", "LR-82")
def test_commands__piped__print_json(served: Home) -> None:
    assert served.data("status")["platform_status"] == "ok"
    assert "personas" in {one["id"] for one in served.data("plugins", "list")}
    assert served.data("plugins", "inspect", "chat")["running"] is True
    assert len(served.data("frequencies", "list")) == 16
    assert served.data("frequencies", "show", "joy")["opposite"] == "grief"
    assert served.data("--fields", "id", "plugins", "inspect", "chat") == {"id": "chat"}
    assert "ely" in {one["id"] for one in served.data("manifest")["personas"]}
    assert "ely" in {one["id"] for one in tomllib.loads(served.run("manifest", "--format", "toml").stdout)["personas"]}
    table = served.run("--output", "table", "plugins", "list").stdout
    assert table.startswith("ID ")
    assert "chat" in table


@pytest.mark.shows("LR-81a", "LR-81b")
def test_docs__search_and_show(served: Home) -> None:
    found = served.data("docs", "search", "what is a generation")
    assert found[0]["document_id"] == "docs:generations"
    assert "immutable snapshot" in served.run("docs", "show", "docs:generations").stdout
    assert served.data("docs", "search", "zzzz") == []
    assert served.run("docs", "show", "docs:nothing").returncode == 3


@pytest.mark.shows("LR-72", "LR-73", "LR-74")
def test_chat__asks_continues_and_routes_to_a_persona(served: Home) -> None:
    first = served.data("chat", "What is a generation?")
    assert "A generation is an immutable snapshot" in first["response"]
    assert first["persona"]["id"] == "ely"
    again = served.data("chat", "--session", first["session_id"], "--persona", "airth", "What are its apps?")
    assert again["session_id"] == first["session_id"]
    assert again["persona"]["id"] == "airth"
    assert served.refusal("chat", "--persona", "eli", "Hello") == (7, "personas.unknown")


@pytest.mark.shows("LR-71", "LR-87")
def test_chat__without_a_hub__is_answered_in_this_process_and_says_so_once(alone: Home) -> None:
    done = alone.run("chat", "What is a generation?")

    assert done.returncode == 0, done.stderr
    assert "A generation is an immutable snapshot" in json.loads(done.stdout)["response"]
    assert done.stderr.count("No hub at") == 1
    named = alone.run("--url", "http://127.0.0.1:9", "chat", "Hello")
    assert named.returncode == 6, "a hub that was asked for by name is not replaced"


@pytest.mark.shows("LR-88")
def test_exit_codes__tell_what_kind_of_failure_it_was(served: Home, alone: Home) -> None:
    assert alone.refusal("status") == (6, "hub-unreachable")
    assert served.run("nothing").returncode == 2
    assert "Did you mean 'plugins'?" in served.run("plugns").stderr
    assert served.refusal("plugins", "inspect", "nothing") == (3, "plugin-not-found")
    assert served.refusal("db", "current") == (5, "database-in-use")
    assert served.refusal("keys", "create", "--name", "x", "--scope", "no:such") == (7, "unknown-scope")
    without = Home(alone.folder.parent / "without")
    without.env["LUMINAI_URL"] = served.env["LUMINAI_URL"]
    assert without.refusal("keys", "list") == (4, "not-signed-in")


def test_keys_and_wishes__work_on_a_hub_and_without_one(served: Home, alone: Home) -> None:
    for home in (served, alone):
        made = home.data("keys", "create", "--name", "reader", "--scope", "chat:read")
        assert made["key"].startswith("lum_")
        new = home.data("keys", "rotate", made["id"], "--overlap", "90m", "--expires-in-days", "13")
        assert (new["replaces"], new["name"], new["scopes"]) == (made["id"], "reader", ["chat:read"])
        assert home.refusal("keys", "rotate", made["id"]) == (5, "key-rotated")
        assert home.run("keys", "rotate", new["id"], "--overlap", "soon").returncode == 2
        assert home.run("keys", "rotate", new["id"], "--overlap", "8d").returncode == 7
        assert home.run("keys", "create", "--name", "x", "--expires-in-days", "366").returncode == 7
        listed = home.run("keys", "list")
        assert {one["id"]: one["state"] for one in json.loads(listed.stdout) if one["name"] == "reader"} == {
            made["id"]: "rotated",
            new["id"]: "ending",
        }
        assert f"luminai keys rotate {new['id']}" in listed.stderr
        assert home.data("keys", "create", "--name", "x", "--scope", "chat:read", "--expires-in-days", "none")["expires_at"] is None
        assert home.data("keys", "revoke", made["id"])["state"] == "revoked"
    assert alone.data("plugins", "disable", "chat")["restart_required"]
    assert alone.data("plugins", "enable", "chat")["restart_required"]
    owners = {one["owner"]: one["revision"] for one in alone.data("db", "current")}
    assert owners["core"] == max(core_source().revisions())
    assert isinstance(alone.data("db", "upgrade"), list)


def test_config_and_doctor__find_problems_without_a_hub(alone: Home) -> None:
    assert alone.data("config", "validate") == []
    assert alone.data("plugins", "doctor") == []
    assert alone.data("config", "explain", "server.port")[-1]["origin"] == "environment LUMINAI_PORT"
    assert alone.run("config", "explain", "server.prot").returncode == 3
    broken = Home(alone.folder.parent / "broken")
    (broken.folder / "config.toml").write_text(CONFIG.replace("playground = true", "playgrond = true"))
    done = broken.run("config", "validate")
    assert done.returncode == 7
    assert json.loads(done.stdout)[0]["hint"] == "Did you mean playground?"
    doctor = broken.run("plugins", "doctor")
    assert doctor.returncode == 8
    assert json.loads(doctor.stdout)[0]["phase"] == "config"


def test_help__of_every_command__has_a_purpose_and_examples(alone: Home) -> None:
    for name in ("serve", "status", "plugins", "config", "keys", "setup", "db", "manifest", "completion", "chat", "docs", "frequencies"):
        done = alone.run(name, "--help")
        assert done.returncode == 0, name
        assert f"luminai {name}" in done.stdout
        assert "Examples:" in done.stdout
    assert "Ask a question, or talk." in alone.run("--help").stdout
    assert "_LUMINAI_COMPLETE" in alone.run("completion", "bash").stdout


@pytest.mark.parametrize("command", [["--help"], ["status"], ["frequencies", "list"], ["docs", "search", "generation"]])
def test_client_commands__import_no_framework_and_no_plugin_object(served: Home, command: list[str]) -> None:
    script = f"""
import sys
sys.argv = ["luminai", *{command!r}]
from luminai.cli.main import main
try:
    main()
finally:
    heavy = ("litestar", "sqlalchemy", "alembic", "uvicorn", "jsonschema")
    heavy = [name for name in sys.modules if name.split(".")[0] in heavy or name.endswith(".plugin")]
    print(heavy, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=served.folder, env=served.env, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "[]"


@given(cuts=st.lists(st.integers(0, 60)), texts=st.lists(st.text(max_size=5), max_size=4))
def test_parse_events__wherever_chunks_are_cut__gives_the_same(cuts: list[int], texts: list[str]) -> None:
    raw = b": hello\n\n" + b"".join(
        b"id: %d\nevent: text\ndata: %s\n\n" % (number, json.dumps(text).encode()) for number, text in enumerate(texts, 1)
    )
    places = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    chunks = [raw[start:end] for start, end in pairwise(places)]

    assert [(event.id, event.data) for event in parse_events(chunks)] == [(str(number), text) for number, text in enumerate(texts, 1)]
