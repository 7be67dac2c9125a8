"""Each rule catches the plugin that breaks exactly it, and lets a good one pass."""

from importlib import import_module
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from luminai.config.binding import render_schema, schema_of
from luminai.contracts.manifest import SCHEMA_FILE
from luminai.host.discovery import InstalledPlugin
from luminai.testing.conformance import (
    LEVELS,
    RULES,
    Level,
    Outcome,
    check_plugin,
    import_rule,
    make_result,
    make_subject,
    rules_table,
    rules_up_to,
    run_rules,
)

pytestmark = pytest.mark.slow

HEAD = """
from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from litestar import get
from msgspec import Meta, Struct
from luminai import Health, HealthCheck, HealthState, Persona, PluginContext, Secret, hookimpl, policy


"""
CONFIG = """
class Config(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    greeting: Annotated[str, Meta(max_length=40)] = "Hello"
"""
PLUGIN = """

class Plugin:
    config: ClassVar = Config

"""
ROUTES = """
    @hookimpl
    def routes(self, ctx: PluginContext) -> Sequence[Any]:
        @get("/api/notes/hello", opt=policy("notes:read"))
        async def hello() -> dict[str, str]:
            return {"text": ctx.config.greeting}

        return [hello]
"""
README = "# Notes\n\n`greeting`, `token`, `number`; scope `notes:read`.\n\n## Remove\n\nNothing is left.\n"
SCOPES = '[scopes]\n"notes:read" = "Read notes"\n'
GOOD = HEAD + CONFIG + PLUGIN + ROUTES


def make(
    plugins: Any, code: str = GOOD, *, readme: str = README, files: dict[str, str] | None = None, manifest: str = "", **more: Any
) -> InstalledPlugin:
    """Write the plugin ``notes`` with the schema that its Struct gives."""
    plugin: InstalledPlugin = plugins.make(
        "notes", code, files={"README.md": readme, "py.typed": "", **(files or {})}, manifest=f"{dedent(manifest)}\n{SCOPES}", **more
    )
    struct = getattr(import_module("luminai_notes.plugin"), "Config", None)
    if struct is not None:
        (Path(plugin.package_dir) / SCHEMA_FILE).write_text(render_schema(schema_of(struct)))
    return plugin


def broken(plugin: InstalledPlugin, level: Level) -> dict[str, str]:
    """Return the broken rules with what they say."""
    result = check_plugin(plugin, level=level, installed=[plugin])
    return {one.id: one.detail for one in result.rules if one.outcome is Outcome.FAILED}


def expect_only(rule: str, said: str, plugin: InstalledPlugin) -> None:
    """The rule, and no other of its level or below, is broken and says what is wrong."""
    found = broken(plugin, {"B": Level.BRONZE, "S": Level.SILVER, "G": Level.GOLD}[rule[0]])

    assert set(found) == {rule}, found
    assert said in found[rule]


WHOLE_CONFIG = """
class Config(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    token: Secret
    greeting: Annotated[str, Meta(max_length=40)] = "Hello"
"""
WHOLE = (
    HEAD
    + "from sqlalchemy import Column, MetaData, String, Table\nfrom luminai import metadata_for\n"
    + 'metadata = metadata_for("notes")\nTable("notes__notes", metadata, Column("id", String(40), primary_key=True), info={"data": "internal"})\n\n'
    + WHOLE_CONFIG
    + PLUGIN
    + ROUTES
    + """
    @hookimpl
    def models(self) -> MetaData:
        return metadata

    @hookimpl
    def personas(self) -> Sequence[Persona]:
        return [Persona(id="noter", version=1, title="Noter", role="Takes notes.", instructions="Take notes.", weight=0.5)]

    @hookimpl
    def health_checks(self, ctx: PluginContext) -> Sequence[HealthCheck]:
        async def check() -> Health:
            return Health(HealthState.OK if ctx.config.token.reveal() else HealthState.FAILING)

        return [HealthCheck(name="token", check=check)]

    def __init__(self) -> None:
        self.over = asyncio.Event()

    @hookimpl
    async def start(self, ctx: PluginContext) -> None:
        ctx.spawn(self.over.wait(), name="wait")
        await ctx.run_sync(len, "abc")
        await asyncio.sleep(0)

    @hookimpl
    async def stop(self) -> None:
        self.over.set()
"""
)
STEP = """
    import sqlalchemy as sa
    from alembic import op
    revision = "0001"
    down_revision = None
    def upgrade():
        op.create_table("notes__notes", sa.Column("id", sa.String(40), primary_key=True))
"""
WHOLE_PROVIDES = '["routes", "models", "personas", "health_checks"]'
STEP_FILE = "migrations/versions/0001_init.py"


def test_good_plugin__all_rules__reaches_gold(plugins) -> None:
    plugin = make(plugins, WHOLE, provides=WHOLE_PROVIDES, files={STEP_FILE: STEP}, manifest="tables = true")

    result = check_plugin(plugin, installed=[plugin])

    assert {one.id: one.detail for one in result.rules if one.outcome is not Outcome.PASSED} == {}
    assert (result.plugin, result.version, result.level) == ("notes", "1.0", Level.GOLD)
    assert "1 secrets" in next(one.detail for one in result.rules if one.id == "S06")
    assert "interrupted at" in next(one.detail for one in result.rules if one.id == "S04")


def test_plugin_without_anything__bronze__is_reached(plugins) -> None:
    plugin = make(plugins, "class Plugin: pass", provides="[]")

    assert check_plugin(plugin, level=Level.BRONZE, installed=[plugin]).level is Level.BRONZE


@pytest.mark.parametrize(
    ("manifest", "said"), [('requires = { nobody = "*" }', "nobody"), ('unknown-key = "x"', "unknown-key")], ids=["requires-nobody", "unknown-key"]
)
def test_b01__manifest(plugins, manifest: str, said: str) -> None:
    expect_only("B01", said, make(plugins, manifest=manifest))


def test_b02__stale_schema(plugins) -> None:
    plugin = make(plugins)
    plugin.schema_path.write_text(plugin.schema_path.read_text().replace("40", "41"))

    expect_only("B02", "is not what Config gives", plugin)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("from luminai.contracts.errors import HubError", "luminai.contracts.errors"),
        ("import subprocess", "subprocess without a reason"),
        ("from socket import socket  # no stated reason", "socket without a reason"),
        ("import ctypes as c", "ctypes"),
        ("from importlib import import_module\nhub = import_module('luminai.http.guard')", "luminai.http.guard"),
        ("def later():\n    import luminai_other", "luminai_other"),
    ],
)
def test_b03__import(plugins, line: str, said: str) -> None:
    expect_only("B03", said, make(plugins, HEAD + line + "\n" + CONFIG + PLUGIN + ROUTES))


def test_b03__import_with_its_reason__passes(plugins) -> None:
    plugin = make(plugins, HEAD + "import socket  # conformance: asks a thermometer\n" + CONFIG + PLUGIN + ROUTES)

    assert broken(plugin, Level.BRONZE) == {}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("open(__file__ + '.log', 'w').close()", "for writing"),
        ("import socket  # conformance: test\nsocket.socket().close()", "socket"),
        ("threading.Thread(target=threading.Event().wait, args=(0.2,), daemon=True).start()", "thread"),
        ("import time\nend = time.process_time() + 0.7\nwhile time.process_time() < end: pass", "at most 500"),
    ],
)
def test_b04__import_with_effects(plugins, lines: str, said: str) -> None:
    expect_only("B04", said, make(plugins, HEAD + lines + "\n" + CONFIG + PLUGIN + ROUTES))


def test_b04__import_that_waits(plugins, monkeypatch) -> None:
    monkeypatch.setattr(import_rule, "MOST_WAIT_MS", 400)
    expect_only("B04", "it waits", make(plugins, HEAD + "threading.Event().wait(1.5)\n" + CONFIG + PLUGIN + ROUTES))


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        ("    @hookimpl\n    def rutes(self, ctx): return []\n", "Did you mean routes"),
        ("    @hookimpl\n    def start(self, ctx): pass\n", "async def"),
        ("    @hookimpl\n    async def stop(self, ctx=None): pass\n", "default"),
    ],
)
def test_b05__hook(plugins, hook: str, said: str) -> None:
    expect_only("B05", said, make(plugins, GOOD + hook))


def test_b06__provides_more_than_it_contributes(plugins) -> None:
    expect_only("B06", "metrics", make(plugins, provides='["routes", "metrics"]'))


def test_b07__needs_a_plugin_silently(plugins) -> None:
    code = GOOD.replace("        @get(", '        ctx.providers.personas["ely"]\n\n        @get(')

    expect_only("B07", "ely", make(plugins, code))


@pytest.mark.parametrize(
    ("code", "more", "said"),
    [
        (GOOD.replace("/api/notes/hello", "/api/other/hello"), {}, "/api/other/hello"),
        (
            GOOD + "    @hookimpl\n    def models(self):\n        from sqlalchemy import Column, Index, String, Table\n"
            "        from luminai import metadata_for\n        metadata = metadata_for('notes')\n"
            "        Table('notes__a', metadata, Column('id', String(40), primary_key=True), Index('by_id', 'id'))\n        return metadata\n",
            {"provides": '["routes", "models"]', "manifest": "tables = true", "files": {STEP_FILE: STEP}},
            "by_id",
        ),
    ],
    ids=["route", "index"],
)
def test_b08__name_of_others(plugins, code: str, more: dict[str, Any], said: str) -> None:
    expect_only("B08", said, make(plugins, code, **more))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (GOOD.replace(', opt=policy("notes:read")', ""), "declares no policy"),
        (
            HEAD
            + CONFIG
            + PLUGIN
            + ROUTES.replace("return [hello]", "return [hello, raw]").replace(
                "        return [hello, raw]",
                "        from litestar import asgi\n\n"
                "        @asgi('/api/notes/raw', opt=policy('notes:read'), copy_scope=True)\n"
                "        async def raw(scope: Any, receive: Any, send: Any) -> None:\n"
                "            await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
                "            await send({'type': 'http.response.body', 'body': b'open'})\n\n"
                "        return [hello, raw]",
            ),
            "/api/notes/raw passes no guard",
        ),
    ],
    ids=["no-policy", "raw-asgi"],
)
def test_b09__open_route(plugins, code: str, said: str) -> None:
    expect_only("B09", said, make(plugins, code))


def test_b10__settings_that_take_anything(plugins) -> None:
    expect_only("B10", "unknown key", make(plugins, GOOD.replace(", forbid_unknown_fields=True", "")))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("threading.Thread(target=threading.Event().wait, args=(20,), daemon=True, name='left').start()", "thread left"),
        ("self.kept = asyncio.get_running_loop().create_task(asyncio.Event().wait(), name='left')", "task left"),
        ("import os; os.open(__file__, os.O_RDONLY)", "descriptor"),
    ],
    ids=["thread", "task", "descriptor"],
)
def test_b11__leaves_something(plugins, line: str, said: str) -> None:
    start = f"    @hookimpl\n    async def start(self, ctx: PluginContext) -> None:\n        {line}\n"

    expect_only("B11", said, make(plugins, GOOD + start))


def test_s01__stop_that_needs_a_whole_start(plugins) -> None:
    hooks = """
    @hookimpl
    async def start(self) -> None:
        self.client = [1]

    @hookimpl
    async def stop(self) -> None:
        self.client.clear()
"""
    expect_only("S01", "plugin.stop.failed", make(plugins, GOOD + hooks))


def test_s02__start_that_resists_its_deadline(plugins) -> None:
    start = """
    @hookimpl
    async def start(self) -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            await asyncio.Event().wait()
"""
    expect_only("S02", "first await", make(plugins, GOOD + start))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("try:\n            await asyncio.sleep(0)\n        except asyncio.CancelledError:\n            pass", "await 1: start swallowed"),
        (
            "import os\n        await asyncio.sleep(0)\n        fd = os.open(__file__, 0)\n        await asyncio.sleep(0)\n        os.close(fd)",
            "await 2: descriptor",
        ),
    ],
    ids=["swallows", "leaks"],
)
def test_s03__cancelled_start(plugins, body: str, said: str) -> None:
    start = f"    @hookimpl\n    async def start(self) -> None:\n        {body}\n"

    expect_only("S03", said, make(plugins, GOOD + start))


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (STEP + "        op.add_column('notes__notes', sa.Column('more', sa.String(10)))\n", "differ"),
        (
            STEP + "        op.execute('COMMIT')\n        op.execute('BEGIN')\n        op.execute('INSERT INTO notes__notes VALUES (1)')\n",
            "interrupted",
        ),
    ],
    ids=["drift", "commits-within"],
)
def test_s04__migration(plugins, step: str, said: str) -> None:
    plugin = make(plugins, WHOLE, provides=WHOLE_PROVIDES, files={STEP_FILE: step}, manifest="tables = true")

    expect_only("S04", said, plugin)


def test_s05__limit_that_the_schema_does_not_tell(plugins) -> None:
    config = (
        CONFIG + "    number: int = 0\n\n    def __post_init__(self) -> None:\n        if self.number % 2:\n            raise ValueError('odd')\n"
    )

    expect_only("S05", "odd", make(plugins, HEAD + config + PLUGIN + ROUTES))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('"text": ctx.config.greeting', '"text": ctx.config.token.reveal()'), "GET /api/notes/hello"),
        (('await ctx.run_sync(len, "abc")', 'ctx.log.info("signed in with %s", ctx.config.token.reveal())'), "log line"),
    ],
    ids=["answer", "log"],
)
def test_s06__secret_shows(plugins, change: tuple[str, str], said: str) -> None:
    plugin = make(plugins, WHOLE.replace(*change), provides=WHOLE_PROVIDES, files={STEP_FILE: STEP}, manifest="tables = true")

    expect_only("S06", said, plugin)


@pytest.mark.parametrize(
    ("readme", "said"),
    [
        (README.replace("`greeting`", ""), "the setting `greeting`"),
        (README.replace("notes:read", ""), "the scope `notes:read`"),
        (README.partition("## Remove")[0], "what is left after removal"),
    ],
)
def test_s07__readme_silent(plugins, readme: str, said: str) -> None:
    expect_only("S07", said, make(plugins, readme=readme))


def test_s08__calls_the_network_without_a_health_check(plugins) -> None:
    expect_only("S08", "api.example.org", make(plugins, manifest='network = ["api.example.org"]'))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((', info={"data": "internal"}', ""), "notes__notes.id has no class"),
        (("primary_key=True),", "primary_key=True), Column('author', String(40)),"), "notes__notes.author looks personal"),
        (("primary_key=True),", "primary_key=True, info={'data': 'personal'}),"), "say in `retention`"),
    ],
    ids=["no-class", "looks-personal", "no-retention"],
)
def test_s09__column_without_a_class(plugins, change: tuple[str, str], said: str) -> None:
    step = STEP.replace("primary_key=True)", 'primary_key=True), sa.Column("author", sa.String(40))') if "author" in said else STEP
    code = WHOLE.replace(*change)
    assert code != WHOLE
    plugin = make(plugins, code, provides=WHOLE_PROVIDES, files={STEP_FILE: step}, manifest="tables = true")

    expect_only("S09", said, plugin)


def test_g01__persona_that_breaks_its_contract(plugins) -> None:
    code = WHOLE.replace("weight=0.5", "weight=0.5, aliases=('Noter',)")

    expect_only("G01", "ids_and_aliases", make(plugins, code, provides=WHOLE_PROVIDES, files={STEP_FILE: STEP}, manifest="tables = true"))


@pytest.mark.parametrize(("body", "outcome"), [("pass", Outcome.PASSED), ("raise ValueError", Outcome.FAILED)])
def test_g01__storage_behind_a_network__is_judged_by_its_own_tests(plugins, body: str, outcome: Outcome) -> None:
    plugin = make(plugins, provides=["routes", "storage_backends"], manifest='network = ["s3.example.org"]')
    (rule,) = (rule for rule in RULES if rule.id == "G01")

    def found() -> tuple[Outcome, str]:
        result = next(iter(run_rules(make_subject(plugin, installed=[plugin]), [rule])))
        return result.outcome, result.detail

    folder = Path(plugin.package_dir)
    assert found()[0] is Outcome.SKIPPED
    (folder / "pyproject.toml").touch()
    (folder / "tests").mkdir()
    own = f"class StorageContract:\n    def test_it(self): {body}\n\nclass TestIt(StorageContract): pass\n"
    (folder / "tests" / "test_own.py").write_text(own)

    assert found()[0] is outcome, found()
    assert ("TestIt::test_it" if outcome is Outcome.FAILED else "1 passed") in found()[1]


def test_g02__untyped(plugins) -> None:
    expect_only("G02", "errors, first:", make(plugins, GOOD.replace("-> Sequence[Any]", "")))


def test_g03__cannot_be_swapped(plugins) -> None:
    expect_only("G03", "restart", make(plugins, manifest='reload = "restart"'))


def test_level__a_rule_that_could_not_be_found_out__is_not_reached(plugins) -> None:
    plugin = make(plugins)
    subject = make_subject(plugin, installed=[plugin])
    results = list(run_rules(subject, rules_up_to(Level.BRONZE)))

    assert make_result(plugin, results).level is Level.BRONZE
    assert make_result(plugin, results[:-1]).level is Level.NONE


def test_rules__ids_and_texts__are_whole_and_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs/explanation/conformance.md").read_text()

    assert len({rule.id for rule in RULES}) == len(RULES)
    assert all(rule.title and rule.reason and rule.fix and rule.level in LEVELS for rule in RULES)
    assert {needed for rule in RULES for needed in rule.needs} <= {rule.id for rule in RULES}
    assert rules_table() in page, "Write rules_table() into the page anew."
