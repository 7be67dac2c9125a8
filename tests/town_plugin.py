"""A plugin that notes what it does, for tests of several processes: effects are rows that tell by which way they came, and never come twice."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

PLUGIN = """
    import os
    from typing import Any
    from litestar import get, post, put
    from litestar.params import FromQuery, JSONBody
    from luminai import Action, Channel, Schedule, hookimpl, policy
    from msgspec import Struct
    from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select, update

    metadata = MetaData()
    effects = Table("town__effects", metadata, Column("id", Integer, primary_key=True), Column("what", String(10)), Column("number", Integer))
    words = Table("town__words", metadata, Column("id", Integer, primary_key=True), Column("word", String(40)))

    class Number(Struct, forbid_unknown_fields=True):
        number: int = 0

    class Plugin:
        @hookimpl
        def models(self):
            return metadata

        @hookimpl
        def channels(self, ctx):
            async def may_join(actor, params):
                return True
            return [Channel(name="hall.{id}", kinds={"said": Number}, may_join=may_join)]

        @hookimpl
        def actions(self, ctx):
            async def echo(job, given):
                def unit(session):
                    session.execute(insert(effects).values(what="job", number=given.number))
                    job.finish(session, given)
                await ctx.db.as_system().write(unit)
            async def tick(job, given):
                return given
            kinds = dict(scope="town:run", input=Number, output=Number)
            return [Action(name="echo", summary="Note it.", run=echo, **kinds), Action(name="tick", summary="Tick.", run=tick, **kinds)]

        @hookimpl
        def schedules(self, ctx):
            return [Schedule(name="tick", action="tick", trigger="every: 1s")]

        @hookimpl
        def routes(self, ctx):
            db = ctx.db.as_system()

            @get("/api/town/process", opt=policy())
            async def process() -> int:
                return os.getpid()

            @get("/api/town/narrow", opt=policy(limit="narrow"))
            async def narrow() -> None:
                return None

            @post("/api/town/note", opt=policy())
            async def note(data: JSONBody[Number]) -> int:
                def unit(session):
                    session.execute(insert(effects).values(what="request", number=data.number))
                    ctx.actions.put(session, "town.echo", {"number": data.number})
                    ctx.live.publish("town.hall.notes", "said", data, session=session)
                await db.write(unit)
                return os.getpid()

            @get("/api/town/word", opt=policy())
            async def word() -> str:
                async def make():
                    return await db.read(lambda session: session.execute(select(words.c.word)).scalar() or "")
                return await ctx.cache.shared.fetch("word", make, str, ttl=3600, tags=["word"])

            @put("/api/town/word", opt=policy())
            async def say(word: FromQuery[str]) -> None:
                def unit(session):
                    if not session.execute(update(words).values(word=word)).rowcount:
                        session.execute(insert(words).values(id=1, word=word))
                await db.write(unit)
                await ctx.cache.drop_tag("word")

            return [process, narrow, note, word, say]
"""
STEP = """
    import sqlalchemy as sa
    from alembic import op
    revision, down_revision = "0001", None
    def upgrade():
        key = lambda: sa.Column("id", sa.Integer, primary_key=True)
        op.create_table("town__effects", key(), sa.Column("what", sa.String(10)), sa.Column("number", sa.Integer))
        op.create_table("town__words", key(), sa.Column("word", sa.String(40)))
    def downgrade():
        op.drop_table("town__words")
        op.drop_table("town__effects")
"""
MANIFEST = """manifest = 1
id = "town"
title = "Town"
summary = "Made by a test."
api = ">=1.0,<2"
provides = ["actions", "channels", "models", "routes", "schedules"]
tables = true
scopes = { "town:run" = "Run." }
"""


def install(site: Path) -> None:
    """Write the plugin as an installed distribution below ``site``."""
    package = site / "luminai_town"
    (package / "migrations" / "versions").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(dedent(PLUGIN))
    (package / "luminai-plugin.toml").write_text(MANIFEST)
    (package / "migrations" / "versions" / "0001_first.py").write_text(dedent(STEP))
    info = site / "luminai_town-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: luminai-town\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[luminai.plugins]\ntown = luminai_town.plugin:Plugin\n")
