"""``luminai audit`` against a running hub, and on its database after it stopped."""

from __future__ import annotations

import json
import shutil
import sqlite3
import urllib.request
from pathlib import Path

import pytest
from home import Home, serving


@pytest.mark.shows("TL-124", "TL-166")
def test_audit_commands__read_prove_export_and_verify__online_and_offline(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as hub:
        made = hub.data("keys", "create", "--name", "small", "--scope", "hub:keys")
        assert hub.run("config", "adopt").returncode == 0
        assert [one["action"] for one in hub.data("audit", "tail")][-3:] == ["setup.redeem", "key.create", "config.adopt"]
        found = hub.data("audit", "search", "--action", "key.", "--object", made["id"])
        assert [one["actor"] for one in found] == [hub.data("keys", "list")[-1]["id"]]
        assert hub.data("audit", "search", "--outcome", "denied") == []

        assert hub.refusal("audit", "prove", "aud_" + "0" * 32) == (3, "audit-entry-not-found")
        held = hub.data("audit", "hold", "--object", made["id"], "--reason", "case 12")
        assert hub.data("audit", "release", held["id"])["state"] == "released"
        assert hub.data("audit", "holds")[0]["released_at"]
        key = hub.run("audit", "key").stdout
        (hub.folder / "audit.pub").write_text(key)

        data, outside = hub.folder / "data", hub.folder / "data-checkpoints" / "audit.txt"
        seal_now(hub)
        proof = hub.data("audit", "prove", found[0]["id"], "--key", key)
        assert (proof["proven"], proof["entry"]["action"]) == (True, "key.create")
        kept = hub.folder / "kept.txt"
        shutil.copy(outside, kept)
        done = hub.data("audit", "verify", "--checkpoints", str(kept), "--key", key)
        assert (done["ok"], done["outside"], done["sealed"]) == (True, True, proof["size"])
        lines = [json.loads(line) for line in hub.run("audit", "export", "--action", "key.").stdout.splitlines()]
        assert [line["stored"]["action"] for line in lines] == ["key.create"]
        assert hub.refusal("audit", "verify", "--offline") == (5, "database-in-use")
        other = key.replace("luminai-audit/", "luminai-audit/x")
        assert hub.refusal("audit", "verify", "--key", other) == (7, "bad-audit-key")

    del hub.env["LUMINAI_URL"]
    done = hub.data("audit", "verify", "--offline", "--checkpoints", str(kept), "--key", key)
    assert (done["ok"], done["outside"], done["waiting"]) == (True, True, 0), "a stopping hub seals what waits"
    hub.data("keys", "revoke", made["id"])
    done = hub.data("audit", "verify")
    assert (done["ok"], done["waiting"]) == (True, 1), "a command on the data folder records; the next hub seals"

    with sqlite3.connect(data / "hub.sqlite3") as raw:
        raw.execute("UPDATE core__audit_entries SET object = 'key_another' WHERE action = 'key.create'")
    raw.close()
    changed = hub.run("audit", "verify")
    assert changed.returncode == 8
    assert [(one["code"], one["entry"]) for one in json.loads(changed.stdout)["findings"]] == [("content-changed", found[0]["id"])]
    outside.unlink()
    assert "No checkpoint from outside" in hub.run("audit", "verify").stderr


def seal_now(hub: Home) -> None:
    """Ask the hub to seal now, as its operator may."""
    key = next(line.split('"')[1] for line in (hub.folder / "user" / "config.toml").read_text().splitlines() if line.startswith("key"))
    headers = {"authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"{hub.env['LUMINAI_URL']}/api/admin/audit/checkpoints", method="POST", headers=headers)  # noqa: S310 - the hub of this test
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - same
        assert answer.status == 200
