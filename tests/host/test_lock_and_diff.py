"""What is installed against the lock; one version of a plugin, and of the plugin API, against another."""

from __future__ import annotations

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from home import LUMINAI, Home

from luminai.host.api_snapshot import compare, needed_number, snapshot


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return a home with the five plugins of the suite."""
    return Home(tmp_path / "home")


def problems(home: Home, *command: str) -> Any:
    done = home.run(*command)
    assert done.returncode == 8, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_lock__is_the_same_every_time__and_verify_finds_every_difference(home: Home) -> None:
    path = home.folder / "luminai.lock.toml"
    assert home.refusal("plugins", "verify") == (3, "no-lock")
    assert home.data("plugins", "lock")["plugins"] == ["ai-offline", "chat", "knowledge", "personas", "resonance"]
    text = path.read_text()
    home.data("plugins", "lock")
    assert path.read_text() == text
    assert home.data("plugins", "verify") == []
    path.write_text(text.replace('grants = ["anonymous-routes"]', "grants = []", 1).replace('version = "0.1.0"', 'version = "0.0.9"', 1))
    found = {(one["plugin"], one["what"]) for one in problems(home, "plugins", "verify")}
    assert {what for _, what in found} == {"grants", "version"}
    path.write_text(text)
    config = home.folder / "config.toml"
    config.write_text(config.read_text().replace("[plugins.resonance]\nenabled = true", "[plugins.resonance]\nenabled = false"))
    assert [(one["plugin"], one["what"], one["found"]) for one in problems(home, "plugins", "verify")] == [("resonance", "enabled", "no")]
    path.write_text("lock = 2")
    assert home.refusal("plugins", "verify") == (7, "bad-lock")


def test_serve__locked_and_different__does_not_start(home: Home) -> None:
    home.data("plugins", "lock")
    path = home.folder / "luminai.lock.toml"
    path.write_text(path.read_text().replace('plugin-api = "1.0"', 'plugin-api = "0.9"'))
    done = subprocess.run([LUMINAI, "serve", "--port", "0", "--locked"], cwd=home.folder, env=home.env, capture_output=True, text=True, check=False)
    assert done.returncode == 5
    problem = json.loads(done.stderr.splitlines()[-1])
    assert (problem["code"], problem["errors"][0]["detail"]) == ("lock-differs", "plugin API is 1.0, locked is 0.9")


MANIFEST = """manifest = 1
id = "oracle"
title = "O"
summary = "O."
api = ">=1.0,<2"
provides = ["routes", "personas"]
scopes = { "oracle:read" = "Read" }
"""


def write(folder: Path, manifest: str, properties: dict[str, Any], required: tuple[str, ...] = ()) -> Path:
    folder.mkdir()
    (folder / "luminai-plugin.toml").write_text(manifest)
    (folder / "config.schema.json").write_text(json.dumps({"type": "object", "properties": properties, "required": list(required)}))
    return folder


def test_diff__tells_what_breaks_and_what_does_not(home: Home, tmp_path: Path) -> None:
    old = write(tmp_path / "old", MANIFEST, {"word": {"type": "string", "maxLength": 20}, "size": {"type": "integer"}})
    newer = MANIFEST.replace('"routes", "personas"', '"routes", "services"').replace("scopes", 'grants = ["secrets"]\nscopes')
    more = {"word": {"type": "string", "maxLength": 10}, "key": {"type": "string"}, "nice": {"type": "boolean", "default": False}}
    new = write(tmp_path / "new", newer, more, ("key",))
    found = {(one["what"], one["before"], one["impact"]) for one in problems(home, "plugins", "diff", str(old), str(new))}
    assert ("contribution", "personas", "breaking") in found
    assert ("contribution", "", "compatible") in found
    assert ("grant asked for", "", "breaking") in found
    impacts = {what: impact for what, _, impact in found if what.startswith("setting")}
    assert impacts == {"setting word": "breaking", "setting size": "breaking", "setting key": "breaking", "setting nice": "compatible"}
    assert home.data("plugins", "diff", str(old), str(old)) == []
    assert home.data("plugins", "diff", "chat", "chat") == []
    assert home.refusal("plugins", "diff", "nowhere", "chat") == (3, "plugin-not-found")
    assert home.refusal("plugins", "diff", str(home.folder), "chat") == (7, "not-a-plugin")


def test_order__gives_each_place_a_reason(home: Home) -> None:
    places = {one["id"]: one for one in home.data("plugins", "order")}
    assert places["chat"]["position"] == 5
    assert any("requires" in reason for reason in places["chat"]["because"])
    steps = home.data("plugins", "order", "--hook", "choose.status.R_global")
    assert [step["plugin"] for step in steps] == ["chat"]
    assert home.refusal("plugins", "order", "--hook", "guard.nothing") == (3, "no-decision-point")


def test_api_snapshot__of_now__differs_from_itself_in_nothing() -> None:
    now = snapshot()
    assert compare(now, json.loads(json.dumps(now))) == []


@pytest.mark.parametrize(
    ("change", "raises", "number"),
    [
        (lambda api: api["names"].pop("NotFound"), "major", "2.0"),
        (lambda api: api["hooks"].pop("routes"), "major", "2.0"),
        (lambda api: api["hooks"]["start"]["arguments"].clear(), "major", "2.0"),
        (lambda api: api["hooks"]["start"]["arguments"].append("why"), "feature", "1.1"),
        (lambda api: api["manifest"].update(mood={"type": "str", "required": False}), "feature", "1.1"),
        (lambda api: api["manifest"].update(mood={"type": "str", "required": True}), "major", "2.0"),
        (lambda api: api["names"].update(Mood={"kind": "value", "type": "str"}), "feature", "1.1"),
        (lambda api: api["names"]["Persona"]["fields"]["id"].update(type="int"), "major", "2.0"),
        (lambda api: api["names"]["policy"].update(signature=api["names"]["policy"]["signature"][:-1] + ", mood=)"), "feature", "1.1"),
        (lambda api: api["names"]["policy"].update(signature="(anonymous=)"), "major", "2.0"),
        (lambda api: api["names"]["AIProvider"]["members"].pop("models"), "major", "2.0"),
        (lambda api: api["names"]["ChatRequest"]["fields"]["timeout"].update(default="30.0"), "feature", "1.1"),
        (lambda api: api["manifest"]["reload"].update(default='"restart"'), "feature", "1.1"),
        (lambda api: api["names"]["policy"]["defaults"].update(anonymous="true"), "feature", "1.1"),
        (lambda api: api["names"]["AIProvider"]["defaults"]["embed"].update(timeout="5.0"), "feature", "1.1"),
        (lambda api: api["hooks"]["start"]["types"].update(ctx="Any"), "major", "2.0"),
        (lambda api: api["hooks"]["routes"]["types"].update({"return": "Mapping[str, Any]"}), "major", "2.0"),
    ],
)
def test_api_diff__follows_the_number_rules(change: Any, raises: str, number: str) -> None:
    before = json.loads(json.dumps(snapshot()))
    after = copy.deepcopy(before)
    change(after)
    found = compare(before, after)
    assert [one.raises for one in found] == [raises]
    assert needed_number(before, found) == number


def test_api_diff__changed_default__says_what_it_was_and_is() -> None:
    before = json.loads(json.dumps(snapshot()))
    after = copy.deepcopy(before)
    after["names"]["AIProvider"]["defaults"]["embed"]["timeout"] = "5.0"
    (change,) = compare(before, after)
    assert (change.name, change.change, change.before, change.after) == ("luminai.AIProvider.embed(timeout)", "changed", "30.0", "5.0")
    assert "default changed" in change.reason


def test_api_diff__snapshot_of_a_hub_that_kept_no_defaults_and_types__tells_nothing_false() -> None:
    old = json.loads(json.dumps(snapshot()))
    for one in old["names"].values():
        one.pop("defaults", None)
        for field in one.get("fields", {}).values():
            field.pop("default", None)
    for hook in old["hooks"].values():
        del hook["types"]
    for key in old["manifest"].values():
        key.pop("default", None)
    assert compare(old, snapshot()) == compare(snapshot(), old) == []


def test_api_snapshot__made_in_another_process__is_the_same_text(home: Home) -> None:
    """Sets have another order in each process, and objects another address."""
    texts = {
        subprocess.run([LUMINAI, "plugins", "api"], env={**home.env, "PYTHONHASHSEED": seed}, cwd=home.folder, capture_output=True, check=True).stdout
        for seed in "123"
    }
    assert len(texts) == 1
    assert b" at 0x" not in texts.pop()


def test_api_command__prints_and_compares(home: Home, tmp_path: Path) -> None:
    now = home.data("plugins", "api")
    assert now["api"] == "1.0"
    (tmp_path / "old.json").write_text(json.dumps({**now, "hooks": {**now["hooks"], "gone": {"arguments": ["ctx"], "async": False}}}))
    (change,) = problems(home, "plugins", "api", str(tmp_path / "old.json"))
    assert (change["name"], change["raises"]) == ("hook gone", "major")
    (tmp_path / "bad.json").write_text("[]")
    assert home.refusal("plugins", "api", str(tmp_path / "bad.json")) == (7, "bad-snapshot")
