"""``luminai config``: check, diff, adopt, scaffold and schema, through the command."""

import inspect
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from home import Home, serving
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec import Meta, Struct

from luminai import Secret
from luminai.config.binding import render_schema, schema_of
from luminai.config.scaffold import scaffold
from luminai.config.toml_text import comment, inline, key
from luminai.config.whole import whole_schema
from luminai.contracts.manifest import Manifest

ROOT = Path(__file__).parents[2]
OWN = sorted(folder.name for folder in (ROOT / "plugins").iterdir() if (folder / "pyproject.toml").exists())
HEAD = "from typing import Annotated\nfrom msgspec import Meta, Struct\nfrom luminai import Secret, hookimpl\n"
PLUGIN = """
class Plugin:
    config = Remote

    @hookimpl
    async def start(self, ctx):
        ctx.config.api_key
"""
SECTION = '\n[plugins.remote]\nenabled = true\n[plugins.remote.config]\napi-key = "env:REMOTE_KEY"\nbase-url = "https://example.org"\n'


class Target(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    host: Annotated[str, Meta(description="Where to.", min_length=1)]
    weight: Annotated[float, Meta(gt=0)] = 1.0


class Remote(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    api_key: Annotated[Secret, Meta(description="The key.\n[hub]\nstrict = true")]
    base_url: Annotated[str, Meta(pattern="^https?://", description="Address.")]
    tries: Annotated[int, Meta(ge=1, le=9)] = 3
    keys: dict[str, Secret] = {}
    headers: dict[str, str] = {}
    spare: Target | None = None
    targets: tuple[Target, ...] = ()
    tree: Target = Target(host="deep", weight=2.5)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return a home whose environment also has the plugin ``remote``."""
    site = tmp_path / "site"
    package = site / "luminai_remote"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(HEAD + inspect.getsource(Target) + inspect.getsource(Remote) + PLUGIN)
    (package / "config.schema.json").write_text(render_schema(schema_of(Remote)))
    (package / "luminai-plugin.toml").write_text('manifest = 1\nid = "remote"\ntitle = "Remote"\nsummary = "A service."\napi = ">=1.0,<2"\n')
    info = site / "luminai_remote-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: luminai-remote\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[luminai.plugins]\nremote = luminai_remote.plugin:Plugin\n")
    home = Home(tmp_path / "home")
    home.env["PYTHONPATH"] = str(site)
    return home


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Return a home with a running hub that a test may change."""
    with serving(tmp_path_factory.mktemp("changed") / "home") as home:
        yield home


def append(home: Home, text: str) -> None:
    path = home.folder / "config.toml"
    path.write_text(path.read_text() + text)


def wrong(home: Home) -> list[str]:
    done = home.run("config", "check")
    assert done.returncode in (0, 7), done.stderr
    return [row["key"] for row in json.loads(done.stdout)]


def changed(home: Home) -> dict[str, Any]:
    return {row["key"]: (row["default"], row["value"]) for row in home.data("config", "diff")["settings"]}


def test_check__and_its_old_name__list_all_problems(home: Home) -> None:
    assert wrong(home) == []
    append(home, SECTION.replace("api-key", "api_key").replace("https://", "ftp://"))
    assert sorted(wrong(home)) == ["plugins.remote.config.api-key", "plugins.remote.config.api_key", "plugins.remote.config.base-url"]
    old = home.run("config", "validate")
    assert (old.returncode, old.stdout) == (7, home.run("config", "check").stdout)
    assert "validate" not in home.run("config", "--help").stdout
    assert "Did you mean 'check'?" in home.run("config", "chek").stderr
    (home.folder / "config.toml").write_text("[hub]\nstrict = 'x'\n")
    for command in (("check",), ("diff",), ("adopt",), ("test", "chat")):
        assert home.run("config", *command).returncode == 7


def test_diff__names_default_value_and_origin__and_shows_no_secret(home: Home) -> None:
    append(
        home,
        SECTION
        + "tries = 3\nheaders = { accept = 'text/plain' }\nkeys = { one = 'file:/run/one', two = 'literal-two' }\n"
        + "mistyped = 'literal-three'\ntree = { host = 'deep', weight = 3.0 }\n"
        + "[plugins.elsewhere]\nconfig = { token = 'literal-four' }\n[server]\ndrain-seconds = 5\n",
    )
    home.env |= {"LUMINAI_DATABASE_URL": "postgresql://hub:literal-five@db/hub", "LUMINAI_PLUGINS__CHAT__CONFIG__TURNS_AT_ONCE": "7"}
    home.env["LUMINAI_URL"] = "http://127.0.0.1:9"
    code, reason = home.refusal("config", "diff")
    assert (code, reason) == (6, "hub-unreachable"), "a hub that was asked for by name is not replaced"
    del home.env["LUMINAI_URL"], home.env["LUMINAI_DATABASE_URL"]
    append(home, "public-url = 'http://hub:literal-five@127.0.0.1'\n")

    done = home.run("config", "diff")
    assert "literal" not in done.stdout
    found = {row["key"]: row for row in json.loads(done.stdout)["settings"]}
    values = {name: (row["default"], row["value"]) for name, row in found.items() if name.startswith(("plugins.remote", "plugins.else", "server"))}
    assert values == {
        "plugins.elsewhere.config": ({}, "(hidden)"),
        "plugins.remote.config.api-key": (None, "env:REMOTE_KEY"),
        "plugins.remote.config.base-url": (None, "https://example.org"),
        "plugins.remote.config.headers": ({}, {"accept": "text/plain"}),
        "plugins.remote.config.keys": ({}, {"one": "file:/run/one", "two": "(hidden)"}),
        "plugins.remote.config.mistyped": (None, "(hidden)"),
        "plugins.remote.config.tree.weight": (2.5, 3.0),
        "plugins.remote.enabled": (False, True),
        "server.port": (8000, 9),
        "server.public-url": ("", "http://hub:(hidden)@127.0.0.1"),
    }
    assert found["plugins.chat.config.turns-at-once"]["origin"] == "environment LUMINAI_PLUGINS__CHAT__CONFIG__TURNS_AT_ONCE"
    assert found["plugins.chat.enabled"]["origin"] == "file config.toml:14"
    assert not (home.folder / "data").exists(), "looking makes no database"
    table = home.run("--output", "table", "config", "diff").stdout
    assert "turns-at-once" in table
    assert table.endswith("Changed at run time\nNothing.\n")


def test_adopt__in_a_file_of_its_own__makes_wishes_permanent(hub: Home) -> None:
    hub.data("plugins", "disable", "chat")
    hub.data("plugins", "set", "ai-offline", "max-quotes=2", 'languages=["english"]')
    rows = {row["key"]: row for row in hub.data("config", "diff")["run_time"]}
    assert {name: (row["files"], row["wished"]) for name, row in rows.items()} == {
        "plugins.ai-offline.config.languages": (None, ["english"]),
        "plugins.ai-offline.config.max-quotes": (None, 2),
        "plugins.chat.enabled": (True, False),
    }
    author = rows["plugins.chat.enabled"]["changed_by"]
    assert author.startswith("key_")
    assert rows["plugins.chat.enabled"]["changed_at"].endswith("Z")

    text = hub.run("config", "adopt").stdout
    assert re.search(rf"# chat: \d{{4}}-\d\d-\d\d \d\d:\d\d UTC by {author}\n\[plugins.chat\]\nenabled = false\n", text)
    assert tomllib.loads(text) == {"plugins": {"chat": {"enabled": False}, "ai-offline": {"config": {"max-quotes": 2, "languages": ["english"]}}}}
    named = hub.env.pop("LUMINAI_URL")
    assert hub.run("config", "adopt").stdout == text, "the hub that holds the database is asked"
    hub.env["LUMINAI_URL"] = named
    stronger = {**hub.env, "LUMINAI_PLUGINS__CHAT__ENABLED": "true"}
    hub.env, kept = stronger, hub.env
    assert "environment LUMINAI_PLUGINS__CHAT__ENABLED wins over this" in hub.run("config", "adopt").stdout
    hub.env = kept
    folder = hub.folder / "config.d"
    folder.mkdir()
    (folder / "90-adopted.toml").write_text(text)
    assert hub.data("config", "diff")["run_time"] == []
    assert hub.run("config", "adopt").stdout == "# Nothing runs otherwise than the files say.\n"
    assert wrong(hub) == []


def test_wishes__without_a_hub__are_read_from_its_database__and_those_of_the_hub_itself_stay_comments(home: Home) -> None:
    assert home.run("config", "adopt").stdout == "# Nothing runs otherwise than the files say.\n"
    append(
        home, '\n[plugins.remote]\nenabled = true\non-failure = "quarantine"\n[plugins.remote.config]\napi-key = "env:X"\nbase-url = "https://x"\n'
    )
    plugin = home.folder.parent / "site" / "luminai_remote" / "plugin.py"
    plugin.write_text(plugin.read_text().replace("ctx.config.api_key", 'raise RuntimeError("no\\n[hub]\\nstrict = true")'))
    assert home.data("plugins", "why", "remote")["state"] == "quarantined", "answered by a hub in the command's process"
    home.data("plugins", "disable", "chat")
    rows = {row["key"]: row for row in home.data("config", "diff")["run_time"]}
    assert rows["plugins.chat.enabled"]["changed_by"] == "command line"
    assert rows["plugins.remote.enabled"]["changed_by"].startswith("hub: no")
    text = home.run("config", "adopt").stdout
    assert tomllib.loads(text) == {"plugins": {"chat": {"enabled": False}}}
    assert "# [plugins.remote]\n# enabled = false\n" in text


@pytest.mark.postgres
def test_wishes__on_postgresql__are_read_without_making_tables(home: Home, empty_postgres_url: str) -> None:
    home.env["DATABASE_URL"] = empty_postgres_url.replace("postgres@", "postgres:literal@")
    done = home.run("config", "diff")
    assert "literal" not in done.stdout
    assert json.loads(done.stdout)["run_time"] == []
    assert {row["revision"] for row in home.data("db", "plan")} == {""}, "looking makes no tables"
    home.data("plugins", "disable", "chat")
    assert [row["key"] for row in home.data("config", "diff")["run_time"]] == ["plugins.chat.enabled"]


class Here(Home):
    """A home whose commands run in this process: five for every plugin, and the tests around show them as processes."""

    run = Home.call


@pytest.mark.parametrize("plugin", OWN)
def test_scaffold__of_every_own_plugin__passes_the_check_as_it_is_and_with_every_mark_taken_away(plugin: str, tmp_path: Path) -> None:
    home = Here(tmp_path / "home")
    (home.folder / "config.toml").write_text("[server]\nport = 0\n")
    text = home.run("config", "scaffold", plugin).stdout
    append(home, "\n" + text)
    assert wrong(home) == []
    opened = re.sub(r"^# (?=[a-z-]+ = |\[)", "", text, flags=re.MULTILINE)
    (home.folder / "config.toml").write_text(opened)
    assert wrong(home) == []
    section = tomllib.loads(opened)["plugins"][plugin]
    settings = {}
    if said := home.run("config", "schema", plugin).stdout:  # a few plugins have none
        schema = json.loads(said)
        settings = schema["$defs"][schema["$ref"].rpartition("/")[2]]["properties"]
    assert section.get("config", {}).keys() == settings.keys()
    lists = {name for name in settings if f"[[plugins.{plugin}.config.{name}]]" in text}  # one example of an entry stands there
    defaults = {f"plugins.{plugin}.config.{name}" for name, one in settings.items() if one.get("default") is not None and name not in lists}
    assert defaults.isdisjoint(changed(home)), "every default is the plugin's own"
    manifest = tomllib.loads((ROOT / "plugins" / plugin / "src" / f"luminai_{plugin.replace('-', '_')}" / "luminai-plugin.toml").read_text())
    assert section.get("approve", []) == manifest.get("grants", [])


def test_scaffold__required_nested_and_secret_settings(home: Home) -> None:
    text = home.run("config", "scaffold", "remote").stdout
    append(home, "\n" + text)
    assert "already" in home.run("config", "scaffold", "remote").stderr
    assert tomllib.loads(text) == {"plugins": {"remote": {"enabled": True, "config": {"api-key": "env:API_KEY", "base-url": ""}}}}
    assert "# The key. [hub] strict = true A reference such as env:NAME" in text
    assert wrong(home) == ["plugins.remote.config.base-url"], "a placeholder that does not fit is told"
    filled = (home.folder / "config.toml").read_text().replace('base-url = ""', 'base-url = "https://example.org"')
    (home.folder / "config.toml").write_text(filled)
    assert wrong(home) == []
    opened = re.sub(r"^# (?=[a-z-]+ = |\[\[?plugins)", "", filled, flags=re.MULTILINE).replace('host = ""', 'host = "x"')
    config = tomllib.loads(opened)["plugins"]["remote"]["config"]
    assert config["tree"] == {"host": "deep", "weight": 2.5}, "the default of the table that holds a setting is the one in force"
    assert config["targets"] == [{"host": "x", "weight": 1.0}]
    (home.folder / "config.toml").write_text(opened)
    assert wrong(home) == []
    assert home.refusal("config", "scaffold", "remot") == (3, "plugin-not-found")


def test_schema__of_the_whole__takes_the_repositorys_file_and_no_typo(home: Home) -> None:
    schema = home.data("config", "schema")
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema")
    validator = Draft202012Validator(schema)
    own = tomllib.loads((ROOT / "config.toml").read_text())
    assert list(validator.iter_errors(own)) == []
    for path in (("server",), ("plugins", "chat"), ("plugins", "chat", "config"), ()):
        broken = json.loads(json.dumps(own))
        table = broken
        for part in path:
            table = table[part]
        table["mistyped"] = True
        assert not validator.is_valid(broken), path
    assert not validator.is_valid({"plugins": {"resonance": {"config": {"calculator": 3}}}})
    assert validator.is_valid({"plugins": {"not-here": {"enabled": True, "config": {"anything": 1}}}})


def test_schema__of_a_plugin__is_the_committed_one(home: Home) -> None:
    committed = json.loads((ROOT / "plugins/chat/src/luminai_chat/config.schema.json").read_text())
    assert home.data("config", "schema", "chat") == committed
    assert home.refusal("config", "schema", "cht") == (3, "plugin-not-found")
    (home.folder.parent / "site/luminai_remote/config.schema.json").unlink()
    assert home.refusal("config", "schema", "remote") == (3, "no-settings")
    (home.folder.parent / "site/luminai_remote/config.schema.json").write_text("[")
    assert home.refusal("config", "schema", "remote") == (7, "schema-invalid")
    assert not Draft202012Validator(home.data("config", "schema")).is_valid({"plugins": {"chat": {"config": {"playgrond": True}}}})


def test_whole_schema__turns_references_of_a_plugin_to_itself__and_follows_none_elsewhere() -> None:
    tree: dict[str, Any] = {
        "$id": "https://example.org/x",
        "$defs": {
            "Node": {"type": "object", "properties": {"$ref": {"type": "string"}, "next": {"$ref": "#/$defs/Node"}}, "additionalProperties": False}
        },
        "properties": {"root": {"$ref": "#/$defs/Node", "default": {"$ref": "#/kept"}}},
        "additionalProperties": False,
    }
    schema = whole_schema({"tree": tree, "away": {"$ref": "http://127.0.0.1:1/x"}, "none": None})
    validator = Draft202012Validator(schema)

    def fits(plugin: str, config: dict[str, Any]) -> bool:
        return validator.is_valid({"plugins": {plugin: {"config": config}}})

    assert fits("tree", {"root": {"next": {"next": {"$ref": "x"}}}})
    assert not fits("tree", {"root": {"next": {"next": {"other": "x"}}}})
    assert fits("away", {"a": 1})
    assert not fits("none", {"a": 1})
    assert "127.0.0.1" not in " ".join(_references(schema))


def _references(schema: Any) -> Iterator[str]:
    for name, value in schema.items() if isinstance(schema, dict) else ():
        if name == "$ref" and isinstance(value, str):
            yield value
        yield from _references(value)


PLAIN = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3),
    max_leaves=8,
)
LINES = st.text(st.characters(codec="utf-8"))


@given(name=LINES, value=PLAIN)
def test_toml_text__whatever_is_written__is_read_back(name: str, value: Any) -> None:
    assert tomllib.loads(f"{key(name)} = {inline(value)}\n") == {name: value}


@given(text=LINES, title=LINES, name=LINES)
@example(text="", title="", name="0\n")
def test_comments__whatever_an_author_writes__nothing_leaves_them(text: str, title: str, name: str) -> None:
    assert tomllib.loads("\n".join(comment(text))) == {}
    schema = {"properties": {name: {"type": "string", "description": text, "default": title}}}
    manifest = Manifest(manifest=1, id="odd", title=title, summary=text, api=">=1.0")
    assert tomllib.loads(scaffold(manifest, schema)) == {"plugins": {"odd": {"enabled": True, "config": {}}}}


def test_list_and_explain__show_no_secret(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.env["LUMINAI_DATABASE__URL"] = "postgresql://hub:hunter2@db.example/hub"
    assert "hunter2" not in home.run("config", "list").stdout
    told = home.data("config", "explain", "database.url")[-1]
    assert told["value"] == "postgresql://hub:(hidden)@db.example/hub"
    assert home.data("config", "explain", "server.port")[-1]["value"] == 9
