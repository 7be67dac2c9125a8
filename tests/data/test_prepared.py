"""Statements by the driver's own cursor do what those of a session do: types, errors, owners, parts that are rolled back."""

import asyncio
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, LargeBinary, MetaData, String, Table, bindparam, delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from luminai import JSONText, Prepared, UTCDateTime, driver_rows
from luminai.data.database import HubDatabase, open_database
from luminai.data.owners import Acting, OwnerFilterMissing
from luminai.telemetry.clock import SystemClock
from luminai.testing.faults import full_disk

metadata = MetaData()
notes = Table(
    "prepared__notes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("subject", String(40), nullable=False),
    Column("body", JSONText()),
    Column("at", UTCDateTime()),
    Column("raw", LargeBinary),
    info={"owner": "subject"},
)
MADE = Table("prepared__made", MetaData(), Column("id", Integer, primary_key=True), Column("n", Integer, default=lambda: 1))
PUT = Prepared(insert(notes))
MINE = notes.c.subject == bindparam("owner")
ALL = Prepared(select(notes).where(MINE).order_by(notes.c.id))
MOVE = Prepared(update(notes).where(MINE, notes.c.id == bindparam("of")).values(body=bindparam("new")).returning(notes.c.body))
ANN, BEN = Acting("user_ann"), Acting("user_ben")
VALUE = "canary-value-5d1e77"


@pytest.fixture
def write(database_url: str, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Run a unit for Ann, or for whoever is named, in a database with the table."""
    with asyncio.Runner() as runner:
        database: HubDatabase = runner.run(open_database(database_url, data_dir=tmp_path, clock=SystemClock()))
        try:
            runner.run(database.migrate(lambda connection: (metadata.drop_all(connection), metadata.create_all(connection), connection.commit())))
            yield lambda unit, whose=ANN: runner.run(database.write(unit, whose=whose))
        finally:
            runner.run(database.migrate(lambda connection: (metadata.drop_all(connection), connection.commit())))
            runner.run(database.close())


def row(number: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "subject": ANN.subject, **more}


@contextmanager
def fails(session: Session, error: type[Exception]) -> Iterator[None]:
    """A part of a unit that is rolled back for this error."""
    with pytest.raises(error), session.begin_nested():
        yield


def test_values__of_every_type__come_back_as_a_session_gives_them(write: Callable[..., Any]) -> None:
    given = row(1, body={"ä": [1, None]}, at=datetime(2026, 1, 2, 3, 4, 5, 6, UTC), raw=b"\0\xff")

    def unit(session: Session) -> None:
        PUT.run(session, given)
        PUT.run(session, row(2))  # other columns: what is left out is empty
        found = ALL.rows(session, {"owner": ANN.subject})
        assert [one._asdict() for one in found] == [one._asdict() for one in session.execute(select(notes).where(notes.c.subject == ANN.subject))]
        assert found[0]._asdict() == given
        assert MOVE.first(session, {"owner": ANN.subject, "of": 2, "new": ["moved"]}).body == ["moved"]
        assert MOVE.first(session, {"owner": ANN.subject, "of": 3, "new": None}) is None
        assert [(one.id, one.body) for one in ALL.rows(session, {"owner": ANN.subject})] == [(1, given["body"]), (2, ["moved"])]

    write(unit)


def test_rows_of_others__are_refused__as_for_every_statement(write: Callable[..., Any]) -> None:
    write(lambda session: PUT.run(session, row(1)))
    others: list[Callable[[Session], Any]] = [
        lambda session: ALL.rows(session, {"owner": ANN.subject}),
        lambda session: PUT.run(session, row(2)),
        lambda session: MOVE.first(session, {"owner": ANN.subject, "of": 1, "new": 1}),
        lambda session: Prepared(select(notes)).rows(session),
        lambda session: Prepared(delete(notes)).run(session),
        lambda session: driver_rows(session.connection(), "SELECT id FROM prepared__notes"),
    ]
    for other in others:
        with pytest.raises(OwnerFilterMissing):
            write(other, BEN)
    assert len(write(lambda session: driver_rows(session.connection(), "SELECT id FROM prepared__notes"), None)) == 1, "the hub sees all"


def test_errors__are_those_of_a_session__and_quote_no_value(write: Callable[..., Any]) -> None:
    write(lambda session: PUT.run(session, row(1)))
    with pytest.raises(IntegrityError) as refused:
        write(lambda session: PUT.run(session, row(1, body=VALUE)))
    assert VALUE not in "".join(traceback.format_exception(refused.value))
    with pytest.raises(SQLAlchemyError, match="prepared__nothing"):
        write(lambda session: driver_rows(session.connection(), "SELECT 1 FROM prepared__nothing"))
    with pytest.raises(KeyError):
        write(lambda session: MOVE.first(session, {"owner": ANN.subject, "of": 1}))
    with pytest.raises(ValueError, match="cannot be prepared"):
        write(lambda session: Prepared(insert(MADE)).run(session, {"id": 1}))


def test_part_that_is_rolled_back__however_deep__takes_nothing_else_with_it(write: Callable[..., Any]) -> None:
    def unit(session: Session) -> None:
        PUT.run(session, row(1))
        with fails(session, KeyError):
            PUT.run(session, row(2))
            with fails(session, IntegrityError):
                PUT.run(session, row(3))
                PUT.run(session, row(3))
            with session.begin_nested():
                PUT.run(session, row(4))
            raise KeyError
        with session.begin_nested():
            PUT.run(session, row(5))
            with fails(session, KeyError):
                PUT.run(session, row(6))
                raise KeyError
        PUT.run(session, row(7))

    write(unit)

    def fails_whole(session: Session) -> None:
        with session.begin_nested():
            PUT.run(session, row(8))
        with fails(session, KeyError):
            raise KeyError
        PUT.run(session, row(9))
        raise KeyError

    with pytest.raises(KeyError):
        write(fails_whole)
    assert [one.id for one in write(lambda session: ALL.rows(session, {"owner": ANN.subject}))] == [1, 5, 7]


def test_session__after_an_end_of_its_own__begins_anew(write: Callable[..., Any]) -> None:
    def unit(session: Session) -> None:
        PUT.run(session, row(1))
        session.rollback()
        PUT.run(session, row(2))

    write(unit)
    assert [one.id for one in write(lambda session: ALL.rows(session, {"owner": ANN.subject}))] == [2]


def test_faults_that_tests_bring__reach_these_statements_too(write: Callable[..., Any]) -> None:
    def unit(session: Session) -> str:
        with full_disk():
            if session.get_bind().dialect.name != "sqlite":
                return "storage-full"
            try:
                PUT.run(session, row(1))
            except OperationalError as error:
                return "storage-full" if "full" in str(error) else str(error)
        session.execute(text("SELECT 1"))
        return ""

    assert write(unit) == "storage-full"
