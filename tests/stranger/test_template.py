"""The template in every kind, alone and together, through `luminai plugins new`: files, tests, lint, types, a running hub; and the pages about it."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import pytest

import luminai

ROOT = Path(__file__).parents[2]
COPIER = Path(os.environ.get("LUMINAI_TEST_COPIER") or ROOT / ".venv-template" / "bin" / "copier")
BIN = Path(sys.executable).parent
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
PAGES = sorted((ROOT / "docs/how-to/extend").glob("*.md"))
EVERY = "a-plugin-of-every-kind-and-width"
"""The longest id there may be: lines must fit with it."""

KINDS = {
    "persona": (["personas"], ["persona.py"]),
    "calculator": (["resonance_calculators"], ["calculator.py"]),
    "ai-provider": (["ai_providers"], ["provider.py"]),
    "payment": (["payment_providers"], ["payment.py", "webhook.py"]),
    "storage": (["storage_backends"], ["storage.py"]),
    "routes": (["models", "routes"], ["models.py", "routes.py"]),
    "actions": (["models", "actions", "schedules"], ["models.py", "jobs.py"]),
    "events": (["models", "event_types", "subscriptions"], ["models.py", "events.py"]),
    "live": (["channels"], ["rooms.py"]),
}
"""Each kind with what it provides and its modules."""

STEPS = {"my-routes": ["init"], "my-actions": ["readings"], "my-events": ["heard"], EVERY: ["init", "readings", "heard"]}
"""The steps of those with tables, in order."""

FAMILIES = ("persona", "calculator", "ai-provider", "payment", "storage")
ALWAYS = {"__init__.py", "config.py", "config.schema.json", "luminai-plugin.toml", "plugin.py", "py.typed"}
CASES = {**{f"my-{kind}": [kind] for kind in KINDS}, EVERY: list(KINDS)}

SIMPLE = [plugin for plugin in CASES if plugin not in (EVERY, "my-routes")]
"""Those whose silver level is a long proof: the two others have all that they have."""

BOOT = """
import asyncio, json, sys
from luminai.testing import running_hub

FAMILIES = ("personas", "resonance_calculators", "ai_providers", "payment_providers", "storage_backends")

async def main():
    found = {}
    for plugin in sys.argv[1:]:
        async with running_hub(plugin) as hub:
            providers = hub.hub.generation.wiring.providers
            notes = f"/api/{plugin}/notes"
            found[plugin] = {
                "state": hub.state(plugin),
                "offers": [family for family in FAMILIES if plugin in getattr(providers, family)],
                "nobody": (await hub.client().request("GET", notes)).status,
                "reader": (await hub.client(f"{plugin}:read").request("GET", notes)).status,
            }
    async with running_hub(*sys.argv[1:]) as hub:
        found["together"] = [hub.state(plugin) for plugin in sys.argv[1:]]
    print(json.dumps(found))

asyncio.run(main())
"""


class Author:
    """Somebody with a home of their own who writes plugins; ``site`` is where they are installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = folder / "site"
        commands = folder / "bin"
        commands.mkdir()
        (commands / "copier").symlink_to(COPIER)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LUMINAI_", "GIT_"))}
        paths = [str(self.site), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.env = {
            **kept,
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "PYTHONPATH": os.pathsep.join(paths),
            "LUMINAI_PORT": "9",
        }

    def run(self, *command: Any, **more: Any) -> subprocess.CompletedProcess[str]:
        words = [str(part) for part in command]
        how = {"cwd": self.folder, "env": self.env, **more}
        return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **how)

    def good(self, *command: Any, **more: Any) -> str:
        done = self.run(*command, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def new(self, *arguments: Any) -> Any:
        return json.loads(self.good(BIN / "luminai", "plugins", "new", *arguments))

    def refusal(self, *arguments: Any, **more: Any) -> tuple[int, str]:
        done = self.run(BIN / "luminai", "plugins", "new", *arguments, **more)
        return done.returncode, json.loads(done.stderr.splitlines()[-1])["code"]


def needs_copier() -> None:
    if not COPIER.exists() and not os.environ.get("LUMINAI_REQUIRE_SERVICES"):
        pytest.skip("copier is not installed: run the tests with `make test`")


@pytest.fixture
def author(tmp_path: Path) -> Author:
    """Return an author who has made nothing yet."""
    needs_copier()
    return Author(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Author:
    """Return an author who has made and installed a plugin of every kind and one of all kinds."""
    needs_copier()
    author = Author(tmp_path_factory.mktemp("author"))
    for plugin, kinds in CASES.items():
        author.new(plugin, *(part for kind in kinds for part in ("--kind", kind)), "--defaults")
    author.good(*PIP, "install", "--no-deps", "--no-build-isolation", "--target", author.site, *(f"./{plugin}" for plugin in CASES))
    return author


@pytest.fixture(scope="module")
def booted(made: Author) -> Any:
    """Return what hubs with each plugin alone, and one with all, said."""
    return json.loads(made.good(sys.executable, "-c", BOOT, *CASES))


def package(plugin: str) -> str:
    return f"luminai_{plugin.replace('-', '_')}"


@pytest.mark.parametrize("plugin", CASES)
def test_new__each_choice__writes_only_the_files_it_needs(made: Author, plugin: str) -> None:
    folder = made.folder / plugin / "src" / package(plugin)
    manifest = tomllib.loads((folder / "luminai-plugin.toml").read_text())

    provides, modules = zip(*(KINDS[kind] for kind in CASES[plugin]), strict=True)
    assert manifest["provides"] == list(dict.fromkeys(name for names in provides for name in names))
    steps = {f"migrations/versions/{number:04}_{name}.py" for number, name in enumerate(STEPS.get(plugin, ()), 1)}
    expected = ALWAYS | {name for names in modules for name in names} | steps
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == expected
    tests = {path.name for path in (made.folder / plugin / "tests").iterdir()}
    assert len(tests) == 2 + len(CASES[plugin])


@pytest.mark.parametrize("plugin", CASES)
def test_generated__enabled__runs_and_offers_what_its_manifest_says(booted: Any, plugin: str) -> None:
    found = booted[plugin]

    assert found["state"] == "enabled"
    assert set(found["offers"]) == {name for kind in CASES[plugin] if kind in FAMILIES for name in KINDS[kind][0]}
    assert (found["nobody"], found["reader"]) == ((401, 200) if "routes" in CASES[plugin] else (404, 404))


def test_generated__all_in_one_hub__run_side_by_side(booted: Any) -> None:
    assert booted["together"] == ["enabled"] * len(CASES)


@pytest.mark.parametrize("plugins", [[EVERY], [plugin for plugin in CASES if plugin != EVERY]], ids=["together", "alone"])
def test_generated__own_tests__pass(made: Author, plugins: list[str]) -> None:
    made.good(
        sys.executable, "-m", "pytest", "-q", "-c", f"{EVERY}/pyproject.toml", "--rootdir", ".", "-p", "no:cacheprovider",
        *(f"{plugin}/tests" for plugin in plugins),
    )  # fmt: skip


@pytest.mark.parametrize("command", [("check",), ("format", "--check")], ids=["lint", "format"])
def test_generated__ruff__has_nothing_to_say(made: Author, command: tuple[str, ...]) -> None:
    made.good(BIN / "ruff", *command, "--no-cache", *CASES)


def test_generated__mypy_strict__has_nothing_to_say(made: Author) -> None:
    sources = made.folder / "typed"
    for plugin in CASES:  # module names cannot hold dashes
        shutil.copytree(made.folder / plugin / "src" / package(plugin), sources / package(plugin))
        shutil.copytree(made.folder / plugin / "tests", sources / f"tests_{package(plugin)}")
    paths = [str(sources), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**made.env, "MYPYPATH": os.pathsep.join(paths)}

    made.good(BIN / "mypy", "--strict", "--explicit-package-bases", "--cache-dir", made.folder / "types", ".", cwd=sources, env=env)


@pytest.mark.parametrize("plugin", [EVERY, "my-routes", *(pytest.param(plugin, marks=pytest.mark.slow) for plugin in SIMPLE)])
def test_generated__conformance__reaches_silver(made: Author, plugin: str) -> None:
    result = json.loads(made.good(BIN / "luminai", "plugins", "check", plugin, "--level", "silver"))

    assert (result["level"], [rule for rule in result["rules"] if rule["outcome"] != "passed"]) == ("silver", [])


@pytest.mark.parametrize(
    ("license_", "first", "named"), [("MIT", "MIT License", "MIT"), ("proprietary", "Copyright (c) Ann", "LicenseRef-Proprietary")]
)
def test_new__licence_and_names__stand_where_they_belong(author: Author, license_: str, first: str, named: str) -> None:
    told = author.new("luminai-tiny", "--kind", "calculator", "--license", license_, "--author", "Ann", "--title", "The tiny one", "--defaults")

    assert (told["id"], told["provides"], told["grants"]) == ("tiny", ["resonance_calculators"], [])
    folder = author.folder / "luminai-tiny"
    assert (folder / "LICENSE").read_text().startswith(first)
    assert tomllib.loads((folder / "pyproject.toml").read_text())["project"]["license"] == named
    assert "The tiny one" in (folder / "src/luminai_tiny/luminai-plugin.toml").read_text()


def test_new__what_cannot_be__is_refused_with_a_code_and_writes_nothing(author: Author) -> None:
    (author.folder / "full").mkdir()
    (author.folder / "full" / "mine.txt").write_text("mine")

    assert author.refusal("full", "--id", "mine", "--defaults") == (5, "folder-not-empty")
    assert author.refusal("odd", "--id", "Odd!", "--defaults") == (7, "bad-plugin-id")
    assert author.refusal("odd", "--title", 'a "b"', "--defaults") == (7, "answer-refused")
    assert author.refusal("full", "--update") == (3, "not-from-template")
    assert author.run(BIN / "luminai", "plugins", "new", "odd").returncode == 2, "nobody is there to answer"
    assert not (author.folder / "odd").exists()
    assert [path.name for path in (author.folder / "full").iterdir()] == ["mine.txt"]


def test_new__without_git__still_makes_a_plugin_and_says_what_is_lost(author: Author) -> None:
    done = author.run(
        BIN / "luminai", "plugins", "new", "tiny", "--kind", "persona", "--defaults", env={**author.env, "PATH": str(author.folder / "bin")}
    )

    assert done.returncode == 0, done.stderr
    assert "git is not installed" in done.stderr
    assert (author.folder / "tiny" / "pyproject.toml").exists()


def test_new__later_template__comes_in_beside_the_authors_own_changes(author: Author) -> None:
    author.new("tiny", "--kind", "persona", "--defaults")
    plugin, template = author.folder / "tiny", author.folder / ".luminai" / "plugin-template"
    assert "_src_path: ~/.luminai/plugin-template\n" in (plugin / ".copier-answers.yml").read_text(), "the same on every machine"
    (plugin / "src/luminai_tiny/mine.py").write_text("x = 1\n")
    readme = plugin / "README.md"
    readme.write_text(readme.read_text().replace("Tiny for LuminAI Hub.", "My own words."))

    def commit(folder: Path, tag: str = "") -> None:
        who = ("-c", "user.name=ann", "-c", "user.email=ann@localhost")
        author.good("git", "add", "--all", cwd=folder)
        author.good("git", *who, "commit", "--quiet", "--no-gpg-sign", "--message", "change", cwd=folder)
        if tag:
            author.good("git", "tag", "--no-sign", tag, cwd=folder)

    assert author.refusal("tiny", "--update") == (1, "copier-failed"), "without git there is no way back"
    author.good("git", "init", "--quiet", cwd=plugin)
    commit(plugin)
    changelog = template / "template" / "CHANGELOG.md.jinja"
    changelog.write_text(changelog.read_text() + "\nA line of a later template.\n")
    commit(template, f"{luminai.__version__}.post1")
    author.good("copier", "update", "--defaults", "--quiet", "tiny")
    assert "later template" in (plugin / "CHANGELOG.md").read_text()
    assert "My own words." in readme.read_text()
    commit(plugin)

    author.new("tiny", "--update")  # the template that ships has no such line

    assert "later template" not in (plugin / "CHANGELOG.md").read_text()
    assert "My own words." in readme.read_text()
    assert (plugin / "src/luminai_tiny/mine.py").exists()


def test_new__kind_that_is_added_later__changes_no_step_that_ran(author: Author) -> None:
    author.new("tiny", "--kind", "routes", "--defaults")
    plugin = author.folder / "tiny"
    steps = plugin / "src/luminai_tiny/migrations/versions"
    first = (steps / "0001_init.py").read_text()
    who = ("-c", "user.name=ann", "-c", "user.email=ann@localhost")
    for command in (("init", "--quiet"), ("add", "--all"), (*who, "commit", "--quiet", "--no-gpg-sign", "--message", "made")):
        author.good("git", *command, cwd=plugin)

    told = author.new("tiny", "--update", "--kind", "actions")

    assert told["provides"] == ["models", "routes", "actions", "schedules"]
    assert (steps / "0001_init.py").read_text() == first
    assert 'down_revision = "0001"' in (steps / "0002_readings.py").read_text()


def test_new__hub_from_a_wheel__brings_the_template_along(author: Author) -> None:
    author.good(*PIP, "install", "--no-deps", "--no-build-isolation", "--target", author.site, ROOT)
    env = {**author.env, "PYTHONPATH": str(author.site)}
    new = "from luminai.cli.new import shipped_template; print(shipped_template())"

    assert Path(author.good(sys.executable, "-c", new, env=env).strip()) == author.site / "luminai" / "_template"
    bare = {**env, "PATH": os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if not (Path(part) / "copier").exists())}
    assert author.refusal("tiny", "--defaults", env=bare) == (1, "copier-missing")
    author.good(BIN / "luminai", "plugins", "new", "tiny", "--defaults", env=env)
    assert (author.folder / "tiny" / "src/luminai_tiny/migrations/versions/0001_init.py").exists()


def python_blocks(page: Path) -> list[tuple[str, str]]:
    """Return a page's Python blocks, each with the module that the text before it names last, or ""."""
    found, module = [], ""
    for part in re.split(r"^```(\w+\n.*?)```$", page.read_text(), flags=re.DOTALL | re.MULTILINE):
        if part.startswith("python\n"):
            found.append((module, part.removeprefix("python\n")))
        elif not re.match(r"\w+\n", part) and part.strip():
            named = re.findall(r"`([\w./]+\.py)`", part.strip().rsplit("\n\n", 1)[-1])
            module = named[-1] if named else ""
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_how_to__python_blocks__compile_and_import_what_exists(page: Path) -> None:
    for _, block in python_blocks(page):
        tree = ast.parse(textwrap.dedent(block))
        compile(tree, page.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "luminai":
                assert {alias.name for alias in node.names} <= set(luminai.__all__)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_how_to__page__is_short_and_its_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()

    assert 15 <= text.count("\n") <= 50
    assert [link for link in re.findall(r"\]\(/(docs/[^)#]+)", text) if not (ROOT / f"{link}.md").exists()] == []


def test_how_to__blocks_of_a_named_module__are_what_the_template_writes(made: Author) -> None:
    folder = made.folder / EVERY
    compared = 0
    for page in PAGES:
        for module, block in python_blocks(page):
            path = next((path for path in (folder / module, folder / "src" / package(EVERY) / module) if path.is_file()), None)
            if path is None or path.name == "__init__.py":
                continue
            mine = block.replace("quiet-oracle", EVERY).replace("quiet_oracle", EVERY.replace("-", "_"))
            mine = mine.replace("Quiet oracle", EVERY.replace("-", " ").capitalize())
            assert mine in path.read_text(), f"{page.name}: a block is not in {module}"
            compared += 1

    assert compared >= 12


def test_how_to__migration_of_the_page__passes_the_rehearsal(made: Author, author: Author) -> None:
    shutil.copytree(made.site, author.site)
    source = author.site / "luminai_my_routes"
    ((name, step),) = [found for found in python_blocks(ROOT / "docs/how-to/extend/store-data-and-migrate.md") if "0002" in found[0]]
    column = re.search(r'`(Column\("mood".*?\))` to', (ROOT / "docs/how-to/extend/store-data-and-migrate.md").read_text())
    assert column
    models = source / "models.py"
    models.write_text(models.read_text().replace("),\n    info=", f"),\n    {column[1]},\n    info=", 1))
    (author.folder / "config.toml").write_text("[plugins.my-routes]\nenabled = true\n")

    assert author.run(BIN / "luminai", "db", "rehearse").returncode == 8, "the step is missing"
    (source / name).write_text(step.replace("quiet_oracle", "my_routes"))
    report = json.loads(author.good(BIN / "luminai", "db", "rehearse"))
    assert [one["step"] for one in report["steps"] if one["owner"] == "my-routes"] == ["0001", "0002"]
