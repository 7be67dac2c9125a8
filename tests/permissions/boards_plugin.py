"""A plugin with rows that belong to an organisation, and with rows that a person has within one."""

from __future__ import annotations

from typing import Any

MANIFEST = """
tables = true
scopes = { "boards:read" = "Read", "boards:write" = "Write" }
[roles]
member = ["boards:*"]
viewer = ["boards:read"]
"""
PROVIDES = '["routes", "models"]'

MODELS = """
    from sqlalchemy import Column, String, Table
    from sqlalchemy.orm import registry
    from luminai import metadata_for

    metadata = metadata_for("boards")
    cards = Table(
        "boards__cards",
        metadata,
        Column("id", String(40), primary_key=True),
        Column("organisation", String(40), nullable=False),
        Column("text", String(80), nullable=False, info={"data": "internal"}),
        info={"tenant": "organisation", "data": "internal"},
    )
    drafts = Table(
        "boards__drafts",
        metadata,
        Column("id", String(40), primary_key=True),
        Column("subject", String(120), nullable=False, info={"data": "personal"}),
        Column("organisation", String(40), nullable=False),
        info={"owner": "subject", "tenant": "organisation", "data": "internal", "subject": "subject", "retention": "until deleted"},
    )

    class Card:
        def __init__(self, **fields):
            for name, value in fields.items():
                setattr(self, name, value)

    registry(metadata=metadata).map_imperatively(Card, cards)
"""

MIGRATION = """
    import sqlalchemy as sa
    from alembic import op
    from luminai import enable_owner_policy

    revision, down_revision = "0001", None

    def upgrade():
        op.create_table(
            "boards__cards",
            sa.Column("id", sa.String(40), primary_key=True),
            sa.Column("organisation", sa.String(40), nullable=False),
            sa.Column("text", sa.String(80), nullable=False),
        )
        op.create_table(
            "boards__drafts",
            sa.Column("id", sa.String(40), primary_key=True),
            sa.Column("subject", sa.String(120), nullable=False),
            sa.Column("organisation", sa.String(40), nullable=False),
        )
        enable_owner_policy(op, "boards__cards", None, tenant="organisation")
        enable_owner_policy(op, "boards__drafts", tenant="organisation")

    def downgrade():
        op.drop_table("boards__drafts")
        op.drop_table("boards__cards")
"""

PLUGIN = """
    from litestar import Request, delete, get, post
    from litestar.params import FromPath, FromQuery, JSONBody
    from sqlalchemy import and_, func, insert, literal_column, or_, select, text, update
    from sqlalchemy import delete as remove
    from luminai import HubError, NotFound, hookimpl, policy, signed_in
    from luminai_boards.models import Card, cards as c, drafts as d, metadata

    def within(subject, place):
        mine = c.c.organisation == place
        return {
            "select": select(c.c.id).where(mine),
            "count": select(func.count()).select_from(c).where(mine),
            "mapped": select(Card),
            "mapped update": update(Card).values(text="changed"),
            "both": select(d.c.id).where(d.c.subject == subject, d.c.organisation == place),
            "join": select(c.c.id).join(d, and_(d.c.organisation == c.c.organisation, d.c.subject == subject)).where(mine),
            "insert": insert(d).values(id="new", subject=subject, organisation=place),
        }

    def beyond(subject, place, other):
        mine = c.c.organisation == place
        return {
            "no tenant": select(c.c.id),
            "or": select(c.c.id).where(or_(mine, c.c.text == "x")),
            "another": select(c.c.id).where(c.c.organisation == other),
            "owner only": select(d.c.id).where(d.c.subject == subject),
            "tenant only": select(d.c.id).where(d.c.organisation == place),
            "join on the owner": select(c.c.id).join(d, d.c.subject == subject).where(mine),
            "subquery": select(c.c.id).where(mine, c.c.id.in_(select(d.c.id).where(d.c.subject == subject))),
            "update": update(c).values(text="taken"),
            "give away": update(c).where(mine).values(organisation=other),
            "delete": remove(c),
            "insert for another": insert(c).values(id="new", organisation=other, text="x"),
            "insert into another": insert(d).values(id="new", subject=subject, organisation=other),
            "by hand": text("SELECT * FROM boards__cards"),
            "literal": select(literal_column("(SELECT text FROM boards__drafts)")),
        }

    class Plugin:
        @hookimpl
        def models(self):
            return metadata

        @hookimpl
        def routes(self, ctx):
            def mine(request):
                return c.c.organisation == signed_in(request).organisation

            @post("/api/boards/cards", opt=policy("boards:write"))
            async def add(request: Request, data: JSONBody[dict[str, str]]) -> dict[str, str]:
                actor, card = signed_in(request), ctx.new_id("card")
                def unit(session):
                    session.execute(insert(c).values(id=card, organisation=actor.organisation, text=data["text"]))
                    session.execute(insert(d).values(id=card, subject=actor.subject, organisation=actor.organisation))
                await ctx.db.write(unit)
                return {"id": card}

            @get("/api/boards/cards", opt=policy("boards:read"))
            async def list_cards(request: Request) -> list[str]:
                query = select(c.c.text).where(mine(request)).order_by(c.c.id)
                return await ctx.db.read(lambda session: list(session.execute(query).scalars()))

            @get("/api/boards/cards/{card:str}", opt=policy("boards:read"))
            async def show(request: Request, card: FromPath[str]) -> dict[str, str]:
                query = select(c.c.text).where(c.c.id == card, mine(request))
                found = await ctx.db.read(lambda session: session.execute(query).scalar())
                if found is None:
                    raise NotFound("There is no such card.")
                return {"text": found}

            @delete("/api/boards/cards/{card:str}", opt=policy("boards:write"))
            async def forget(request: Request, card: FromPath[str]) -> None:
                gone = remove(c).where(c.c.id == card, mine(request)).returning(c.c.id)
                if await ctx.db.write(lambda session: session.execute(gone).scalar()) is None:
                    raise NotFound("There is no such card.")

            @post("/api/boards/object", opt=policy("boards:write"), status_code=200)
            async def keep_object(request: Request, place: FromQuery[str]) -> dict[str, str]:
                def unit(session):
                    session.add(Card(id=ctx.new_id("card"), organisation=place, text="mapped"))
                try:
                    await ctx.db.write(unit)
                except HubError as refused:
                    return {"refused": refused.code}
                return {"done": ""}

            @get("/api/boards/work", opt=policy("boards:read"))
            async def work(place: FromQuery[str], subject: FromQuery[str]) -> dict[str, list[str]]:
                query = select(c.c.text).where(c.c.organisation == place)
                read = lambda session: list(session.execute(query).scalars())
                named = ctx.db.as_subject(subject, organisation=place)
                return {"named": await named.read(read), "all": await ctx.db.as_system().read(read)}

            @post("/api/boards/run", opt=policy("boards:write"), status_code=200)
            async def run(request: Request, other: FromQuery[str]) -> dict[str, dict[str, str]]:
                actor, answers = signed_in(request), {}
                groups = {"within": within(actor.subject, actor.organisation), "beyond": beyond(actor.subject, actor.organisation, other)}
                for group, statements in groups.items():
                    for name, statement in statements.items():
                        def unit(session, statement=statement):
                            session.execute(statement)
                        try:
                            await ctx.db.write(unit)
                            answers.setdefault(group, {})[name] = "done"
                        except HubError as refused:
                            answers.setdefault(group, {})[name] = refused.code
                return answers

            return [add, list_cards, show, forget, keep_object, work, run]
"""


def make(plugins: Any) -> Any:
    """Return the plugin ``boards``."""
    files = {"models.py": MODELS, "migrations/__init__.py": "", "migrations/versions/0001_init.py": MIGRATION}
    return plugins.make("boards", PLUGIN, provides=PROVIDES, manifest=MANIFEST, files=files)
