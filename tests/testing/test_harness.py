"""What an author's tests can do with a hub: swap a plugin, start on what an earlier release left."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from luminai.host.supervisor import ChangeRefused
from luminai.testing import running_hub

NOTES = """
    from litestar import get
    from luminai import hookimpl, metadata_for, policy
    from sqlalchemy import Column, Integer, String, Table, select
    metadata = metadata_for("notes")
    table = Table("notes__a", metadata, Column("id", Integer, primary_key=True)MORE)
    class Plugin:
        @hookimpl
        def models(self):
            return metadata
        @hookimpl
        def routes(self, ctx):
            @get("/api/notes/all", opt=policy(anonymous=True))
            async def every() -> list[list[str]]:
                return await ctx.db.read(lambda session: [[str(value) for value in row] for row in session.execute(select(table))])
            return [every]
"""
FIRST = """
    import sqlalchemy as sa
    from alembic import op
    revision = "0001"
    down_revision = None
    def upgrade():
        op.create_table("notes__a", sa.Column("id", sa.Integer, primary_key=True))
        op.execute("INSERT INTO notes__a VALUES (7)")
"""
SECOND = """
    import sqlalchemy as sa
    from alembic import op
    revision = "0002"
    down_revision = "0001"
    def upgrade():
        with op.batch_alter_table("notes__a") as table:
            table.add_column(sa.Column("mood", sa.String(20), server_default="calm"))
"""


def test_swap__turns_off_on_and_builds_anew__or_says_why_not(plugins: Any) -> None:
    async def main() -> None:
        async with running_hub("good", installed=[plugins.make("good")]) as hub:
            first = hub.hub.generation.loaded("good")
            assert (await hub.swap("good")).built == ("good",)
            assert hub.hub.generation.loaded("good") is not first
            assert (await hub.swap("good", enabled=False)).stopped == ("good",)
            assert (await hub.client().request("GET", "/api/good/hello")).status == 503
            assert (await hub.swap("good", enabled=True)).built == ("good",)
            with pytest.raises(ChangeRefused):
                await hub.swap("good", config={"no": "such setting"})
            assert (await hub.client().request("GET", "/api/good/hello")).status == 200

    asyncio.run(main())


def test_upgrade_from__starts_on_what_an_earlier_release_left(plugins: Any, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    tables = {"provides": '["models", "routes"]', "manifest": "tables = true"}
    old = plugins.make("notes", NOTES.replace("MORE", ""), files={"migrations/versions/0001_a.py": FIRST}, **tables)

    async def before() -> None:
        async with running_hub("notes", installed=[old], folder=folder, upgrade_from=None, database_url=""):
            pass

    async def after(plugin: Any) -> Any:
        async with running_hub("notes", installed=[plugin], upgrade_from=tmp_path / "left.sqlite3") as hub:
            return (await hub.client().request("GET", "/api/notes/all")).json()

    asyncio.run(before())
    if not (folder / "data" / "hub.sqlite3").exists():
        pytest.skip("the database is not a file here")
    shutil.copyfile(folder / "data" / "hub.sqlite3", tmp_path / "left.sqlite3")
    newer = NOTES.replace("MORE", ', Column("mood", String(20), server_default="calm")')
    for name in [name for name in sys.modules if name.startswith("luminai_notes")]:
        del sys.modules[name]
    new = plugins.make("notes", newer, files={"migrations/versions/0002_b.py": SECOND}, version="2.0", **tables)
    assert asyncio.run(after(new)) == [["7", "calm"]]
