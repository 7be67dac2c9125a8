"""A hub with a plugin that has schedules, a clock that is moved by hand, a person and an operator."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import insert

from luminai.data.tables_people import people
from luminai.identity.roles import Role, give_roles, write_role
from luminai.testing import FrozenClock, HubUnderTest, running_hub

PLUGIN = """
    import asyncio
    from luminai import Action, Schedule, hookimpl
    from msgspec import Meta, Struct
    from typing import Annotated, ClassVar

    class Config(Struct, forbid_unknown_fields=True, rename="kebab"):
        trigger: str = "cron: 0 8 * * mon-fri"
        has_second: bool = True

    class Given(Struct, forbid_unknown_fields=True):
        word: Annotated[str, Meta(min_length=1, max_length=40)]
        number: Annotated[int, Meta(ge=0)] = 0

    class Done(Struct):
        said: str

    OPEN = asyncio.Event()
    SEEN = []

    class Plugin:
        config: ClassVar = Config

        @hookimpl
        def actions(self, ctx):
            async def note(job, given):
                SEEN.append((ctx.clock.now(), given.word, job.actor.subject, job.trigger))
                return Done(given.word)
            async def wait(job, given):
                await OPEN.wait()
                return Done(given.word)
            kinds = dict(scope="work:run", input=Given, output=Done)
            return [
                Action(name="note", summary="Note a word.", run=note, **kinds),
                Action(name="wait", summary="Wait.", run=wait, **kinds),
                Action(name="queue", summary="One by one.", run=wait, concurrency="queue", **kinds),
            ]

        @hookimpl
        def schedules(self, ctx):
            daily = Schedule(name="daily", action="note", trigger=ctx.config.trigger, zone="Europe/Berlin", input={"word": "daily"})
            hourly = Schedule(name="hourly", action="note", trigger="every: 1h", input={"word": "hourly"}, misfire="all")
            return [daily, hourly] if ctx.config.has_second else [daily]
"""
MANIFEST = """
scopes = { "work:run" = "Work." }
"""
SCHEMA = (
    '{"type": "object", "additionalProperties": false, "properties": {"trigger": {"type": "string", "default": "cron: 0 8 * * mon-fri"}, '
    '"has-second": {"type": "boolean", "default": true}}}'
)
PERSON = f"usr_{'a' * 32}"
EVERY_10 = {"name": "ten", "action": "work.note", "input": {"word": "ten"}, "trigger": "every: 10s"}


class Works:
    """A hub with the plugin, its clock, a person and an operator."""

    def __init__(self, hub: HubUnderTest, clock: FrozenClock) -> None:
        self.hub = hub
        self.clock = clock
        module: Any = sys.modules["luminai_work.plugin"]
        self.seen: list[Any] = module.SEEN
        self.seen.clear()
        self.open: asyncio.Event = module.OPEN
        self.person = hub.client("work:run", subject=PERSON)
        self.operator = hub.client("hub:schedules", "work:run", "hub:audit", subject="operator")

    async def make_person(self) -> None:
        """Let the person be there, with a role that holds the scope."""
        now = self.clock.now()
        row = {"id": PERSON, "status": "active", "preferences": {}, "totp_last_step": 0, "created_at": now, "updated_at": now}

        def unit(session: Any) -> None:
            session.execute(insert(people).values(**row))
            write_role(session, Role("worker", "Worker", ("work:run",)))
            give_roles(session, PERSON, ["worker"], now)

        await self.hub.hub.database.write(unit)

    async def ask(self, method: str, path: str = "", body: Any = None, *, by: Any = None, status: int = 200) -> Any:
        """Ask for a schedule and return the answer's body."""
        answer = await (by or self.person).request(method, f"/api/schedules{path}", **({"json": body} if body is not None else {}))
        assert answer.status == status, answer.body
        return answer.json() if answer.body else None

    async def add(self, *, by: Any = None, **fields: Any) -> Any:
        """Add a schedule."""
        return await self.ask("POST", body=EVERY_10 | fields, by=by, status=201)

    async def refusal(self, **fields: Any) -> tuple[int, str, list[str]]:
        """Return status, code and pointers of a refused schedule."""
        answer = await self.person.request("POST", "/api/schedules", json=EVERY_10 | fields)
        problem = answer.json()
        assert problem.get("hint") or problem.get("errors"), problem
        return answer.status, problem["code"], [one.get("pointer", "") for one in problem.get("errors", ())]

    async def all(self) -> dict[str, Any]:
        """Return every schedule by its name."""
        found = (await self.operator.request("GET", "/api/admin/schedules")).json()["items"]
        return {one["name"]: one for one in found}

    def times(self, word: str) -> list[float]:
        """Return when a word was noted, in seconds since the clock's beginning."""
        return [(at - datetime(2026, 1, 1, tzinfo=UTC)).total_seconds() for at, said, _, _ in self.seen if said == word]


@pytest.fixture
def on_schedules(plugins: Any) -> Callable[..., Any]:
    """Return what runs a test's coroutine on a hub with the plugin."""
    installed = [plugins.make("work", PLUGIN, provides='["actions", "schedules"]', manifest=MANIFEST, files={"config.schema.json": SCHEMA})]

    @asynccontextmanager
    async def opened(**given: Any) -> Any:
        clock = FrozenClock()
        given.setdefault("settings", {"schedules": {"min-interval": 1, "per-owner": 4}})
        async with running_hub("work", installed=installed, clock=clock, **given) as hub:
            assert hub.status("work").running, hub.status("work")
            works = Works(hub, clock)
            await works.make_person()
            yield works

    def run(test: Callable[[Works], Awaitable[None]], **given: Any) -> None:
        async def main() -> None:
            async with opened(**given) as works:
                await test(works)

        asyncio.run(main())

    return run
