"""``luminai plugins`` and ``luminai repairs`` against a running hub."""

from __future__ import annotations

import json
import select
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from home import LUMINAI, Home, serving


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Return a home with a running hub that a test may change."""
    with serving(tmp_path_factory.mktemp("changed") / "home") as home:
        yield home


def test_disable_and_enable__change_the_running_hub(hub: Home) -> None:
    code, reason = hub.refusal("plugins", "disable", "personas")
    assert (code, reason) == (5, "still-required")
    preview = hub.data("plugins", "disable", "personas", "--cascade", "--dry-run")
    assert preview["stopped"][:1] == ["personas"]
    done = hub.data("plugins", "disable", "chat")
    assert (done["stopped"], done["restart_required"]) == (["chat"], False)
    assert {one["id"]: one["state"] for one in hub.data("plugins", "list")}["chat"] == "disabled"
    assert "Off since" in " ".join(hub.data("plugins", "why", "chat")["because"])
    assert hub.data("plugins", "enable", "chat", "--wait", "5")["built"] == ["chat"]


def test_set__changes_settings_and_takes_them_back(hub: Home) -> None:
    assert hub.data("plugins", "set", "chat", "playground=false")["built"] == ["chat"]
    code, reason = hub.refusal("plugins", "set", "chat", "playgrond=false")
    assert (code, reason) == (5, "change-refused")
    assert hub.data("plugins", "set", "chat")["built"] == ["chat"]
    code, reason = hub.refusal("plugins", "set", "chat", "playground")
    assert (code, reason) == (7, "bad-setting")


def test_rollback_and_history__tell_and_undo(hub: Home) -> None:
    hub.data("plugins", "disable", "chat")
    newest = hub.data("plugins", "history", "--limit", "1")[0]
    assert newest["summary"] == "chat off"
    assert hub.data("plugins", "rollback")["built"] == ["chat"]
    state = hub.data("plugins", "generations")
    assert (state["revision"], state["converged"]) == (newest["revision"] + 1, True)


def test_reload__serves_by_edited_files__and_keeps_the_old_when_they_are_wrong(hub: Home) -> None:
    path = hub.folder / "config.toml"
    text = path.read_text()
    path.write_text(text.replace("playground = true", "playground = false"))
    assert hub.data("plugins", "reload")["built"] == ["chat"]
    path.write_text(text.replace("playground = true", "playground = 3"))
    assert hub.refusal("plugins", "reload") == (5, "change-refused")
    path.write_text("[hub")
    assert hub.refusal("plugins", "reload") == (7, "config-invalid")
    path.write_text(text)
    assert hub.data("plugins", "reload")["built"] == ["chat"]
    path.write_text('[log]\nlevel = "warning"\n[jobs]\nslots = 3\n' + text)
    assert hub.data("plugins", "reload")["reasons"] == ["[log] changed", "[jobs] changed"]
    path.write_text(text)


def test_looking__names_hooks_routes_costs(hub: Home) -> None:
    hooks = {one["hook"]: one for one in hub.data("plugins", "hooks")}
    assert hooks["personas"]["plugins"] == ["personas"]
    assert hooks["start"]["kind"] == "async"
    assert all(not one["plugins"] for one in hub.data("plugins", "hooks", "--unused"))
    routes = hub.data("plugins", "routes")
    mine = next(one for one in routes if (one["method"], one["path"]) == ("GET", "/api/personas"))
    assert (mine["plugin"], mine["access"]) == ("personas", "anonymous")
    assert {one["access"] for one in hub.data("plugins", "routes", "--anonymous")} == {"anonymous"}
    hub.data("chat", "What is a generation?")
    costs = {one["id"]: one for one in hub.data("plugins", "perf")}
    assert costs["chat"]["requests"] >= 1
    assert costs["chat"]["start_ms"] > 0
    assert costs["chat"]["phases_ms"]["import"] >= 0


def test_trace__shows_calls_while_they_happen(hub: Home) -> None:
    command = [LUMINAI, "plugins", "trace", "request POST /api/chat", "--seconds", "30"]
    with subprocess.Popen(command, cwd=hub.folder, env=hub.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        ready: list[Any] = []
        while not ready and process.poll() is None:
            hub.data("chat", "What is a generation?")
            ready, _, _ = select.select([process.stdout], [], [], 0)
        seen = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
    assert seen, said
    call = json.loads(seen)
    assert (call["plugin"], call["outcome"]) == ("chat", "ok")
    assert call["ms"] > 0


def test_repairs__are_listed_put_aside_and_shown_again(hub: Home) -> None:
    hub.data("plugins", "set", "chat", "playground=false")
    listed = json.loads(hub.run("repairs", "list").stdout)
    item = next(one for one in listed if one["id"] == "wishes-not-in-files")
    assert "chat" in item["cause"]
    assert item["fix"]["steps"]
    assert hub.refusal("repairs", "fix", item["id"]) == (5, "no-action")
    assert hub.data("repairs", "ignore", item["id"], "--reason", "on purpose")["ignored"]["reason"] == "on purpose"
    assert item["id"] not in {one["id"] for one in json.loads(hub.run("repairs", "list").stdout)}
    hub.run("repairs", "show", item["id"])
    assert item["id"] in {one["id"] for one in json.loads(hub.run("repairs", "list").stdout)}
    assert hub.refusal("repairs", "fix", "nothing") == (3, "repair-not-found")
    hub.data("plugins", "set", "chat")
