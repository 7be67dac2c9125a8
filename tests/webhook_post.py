"""A plugin that receives letters by a webhook, with faults that a test sets."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import sys
from typing import Any

import pytest
from sqlalchemy import text

from luminai.http.inprocess import Answer
from luminai.testing import running_hub

KEY = b"a key of more than sixteen bytes"
MANIFEST = """
manifest = 1
id = "post"
title = "Post"
summary = "Made by a test."
api = ">=1.0,<2"
provides = ["webhooks", "models"]
grants = ["webhooks"]
tables = true
"""
MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

def upgrade():
    op.create_table("post__effects", sa.Column("id", sa.String(40), primary_key=True), sa.Column("delivery", sa.String(200), nullable=False))

def downgrade():
    op.drop_table("post__effects")
"""
CODE = """
    import os
    from msgspec import Struct
    from sqlalchemy import Column, String, Table, insert
    from luminai import NotSignedIn, SigningSecret, Unavailable, Verified, Webhook, check_signature, hookimpl, metadata_for

    metadata = metadata_for("post")
    effects = Table("post__effects", metadata, Column("id", String(40), primary_key=True), Column("delivery", String(200), nullable=False))
    SECRETS = [SigningSecret(b"a key of more than sixteen bytes")]
    faults = {}  # what goes wrong, set by the test

    class Letter(Struct):
        text: str

    def verify(body, headers, now):
        check_signature(body, headers.get("x-signature"), SECRETS, now)
        words = body.decode()
        if words == "crash verify":
            raise ValueError("password=hunter2")
        return Verified(id=headers.get("x-id", ""), event=Letter(words) if words != "nothing" else None, summary="letter\\n" + words[:20],
                        id_is_signed=words.startswith("sealed"))

    class Plugin:
        @hookimpl
        def models(self):
            return metadata

        @hookimpl
        async def stop(self):
            faults.setdefault("order", []).append("stopped")

        @hookimpl
        def webhooks(self, ctx):
            async def receive(letter, delivery):
                def unit(session):
                    session.execute(insert(effects).values(id=ctx.new_id("eff"), delivery=f"{delivery.id} {letter.text}"))
                    if letter.text != "without finish":
                        delivery.finish(session)
                    if faults.get("die") == "before commit":
                        os._exit(7)
                    if faults.get("unit"):
                        raise ValueError("password=hunter2")
                if faults.get("receive"):
                    raise faults["receive"]
                if "hold" in faults:
                    faults["held"].set()
                    await faults["hold"].wait()
                    faults.setdefault("order", []).append("received")
                await ctx.db.write(unit)
                if faults.get("die") == "after commit":
                    os._exit(7)
                if faults.get("after"):
                    raise ValueError("after the commit")

            async def named(letter, delivery):
                pass

            return [
                Webhook(event=Letter, verify=verify, receive=receive, max_bytes=100_000),
                Webhook(name="other", event=Letter, verify=verify, receive=named),
            ]
"""


@pytest.fixture
def post(plugins: Any) -> Any:
    """Return the plugin."""
    files = {"migrations/versions/0001_init.py": MIGRATION}
    return plugins.make("post", CODE, raw_manifest=MANIFEST, files=files)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def own_url(request: pytest.FixtureRequest) -> str:
    """Return "" for SQLite, and the URL of a PostgreSQL database of the test's own."""
    url: str = request.getfixturevalue("own_postgres_url") if request.param == "postgresql" else ""
    return url


def faults() -> dict[str, Any]:
    module = sys.modules["luminai_post.plugin"]
    found: dict[str, Any] = module.faults
    return found


def signed(body: bytes, delivery: str = "d-1", key: bytes = KEY) -> dict[str, str]:
    return {"x-id": delivery, "x-signature": hmac.new(key, body, hashlib.sha256).hexdigest()}


async def deliver(hub: Any, body: bytes = b"hello", delivery: str = "d-1", path: str = "/api/webhook/post", **headers: str) -> Answer:
    return await hub.client().request("POST", path, body=body, headers=signed(body, delivery) | headers)


async def effects(hub: Any) -> list[str]:
    found = await hub.hub.database.read(lambda session: session.execute(text("SELECT delivery FROM post__effects ORDER BY id")).scalars().all())
    return list(found)


async def the_only(hub: Any) -> dict[str, Any]:
    page = (await hub.client("hub:webhooks").request("GET", "/api/admin/webhooks")).json()
    assert len(page["items"]) == 1
    found: dict[str, Any] = page["items"][0]
    return found


def with_post(post: Any, work: Any, **options: Any) -> Any:
    async def main() -> Any:
        async with running_hub("post", installed=[post], **options) as hub:
            return await work(hub)

    return asyncio.run(main())
