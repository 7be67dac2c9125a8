"""A plugin for the suite of engines: actions that leave a row behind, in the unit that ends their job."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Final

SCOPE: Final = "probe:run"
PLUGIN: Final = """
    import asyncio
    import os
    import time
    from msgspec import Struct
    from sqlalchemy import Column, Float, Integer, MetaData, Table, func, insert, select
    from litestar import get
    from luminai import Action, hookimpl, policy

    metadata = MetaData()
    effects = Table(
        "probe__effects", metadata, Column("id", Integer, primary_key=True), Column("number", Integer), Column("pid", Integer),
        Column("began", Float), Column("ended", Float),
    )

    class Given(Struct, forbid_unknown_fields=True):
        number: int = 0
        count: int = 0
        seconds: float = 0
        action: str = "effect"
        priority: int = 5

    class Plugin:
        @hookimpl
        def models(self):
            return metadata

        @hookimpl
        def routes(self, ctx):
            @get("/api/probe/effects", opt=policy("probe:run"))
            async def shown() -> list[list[float]]:
                query = select(effects.c.number, effects.c.pid, effects.c.began, effects.c.ended).order_by(effects.c.id).limit(20000)
                return await ctx.db.as_system().read(lambda session: [list(row) for row in session.execute(query)])
            @get("/api/probe/done", opt=policy("probe:run"))
            async def done(first: int, count: int) -> int:
                query = select(func.count()).where(effects.c.number.between(first, first + count - 1))
                return await ctx.db.as_system().read(lambda session: session.execute(query).scalar_one())
            return [shown, done]

        @hookimpl
        def actions(self, ctx):
            async def effect(job, given):
                began = time.time()
                if given.seconds:
                    await asyncio.sleep(given.seconds)
                def unit(session):
                    session.execute(insert(effects).values(number=given.number, pid=os.getpid(), began=began, ended=time.time()))
                    job.finish(session, Given())
                await ctx.db.as_system().write(unit)
            async def many(job, given):
                def unit(session):
                    for number in range(given.number, given.number + given.count):
                        put = {"number": number, "seconds": given.seconds}
                        ctx.actions.put(session, f"probe.{given.action}", put, priority=given.priority)
                    job.finish(session, Given())
                await ctx.db.as_system().write(unit)
            kinds = dict(scope="probe:run", input=Given, output=Given, retries=20, backoff=0.1)
            return [
                Action(name="effect", summary="One effect.", run=effect, **kinds),
                Action(name="single", summary="One effect, one at a time.", run=effect, at_once=1, **kinds),
                Action(name="rated", summary="One effect, so many in a time.", run=effect, **kinds),
                Action(name="many", summary="Put many.", run=many, **kinds),
            ]
"""
STEP: Final = """
    import sqlalchemy as sa
    from alembic import op
    revision, down_revision = "0001", None
    def upgrade():
        numbers = [sa.Column("number", sa.Integer), sa.Column("pid", sa.Integer), sa.Column("began", sa.Float), sa.Column("ended", sa.Float)]
        op.create_table("probe__effects", sa.Column("id", sa.Integer, primary_key=True), *numbers)
    def downgrade():
        op.drop_table("probe__effects")
"""
MANIFEST: Final = """
manifest = 1
id = "probe"
title = "Probe"
summary = "Made by a test."
api = ">=1.0,<2"
provides = ["actions", "models", "routes"]
tables = true
scopes = { "probe:run" = "Run." }
"""
LATE: Final = """
    from msgspec import Struct
    from luminai import Action, hookimpl

    class Given(Struct):
        number: int = 0

    class Plugin:
        @hookimpl
        def actions(self, ctx):
            async def run(job, given):
                return given
            return [Action(name="run", summary="Nothing.", run=run, scope="late:run", input=Given, output=Given)]
"""
LATE_MANIFEST: Final = """
manifest = 1
id = "late"
title = "Late"
summary = "Made by a test, and enabled while the hub runs."
api = ">=1.0,<2"
provides = ["actions"]
scopes = { "late:run" = "Run." }
"""


def install(site: Path) -> None:
    """Write both plugins below ``site`` as if they were installed there."""
    for name, plugin, manifest in (("probe", PLUGIN, MANIFEST), ("late", LATE, LATE_MANIFEST)):
        package = site / f"luminai_{name}"
        (package / "migrations" / "versions").mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "plugin.py").write_text(dedent(plugin))
        (package / "luminai-plugin.toml").write_text(manifest)
        info = site / f"luminai_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: luminai-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[luminai.plugins]\n{name} = luminai_{name}.plugin:Plugin\n")
    (site / "luminai_probe" / "migrations" / "versions" / "0001_first.py").write_text(dedent(STEP))
