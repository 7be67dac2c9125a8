"""The lock against a real installed wheel: files changed, added and gone, plugins that are missing, risks that were accepted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from home import Home

from luminai.config.settings import PluginSettings
from luminai.contracts.errors import NotFound
from luminai.host.lockfile import make_lock, read_lock, render_lock, verify_lock

PERSONAS = Path(__file__).parents[2] / "plugins" / "personas"
PACKAGE = "luminai_personas"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel of the plugin ``personas``."""
    project = tmp_path_factory.mktemp("project") / "personas"
    shutil.copytree(PERSONAS, project, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel"], cwd=project, check=True, capture_output=True)
    return next((project / "dist").glob("*.whl"))


@pytest.fixture
def site(wheel: Path, tmp_path: Path) -> Path:
    """Return a folder with the wheel's files, in the way of an IDE's environment: its path holds ``.pyc``."""
    folder = tmp_path / ".pycharm" / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def home(site: Path, tmp_path: Path) -> Home:
    """Return a home with the suite's plugins, ``personas`` from the wheel, locked."""
    home = Home(tmp_path / "home")
    home.env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
    home.data("plugins", "lock")
    assert home.data("plugins", "verify") == []
    return home


def findings(home: Home) -> list[dict[str, Any]]:
    done = home.run("plugins", "verify")
    assert done.returncode == 8, done.stdout + done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    assert all(one["cause"] and one["fix"] for one in found)
    return found


def test_lock__wheel_and_working_copy__are_told_apart(home: Home) -> None:
    locked = {one["id"]: one for one in tomllib.loads((home.folder / "luminai.lock.toml").read_text())["plugins"]}
    assert (locked["personas"]["editable"], locked["chat"]["editable"]) == (False, True)
    assert locked["chat"]["requires"] == {"personas": "0.1.0", "resonance": "0.1.0"}


def test_verify__file_changed_added_or_gone__names_it(home: Home, site: Path) -> None:
    package = site / PACKAGE
    init = package / "__init__.py"
    before = init.read_text()
    init.write_text(before + "\n# changed\n")
    (change,) = findings(home)
    assert (change["plugin"], change["what"]) == ("personas", "files")
    assert change["cause"] == f"changed after installation: {PACKAGE}/__init__.py"
    init.write_text(before)
    (package / "planted.py").write_text("")
    assert f"{PACKAGE}/planted.py" in findings(home)[0]["cause"]
    (package / "planted.py").unlink()
    init.unlink()
    assert any(f"{PACKAGE}/__init__.py" in one["cause"] for one in findings(home))


def test_verify__byte_code_and_installer_notes__change_nothing(home: Home, site: Path) -> None:
    (site / PACKAGE / "__pycache__").mkdir()
    (site / PACKAGE / "__pycache__" / "x.cpython-311.pyc").write_bytes(b"x")
    info = next(site.glob("*.dist-info"))
    (info / "INSTALLER").write_text("pip\n")
    with (info / "RECORD").open("a") as record:
        record.write(f"{info.name}/INSTALLER,sha256=zuuue4knoyJ-UwPPXg8fezS7VCrXJQrAP7zeNuwvFQg,4\n../../bin/thing,,\n")
    assert home.data("plugins", "verify") == []


def test_verify__another_build_of_the_same_version__is_not_called_tampering(home: Home, site: Path) -> None:
    init, info = site / PACKAGE / "__init__.py", next(site.glob("*.dist-info"))
    init.write_text(init.read_text() + "\n# another build\n")
    rows = (info / "RECORD").read_text().splitlines()
    (info / "RECORD").write_text("\n".join(row if not row.startswith(f"{PACKAGE}/__init__.py,") else f"{PACKAGE}/__init__.py,," for row in rows))
    assert [one["what"] for one in findings(home)] == ["files"]


def test_verify__enabled_plugin_that_is_not_installed__is_a_finding(home: Home, site: Path) -> None:
    config = home.folder / "config.toml"
    config.write_text(config.read_text() + "\n[plugins.oracle]\nenabled = true\n")
    (missing,) = findings(home)
    assert (missing["plugin"], missing["what"], missing["locked"], missing["found"]) == ("oracle", "installed", "no", "no")
    assert home.refusal("plugins", "lock") == (3, "plugin-not-found")


def test_verify__new_grant_and_accepted_risk__say_where_to_look(home: Home) -> None:
    config = home.folder / "config.toml"
    more = '[plugins.resonance]\nenabled = true\naccept-untested = true\napprove = ["secrets", "anonymous-routes"]'
    config.write_text(config.read_text().replace('[plugins.resonance]\nenabled = true\napprove = ["anonymous-routes"]', more))
    found = {one["what"]: one for one in findings(home)}
    assert found.keys() == {"grants", "accept-untested"}
    assert found["grants"]["cause"] == "new: secrets"
    assert "[plugins.resonance]" in found["grants"]["fix"]


def test_lock__check__writes_nothing(home: Home) -> None:
    path = home.folder / "luminai.lock.toml"
    assert home.data("plugins", "lock", "--check")["changed"] is False
    path.write_text(path.read_text().replace("0.1.0", "0.0.9"))
    before = path.read_bytes()
    done = home.run("plugins", "lock", "--check")
    assert (done.returncode, json.loads(done.stdout)["changed"], path.read_bytes()) == (8, True, before)


def test_lock__read_back__is_the_same(plugins: Any, tmp_path: Path) -> None:
    made = [plugins.make("oracle", version='1.0+"odd"\\'), plugins.make("seer", manifest='requires = { oracle = "*" }')]
    settings = {"oracle": PluginSettings(enabled=True, accept_untested=True), "seer": PluginSettings(enabled=True, approve=("secrets",))}
    lock = make_lock(made, settings)
    path = tmp_path / "luminai.lock.toml"
    path.write_text(render_lock(lock))
    assert read_lock(path) == lock
    assert render_lock(make_lock(made[::-1], settings)) == path.read_text()
    assert verify_lock(path, made, settings) == []


def test_lock__two_distributions_with_one_id__are_refused(plugins: Any, tmp_path: Path) -> None:
    first = plugins.make("oracle")
    settings = {"oracle": PluginSettings(enabled=True)}
    path = tmp_path / "luminai.lock.toml"
    path.write_text(render_lock(make_lock([first], settings)))
    both = [first, plugins.make("oracle", distribution="other-oracle")]
    with pytest.raises(NotFound):
        make_lock(both, settings)
    (finding,) = verify_lock(path, both, settings)
    assert finding.cause == "luminai-oracle and other-oracle both call themselves oracle"
