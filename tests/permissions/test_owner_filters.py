"""Rows that belong to somebody are there for nobody else, and a statement that would reach further never gets to the database."""

import asyncio
import logging
from typing import Any

import pytest
from permissions import notes_plugin

from luminai.testing import running_hub


def on_notes(plugins: Any, database_url: str, work: Any) -> Any:
    """Run ``work(hub)`` on a hub with rows of ann and bob."""

    async def main() -> Any:
        async with running_hub("notes", installed=[notes_plugin.make(plugins)], database_url=database_url) as hub:
            assert (await hub.client("notes:*", subject="operator").request("POST", "/api/notes/seed")).status == 201
            return await work(hub)

    return asyncio.run(main())


async def rows(hub: Any) -> list[tuple[Any, ...]]:
    """Return every row as it is, whoever it belongs to."""
    from sqlalchemy import text

    query = text("SELECT id, subject, text FROM notes__notes ORDER BY id")
    found: list[tuple[Any, ...]] = await hub.hub.database.read(lambda session: [tuple(row) for row in session.execute(query)])
    return found


def test_statement__naming_its_owner__passes_and_any_other_is_refused(plugins, own_database: str) -> None:
    async def work(hub: Any) -> Any:
        ann = hub.client("notes:*", subject="ann")
        names = (await ann.request("GET", "/api/notes/names")).json()
        answers = {}
        for group in ("within", "beyond"):
            for name in names[group]:
                answer = await ann.request("POST", "/api/notes/run", query={"group": group, "name": name})
                answers[group, name] = answer.json()
        return answers, await rows(hub)

    answers, left = on_notes(plugins, own_database, work)

    assert {name: answer for (group, name), answer in answers.items() if group == "within" and "done" not in answer} == {}
    beyond = {name: answer for (group, name), answer in answers.items() if group == "beyond"}
    assert len(beyond) >= 40
    assert {name: answer for name, answer in beyond.items() if answer != {"refused": "owner-filter-missing"}} == {}
    assert (2, "bob", "secret of bob") in left
    assert [row for row in left if row[1] != "ann"] == [(2, "bob", "secret of bob")]
    assert answers["within", "change"] == {"done": ["changed", None, None]}


@pytest.mark.parametrize("way", ["read", "stream", "task"])
def test_row__of_another__is_not_there(plugins, own_database: str, way: str) -> None:
    async def work(hub: Any) -> Any:
        asked = [(who, whose) for who in ("ann", "bob", None) for whose in ("ann", "bob")]
        clients = {who: hub.client("notes:read", subject=who) if who else hub.client() for who in ("ann", "bob", None)}
        return {pair: await clients[pair[0]].request("GET", "/api/notes", query={"subject": pair[1], "way": way}) for pair in asked}

    answers = on_notes(plugins, own_database, work)

    assert answers["ann", "ann"].json() == ["a"]
    assert answers["bob", "bob"].json() == ["secret of bob"]
    refused = [answers[pair] for pair in (("ann", "bob"), ("bob", "ann"), (None, "ann"), (None, "bob"))]
    assert {(answer.status, answer.json()["code"]) for answer in refused} == {(500, "owner-filter-missing")}


def test_work__for_somebody_named_or_for_all__says_so(plugins, own_database: str, caplog: pytest.LogCaptureFixture) -> None:
    async def work(hub: Any) -> Any:
        nobody = hub.client()
        return [(await nobody.request("GET", "/api/notes", query={"subject": "ann", "way": way})).json() for way in ("named", "all")]

    with caplog.at_level(logging.ERROR):
        assert on_notes(plugins, own_database, work) == [["a"], ["a", "secret of bob"]]
    assert "owner-filter.missing" not in caplog.text


def test_refusal__in_the_log__names_table_and_remedy_once_and_tells_a_client_neither(plugins, caplog: pytest.LogCaptureFixture) -> None:
    async def work(hub: Any) -> Any:
        return await hub.client("notes:read", subject="ann").request("GET", "/api/notes", query={"subject": "bob"})

    with caplog.at_level(logging.ERROR):
        answer = on_notes(plugins, "", work)

    assert (answer.status, "notes__" in answer.text, "bob" in answer.text) == (500, False, False)
    told = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.message for record in told] == ["request.failed"]
    assert told[0].exc_info is not None
    (note,) = getattr(told[0].exc_info[1], "__notes__", ())
    assert "notes__notes is asked for in the name of somebody else" in note
    assert "Compare notes__notes.subject" in note
