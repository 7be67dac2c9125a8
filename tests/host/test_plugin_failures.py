"""Each way in which a plugin can be broken: the hub stays up, other plugins serve, the report says whose fault it is and what to do."""

import asyncio
from pathlib import Path

import pytest

from luminai.host.discovery import InstalledPlugin
from luminai.host.hub import StartRefused
from luminai.host.report import PluginStatus
from luminai.testing import running_hub

QUICK = {"hub": {"plugin-seconds": 0.5}}
WITH_TABLE = """
    from sqlalchemy import Column, String, Table
    from luminai import hookimpl, metadata_for
    metadata = metadata_for("broken")
    Table("broken__notes", metadata, Column("id", String(40), primary_key=True))
    class Plugin:
        @hookimpl
        def models(self):
            return metadata
"""


def start_with(broken: list[InstalledPlugin], good: InstalledPlugin, *enabled: str, **more: object) -> tuple[PluginStatus, dict[str, object]]:
    """Start a hub with a good plugin beside the broken ones; return the first broken one's status and what its routes answer."""

    async def main() -> tuple[PluginStatus, dict[str, object]]:
        ids = enabled or tuple(plugin.id for plugin in broken)
        async with running_hub("good", *dict.fromkeys(ids), installed=[good, *broken], settings=QUICK, **more) as hub:
            client = hub.client()
            hello = await client.request("GET", "/api/good/hello")
            assert (hello.status, hello.json()) == (200, {"from": "good"})
            status = (await client.request("GET", "/api/status")).json()
            assert status["platform_status"] == "degraded"
            found = next(one for one in hub.hub.report.plugins if one.id == ids[0])
            assert not found.running
            assert found.reason
            assert found.remedy
            off = await client.request("GET", f"/api/{ids[0]}/hello")
            return found, off.json()

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("code", "phase", "expected", "remedy"),
    [
        pytest.param("import luminai_nowhere", "import", "luminai_nowhere", "Install the package of module luminai_nowhere", id="import-error"),
        pytest.param("raise SystemExit(3)", "import", "SystemExit", "log", id="exit-at-import"),
        pytest.param("x = (", "import", "never closed", "log", id="syntax-error"),
        pytest.param("class Other: pass", "import", "Plugin", "log", id="no-plugin-object"),
        pytest.param(
            "from luminai import hookimpl\nclass Plugin:\n    @hookimpl\n    def rutes(self, ctx): return []",
            "bind", "1 of its hooks", "hooks.md", id="unknown-hook",
        ),
        pytest.param(
            "from luminai import hookimpl\nclass Plugin:\n    @hookimpl\n    async def routes(self, ctx): return []",
            "bind", "1 of its hooks", "hooks.md", id="async-where-sync",
        ),
        pytest.param(
            "from luminai import hookimpl\nclass Plugin:\n    @hookimpl\n    def routes(self, ctx): raise ValueError('boom')",
            "collect", "boom", "log", id="hook-raises",
        ),
        pytest.param(
            "from luminai import hookimpl\nclass Plugin:\n    @hookimpl\n    def routes(self, ctx): __import__('threading').Event().wait()",
            "collect", "within 0.5 s", "log", id="hook-hangs",
        ),
        pytest.param(
            "from luminai import hookimpl\nclass Plugin:\n    @hookimpl\n    def routes(self, ctx): return 3",
            "collect", "routes returned int", "list or tuple", id="wrong-return",
        ),
        pytest.param(
            """
            from litestar import get
            from luminai import hookimpl, policy
            class Plugin:
                @hookimpl
                def routes(self, ctx):
                    @get("/api/broken/{a:str}", opt=policy())
                    async def one(a: str) -> None: ...
                    @get("/api/broken/{b:int}", opt=policy())
                    async def two(b: int) -> None: ...
                    return [one, two]
            """,
            "check", "routes cannot be served", "Keep one", id="same-route-twice",
        ),
        pytest.param(
            """
            from litestar import get
            from luminai import hookimpl
            class Plugin:
                @hookimpl
                def routes(self, ctx):
                    @get("/api/broken/x")
                    async def one() -> None: ...
                    return [one]
            """,
            "check", "routes cannot be served", "policy", id="no-policy",
        ),
        pytest.param(
            """
            from litestar import get
            from luminai import hookimpl, policy
            class Plugin:
                @hookimpl
                def routes(self, ctx):
                    @get("/api/good/mine", opt=policy())
                    async def one() -> None: ...
                    return [one]
            """,
            "check", "routes cannot be served", "paths", id="outside-its-prefix",
        ),
        pytest.param(
            """
            from litestar import asgi
            from luminai import hookimpl, policy
            class Plugin:
                @hookimpl
                def routes(self, ctx):
                    @asgi("/api/broken/raw", opt=policy("broken:read"), copy_scope=True)
                    async def raw(scope, receive, send): ...
                    return [raw]
            """,
            "check", "routes cannot be served", "HTTP handler", id="raw-route-behind-a-policy",
        ),
    ],
)  # fmt: skip
def test_plugin__broken_code__is_named_and_left_out(plugins, code: str, phase: str, expected: str, remedy: str) -> None:
    status, off = start_with([plugins.make("broken", code)], plugins.make("good"))

    assert status.state == "failed"
    assert status.phase == phase
    assert expected in status.reason + " ".join(status.causes)
    assert remedy in status.remedy
    assert off["code"] == "plugin-off"
    assert (off["plugin"], off["state"], off["status"]) == ("broken", "failed", 503)


def test_plugin__import_hangs__is_given_up_at_its_deadline(plugins) -> None:
    status, _ = start_with([plugins.make("sleeper", "import threading\nthreading.Event().wait()")], plugins.make("good"))

    assert (status.phase, status.code) == ("import", "deadline-exceeded")


def test_plugin__start_raises_or_hangs__is_stopped_and_left_out(plugins) -> None:
    raises = plugins.make(
        "raises",
        """
        from luminai import hookimpl
        class Plugin:
            @hookimpl
            async def start(self, ctx):
                ctx.own(lambda: ctx.log.warning("closed"))
                raise OSError("no such host")
        """,
        provides="[]",
    )
    hangs = plugins.make(
        "hangs",
        """
        import asyncio
        from luminai import hookimpl
        class Plugin:
            @hookimpl
            async def start(self, ctx):
                await asyncio.Event().wait()
        """,
        provides="[]",
    )

    first, _ = start_with([raises, hangs], plugins.make("good"))
    second, _ = start_with([hangs, raises], plugins.make("good"))

    assert (first.phase, first.code) == ("start", "start-failed")
    assert first.causes == ("OSError: no such host",)
    assert (second.phase, second.code) == ("start", "deadline-exceeded")


def test_plugin__bad_config__lists_every_problem_and_is_never_imported(plugins, tmp_path: Path) -> None:
    schema = """{"type": "object", "additionalProperties": false, "properties": {
        "size": {"type": "integer", "minimum": 1, "maximum": 9}, "mode": {"enum": ["fast", "slow"]}}}"""
    broken = plugins.make("broken", "raise RuntimeError('imported')", schema=schema)
    good = plugins.make("good")

    status, _ = start_with([broken], good, config={"broken": {"size": 99, "mode": "fats", "colour": "red"}})

    assert (status.phase, status.code) == ("config", "config-invalid")
    assert {item.pointer.rpartition(".")[2]: item.hint for item in status.errors} == {
        "colour": "Known: size, mode.",
        "mode": "Did you mean fast?",
        "size": "",
    }


def test_plugin__missing_dependency__is_blocked_with_the_chain(plugins) -> None:
    top = plugins.make("top", manifest='requires = { middle = "*" }')
    middle = plugins.make("middle", "raise ValueError('rotten')")
    absent = plugins.make("absent", manifest='requires = { nobody = ">=2" }')
    good = plugins.make("good")

    blocked, off = start_with([top, middle], good)
    lonely, _ = start_with([absent], good)

    assert blocked.state == "blocked"
    assert blocked.causes[0] == "middle at import: rotten"
    assert off["state"] == "blocked"
    assert (lonely.state, lonely.remedy) == ("blocked", "Install luminai-nobody.")


def test_plugins__claim_the_same_prefix__the_second_is_refused_and_both_are_named(plugins) -> None:
    one = plugins.make("beta", manifest='paths = ["/api/shared"]', code="raise RuntimeError('imported')")
    two = plugins.make("alpha", manifest='paths = ["/api/shared", "/api/alpha"]')

    status, _ = start_with([one, two], plugins.make("good"), "beta", "alpha")

    assert (status.phase, status.code) == ("order", "collision")
    assert status.reason == "URL prefix /api/shared belongs to plugin alpha"


def test_plugins__require_each_other__the_cycle_is_told(plugins) -> None:
    one = plugins.make("one", manifest='requires = { two = "*" }')
    two = plugins.make("two", manifest='requires = { one = "*" }')

    status, _ = start_with([one, two], plugins.make("good"))

    assert (status.phase, status.code) == ("order", "cycle")
    assert status.reason == "it needs itself: one → two → one"


@pytest.mark.parametrize(
    ("manifest", "phase", "code"),
    [
        ("manifest = 1\nid = 'broken'", "manifest", "bad-manifest"),
        ("this is no toml", "manifest", "bad-manifest"),
        ("manifest = 1\nid='broken'\ntitle='t'\nsummary='s'\napi='>=2.0'\n", "api", "incompatible"),
        ("manifest = 1\nid='other'\ntitle='t'\nsummary='s'\napi='>=1.0'\n", "manifest", "bad-manifest"),
        ("manifest = 1\nid='broken'\ntitle='t'\nsummary='s'\napi='>=1.0'\nscopes={'other:read'='x'}\n", "manifest", "bad-manifest"),
        ("manifest = 1\nid='broken'\ntitle='t'\nsummary='s'\napi='>=1.0'\npaths=['/elsewhere']\n", "manifest", "bad-manifest"),
        ("manifest = 1\nid='broken'\ntitle='t'\nsummary='s'\napi='>=1.0'\npaths=['/api/keys']\nprovides=['routes']\n", "order", "collision"),
    ],
)
def test_plugin__bad_manifest__is_refused_before_its_code_runs(plugins, manifest: str, phase: str, code: str) -> None:
    status, _ = start_with([plugins.make("broken", "raise RuntimeError('imported')", raw_manifest=manifest)], plugins.make("good"))

    assert (status.phase, status.code) == (phase, code)


def test_plugin__named_as_the_hubs_own__is_refused(plugins) -> None:
    status, _ = start_with([plugins.make("organisation", "raise RuntimeError('imported')")], plugins.make("good"))

    assert (status.phase, status.code) == ("manifest", "bad-manifest")
    assert "the hub's own" in status.reason


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ("op.create_table('broken__half', sa.Column('id', sa.Integer))\n    op.execute('SELECT nonsense FROM nowhere')", "migration-failed"),
        ("op.create_table('good__stolen', sa.Column('id', sa.Integer))", "migration-refused"),
    ],
)
def test_plugin__migration_fails__nothing_is_left(plugins, step: str, code: str) -> None:
    version = f"import sqlalchemy as sa\nfrom alembic import op\nrevision = '0001'\ndown_revision = None\ndef upgrade():\n    {step}\n"
    broken = plugins.make("broken", WITH_TABLE, provides='["models"]', manifest="tables = true", files={"migrations/versions/0001_init.py": version})

    async def main() -> None:
        async with running_hub("good", "broken", installed=[plugins.make("good"), broken]) as hub:
            status = next(one for one in hub.hub.report.plugins if one.id == "broken")
            assert (status.phase, status.code) == ("migrate", code)
            from sqlalchemy import inspect

            tables = await hub.hub.database.read(lambda session: inspect(session.connection()).get_table_names())
            assert not [table for table in tables if table.startswith(("broken__", "good__"))]

    asyncio.run(main())


def test_plugin__table_outside_its_prefix__is_refused(plugins) -> None:
    broken = plugins.make("broken", WITH_TABLE.replace("broken__notes", "notes"), provides='["models"]', manifest="tables = true")

    status, _ = start_with([broken], plugins.make("good"))

    assert (status.phase, status.code) == ("collect", "bad-tables")


def test_plugin__contributes_what_its_manifest_does_not_name__is_refused(plugins) -> None:
    status, _ = start_with([plugins.make("broken", provides='["personas"]')], plugins.make("good"))

    assert (status.phase, status.code) == ("bind", "bad-hooks")
    assert {item.pointer for item in status.errors} == {"routes", "personas"}


def test_plugin__required_and_broken__the_hub_does_not_start(plugins) -> None:
    broken = plugins.make("broken", "raise ValueError('rotten')")

    async def main() -> None:
        async with running_hub("broken", installed=[broken], settings={"plugins": {"broken": {"on-failure": "required"}}}):
            pytest.fail("the hub started")

    with pytest.raises(StartRefused) as refused:
        asyncio.run(main())
    assert [status.id for status in refused.value.report.plugins if status.state == "failed"] == ["broken"]


def test_hub__strict__any_failure_stops_it(plugins) -> None:
    async def main() -> None:
        async with running_hub("broken", installed=[plugins.make("broken", "raise ValueError")], settings={"hub": {"strict": True}}):
            pytest.fail("the hub started")

    with pytest.raises(StartRefused):
        asyncio.run(main())


@pytest.mark.shows("TL-128e")
def test_plugin__quarantined__stays_off_until_it_is_released(plugins, tmp_path: Path) -> None:
    settings = {"plugins": {"broken": {"on-failure": "quarantine"}}}
    folder = tmp_path / "home"
    folder.mkdir()

    async def start(plugin: InstalledPlugin, *, release: bool = False) -> str:
        async with running_hub("broken", installed=[plugin], settings=settings, folder=folder) as hub:
            state, operator = hub.state("broken"), hub.client("*")
            if release:
                recorded = (await operator.request("GET", "/api/admin/audit?action=plugin.")).json()["items"]
                assert [(one["action"], one["actor"], one["object"]) for one in recorded] == [("plugin.disable", "hub", "plugin:broken")]
                assert "ValueError" in recorded[0]["detail"]["reason"]
                answer = await operator.request("PUT", "/api/admin/plugins/broken/desired", json={"enabled": True})
                assert answer.json()["built"] == ["broken"]
                assert hub.state("broken") == "enabled"
            return state

    assert asyncio.run(start(plugins.make("broken", "raise ValueError"))) == "quarantined"
    mended = plugins.make("broken")
    assert asyncio.run(start(mended, release=True)) == "quarantined"
    import sys

    sys.modules.pop("luminai_broken.plugin", None)
    assert asyncio.run(start(mended)) == "enabled"
