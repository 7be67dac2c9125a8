"""The core keeps its own rows of people apart as it keeps plugins': each statement names whose rows it wants, and the few exceptions are listed."""

from __future__ import annotations

import asyncio
import importlib
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from identity.lives import OPEN, Town, second_factor
from permissions.test_row_security import SERVING, asked, roles  # noqa: F401 - a fixture
from sqlalchemy import delete, select, text, update

from luminai.data.migrations import core_source
from luminai.data.owned_statements import INFO
from luminai.data.owners import Acting, OwnerFilterMissing, acting
from luminai.data.tables import api_keys
from luminai.data.tables_people import one_time_tokens, people, sessions
from luminai.data.unconfined import UNCONFINED, whose_of
from luminai.testing import FrozenClock, running_hub

OWNED = {table.name: table.info[INFO] for table in core_source().metadata.tables.values() if INFO in table.info}  # type: ignore[union-attr]
FORGETFUL = (
    select(sessions),
    select(api_keys.c.id).limit(1),
    select(people.c.profile).where(people.c.id == "usr_other"),
    update(sessions).where(sessions.c.id == "ses_1").values(revoked_at=None),
    delete(one_time_tokens).where(one_time_tokens.c.purpose == "reset"),
    text("SELECT * FROM core__people"),
)


def in_the_core(unit: Any, name: str) -> Any:
    """Return a unit as if it stood in a function of the core."""
    unit.__module__, _, unit.__qualname__ = name.rpartition(".")
    return unit


def test_exceptions__name_what_is_there_and_say_why() -> None:
    for name, reason in UNCONFINED.items():
        module, rest = name, []
        while True:
            try:
                found = importlib.import_module(module)
                break
            except ModuleNotFoundError:
                module, _, last = module.rpartition(".")
                rest.insert(0, last)
        for one in rest:
            found = getattr(found, one)
        assert found is not None
        assert len(reason) > 20, name


def test_unit_of_the_core__without_an_exception__is_confined_to_whoever_acts(own_database: str) -> None:
    told: set[str] = set()

    async def main() -> None:
        async with running_hub(database_url=own_database) as hub:
            for statement in FORGETFUL:
                for work in (hub.hub.database.read, hub.hub.database.write):
                    for who in ("", "usr_me"):
                        token = acting.set(Acting(who))
                        unit = in_the_core(lambda session, statement=statement: session.execute(statement), "luminai.host.account_routes.new")
                        with pytest.raises(OwnerFilterMissing) as refused:
                            await work(unit)
                        acting.reset(token)
                        told.add(refused.value.__notes__[0])
            mine = select(sessions.c.id).where(sessions.c.person_id == "usr_me")
            token = acting.set(Acting("usr_me"))
            unit = in_the_core(lambda session: session.execute(mine).all(), "luminai.host.account_routes.new")
            assert await hub.hub.database.read(unit) == []
            acting.reset(token)

    asyncio.run(main())
    assert any("data/unconfined.py" in note for note in told)


def test_whose__of_a_unit__is_told_by_the_function_that_it_stands_in() -> None:
    def unit(_: Any) -> None: ...

    token = acting.set(Acting("usr_me"))
    try:
        assert whose_of(in_the_core(unit, "luminai.identity.sign_in.refresh.<locals>.unit")) is None
        assert whose_of(in_the_core(unit, "luminai.identity.sign_in.refresher")) == Acting("usr_me")
        assert whose_of(partial(in_the_core(unit, "luminai.host.account_routes.unit"))) == Acting("usr_me")
        assert whose_of(in_the_core(unit, "luminai_chat.plugin.unit")) is None
        assert whose_of(object()) == Acting("usr_me")  # type: ignore[arg-type]
    finally:
        acting.reset(token)


@pytest.mark.postgres
@pytest.mark.shows("LR-128")
def test_server__after_people_have_lived_on_a_hub__shows_each_only_their_own_rows(roles: Any) -> None:  # noqa: F811 - a fixture
    clock = FrozenClock()

    async def main() -> list[str]:
        settings = OPEN | {"identity": OPEN["identity"] | {"verify-email": "off"}}
        async with running_hub(settings=settings, clock=clock, folder=roles.home.folder, database_url=roles.as_owner):
            pass
        async with running_hub(settings=settings | SERVING, clock=clock, folder=roles.home.folder, database_url=roles.as_app) as hub:
            town, found = Town(hub, clock), []
            for name in ("ann", "bob"):
                me = await town.settle_in(f"{name}-{uuid4().hex[:6]}@example.org")
                token = me["access_token"]
                await second_factor(town, me)
                for method, path, body in (
                    ("PUT", "/api/users/me/do-not-sell", {"do_not_sell": True}),
                    ("PATCH", "/api/users/profile", {"name": name}),
                    ("GET", "/api/auth/sessions", None),
                    ("POST", "/api/users/me/export", {}),
                ):
                    answer = await town.ask(method, path, body, token=token)
                    assert answer.status == 200, f"{path}: {answer.text}"
                assert (await town.ask("DELETE", "/api/auth/sessions", token=token)).status == 204
                await hub.hub.keys.create(name, ("hub:people",), subject=me["person"]["id"])
                found.append(me["person"]["id"])
            assert (await town.operator("POST", f"people/{found[1]}/suspend")).status == 200
            return found

    ann, bob = asyncio.run(main())

    for table, column in OWNED.items():
        everybody, mine = f"SELECT count(*) FROM {table}", f"SELECT count(*) FROM {table} WHERE {column} = '{ann}'"
        for url in (roles.as_app, roles.as_owner):
            assert asked(url, everybody) == [0], table
            (here,) = asked(roles.superuser, mine)
            assert asked(url, everybody, subject=ann) == [here], table
            assert asked(url, f"DELETE FROM {table} WHERE {column} = '{bob}' RETURNING 1", subject=ann) == [None], table
    filled = {table for table in OWNED if asked(roles.superuser, f"SELECT count(*) FROM {table}") != [0]}
    assert filled >= {"core__api_keys", "core__consents", "core__memberships", "core__people", "core__recovery_codes", "core__sessions"}
