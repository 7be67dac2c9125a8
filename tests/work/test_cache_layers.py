"""What the products keep, and for how long, as their clients see it: a plugin with rows, asked over HTTP."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from permissions.statements import statements

from luminai.testing import FrozenClock, HubUnderTest, running_hub

PLUGIN = """
    from litestar import get, put
    from litestar.params import FromQuery
    from luminai import hookimpl, policy
    from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select, update

    metadata = MetaData()
    rows = Table("desk__rows", metadata, Column("id", Integer, primary_key=True), Column("name", String(60)), Column("value", String(60)))

    class Plugin:
        @hookimpl
        def models(self):
            return metadata

        @hookimpl
        def routes(self, ctx):
            def reading(name):
                async def made():
                    return await ctx.db.read(lambda session: session.execute(select(rows.c.value).where(rows.c.name == name)).scalar() or "none")
                return made

            @get("/api/desk/mine", opt=policy("desk:use"))
            async def mine(layer: FromQuery[str], q: FromQuery[str] = "") -> str:
                return await ctx.cache.fetch(f"{layer}:{q}", reading(q or layer), str, ttl=layer, tags=[q or layer])

            @get("/api/desk/all", opt=policy("desk:use"))
            async def shared(layer: FromQuery[str]) -> str:
                return await ctx.cache.shared.fetch(layer, reading(layer), str, ttl=layer, tags=[layer])

            @put("/api/desk/row", opt=policy("desk:use"))
            async def change(name: FromQuery[str], value: FromQuery[str], tell: FromQuery[bool] = True) -> None:
                def unit(session):
                    if not session.execute(update(rows).where(rows.c.name == name).values(value=value)).rowcount:
                        session.execute(insert(rows).values(name=name, value=value))
                await ctx.db.write(unit)
                if tell:
                    await ctx.cache.drop_tag(name)
            return [mine, shared, change]
"""
STEP = """
    import sqlalchemy as sa
    from alembic import op
    revision, down_revision = "0001", None
    def upgrade():
        texts = [sa.Column("name", sa.String(60)), sa.Column("value", sa.String(60))]
        op.create_table("desk__rows", sa.Column("id", sa.Integer, primary_key=True), *texts)
    def downgrade():
        op.drop_table("desk__rows")
"""
MANIFEST = """
tables = true
scopes = { "desk:use" = "Use." }
"""
LAYERS = {"session": 3600, "energy": 600, "narrative": 3600, "ai-response": 3600, "static": 3600, "query": 60}


class Desk:
    """A hub with the plugin, asked by people."""

    def __init__(self, hub: HubUnderTest, clock: FrozenClock) -> None:
        self.hub = hub
        self.clock = clock

    async def ask(self, path: str, *, who: str = "ada") -> str:
        """Return what somebody reads."""
        answer = await self.hub.client("desk:use", subject=f"usr_{who}").request("GET", f"/api/desk/{path}")
        assert answer.status == 200, answer.body
        return str(answer.text)

    async def change(self, name: str, value: str, *, tell: bool = True) -> None:
        """Change a row; without ``tell`` as if somebody wrote it into the database by hand."""
        path = f"/api/desk/row?name={name}&value={value}&tell={'true' if tell else 'false'}"
        assert (await self.hub.client("desk:use", subject="usr_editor").request("PUT", path)).status == 200


@pytest.fixture
def on_desk(plugins: Any) -> Callable[..., None]:
    """Return what runs a test's coroutine on a hub with the plugin."""
    files = {"migrations/versions/0001_first.py": STEP}
    made = plugins.make("desk", PLUGIN, provides='["models", "routes"]', manifest=MANIFEST, files=files)

    def run(test: Callable[[Desk], Awaitable[None]], folder: Path | None = None, **settings: Any) -> None:
        async def main() -> None:
            clock = FrozenClock()
            async with running_hub("desk", installed=[made], clock=clock, settings=settings, folder=folder, database_url="") as hub:
                assert hub.status("desk").running, hub.status("desk")
                await test(Desk(hub, clock))

        asyncio.run(main())

    return run


@pytest.mark.shows("PX-45", "PX-46", "PX-59")
@pytest.mark.parametrize("layer", LAYERS)
def test_layer__is_kept_for_its_time_for_each_person(on_desk: Any, layer: str) -> None:
    async def test(desk: Desk) -> None:
        await desk.change(layer, "old")
        assert await desk.ask(f"mine?layer={layer}") == "old"
        await desk.change(layer, "new", tell=False)
        assert await desk.ask(f"mine?layer={layer}", who="bob") == "new", "what ada had made, bob does not get"
        desk.clock.advance(LAYERS[layer] - 1)
        assert await desk.ask(f"mine?layer={layer}") == "old", "until its last second"
        desk.clock.advance(2)
        assert await desk.ask(f"mine?layer={layer}") == "new"

    on_desk(test)


@pytest.mark.shows("TL-137")
def test_change__is_seen_by_all_at_once(on_desk: Any) -> None:
    async def test(desk: Desk) -> None:
        await desk.change("list", "two projects")
        for who in ("ada", "bob"):
            assert await desk.ask("mine?layer=list", who=who) == await desk.ask("all?layer=list", who=who) == "two projects"
        await desk.change("list", "three projects")
        for who in ("ada", "bob"):
            assert await desk.ask("mine?layer=list", who=who) == await desk.ask("all?layer=list", who=who) == "three projects"

    on_desk(test)


@pytest.mark.shows("PX-57c", "PX-58c")
def test_same_request__is_answered_without_the_database_and_another_is_not(on_desk: Any) -> None:
    async def test(desk: Desk) -> None:
        await desk.change("north", "12")
        with statements(desk.hub.hub) as found:
            assert await desk.ask("mine?layer=query&q=north") == "12"
            assert sum("desk__rows" in one for one in found) == 1
            found.clear()
            for _ in range(10):
                assert await desk.ask("mine?layer=query&q=north") == "12"
            assert not any("desk__rows" in one for one in found)
            assert await desk.ask("mine?layer=query&q=south") == "none"
            assert await desk.ask("mine?layer=query&q=north", who="bob") == "12"
            assert sum("desk__rows" in one for one in found) == 2, "another request, and another person"

    on_desk(test)


@pytest.mark.shows("LW-65")
@pytest.mark.parametrize("near", [0, 5])
def test_sessions_and_hot_data__are_in_redis_where_a_restart_finds_them(on_desk: Any, redis_url: str, tmp_path: Path, near: int) -> None:
    async def before(desk: Desk) -> None:
        for layer in ("session", "query"):
            await desk.change(layer, "old")
            assert await desk.ask(f"mine?layer={layer}") == await desk.ask(f"all?layer={layer}") == "old"
            await desk.change(layer, "new", tell=False)

    async def after(desk: Desk) -> None:
        for layer in ("session", "query"):
            assert await desk.ask(f"mine?layer={layer}") == await desk.ask(f"all?layer={layer}") == "old", "the new process made nothing anew"
            assert await desk.ask(f"mine?layer={layer}", who="bob") == "new"
            await desk.change(layer, "newest")
            assert await desk.ask(f"mine?layer={layer}") == "newest"

    for test in (before, after):
        on_desk(test, tmp_path, cache={"redis-url": redis_url, "near-seconds": near})
