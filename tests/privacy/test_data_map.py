"""Every column of the core and of each plugin of this repository has a class, and what is personal can be found by its person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from identity.lives import Town
from privacy.lives import CHAT, on_hub
from sqlalchemy import Column, MetaData, String, Table

from luminai.data.data_map import CLASSES, PERSONAL, data_map, linked, problems, rows_of
from luminai.data.migrations import core_source
from luminai.host.discovery import installed_plugins
from luminai.host.owners import declared_tables

PLUGINS = {one.id: one for one in installed_plugins() if one.manifest is not None and one.manifest.tables}


def test_core__every_column__has_a_class() -> None:
    metadata = core_source().metadata

    assert metadata is not None
    assert problems(metadata) == []


@pytest.mark.parametrize("plugin", sorted(PLUGINS))
def test_plugin__every_column__has_a_class(plugin: str) -> None:
    assert problems(declared_tables(PLUGINS[plugin])) == []


@pytest.mark.parametrize(
    ("column", "info", "said"),
    [
        ({}, {}, ['x__t.email has no class: info={"data": …}, one of public, internal, personal, sensitive, special']),
        ({"data": "secret"}, {}, ['x__t.email has no class: info={"data": …}, one of public, internal, personal, sensitive, special']),
        ({}, {"data": "internal"}, ["x__t.email looks personal: give the column a class of its own"]),
        ({"data": "internal"}, {}, []),
        (
            {"data": "personal"},
            {},
            [
                "x__t holds personal data: say in `retention` how long a row stays",
                "x__t holds personal data: name the person's column in `subject`, or say in `unlinked` why there is none",
            ],
        ),
        ({"data": "personal"}, {"retention": "a day", "unlinked": "it is a list of ours"}, []),
        ({"data": "personal"}, {"retention": "a day", "subject": "email", "owner": "email"}, []),
        ({"data": "personal"}, {"retention": "a day", "subject": "email", "ownerless": "found by a digest"}, []),
        (
            {"data": "personal"},
            {"retention": "a day", "subject": "email"},
            ["x__t holds rows of persons: name their column in `owner`, or say in `ownerless` why a filter by it cannot work"],
        ),
        ({"data": "internal"}, {"owner": "person"}, ["x__t has no column person, which names whose its rows are"]),
        (
            {"data": "personal"},
            {"retention": "a day", "subject": "person", "ownerless": "so"},
            ["x__t has no column person, which `subject` names"],
        ),
        (
            {"data": "personal"},
            {"retention": "a day", "subject": "email", "through": "y__t", "ownerless": "so"},
            ["x__t leads to y__t, which is no table with a `subject` of this owner"],
        ),
    ],
)
def test_problems__of_a_table__are_told(column: dict[str, str], info: dict[str, str], said: list[str]) -> None:
    metadata = MetaData()
    Table("x__t", metadata, Column("email", String(9), info=column, primary_key=True), info=info)

    assert problems(metadata) == said


def test_links__in_a_circle__are_a_problem_and_end() -> None:
    metadata = MetaData()
    for name, other in (("x__a", "x__b"), ("x__b", "x__a")):
        info = {"data": "internal", "subject": "other", "through": other, "ownerless": "so"}
        Table(name, metadata, Column("id", String(9), primary_key=True), Column("other", String(9)), info=info)

    assert problems(metadata) == ["x__a leads through x__b back to itself", "x__b leads through x__a back to itself"]


@given(st.integers(1, 6), st.integers(0, 5))
def test_rows_of__over_any_number_of_tables__asks_for_the_person_once(length: int, at: int) -> None:
    metadata = MetaData()
    for number in range(length):
        link: dict[str, Any] = {"through": f"x__{number - 1}"} if number else {}
        Table(
            f"x__{number}",
            metadata,
            Column("id", String(9), primary_key=True),
            Column("up", String(9)),
            info={"data": "internal", "subject": "up"} | link,
        )
    table = metadata.tables[f"x__{min(at, length - 1)}"]

    condition = str(rows_of(table, "usr_1"))

    assert condition.count("SELECT") == min(at, length - 1)
    assert condition.count("= :") == 1
    assert [one.name for one in linked(metadata)] == [f"x__{number}" for number in reversed(range(length))], "those that lead to others come first"


@given(st.sampled_from(CLASSES))
def test_data_map__shows_what_was_said(name: str) -> None:
    metadata = MetaData(info={"owner": "x"})
    info = {"subject": ("id",), "owner": "id", "retention": "a day", "kept": "so"}
    Table("x__t", metadata, Column("id", String(9), info={"data": name, "secret": True}), info=info)

    (table,) = data_map(metadata)

    assert (table.owner, table.name, table.subject, table.retention, table.kept) == ("x", "x__t", ("id",), "a day", "so")
    assert [(column.name, column.data, column.secret) for column in table.columns] == [("id", name, True)]
    assert (name in PERSONAL) == (problems(metadata) == [] and CLASSES.index(name) >= 2)


@pytest.mark.shows("TL-150f")
def test_map__of_a_hub__has_plugins_that_run_and_those_that_left_tables(tmp_path: Path) -> None:
    async def look(town: Town) -> Any:
        assert (await town.hub.client("hub:people").request("GET", "/api/admin/privacy/map")).status == 403
        return (await town.hub.client("hub:privacy").request("GET", "/api/admin/privacy/map")).json()

    running = on_hub(look, tmp_path, *CHAT)
    off = on_hub(look, tmp_path)
    gone = on_hub(look, tmp_path, installed=[one for one in installed_plugins() if one.id != "chat"])

    assert {table["owner"] for table in running["tables"]} == {"core", "chat", "knowledge"}
    assert (off["tables"], off["untold"]) == (running["tables"], [])
    assert gone["untold"] == [{"owner": "chat", "why": "it is not installed"}]
    (account,) = [table for table in running["tables"] if table["name"] == "core__people"]
    assert {column["name"]: column["data"] for column in account["columns"]}["profile"] == "personal"
