"""What commands do to the data themselves is recorded as the running hub records it: sealed, also while a hub runs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from audit.test_commands import seal_now
from home import Home, serving

SECRET = "laptop-of-mirabelle"


def recorded(home: Home) -> list[tuple[Any, ...]]:
    """Return action, actor, outcome and the sealing of each entry, read with nothing of the hub."""
    with closing(sqlite3.connect(home.folder / "data" / "hub.sqlite3")) as connection:
        query = "SELECT action, actor, outcome, is_sealed, detail IS NULL FROM core__audit_entries ORDER BY id"
        return connection.execute(query).fetchall()


def test_commands__beside_a_running_hub_and_without_one__are_recorded_and_sealed(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as home:
        home.data("backup", "create", "--to", str(tmp_path / "one.luminai-backup"))
        assert home.refusal("backup", "create", "--to", str(tmp_path / "one.luminai-backup")) == (5, "backup-exists")
        home.data("vault", "rotate")
        home.data("vault", "verify")
        found = home.data("audit", "search", "--actor", "command line")
        seal_now(home)
        assert home.data("audit", "verify")["verdict"] == "whole"
    assert [(one["action"], one["outcome"]) for one in found[::-1]] == [
        ("backup.create", "ok"),
        ("backup.create", "ok"),
        ("backup.create", "failed"),
        ("vault.rotate", "ok"),
        ("vault.verify", "ok"),
    ]
    del home.env["LUMINAI_URL"]
    home.data("keys", "create", "--name", SECRET)
    home.data("plugins", "disable", "site")
    config = home.folder / "config.toml"
    config.write_text(config.read_text().replace("[plugins.chat]\nenabled = true", "[plugins.chat]\nenabled = false"))
    home.data("plugins", "disable", "chat")
    home.data("plugins", "purge", "chat", "--yes")
    late = {action for action, *_ in recorded(home)[-4:]}
    assert late == {"key.create", "plugin.disable", "plugin.purge"}
    assert {sealed for *_, sealed, empty in recorded(home) if not empty} == {1}
    assert home.data("audit", "verify", "--offline")["verdict"] == "whole"


def test_command__before_the_first_start__seals_with_the_key_that_the_hub_then_takes(alone: Home, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.data("keys", "create", "--name", SECRET)
    assert [entry[3:] for entry in recorded(home)] == [(1, 0)]
    assert home.data("vault", "status")["code"] == ""
    (home.folder / "data" / "keys" / "master.key").rename(tmp_path / "away.key")
    assert home.refusal("keys", "create", "--name", "unseen") == (5, "master-key-missing")
    assert len(recorded(home)) == 1, "what cannot be recorded does not happen"


@pytest.mark.postgres
def test_postgres__backup_is_recorded(tmp_path: Path, own_postgres_url: str) -> None:
    home = Home(tmp_path / "home")
    home.env["DATABASE_URL"] = own_postgres_url
    home.data("keys", "create", "--name", SECRET)
    home.data("backup", "create", "--to", str(tmp_path / "pg.luminai-backup"))
    found = home.data("audit", "verify", "--offline", "--key", public_key(tmp_path))
    assert (found["sealed"], found["waiting"]) == (0, 2)


def public_key(folder: Path) -> str:
    from luminai.audit.checkpoint import make_key

    return make_key(folder / "some.key").verifier
