"""Another version of the hub, tried against this installation before it is installed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from home import Home

CORE = Path(__file__).parents[2] / "core" / "luminai"
LAST = max(path.name[:4] for path in (CORE / "data" / "versions").glob("0*.py"))
NEXT = f"{int(LAST) + 1:04d}"
STEP = f"""
import sqlalchemy as sa
from alembic import op
revision = "{NEXT}"
down_revision = "{LAST}"
def upgrade():
    {{code}}
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return a home with a migrated database."""
    home = Home(tmp_path / "home")
    home.data("db", "upgrade")
    return home


def other_hub(tmp_path: Path) -> Path:
    """Return a copy of the hub's source that a test may change."""
    shutil.copytree(CORE, tmp_path / "next" / "luminai", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "next"


def edit(hub: Path, module: str, before: str, after: str) -> None:
    path = hub / "luminai" / module
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def rehearse(home: Home, hub: Path, code: int) -> dict[str, Any]:
    done = home.run("upgrade", "rehearse", str(hub), "--no-conformance")
    assert done.returncode == code, done.stdout + done.stderr
    return {step["step"]: step for step in json.loads(done.stdout)}


def test_same_hub__has_nothing_to_say(home: Home, tmp_path: Path) -> None:
    steps = rehearse(home, other_hub(tmp_path), 0)
    assert all(step["ok"] for step in steps.values())
    assert steps["version"]["remarks"] == ["plugin API 1.0 here, 1.0 there"]


@pytest.mark.slow
def test_rules__of_the_next_hub__are_run_over_every_plugin(home: Home, tmp_path: Path) -> None:
    done = home.run("upgrade", "rehearse", str(other_hub(tmp_path)))
    assert done.returncode == 0, done.stdout + done.stderr
    steps = {step["step"]: step for step in json.loads(done.stdout)}
    every = len(list((CORE.parents[1] / "plugins").glob("*/pyproject.toml")))
    assert (steps["conformance"]["ok"], steps["conformance"]["remarks"]) == (True, [f"{every} plugins"])


def test_next_major__names_every_plugin_that_does_not_follow(home: Home, tmp_path: Path) -> None:
    hub = other_hub(tmp_path)
    edit(hub, "contracts/manifest.py", 'PLUGIN_API: Final = "1.0"', 'PLUGIN_API: Final = "2.0"')
    edit(hub, "_face.py", '        "Upstream",\n', "")
    steps = rehearse(home, hub, 8)
    assert "luminai.Upstream: removed (plugins import it)" in steps["plugin API"]["remarks"]
    assert len(steps["plugins"]["problems"]) == 5
    assert steps["plugins"]["problems"][0].startswith("ai-offline at api: it works with plugin API >=1.0,<2, this hub has 2.0")


def test_migrations_of_the_next_hub__run_on_a_copy(home: Home, tmp_path: Path) -> None:
    hub = other_hub(tmp_path)
    database = home.folder / "data" / "hub.sqlite3"
    before = database.read_bytes()
    step = hub / "luminai" / "data" / "versions" / f"{NEXT}_next.py"
    step.write_text(STEP.format(code="op.execute('CREATE TABLE core__next (id INTEGER)')"))
    steps = rehearse(home, hub, 0)
    assert f"core {NEXT}" in steps["migrations"]["remarks"][0]
    step.write_text(STEP.format(code="raise ValueError('no way')"))
    steps = rehearse(home, hub, 8)
    assert "no way" in steps["migrations"]["problems"][0]
    assert database.read_bytes() == before


def test_no_hub__is_refused(home: Home) -> None:
    assert home.refusal("upgrade", "rehearse", str(home.folder)) == (7, "not-a-hub")
