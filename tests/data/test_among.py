"""A condition over a list that is one parameter, on both kinds of database."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import Column, Integer, MetaData, String, Table, bindparam, insert, select, text, update
from sqlalchemy.orm import Session

from luminai.data.among import among
from luminai.data.database import open_database
from luminai.data.prepared import Prepared
from luminai.telemetry.clock import SystemClock

metadata = MetaData()
things = Table("among__things", metadata, Column("id", String(40), primary_key=True), Column("count", Integer, nullable=False))
SOME = select(things.c.id).where(among(things.c.id, "ids"), things.c["count"] > 0).order_by(things.c.id)
RAISE = Prepared(update(things).where(among(things.c.id, "ids")).values(count=bindparam("new")))
ODD = ["a", "it's", 'b"]', "\\", "Zoë $1 ?"]


def test_among__any_number_of_texts__is_one_statement_that_finds_them_by_the_index(database_url: str, data_dir: Path) -> None:
    prepared = Prepared(SOME)

    def unit(session: Session) -> str:
        session.execute(insert(things), [{"id": name, "count": 1} for name in [*ODD, "other"]])
        assert [row.id for row in prepared.rows(session, {"ids": [*ODD, "nobody"]})] == list(session.execute(SOME, {"ids": ODD}).scalars())
        assert {row.id for row in prepared.rows(session, {"ids": ODD})} == set(ODD)
        assert prepared.rows(session, {"ids": ()}) == []
        RAISE.run(session, {"ids": ["a", "other"], "new": 0})
        assert {row.id for row in prepared.rows(session, {"ids": [*ODD, "other"]})} == set(ODD) - {"a"}
        compiled = SOME.compile(dialect=session.get_bind().dialect)
        return str(compiled)

    async def main() -> None:
        database = await open_database(database_url, data_dir=data_dir, clock=SystemClock())
        try:
            await database.migrate(lambda connection: (metadata.create_all(connection), connection.commit()))
            said = await database.write(unit)
            if database.dialect == "sqlite":
                plan = await database.read(lambda session: session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {said}", ("[]", 0)).all())
                assert any("SEARCH among__things" in str(row) for row in plan), plan
            await database.write(lambda session: session.execute(text("DROP TABLE among__things")) and None)
        finally:
            await database.close()

    asyncio.run(main())
