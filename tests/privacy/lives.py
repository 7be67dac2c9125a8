"""Somebody with data in every table that can hold some, marked so that it can be looked for afterwards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from identity.lives import OPEN, Town, second_factor
from sqlalchemy import Table, insert, select, text

from luminai.data.data_map import linked, rows_of
from luminai.data.tables import core_metadata
from luminai.data.types import JSONText, UTCDateTime
from luminai.host.privacy_owners import count_rows, table_owners
from luminai.testing import FrozenClock, running_hub

CHAT: Final = ("personas", "resonance", "knowledge", "ai-offline", "chat")
EMAIL: Final = "zanzibar.quokka@example.org"
NAME: Final = "Zanzibar Quokka"
CANARY: Final = "zanzibar"
"""Stands in all that this person wrote; case does not count."""
PURPOSES: Final = {"privacy": {"purposes": {"research": {"title": "Use my conversations for research", "version": "2"}}}}


def on_hub(
    work: Callable[[Town], Awaitable[Any]], folder: Path, *plugins: str, database_url: str = "", settings: Any = None, installed: Any = None
) -> Any:
    """Run ``work(town)`` on a hub in ``folder``."""

    async def main() -> Any:
        clock = FrozenClock()
        given = {"installed": installed} if installed is not None else {}
        own = OPEN | PURPOSES | (settings or {})
        async with running_hub(*plugins, folder=folder, database_url=database_url, settings=own, clock=clock, **given) as hub:
            return await work(Town(hub, clock))

    return asyncio.run(main())


async def live(town: Town) -> Any:
    """Be a person who has used everything, and return the session."""
    registered = {"email": EMAIL, "password": "nine wooden ladders", "name": NAME}
    assert (await town.post("register", registered, headers={"sec-gpc": "1"})).status == 202
    first = await town.login(EMAIL, device="Zanzibar's telephone")
    person = first["person"]["id"]
    secret, _ = await second_factor(town, first)
    assert (await town.operator("PUT", f"people/{person}/roles", {"roles": ["admin"]})).status == 200
    town.clock.advance(seconds=60)
    challenge = await town.login(EMAIL, device="Zanzibar's telephone")
    mfa = {"mfa_token": challenge["mfa_token"], "code": town.code(secret), "cookie": False, "device": "Zanzibar's telephone"}
    entered = await town.post("mfa", mfa)
    assert entered.status == 200, entered.text
    signed_in = entered.json()
    token = signed_in["access_token"]
    assert (await town.post("password/forgot", {"email": EMAIL})).status == 202
    key = await town.ask("POST", "/api/keys", {"name": "zanzibar's key", "scopes": ["hub:mail"]}, token=token)
    assert key.status == 201, key.text
    agreed = await town.ask("POST", "/api/users/me/consents", {"purpose": "research", "version": "2", "given": True}, token=token)
    assert agreed.status == 200, agreed.text
    if "chat" in {loaded.id for loaded in town.hub.hub.generation.plugins}:
        asked = await town.ask("POST", "/api/chat", {"message": "What does Zanzibar Quokka dream of?"}, token=token)
        assert asked.status == 200, asked.text
        from luminai_chat.models import turn_approvals

        await town.hub.hub.database.write(_filler(turn_approvals, person, town.clock.now()))
    for name, count in reversed((await rows_by_table(town, person)).items()):  # those that lead to others' rows behind those others
        if not count and name.startswith("core__"):
            await town.hub.hub.database.write(_filler(core_metadata.tables[name], person, town.clock.now()))
    return signed_in


def _filler(table: Table, person: str, now: datetime) -> Callable[[Any], None]:
    """Return a unit that adds a row of the person to a table that no route of these tests fills."""
    made: dict[type, Any] = {str: "x", bytes: b"\1" * 32, int: 1, float: 1.0, bool: True, datetime: now}
    row: dict[str, Any] = {
        column.name: {} if isinstance(column.type, JSONText) else now if isinstance(column.type, UTCDateTime) else made[column.type.python_type]
        for column in table.columns
    }
    subject, through = table.info["subject"], table.info.get("through")
    row |= dict.fromkeys([subject] if isinstance(subject, str) else subject, person)

    def unit(session: Any) -> None:
        if through:
            parent = table.metadata.tables[through]
            row[subject] = session.execute(select(next(iter(parent.primary_key.columns))).where(rows_of(parent, person)).limit(1)).scalar_one()
        session.execute(insert(table).values(**row))

    return unit


async def rows_by_table(town: Town, person: str) -> dict[str, int]:
    """Return how many rows the person has in each table of the map, 0 included."""
    owners = await table_owners(town.hub.hub)
    found = await town.hub.hub.database.read(lambda session: {name: n for owner in owners for name, n in count_rows(session, owner, person).items()})
    return {table.name: found.get(table.name, 0) for owner in owners if owner.metadata is not None for table in linked(owner.metadata)}


async def everything(town: Town) -> str:
    """Return every value of every table of the database as text, bytes in hexadecimal and as they are."""

    def unit(session: Any) -> str:
        connection = session.connection()
        names = connection.dialect.get_table_names(connection)
        rows = [tuple(row) for name in names for row in session.execute(text(f'SELECT * FROM "{name}"'))]
        return "\n".join(repr([bytes(one).decode("latin-1") if isinstance(one, bytes | memoryview) else one for one in row]) for row in rows)

    found: str = await town.hub.hub.database.read(unit)
    return found


def files_with(folder: Path, what: str) -> list[str]:
    """Return the files below ``folder`` that hold ``what``, whatever its case."""
    wanted = what.lower().encode()
    return [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file() and wanted in path.read_bytes().lower()]


def items_of(document: bytes) -> dict[tuple[str, str], list[Any]]:
    """Return an export's items by owner and name."""
    found: dict[tuple[str, str], list[Any]] = {}
    for item in json.loads(document)["items"]:
        found.setdefault((item["owner"], item["name"]), []).append(item["data"])
    return found
