"""``luminai config test``: a plugin tries its settings against the real service."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from home import Home

from luminai import NotFound
from luminai.config.layers import load
from luminai.host.discovery import InstalledPlugin
from luminai.host.tryout import Tryout, try_settings

REMOTE = """
import urllib.error
import urllib.request
from msgspec import Struct
from luminai import ProblemItem, Secret, hookimpl

class Config(Struct, forbid_unknown_fields=True):
    url: str
    key: Secret

class Plugin:
    config = Config

    @hookimpl
    async def start(self, ctx):
        raise RuntimeError("a try starts nothing")

    @hookimpl
    async def test_config(self, ctx):
        request = urllib.request.Request(ctx.config.url, headers={"Authorization": ctx.config.key.reveal()})
        try:
            await ctx.run_sync(lambda: urllib.request.urlopen(request).close())
        except urllib.error.HTTPError as error:
            return [ProblemItem(detail=f"The service answers {error.code}.", pointer="key", code="remote.refused", hint="Renew the key.")]
        return []
"""
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"url": {"type": "string"}, "key": {"type": "string", "writeOnly": True, "pattern": "^[a-z]+:.+$"}},
        "required": ["url", "key"],
        "additionalProperties": False,
    }
)
CHECK = """
from luminai import hookimpl
class Plugin:
    @hookimpl
    async def test_config(self, ctx):
        {body}
"""


class Service(http.server.BaseHTTPRequestHandler):
    """Lets in who says ``right``; at ``/silent`` it says nothing until the test is over."""

    over = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/silent":
            self.over.wait()
        self.send_response(204 if self.headers["Authorization"] == "right" else 403)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


@pytest.fixture
def service() -> Iterator[str]:
    """Return the address of a service that looks at keys."""
    Service.over.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        Service.over.set()
        server.shutdown()


@pytest.fixture
def home(tmp_path: Path, plugins: Any, service: str) -> Home:
    """Return a home with the installed plugin ``remote``, which is off."""
    plugins.make("remote", REMOTE, provides="[]", schema=SCHEMA)
    info = plugins.root / "luminai_remote-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: luminai-remote\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[luminai.plugins]\nremote = luminai_remote.plugin:Plugin\n")
    home = Home(tmp_path / "home")
    home.env |= {"PYTHONPATH": str(plugins.root), "REMOTE_KEY": "right"}
    section = f'[plugins.remote]\napprove = ["anonymous-routes"]\n[plugins.remote.config]\nurl = "{service}"\nkey = "env:REMOTE_KEY"\n'
    (home.folder / "config.toml").write_text(section)
    return home


def test_test__against_a_real_service__tells_each_problem_by_exit_code_8(home: Home) -> None:
    right = home.data("config", "test", "remote")
    assert (right["has_check"], right["problems"]) == (True, [])
    assert "nothing is wrong" in home.run("--output", "table", "config", "test", "remote").stdout
    home.env["REMOTE_KEY"] = "wrong"
    done = home.run("config", "test", "remote")
    assert done.returncode == 8
    problem = {"detail": "The service answers 403.", "key": "key", "code": "remote.refused", "hint": "Renew the key."}
    assert json.loads(done.stdout)["problems"] == [problem]
    del home.env["REMOTE_KEY"]
    done = home.run("config", "test", "remote")
    assert (done.returncode, json.loads(done.stdout)["problems"][0]["code"]) == (8, "secret-missing")
    assert not (home.folder / "data" / "hub.sqlite3").exists(), "the hub's database is not touched"
    assert home.refusal("config", "test", "remot") == (3, "plugin-not-found")


def test_test__service_that_says_nothing__is_given_up_at_the_timeout__and_the_command_ends(home: Home) -> None:
    path = home.folder / "config.toml"
    path.write_text(path.read_text().replace('/"', '/silent"'))
    done = home.run("config", "test", "remote", "--timeout", "0.2")
    assert done.returncode == 8
    assert json.loads(done.stdout)["problems"][0]["detail"] == "Its check did not end within 0.2 s."


def test_test__plugin_without_a_check__says_so(home: Home) -> None:
    done = home.run("config", "test", "resonance")
    assert done.returncode == 8, "its grant is not approved"
    assert json.loads(done.stdout)["problems"][0]["code"] == "needs-approval"
    (home.folder / "config.toml").write_text('[plugins.resonance]\napprove = ["anonymous-routes"]\n')
    done = home.run("config", "test", "resonance")
    assert (done.returncode, json.loads(done.stdout)["has_check"]) == (0, False)
    assert "no check of its own" in done.stderr


def attempt(tmp_path: Path, plugin: InstalledPlugin, *others: InstalledPlugin, config: str = "", seconds: float = 5.0) -> Tryout:
    path = tmp_path / "config.toml"
    sections = "".join(f'[plugins.{one.id}]\napprove = ["anonymous-routes"]\n' for one in (plugin, *others))
    path.write_text(sections + config)
    return try_settings(load(path, {}), plugin.id, [plugin, *others], seconds=seconds)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("raise ValueError('no')", "check-failed"),
        ("raise SystemExit(3)", "check-failed"),
        ("raise TimeoutError('the service was late')", "check-failed"),
        ("return None", "bad-answer"),
        ("return 'fine'", "bad-answer"),
        ("return ['wrong']", "bad-answer"),
        ("await __import__('asyncio').Event().wait()", "deadline-exceeded"),
        ("from luminai import Unavailable; raise Unavailable('away', code='odd.away', hint='Wait.')", "odd.away"),
    ],
)
def test_check__that_misbehaves__is_told_and_contained(tmp_path: Path, plugins: Any, body: str, code: str) -> None:
    plugin = plugins.make("odd", CHECK.format(body=body), provides="[]")
    tried = attempt(tmp_path, plugin, seconds=0.3)
    assert [problem.code for problem in tried.problems] == [code]


def test_check__that_blocks_the_whole_loop__is_given_up(tmp_path: Path, plugins: Any) -> None:
    plugin = plugins.make("odd", "import threading\nlet_go = threading.Event()\n" + CHECK.format(body="let_go.wait()").lstrip(), provides="[]")
    tried = attempt(tmp_path, plugin, seconds=0.1)
    __import__("luminai_odd.plugin").plugin.let_go.set()
    assert tried.hung
    assert [problem.code for problem in tried.problems] == ["deadline-exceeded"]


BASE = """
from luminai import Service, hookimpl
class Book:
    is_open = False
class Plugin:
    @hookimpl
    def services(self, ctx):
        self.book = Book()
        return [Service(Book, self.book)]
    @hookimpl
    async def start(self, ctx):
        self.book.is_open = True
"""
READER = """
from luminai import ProblemItem, hookimpl
from luminai_base.plugin import Book
class Plugin:
    @hookimpl
    async def test_config(self, ctx):
        folder = ctx.data_dir
        return [ProblemItem(detail=f"{ctx.service(Book).is_open} {folder.relative_to(ctx.base_dir)}")]
"""


def test_check__of_a_plugin_that_requires_others__finds_them_started(tmp_path: Path, plugins: Any) -> None:
    base = plugins.make("base", BASE, provides='["services"]')
    reader = plugins.make("reader", READER, provides="[]", manifest='requires = { base = "*" }')
    bystander = plugins.make("bystander", "raise RuntimeError('not asked for')")
    tried = attempt(tmp_path, reader, base, bystander)
    assert [problem.detail for problem in tried.problems] == ["True data/plugins/reader"]
    assert not (tmp_path / "data" / "hub.sqlite3").exists()

    broken = plugins.make("shaky", "raise RuntimeError('broken')")
    reader = plugins.make("leaner", READER, provides="[]", manifest='requires = { shaky = "*" }')
    tried = attempt(tmp_path, reader, broken)
    assert (tried.has_check, [problem.code for problem in tried.problems]) == (None, ["blocked"])
    assert "shaky, which stopped at import: broken" in tried.problems[0].detail
    tried = attempt(tmp_path, reader)
    assert [problem.code for problem in tried.problems] == ["needs-plugin"]


def test_settings__that_the_schema_refuses__are_told_with_their_line_and_no_code_runs(tmp_path: Path, plugins: Any) -> None:
    plugin = plugins.make("odd", "raise RuntimeError('ran')", provides="[]", schema=SCHEMA)
    tried = attempt(tmp_path, plugin, config="[plugins.odd.config]\nurl = 3\nkey = 'env:X'\n")
    assert [(problem.pointer, problem.line) for problem in tried.problems] == [("plugins.odd.config.url", 4)]
    with pytest.raises(NotFound):
        try_settings(load(tmp_path / "config.toml", {}), "even", [plugin], seconds=1)


@pytest.mark.shows("LR-124")
def test_secret__kept_by_another_plugin__is_resolved(tmp_path: Path, plugins: Any) -> None:
    keeper = plugins.make(
        "keeper",
        """
        from luminai import hookimpl
        class Vault:
            scheme = "vault"
            def resolve(self, name):
                return name.upper()
        class Plugin:
            @hookimpl
            def secret_backends(self, ctx):
                return [Vault()]
        """,
        provides='["secret_backends"]',
    )
    code = CHECK.format(body="from luminai import ProblemItem; return [ProblemItem(detail=ctx.config.key.reveal())]")
    config = "from msgspec import Struct\nfrom luminai import Secret\nclass Config(Struct):\n    url: str\n    key: Secret\n"
    plugin = plugins.make(
        "odd", config + code.lstrip().replace("class Plugin:\n", "class Plugin:\n    config = Config\n"), provides="[]", schema=SCHEMA
    )
    section = "[plugins.odd.config]\nurl = 'x'\nkey = 'vault:it'\n"
    tried = attempt(tmp_path, plugin, keeper, config=f"enabled = true\n{section}")
    assert [problem.detail for problem in tried.problems] == ["IT"]
    tried = attempt(tmp_path, plugin, keeper, config=section)
    assert [problem.code for problem in tried.problems] == ["secret-missing"], "a keeper that is off keeps nothing"
