"""Faults on purpose: where they strike, what the hub says, and that nothing of them stays."""

from __future__ import annotations

import asyncio
from textwrap import dedent

import pytest

from luminai import Unavailable
from luminai.testing import faults, running_hub

CODE = """
    from sqlalchemy import Column, String, Table
    from litestar import get
    from luminai import hookimpl, metadata_for, policy

    metadata = metadata_for("notes")
    Table("notes__notes", metadata, Column("id", String(40), primary_key=True))

    class Plugin:
        started = False

        @hookimpl
        def models(self):
            return metadata

        @hookimpl
        def routes(self, ctx):
            @get("/api/notes/hello", opt=policy(anonymous=True))
            async def hello() -> dict[str, bool]:
                return {"started": self.started}
            return [hello]

        @hookimpl
        async def start(self, ctx):
            await ctx.run_sync(len, "abc")
            self.started = True
"""
STEP = """
    import sqlalchemy as sa
    from alembic import op
    revision = "0001"
    down_revision = None
    def upgrade():
        op.create_table("notes__notes", sa.Column("id", sa.String(40), primary_key=True))
"""


@pytest.fixture
def notes(plugins):
    return plugins.make(
        "notes", dedent(CODE), provides='["routes", "models"]', manifest="tables = true", files={"migrations/versions/0001_init.py": STEP}
    )


def outcome(plugin, **settings) -> tuple[str, str, str, bool]:
    """Return state, phase, reason and whether the hub lives."""

    async def main():
        async with running_hub("notes", installed=[plugin], settings={"hub": settings} if settings else None) as hub:
            alive = (await hub.client().request("GET", "/health/live")).status == 200
            status = hub.status("notes")
            return status.state, status.phase, status.reason, alive

    return asyncio.run(main())


@pytest.mark.parametrize("phase", [*faults.PHASES, "start"])
def test_fail__each_phase__fails_there_with_the_error_and_comes_back(notes, phase: str) -> None:
    with faults.fail(notes, phase, RuntimeError("on purpose")) as calls:
        assert outcome(notes) == ("failed", phase, "on purpose", True)
    assert calls.count >= 1
    assert outcome(notes)[:2] == ("enabled", "ready")


def test_fail__unknown_place__is_refused(notes) -> None:
    with pytest.raises(ValueError, match="metrics"), faults.fail(notes, "metrics"):
        pass
    with pytest.raises(ValueError, match="there is no hook nothing"), faults.fail(notes, "nothing"):
        pass
    with pytest.raises(ValueError, match="no plugin no-such"), faults.fail("no-such", "start"):
        pass


@pytest.mark.parametrize("hook", ["start", "routes"])
def test_hang__a_hook__is_given_up_at_the_deadline(notes, hook: str) -> None:
    with faults.hang(notes, hook) as calls:
        state, phase, reason, alive = outcome(notes, **{"plugin-seconds": 0.2})
    assert (state, phase, alive) == ("failed", "start" if hook == "start" else "collect", True)
    assert "0.2 s" in reason
    assert calls.count == 1


def test_cancel_hook__start_at_its_first_await__fails_the_plugin_only(notes) -> None:
    with faults.cancel_hook(notes, "start", 1) as outcomes:
        assert outcome(notes)[:2] == ("failed", "start")
    assert outcomes[0].reached
    assert isinstance(outcomes[0].error, asyncio.CancelledError)


def test_full_disk__writes__are_refused_as_by_a_full_disk_and_go_on_afterwards(notes) -> None:
    async def main() -> None:
        from sqlalchemy import text

        async with running_hub("notes", installed=[notes]) as hub:
            database = hub.hub.database

            def add(session) -> None:
                session.execute(text("INSERT INTO notes__notes VALUES ('a')"))

            with faults.full_disk(), pytest.raises(Unavailable) as refused:
                await database.write(add)
            assert refused.value.code == "storage-full"
            await database.write(add)

    asyncio.run(main())


class Till:
    """Something with a state that a cancelled change must not leave half done."""

    def __init__(self, *, careful: bool) -> None:
        self.careful = careful
        self.held = False

    async def change(self) -> str:
        self.held = True
        try:
            async with asyncio.timeout(5):
                await asyncio.sleep(0)
                await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))
        finally:
            if self.careful:
                self.held = False
        self.held = False
        return "done"


def test_cancel_everywhere__careful_code__is_clean_at_each_await() -> None:
    async def main() -> int:
        till = Till(careful=True)

        def check(n: int, outcome: faults.Reached) -> None:
            assert not till.held
            assert isinstance(outcome.error, asyncio.CancelledError) if outcome.reached else outcome.result == "done"

        return await faults.cancel_everywhere(till.change, check)

    assert asyncio.run(main()) >= 2


def test_cancel_everywhere__careless_code__is_caught_at_its_await() -> None:
    async def main() -> None:
        till = Till(careful=False)

        def check(n: int, _: object) -> None:
            assert not till.held, f"held after await {n}"

        await faults.cancel_everywhere(till.change, check)

    with pytest.raises(AssertionError, match="held after await 1"):
        asyncio.run(main())


def test_cancel_at__swallowed__shows_as_reached_without_an_error() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return "went on"
        return "undisturbed"

    assert asyncio.run(faults.cancel_at(stubborn, 1)) == faults.Reached(reached=True, result="went on")
    assert asyncio.run(faults.cancel_at(stubborn, 2)) == faults.Reached(reached=False, result="undisturbed")


def test_cancel_at__inner_timeout_and_task_group__are_met_as_by_a_real_cancellation() -> None:
    async def nested() -> None:
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(10))
            await asyncio.sleep(10)

    outcome = asyncio.run(faults.cancel_at(nested, 1))

    assert outcome.reached
    assert isinstance(outcome.error, asyncio.CancelledError)
