"""A plugin with rows that belong to somebody, and statements on them: those that stay within their owner's rows, and those that do not."""

from __future__ import annotations

from typing import Any

MANIFEST = 'tables = true\nscopes = { "notes:read" = "Read", "notes:write" = "Write" }'
PROVIDES = '["routes", "models", "channels"]'

MODELS = """
    from sqlalchemy import Column, ForeignKey, Integer, String, Table
    from sqlalchemy.orm import registry, relationship
    from luminai import metadata_for

    metadata = metadata_for("notes")
    mapped = registry(metadata=metadata)
    notes = Table(
        "notes__notes",
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("subject", String(120)),
        Column("text", String(80)),
        info={"owner": "subject"},
    )
    links = Table(
        "notes__links",
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("note", ForeignKey("notes__notes.id", name="notes__links_note_fk")),
        Column("text", String(80)),
    )

    class Note:
        def __init__(self, **fields):
            for name, value in fields.items():
                setattr(self, name, value)

    class Link:
        pass

    mapped.map_imperatively(Note, notes)
    mapped.map_imperatively(Link, links, properties={"note_row": relationship(Note)})
"""

MIGRATION = """
    import sqlalchemy as sa
    from alembic import op
    from luminai import enable_owner_policy

    revision, down_revision = "0001", None

    def upgrade():
        op.create_table(
            "notes__notes",
            sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("subject", sa.String(120)),
            sa.Column("text", sa.String(80)),
        )
        op.create_table(
            "notes__links",
            sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("note", sa.Integer, sa.ForeignKey("notes__notes.id", name="notes__links_note_fk")),
            sa.Column("text", sa.String(80)),
        )
        enable_owner_policy(op, "notes__notes")

    def downgrade():
        op.drop_table("notes__links")
        op.drop_table("notes__notes")
"""

STATEMENTS = """
    from sqlalchemy import and_, delete, exists, func, insert, literal, literal_column, or_, select, table, column, text, union_all, update
    from sqlalchemy.dialects import postgresql, sqlite
    from sqlalchemy.orm import aliased, joinedload, selectinload
    from luminai_notes.models import Link, Note, links as l, notes as n

    mine = n.c.subject == "ann"
    other = n.alias()

    def upsert(dialect):
        made = (postgresql if dialect == "postgresql" else sqlite).insert(n).values(id=1, subject="ann", text="one")
        return lambda **more: made.on_conflict_do_update(index_elements=["id"], **more)

    def within(dialect):
        up = upsert(dialect)
        inner = select(n.c.id).where(mine).cte()
        return {
            "select": select(n).where(mine),
            "turned round": select(n).where(literal("ann") == n.c.subject),
            "and": select(n).where(and_(mine, or_(n.c.id == 1, n.c.id == 2))),
            "count": select(func.count()).select_from(n).where(mine),
            "alias": select(other.c.id).where(other.c.subject == "ann"),
            "join": select(l.c.id).join(n, (n.c.id == l.c.note) & mine),
            "outer join": select(l.c.id, n.c.text).outerjoin(n, (n.c.id == l.c.note) & mine),
            "equal owners": select(n.c.id, other.c.id).join(other, (other.c.subject == n.c.subject) & (other.c.id != n.c.id)).where(mine),
            "subquery": select(l).where(l.c.note.in_(select(n.c.id).where(mine))),
            "exists": select(l).where(exists().where(n.c.id == l.c.note, mine)),
            "cte": select(inner.c.id),
            "union": union_all(select(n.c.id).where(mine), select(n.c.id).where(mine, n.c.id > 1)),
            "update": update(n).where(mine, n.c.id == 1).values(text="first"),
            "delete": delete(n).where(mine, n.c.id == 99),
            "delete by subquery": delete(l).where(l.c.note.in_(select(n.c.id).where(mine, n.c.id == 99))),
            "insert": insert(n).values(id=50, subject="ann"),
            "insert many": insert(n).values([{"id": 51, "subject": "ann"}, {"id": 52, "subject": "ann"}]),
            "upsert": up(set_={"text": "again"}, where=mine),
            "nothing owned": select(l),
            "mapped": select(Note),
            "mapped alias": select(aliased(Note)),
            "mapped join": select(Link).join(Link.note_row),
            "mapped update": update(Note).values(text="first"),
            "mapped delete": delete(Note).where(Note.id == 99),
            "joined load": select(Link).options(joinedload(Link.note_row)),
            "select-in load": select(Link).options(selectinload(Link.note_row)),
        }

    def beyond(dialect):
        up = upsert(dialect)
        inner = select(n.c.id).cte()
        return {
            "no owner": select(n),
            "or": select(n).where(or_(mine, n.c.id == 2)),
            "not": select(n).where(~mine),
            "in": select(n).where(n.c.subject.in_(["ann"])),
            "not equal": select(n).where(n.c.subject != "bob"),
            "column": select(n).where(n.c.subject == n.c.text),
            "somebody else": select(n).where(n.c.subject == "bob"),
            "both": select(n).where(mine, n.c.subject == "bob"),
            "wrong alias": select(other.c.id, n.c.id).join(n, n.c.id == other.c.id).where(mine),
            "kept side of an outer join": select(n.c.id).outerjoin(l, (n.c.id == l.c.note) & mine),
            "full join": select(n.c.id).join(l, (n.c.id == l.c.note) & mine, full=True),
            "subquery": select(l).where(l.c.note.in_(select(n.c.id))),
            "scalar subquery": select(l.c.id, select(func.count(n.c.id)).scalar_subquery()),
            "order": select(l.c.id).order_by(select(n.c.text).limit(1).scalar_subquery()),
            "cte": select(inner.c.id),
            "union": union_all(select(n.c.id).where(mine), select(n.c.id)),
            "update": update(n).values(text="taken"),
            "give away": update(n).where(mine).values(subject="bob"),
            "update from": update(l).where(l.c.note == n.c.id).values(text=n.c.text),
            "delete": delete(n),
            "insert for another": insert(n).values(id=60, subject="bob"),
            "insert for nobody": insert(n).values(id=61),
            "insert an expression": insert(n).values(id=62, subject=func.lower("ANN")),
            "insert many": insert(n).values([{"id": 63, "subject": "ann"}, {"id": 64, "subject": "bob"}]),
            "insert from a query": insert(n).from_select(["id", "subject"], select(l.c.id + 900, l.c.text)),
            "carry out": insert(l).from_select(["id", "text"], select(n.c.id + 900, n.c.text)),
            "carry out one": insert(l).values(id=990, text=select(n.c.text).where(n.c.id == 2).scalar_subquery()),
            "upsert": up(set_={"text": "taken"}),
            "upsert owner": up(set_={"subject": "ann"}, where=mine),
            "by hand": text("SELECT * FROM notes__notes"),
            "by hand, quoted": text('SELECT * FROM "notes__notes" WHERE subject = \\'ann\\''),
            "from text": select(text("*")).select_from(text("notes__notes")),
            "literal": select(literal_column("(SELECT text FROM notes__notes LIMIT 1)")),
            "light table": select(table("notes__notes", column("id"))),
            "mapped, with a plain subquery": select(Link).where(Link.note.in_(select(n.c.id))),
        }
"""

PLUGIN = """
    from typing import Any

    from litestar import WebSocket, get, post, websocket
    from litestar.params import FromQuery
    from litestar.response import ServerSentEvent
    from sqlalchemy import select, update
    from luminai import Channel, HubError, hookimpl, policy
    from luminai_notes.models import Link, Note, links, metadata, notes
    from luminai_notes.statements import beyond, within

    def forge(session):
        session.add(Note(id=70, subject="bob"))

    def give(session):
        session.get(Note, 1).subject = "bob"

    def change(session):
        note = session.get(Note, 1)
        note.text = "changed"
        session.flush()
        session.expire(note)
        return [note.text, session.get(Note, 2), session.get(Link, 2).note_row]

    def add(session):
        session.add(Note(id=71, subject="ann"))

    def forget(session):
        session.delete(session.get(Note, 71))

    def driver(session):
        return [tuple(row) for row in session.connection().exec_driver_sql("SELECT * FROM notes__notes")]

    def connection(session):
        return [tuple(row) for row in session.connection().execute(select(notes))]

    def many(session):
        session.execute(notes.insert(), [{"id": 80, "subject": "ann"}, {"id": 81, "subject": "bob"}])

    def by_key(session):
        session.execute(update(Note), [{"id": 2, "text": "taken"}])

    def mappings(session):
        session.bulk_update_mappings(Note, [{"id": 2, "text": "taken"}])

    WORK = {"within": [change, add, forget], "beyond": [forge, give, driver, connection, many, by_key, mappings]}

    def units(group, dialect):
        def run(statement):
            def unit(session):
                session.execute(statement)
            return unit

        made = within(dialect) if group == "within" else beyond(dialect)
        return {**{name: run(one) for name, one in made.items()}, **{one.__name__: one for one in WORK[group]}}

    class Plugin:
        @hookimpl
        def models(self):
            return metadata

        @hookimpl
        def channels(self, ctx):
            async def everybody(actor, params):
                return True

            async def writes_there(actor, params):
                query = select(notes.c.id).where(notes.c.subject == params["subject"])
                return bool(await ctx.db.read(lambda session: session.execute(query).first()))

            return [
                Channel(name="lobby", kinds={}, may_join=everybody),
                Channel(name="of.{subject}", kinds={}, may_join=writes_there, scope="notes:read"),
            ]

        @hookimpl
        def routes(self, ctx):
            @get("/api/notes/names", opt=policy("notes:read"))
            async def names() -> dict[str, list[str]]:
                return {group: list(units(group, ctx.db.dialect)) for group in ("within", "beyond")}

            @post("/api/notes/seed", opt=policy("notes:write"))
            async def seed() -> None:
                rows = [{"id": 1, "subject": "ann", "text": "a"}, {"id": 2, "subject": "bob", "text": "secret of bob"}]
                def unit(session):
                    session.execute(links.delete())
                    session.execute(notes.delete())
                    session.execute(notes.insert(), rows)
                    session.execute(links.insert(), [{"id": 1, "note": 1}, {"id": 2, "note": 2}])
                await ctx.db.as_system().write(unit)

            @post("/api/notes/run", opt=policy("notes:write"), status_code=200)
            async def run(group: FromQuery[str], name: FromQuery[str]) -> Any:
                try:
                    return {"done": await ctx.db.write(units(group, ctx.db.dialect)[name])}
                except HubError as refused:  # so that the breaker of the route stays closed
                    return {"refused": refused.code}

            @get("/api/notes", opt=policy("notes:read", anonymous=True))
            async def mine(subject: FromQuery[str], way: FromQuery[str] = "read") -> list[str]:
                query = select(notes.c.text).where(notes.c.subject == subject).order_by(notes.c.id)
                if way == "stream":
                    return [row.text async for row in ctx.db.stream(query)]
                if way == "all":
                    return [row.text async for row in ctx.db.as_system().stream(select(notes.c.text).order_by(notes.c.id))]
                if way == "task":
                    return await ctx.spawn(ctx.db.read(lambda session: list(session.execute(query).scalars())), name="read")
                database = ctx.db.as_subject(subject) if way == "named" else ctx.db
                return await database.read(lambda session: list(session.execute(query).scalars()))

            def texts(subject):
                query = select(notes.c.text).where(notes.c.subject == subject).order_by(notes.c.id)
                return ctx.db.read(lambda session: list(session.execute(query).scalars()))

            @websocket("/api/notes/live", opt=policy("notes:read"))
            async def live(socket: WebSocket[Any, Any, Any]) -> None:
                await socket.accept()
                async for subject in socket.iter_data():
                    try:
                        await socket.send_text(",".join(await texts(subject)))
                    except HubError as refused:
                        await socket.send_text(refused.code)

            @get("/api/notes/follow", opt=policy("notes:read", stream=True))
            async def follow(subject: FromQuery[str]) -> ServerSentEvent:
                async def events():
                    try:
                        yield ",".join(await texts(subject))
                    except HubError as refused:
                        yield refused.code
                return ServerSentEvent(events())

            return [names, seed, run, mine, live, follow]
"""


def make(plugins: Any) -> Any:
    """Return the plugin ``notes``."""
    files = {"models.py": MODELS, "statements.py": STATEMENTS, "migrations/__init__.py": "", "migrations/versions/0001_init.py": MIGRATION}
    return plugins.make("notes", PLUGIN, provides=PROVIDES, manifest=MANIFEST, files=files)
