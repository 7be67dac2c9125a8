"""Each way to reach rows of owners and tenants, over a database of its own: what stays within passes, and the rest is refused for its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    and_,
    bindparam,
    column,
    create_engine,
    delete,
    event,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    table,
    text,
    union_all,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased, joinedload, registry, relationship
from sqlalchemy.sql.elements import Grouping

from luminai.contracts.errors import HubError
from luminai.data.owned_statements import claims_of, owned_by
from luminai.data.owners import NOBODY, Acting, OwnerFilterMissing, check, keep_owners_apart, unit_acts_for, within

Note_ = None
metadata = MetaData()
mapped = registry(metadata=metadata)


def made(name: str, *columns: str, **info: str) -> Table:
    more = [Column("note", ForeignKey("desk__notes.id"))] if name == "desk__links" else []
    texts = [Column(one, String(40)) for one in (*columns, "text")]
    return Table(name, metadata, Column("id", Integer, primary_key=True, autoincrement=False), *texts, *more, info=info)


n = made("desk__notes", "subject", owner="subject")
c = made("desk__cards", "organisation", tenant="organisation")
d = made("desk__drafts", "subject", "organisation", owner="subject", tenant="organisation")
x = made("desk__links")


class Row:
    def __init__(self, **fields: Any) -> None:
        for name, value in fields.items():
            setattr(self, name, value)


class Note(Row): ...


class Card(Row): ...


class Draft(Row): ...


class Link(Row): ...


mapped.map_imperatively(Note, n)
mapped.map_imperatively(Card, c)
mapped.map_imperatively(Draft, d)
mapped.map_imperatively(Link, x, properties={"note_row": relationship(Note)})

ANN, ALONE = Acting("ann", "org_a"), Acting("ann")
mine, ours = n.c.subject == "ann", c.c.organisation == "org_a"
own_draft = and_(d.c.subject == "ann", d.c.organisation == "org_a")
n2, d2 = n.alias(), d.alias()
up = sqlite.insert(n).values(id=1, subject="ann", text="a")
up_draft = sqlite.insert(d).values(id=1, subject="ann", organisation="org_a")
part = select(n.c.id, n.c.subject).where(mine).subquery()
whole = select(n.c.id, n.c.subject).subquery()

WITHIN = {
    "owner": select(n).where(mine),
    "tenant": select(c).where(ours),
    "both": select(d).where(own_draft),
    "both, one by one": select(d).where(d.c.subject == "ann").where(d.c.organisation == "org_a"),
    "turned round": select(n).where(bindparam("who", "ann") == n.c.subject),
    "parameter of the column's name": select(n).where(n.c.subject == bindparam("subject", "ann")),
    "grouped": select(n).where(Grouping(mine)),
    "and": select(n).where(and_(mine, or_(n.c.id == 1, n.c.id == 2))),
    "alias": select(n2).where(n2.c.subject == "ann"),
    "inner join, in ON": select(x.c.id).join(n, and_(n.c.id == x.c.note, mine)),
    "inner join, left side in ON": select(n.c.id).join(x, and_(n.c.id == x.c.note, mine)),
    "outer join, in ON": select(x.c.id, n.c.id).outerjoin(n, and_(n.c.id == x.c.note, mine)),
    "outer join, in WHERE": select(x.c.id).outerjoin(n, n.c.id == x.c.note).where(mine),
    "full join, in WHERE": select(n.c.id).join(x, n.c.id == x.c.note, full=True).where(mine),
    "join within a join": select(x.c.id).select_from(x.join(n.join(n2, and_(n2.c.subject == n.c.subject, mine)), n.c.id == x.c.note)),
    "equal owners": select(n2.c.id).join(n, n2.c.subject == n.c.subject).where(mine),
    "equal owners, turned round": select(n2.c.id).join(n, n.c.subject == n2.c.subject).where(n2.c.subject == "ann"),
    "equal both": select(d2.c.id).join(d, and_(d2.c.subject == d.c.subject, d2.c.organisation == d.c.organisation)).where(own_draft),
    "equal tenants of two tables": select(d.c.id).join(c, c.c.organisation == d.c.organisation).where(own_draft),
    "subquery": select(x).where(x.c.note.in_(select(n.c.id).where(mine))),
    "exists": select(x).where(exists().where(n.c.id == x.c.note, mine)),
    "derived": select(part.c.id),
    "union": union_all(select(n.c.id).where(mine), select(n.c.id).where(mine)),
    "update": update(n).where(mine).values(text="a"),
    "update in order": update(n).where(mine).ordered_values((n.c.text, "a")),
    "update both": update(d).where(own_draft).values(text="a"),
    "delete": delete(n).where(mine, n.c.id == 99),
    "insert": insert(n).values(id=10, subject="ann"),
    "insert tenant": insert(c).values(id=10, organisation="org_a"),
    "insert both": insert(d).values(id=10, subject="ann", organisation="org_a"),
    "insert many": insert(d).values([{"id": number, "subject": "ann", "organisation": "org_a"} for number in (11, 12)]),
    "upsert": up.on_conflict_do_update(index_elements=["id"], set_={"text": "a"}, where=mine),
    "upsert nothing": up.on_conflict_do_nothing(),
    "upsert both": up_draft.on_conflict_do_update(index_elements=["id"], set_={"text": "a"}, where=own_draft),
    "nobody's": select(x),
    "nobody's update": update(x).values(text="a"),
    "nobody's upsert": sqlite.insert(x).values(id=1).on_conflict_do_update(index_elements=["id"], set_={"text": "a"}),
    "nobody's insert from a query": insert(x).from_select(["id", "text"], select(n.c.id + 900, n.c.text).where(mine)),
    "nobody's, by hand": text("SELECT * FROM desk__links"),
    "nobody's, light": select(table("desk__links", column("id"))),
    "literal": select(literal_column("1")),
    "mapped": select(Note),
    "mapped, both": select(Draft),
    "mapped alias": select(aliased(Note)),
    "mapped update": update(Note).values(text="a"),
    "mapped delete": delete(Card).where(Card.id == 99),  # type: ignore[attr-defined]
    "mapped load": select(Link).options(joinedload(Link.note_row)),  # type: ignore[attr-defined]
}
NO_OWNER, NO_TENANT = "is asked for without comparing its owner", "is asked for without comparing its tenant"
OTHER, BY_HAND, GIVEN = "in the name of somebody else", "SQL written by hand", "would be given another owner"
BEYOND = {
    "no owner": (select(n), NO_OWNER),
    "no tenant": (select(c), NO_TENANT),
    "only owner": (select(d).where(d.c.subject == "ann"), NO_TENANT),
    "only tenant": (select(d).where(d.c.organisation == "org_a"), NO_OWNER),
    "or": (select(n).where(or_(mine, n.c.id == 2)), NO_OWNER),
    "not equal": (select(n).where(n.c.subject != "bob"), NO_OWNER),
    "another column": (select(n).where(n.c.text == "ann"), NO_OWNER),
    "two columns": (select(n).where(n.c.subject == n.c.text), NO_OWNER),
    "an expression": (select(n).where(n.c.subject == func.lower("ANN")), NO_OWNER),
    "somebody else": (select(n).where(n.c.subject == "bob"), OTHER),
    "both": (select(n).where(mine, n.c.subject == "bob"), OTHER),
    "another tenant": (select(c).where(c.c.organisation == "org_b"), OTHER),
    "owner and another tenant": (select(d).where(d.c.subject == "ann", d.c.organisation == "org_b"), OTHER),
    "owner named as tenant": (select(d).where(d.c.subject == "org_a", d.c.organisation == "ann"), OTHER),
    "the other alias": (select(n2.c.id).join(n, n.c.id == n2.c.id).where(mine), NO_OWNER),
    "equal owners of nobody": (select(n2.c.id).join(n, n2.c.subject == n.c.subject), NO_OWNER),
    "equal owners, not tenants": (select(d2.c.id).join(d, d2.c.subject == d.c.subject).where(own_draft), NO_TENANT),
    "equal ids": (select(n2.c.id).join(n, n2.c.id == n.c.id).where(mine), NO_OWNER),
    "owner equal to a tenant": (select(n.c.id).join(c, n.c.subject == c.c.organisation).where(ours), NO_OWNER),
    "kept side of an outer join": (select(n.c.id).outerjoin(x, and_(n.c.id == x.c.note, mine)), NO_OWNER),
    "full join, in ON": (select(n.c.id).join(x, and_(n.c.id == x.c.note, mine), full=True), NO_OWNER),
    "equal owners in an outer join": (select(n.c.id, n2.c.id).outerjoin(n2, n.c.subject == n2.c.subject).where(n2.c.id == 1), NO_OWNER),
    "subquery": (select(x).where(x.c.note.in_(select(n.c.id))), NO_OWNER),
    "derived": (select(whole.c.id).where(whole.c.subject == "ann"), NO_OWNER),
    "union": (union_all(select(n.c.id).where(mine), select(n.c.id)), NO_OWNER),
    "update": (update(n).values(text="a"), NO_OWNER),
    "update both": (update(d).where(d.c.subject == "ann").values(text="a"), NO_TENANT),
    "update from": (update(x).where(x.c.note == n.c.id).values(text=n.c.text), "is read in a way that is not understood"),
    "delete": (delete(c), NO_TENANT),
    "give away": (update(n).where(mine).values(subject="bob"), GIVEN),
    "give away, in order": (update(n).where(mine).ordered_values((n.c.subject, "bob")), GIVEN),
    "give away, by name": (update(n).where(mine).values({"subject": "bob"}), GIVEN),
    "give away to a tenant": (update(d).where(own_draft).values(organisation="org_b"), GIVEN),
    "insert": (insert(n).values(id=20, subject="bob"), OTHER),
    "insert for nobody": (insert(n).values(id=20), OTHER),
    "insert for another tenant": (insert(d).values(id=20, subject="ann", organisation="org_b"), OTHER),
    "insert for no tenant": (insert(d).values(id=20, subject="ann"), OTHER),
    "insert many": (insert(n).values([{"id": 20, "subject": "ann"}, {"id": 21, "subject": "bob"}]), OTHER),
    "insert many, first": (insert(n).values([{"id": 20, "subject": "bob"}, {"id": 21, "subject": "ann"}]), OTHER),
    "insert from a query": (insert(n).from_select(["id", "subject"], select(x.c.id, x.c.text)), "is filled from a query"),
    "upsert": (up.on_conflict_do_update(index_elements=["id"], set_={"text": "a"}), NO_OWNER),
    "upsert of another": (up.on_conflict_do_update(index_elements=["id"], set_={"text": "a"}, where=n.c.subject == "bob"), OTHER),
    "upsert owner": (up.on_conflict_do_update(index_elements=["id"], set_={"subject": "ann"}, where=mine), f"{GIVEN} on conflict"),
    "upsert owner, by column": (up.on_conflict_do_update(index_elements=["id"], set_={n.c.subject: "ann"}, where=mine), f"{GIVEN} on conflict"),
    "upsert tenant": (up_draft.on_conflict_do_update(index_elements=["id"], set_={"organisation": "x"}, where=own_draft), f"{GIVEN} on conflict"),
    "by hand": (text("SELECT * FROM desk__notes"), BY_HAND),
    "by hand, in capitals": (text("SELECT * FROM DESK__NOTES"), BY_HAND),
    "by hand, behind another": (text("SELECT * FROM desk__links JOIN desk__notes"), BY_HAND),
    "text in a WHERE": (select(x).where(text("id IN (SELECT id FROM desk__notes)")), BY_HAND),
    "text beside what is confined": (select(n).where(mine, text("id IN (SELECT id FROM desk__cards)")), BY_HAND),
    "literal beside what is confined": (select(n.c.id, literal_column("(SELECT text FROM desk__cards)")).where(mine), BY_HAND),
    "as a function": (select(func.desk__notes().table_valued("id")), BY_HAND),
    "literal": (select(literal_column("(SELECT text FROM desk__notes)")), BY_HAND),
    "light": (select(table("desk__notes", column("id"))), "is named without its declaration"),
}


def see(statement: Any) -> Callable[[Session], Any]:
    """Return a unit that takes all rows of a statement, where it has some."""

    def unit(session: Session) -> Any:
        found = session.execute(statement)
        return [tuple(row) for row in found] if getattr(found, "returns_rows", True) else None

    return unit


class World:
    """A database with rows of ann, bob and two organisations."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def do(self, unit: Callable[[Session], Any], whose: Acting | None = ANN) -> Any:
        """Run a unit for somebody, None for all."""
        with Session(self.engine) as session, session.begin():
            return (unit if whose is None else within(whose, unit))(session)

    def refusal(self, unit: Callable[[Session], Any], whose: Acting = ANN) -> str:
        """Return why a unit is refused."""
        with pytest.raises(HubError) as refused:
            self.do(unit, whose)
        if not isinstance(refused.value, OwnerFilterMissing):
            return refused.value.code
        assert refused.value.status == 500
        assert "desk__" not in f"{refused.value.problem()}", "a client learns nothing"
        (note,) = refused.value.__notes__
        return str(note)

    def rows(self) -> list[Any]:
        return [self.do(see(select(one).order_by(one.c.id)), None) for one in (n, c, d, x)]


@pytest.fixture
def world() -> Iterator[World]:
    engine = create_engine("sqlite://")
    keep_owners_apart(engine)
    metadata.create_all(engine)
    found = World(engine)

    def fill(session: Session) -> None:
        for number, (who, place) in enumerate((("ann", "org_a"), ("bob", "org_b"), ("ann", "org_b")), 1):
            session.execute(insert(n).values(id=number, subject=who, text=who))
            session.execute(insert(c).values(id=number, organisation=place, text=place))
            session.execute(insert(d).values(id=number, subject=who, organisation=place))
            session.execute(insert(x).values(id=number, note=number))

    found.do(fill, None)
    yield found
    engine.dispose()


def test_statement__within_passes_and_beyond_is_refused_for_its_reason(world: World) -> None:
    before = world.rows()
    told = {name: world.refusal(see(statement)) for name, (statement, _) in BEYOND.items()}
    assert {name: note for name, note in told.items() if BEYOND[name][1] not in note} == {}
    assert all(note.startswith(("desk__", "SQL written by hand")) for note in told.values())
    assert world.rows() == before
    assert [len(world.do(see(BEYOND[name][0]), None)) for name in ("no owner", "no tenant", "by hand")] == [3] * 3, "work for all sees all"
    for name, statement in WITHIN.items():
        try:
            world.do(see(statement))
        except HubError as refused:
            raise AssertionError((name, getattr(refused, "__notes__", refused))) from refused


def test_refusal__names_columns_and_remedy(world: World) -> None:
    told = [
        world.refusal(see(one)) for one in (select(n), select(d), text("SELECT * FROM desk__drafts"), select(table("desk__drafts", column("id"))))
    ]
    assert "Compare desk__notes.subject with" in told[0]
    assert all("desk__drafts.subject and organisation" in one for one in told[1:])
    assert world.refusal(see(select(n2))) == told[0], "an alias goes by the name of its table"


def test_statement__is_kept_and_looked_at_for_each_caller(world: World) -> None:
    query = select(n.c.id).where(n.c.subject == bindparam("who"))
    for who, whose in (("ann", ANN), ("bob", Acting("bob")), ("ann", ALONE)) * 2:
        asked = {one: lambda session, one=one: {row.id for row in session.execute(query, {"who": one})} for one in ("ann", "bob")}
        assert world.do(asked.pop(who), whose) == ({1, 3} if who == "ann" else {2})
        assert OTHER in world.refusal(*asked.values(), whose)
    for given, reason in (({"subject": "bob"}, GIVEN), ({"who": "bob", "text": "a"}, OTHER)):
        assert reason in world.refusal(lambda session, given=given: session.execute(update(n).where(n.c.subject == bindparam("who", "ann")), given))
    many = [{"id": 30, "subject": "ann"}, {"id": 31, "subject": "bob"}]
    assert OTHER in world.refusal(lambda session: session.execute(insert(n), many))
    world.do(lambda session: session.execute(insert(n), [many[0], {"id": 31, "subject": "ann"}]))


def test_somebody__has_to_act_and_for_an_organisation_where_rows_are_its_own(world: World) -> None:
    nobody = "is asked for while nobody acts"
    assert nobody in world.refusal(see(select(n).where(n.c.subject == "")), NOBODY)
    assert nobody in world.refusal(see(select(c).where(c.c.organisation == "")), NOBODY)
    assert NO_OWNER in world.refusal(see(select(Note)), NOBODY)
    assert nobody in world.refusal(see(select(d).where(d.c.subject == "", d.c.organisation == "org_a")), Acting("", "org_a"))
    assert world.do(see(select(c.c.id).where(ours)), Acting("", "org_a")) == [(1,)]
    assert world.refusal(see(select(c).where(c.c.organisation == "")), ALONE) == "organisation-needed"
    assert world.refusal(see(select(Card)), ALONE) == "organisation-needed"
    assert world.do(see(select(n.c.id).where(mine)), ALONE) == [(1,), (3,)]
    assert world.do(see(select(x.c.id)), NOBODY) == [(1,), (2,), (3,)]
    assert [world.do(lambda _: unit_acts_for(), whose) for whose in (ANN, NOBODY, None)] == [ANN, NOBODY, NOBODY]
    check(select(n).where(mine), "sqlite", ALONE)
    check(select(x), "sqlite", NOBODY)
    for query, whose in ((select(n), ANN), (select(n).where(mine), Acting("bob")), (select(n).where(n.c.subject == ""), NOBODY)):
        with pytest.raises(OwnerFilterMissing):
            check(query, "sqlite", whose)


def test_mapped_rows__are_those_of_whoever_acts(world: World) -> None:
    def ids(statement: Any, whose: Acting | None = ANN) -> list[int]:
        found: list[int] = world.do(lambda session: [row.id for row in session.execute(statement).scalars()], whose)
        return found

    assert [ids(select(kind)) for kind in (Note, Card, Draft, Link)] == [[1, 3], [1], [1], [1, 2, 3]]
    assert [ids(select(kind), None) for kind in (Note, Card, Draft)] == [[1, 2, 3]] * 3
    assert ids(select(aliased(Note))) == [1, 3]
    assert world.do(lambda session: [link.note_row and link.note_row.id for link in session.execute(select(Link)).scalars()]) == [1, None, 3]
    assert world.do(lambda session: [session.get(Note, number) is not None for number in (1, 2)]) == [True, False]
    world.do(lambda session: session.execute(update(Note).values(text="mine")))
    world.do(lambda session: session.execute(delete(Card)))
    assert [row[2] for row in world.rows()[0]] == ["mine", "bob", "mine"]
    assert [row[0] for row in world.rows()[1]] == [2, 3]

    def again(session: Session) -> str:
        note = session.get(Note, 1)
        session.expire(note)
        return str(note.text)  # type: ignore[union-attr]

    assert world.do(again) == "mine"


def stray(world: World) -> Any:
    """Return bob's note as an object that some work for all has left lying about."""
    with Session(world.engine) as session:
        note = session.get(Note, 2)
        session.expunge(note)
        return note


def test_object__of_another_is_not_written(world: World) -> None:
    other = "would be written for somebody else"

    def adds(row: Row) -> Callable[[Session], Any]:
        return lambda session: session.add(row)

    def changes(kind: type[Row], number: int, **fields: str) -> Callable[[Session], Any]:
        def unit(session: Session) -> None:
            row = session.get(kind, number)
            for name, value in fields.items():
                setattr(row, name, value)

        return unit

    before = world.rows()
    assert other in world.refusal(adds(Note(id=40, subject="bob")))
    assert other in world.refusal(adds(Note(id=40)))
    assert other in world.refusal(adds(Draft(id=40, subject="ann", organisation="org_b")))
    assert other in world.refusal(adds(Draft(id=40, subject="bob", organisation="org_a")))
    assert other in world.refusal(changes(Note, 1, subject="bob"))
    assert other in world.refusal(adds(Note(id=40, subject="")), NOBODY)
    assert other in world.refusal(adds(Note(id=40, subject="")), Acting("", "org_a"))
    assert other in world.refusal(adds(Card(id=40, organisation="")), NOBODY)
    assert world.refusal(adds(Card(id=40, organisation="")), ALONE) == "organisation-needed"
    gone, taken = stray(world), stray(world)
    assert other in world.refusal(lambda session: session.delete(gone))
    assert other in world.refusal(lambda session: setattr(session.merge(taken, load=False), "text", "taken"))
    assert world.rows() == before

    world.do(adds(Note(id=40, subject="ann")))
    world.do(adds(Card(id=40, organisation="org_a")), Acting("", "org_a"))
    world.do(adds(Draft(id=40, subject="ann", organisation="org_a")))
    world.do(changes(Note, 1, text="changed"))
    world.do(lambda session: session.delete(session.get(Note, 40)))
    world.do(adds(Note(id=41, subject="bob")), None)
    world.do(adds(Link(id=41)), NOBODY)
    assert [row[0] for row in world.rows()[0]] == [1, 2, 3, 41]


def test_flush__lets_nothing_through_once_it_is_over(world: World) -> None:
    def after_a_flush(session: Session) -> None:
        session.add(Note(id=50, subject="ann"))
        session.flush()
        session.execute(update(n).values(text="taken"))

    def after_a_failure(session: Session) -> None:
        nested = session.begin_nested()
        session.add(Note(id=1, subject="ann"))
        with pytest.raises(IntegrityError):
            session.flush()
        nested.rollback()
        session.execute(update(n).values(text="taken"))

    def in_between(session: Session) -> None:
        session.add(Note(id=50, subject="ann"))
        session.execute(select(n))

    assert [NO_OWNER in world.refusal(unit) for unit in (after_a_flush, after_a_failure, in_between)] == [True] * 3


def test_flush__lets_only_changes_through(world: World) -> None:
    def reads(_: Any, connection: Any, __: Any) -> None:
        connection.execute(select(n))

    event.listen(Link, "before_insert", reads)
    try:
        assert NO_OWNER in world.refusal(lambda session: session.add(Link(id=60)))
    finally:
        event.remove(Link, "before_insert", reads)


def test_driver__is_watched_too(world: World) -> None:
    def by_driver(statement: str, **options: Any) -> Callable[[Session], Any]:
        return lambda session: session.connection().exec_driver_sql(statement, execution_options=options).all()

    for options in ({}, {"no_parameters": True}):
        assert BY_HAND in world.refusal(by_driver("SELECT * FROM desk__notes", **options))
        assert len(world.do(by_driver("SELECT * FROM desk__links", **options))) == 3
        assert len(world.do(by_driver("SELECT * FROM desk__notes", **options), None)) == 3


def test_claims__are_told_of_tables_and_their_aliases() -> None:
    assert [owned_by(one) is not None for one in (n, n2, c, d, x, "desk__notes")] == [True, True, False, True, False, False]
    assert owned_by(n2) is n2.c.subject
    assert claims_of(d2) == {"owner": d2.c.subject, "tenant": d2.c.organisation}
    assert claims_of(x) == {}
