"""The inbox as operators meet it: bounds, pages, what may be done and by whom, what goes and when."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from webhook_post import CODE, MANIFEST, MIGRATION, deliver, effects, faults, post, the_only, with_post

from luminai.config.layers import Configuration, Layer
from luminai.data.database import open_database
from luminai.data.tables_webhooks import webhook_inbox
from luminai.host.purge import purge
from luminai.testing import FrozenClock, running_hub

__all__ = ["post"]


def test_inbox__full__is_said_to_the_sender(post, monkeypatch) -> None:
    monkeypatch.setattr("luminai.host.webhook_inbox.MAX_WAITING", 2)

    async def work(hub: Any) -> None:
        faults()["receive"] = ValueError("not now")
        answers = [await deliver(hub, body, body.decode()) for body in (b"a", b"b", b"c", b"a")]
        assert [answer.status for answer in answers] == [202, 202, 503, 200]
        assert answers[2].json()["code"] == "webhook-inbox-full"
        assert answers[2].headers["retry-after"] == "300"

    with_post(post, work)


def test_operator__lists_by_pages_and_discards__with_the_scope_only(post) -> None:
    async def work(hub: Any) -> None:
        faults()["receive"] = ValueError("password=hunter2")
        for body in (b"a", b"b", b"c"):
            await deliver(hub, body, f"d-{body.decode()}")
        await hub.hub.webhooks.settle()
        operator = hub.client("hub:webhooks")
        page = (await operator.request("GET", "/api/admin/webhooks?limit=2&plugin=post&state=failed")).json()
        rest = (await operator.request("GET", f"/api/admin/webhooks?limit=2&cursor={page['next_cursor']}")).json()
        assert [item["delivery_id"] for item in page["items"] + rest["items"]] == ["d-c", "d-b", "d-a"]
        assert rest["next_cursor"] is None
        assert "hunter2" not in msgspec.json.encode(page).decode()

        one = f"/api/admin/webhooks/{page['items'][0]['id']}"
        gone = await operator.request("POST", f"{one}/discard")
        assert (gone.status, gone.json()["state"]) == (200, "discarded")
        assert (await operator.request("GET", one)).json()["error"] == "discarded by key_user_test"
        assert (await operator.request("POST", f"{one}/retry")).json()["code"] == "delivery-settled"
        assert (await deliver(hub, b"c", "d-c")).status == 200
        recorded = (await hub.client("hub:audit").request("GET", "/api/admin/audit?action=webhook.discard")).json()["items"]
        assert [(entry["actor"], entry["object"]) for entry in recorded] == [("key_user_test", page["items"][0]["id"])]
        assert (await operator.request("GET", "/api/admin/webhooks/whd_" + "0" * 32)).status == 404
        for client, status in ((hub.client(), 401), (hub.client("hub:plugins"), 403)):
            assert (await client.request("GET", "/api/admin/webhooks")).status == status
            assert (await client.request("POST", f"{one}/retry")).status == status
            assert (await client.request("POST", f"{one}/discard")).status == status

    with_post(post, work)


def test_settled_delivery__after_thirty_days__is_forgotten(post) -> None:
    clock = FrozenClock()

    async def work(hub: Any) -> None:
        await deliver(hub)
        await hub.hub.webhooks.settle()
        clock.advance(30 * 86_400)
        await hub.hub.webhooks.settle()
        await the_only(hub)
        clock.advance(3600)
        await hub.hub.webhooks.settle()
        assert (await hub.client("hub:webhooks").request("GET", "/api/admin/webhooks")).json()["items"] == []

    with_post(post, work, clock=clock)


def test_content__waits_sealed__and_goes_when_it_is_handled(post) -> None:
    async def work(hub: Any) -> None:
        async def stored() -> Any:
            return await hub.hub.database.read(lambda session: session.execute(webhook_inbox.select()).one().event)

        faults()["receive"] = ValueError("not now")
        await deliver(hub, b"a private letter")
        await hub.hub.webhooks.settle()
        sealed = bytes(await stored())
        assert sealed
        assert b"private" not in sealed
        faults().clear()
        found = await the_only(hub)
        await hub.client("hub:webhooks").request("POST", f"/api/admin/webhooks/{found['id']}/retry")
        await hub.hub.webhooks.settle()
        assert await effects(hub) == ["d-1 a private letter"]
        assert await stored() is None

    with_post(post, work)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (('grants = ["webhooks"]', "grants = []"), "bad-manifest"),
        (('provides = ["webhooks", "models"]', 'provides = ["models"]'), "bad-hooks"),
    ],
)
def test_plugin__whose_manifest_does_not_ask__is_refused(plugins, change: tuple[str, str], code: str) -> None:
    files = {"migrations/versions/0001_init.py": MIGRATION}
    post = plugins.make("post", CODE, raw_manifest=MANIFEST.replace(*change), files=files)

    async def work(hub: Any) -> Any:
        return hub.status("post")

    assert with_post(post, work).code == code


def test_webhooks__badly_declared__are_named(plugins) -> None:
    files = {"migrations/versions/0001_init.py": MIGRATION}
    code = CODE.replace('name="other"', 'name="Other One", max_bytes=10**9').replace("max_bytes=100_000", 'name="x", timeout=0')
    post = plugins.make("post", code, raw_manifest=MANIFEST, files=files)

    async def work(hub: Any) -> Any:
        return hub.status("post")

    status = with_post(post, work)
    assert status.code == "collision"
    assert len(status.errors) == 3


def test_purge__of_a_plugin__takes_its_deliveries(post, tmp_path) -> None:
    async def main() -> Any:
        clock = FrozenClock()
        async with running_hub("post", installed=[post], folder=tmp_path, clock=clock) as hub:
            await deliver(hub)
            await hub.hub.webhooks.settle()
        config = Configuration([Layer("file", "config.toml", {}, {}, {})], (), tmp_path)
        database = await open_database(hub.hub.settings.database.url, data_dir=hub.hub.data_dir, clock=clock)
        try:
            return await purge(database, config, [post], "post", clock=clock, dry_run=False)
        finally:
            await database.close()

    report = asyncio.run(main())
    assert report.removed.core_rows["core__webhook_inbox"] == 1
    assert report.left == ()
