"""Letters: together with their cause or not at all, tried again as promised, read by operators alone, bounded, and never forgotten."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import nullcontext
from datetime import timedelta
from email.headerregistry import Address
from pathlib import Path
from typing import Any, Final

import pytest
from home import serving
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, insert, select, text

from luminai import Actor, InvalidInput, Mail, RateLimited, Unavailable
from luminai.contracts.vault import HUB_SUBJECT
from luminai.data.database import open_database
from luminai.data.ids import new_id
from luminai.data.migrations import core_source, upgrade
from luminai.data.tables_mail import mail
from luminai.data.vault.hub_vault import HubVault
from luminai.data.vault.ring import KeyRing
from luminai.host.mail_transport import lend_transport
from luminai.telemetry.clock import SystemClock
from luminai.testing import FrozenClock, running_hub
from luminai.work.letters import check_address
from luminai.work.mail import MAX_WAITING, MailQueue
from luminai.work.mail_worker import MailWorker

ADDRESS = "ada@example.org"
NO_ADDRESSES: Final = (
    "",
    "ada",
    "ada@",
    "@x.org",
    "a b@x.org",
    "a@x.org\r\nBcc: e@x.org",
    "a@x.org,b@x.org",
    "<a@x.org>",
    '"a"@x.org',
    "ä@x.org",
    "a@-x.org",
    "a@x..org",
    f"{'a' * 65}@x.org",
    f"a@{'x' * 64}.org",
    "a@x.org\n",
)
NO_LETTERS: Final = (
    {"title": ""},
    {"title": "x" * 201},
    {"title": "a\r\nBcc: b"},
    {"title": "a\u2028b"},
    {"text": ""},
    {"text": "x" * 100_001},
    {"text": "\0"},
    {"text": "\ud800"},
    {"html": "\x1b["},
    {"html": "x" * 200_001},
)
CARRIER = """
    import asyncio
    from luminai import MAIL_POINT, Extension, InvalidInput, Unavailable, hookimpl

    SENT = []
    FAILURES = []
    CAME = asyncio.Event()

    class Carrier:
        name = "carrier"

        async def send(self, mail):
            if FAILURES:
                raise FAILURES.pop(0)
            await asyncio.sleep(0)
            SENT.append(mail)
            CAME.set()

    class Plugin:
        @hookimpl
        def extensions(self, ctx):
            return [Extension(MAIL_POINT, Carrier())]
"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest) -> str:
    """Return "" for SQLite, and the URL of a PostgreSQL database of this test alone."""
    found: str = request.getfixturevalue("own_postgres_url") if request.param == "postgresql" else ""
    return found


@pytest.fixture
def clock() -> FrozenClock:
    """Return a clock that moves only when told."""
    return FrozenClock()


@pytest.fixture
def carrier(plugins: Any) -> Any:
    """Return a plugin whose transport keeps what it is given, or fails as it is told."""
    manifest = 'manifest = 1\nid = "carrier"\ntitle = "Carrier"\nsummary = "Made by a test."\napi = ">=1.0,<2"\nprovides = ["extensions"]\n'
    return plugins.make("carrier", CARRIER, raw_manifest=manifest)


def of_carrier(name: str) -> Any:
    """Return ``SENT``, ``FAILURES`` or ``CAME`` of the carrier that runs."""
    import luminai_carrier.plugin  # made by the fixture

    return getattr(luminai_carrier.plugin, name)


def letter(**more: Any) -> dict[str, Any]:
    return {"subject": HUB_SUBJECT, "to": ADDRESS, "title": "Your link", "text": "the-secret-link"} | more


async def put(hub: Any, **more: Any) -> str:
    made: str = await hub.hub.database.write(lambda session: hub.hub.mail.queue.put(session, **letter(**more)))
    return made


async def ask(hub: Any, method: str, path: str, *scopes: str, **query: Any) -> Any:
    return await hub.client(*(scopes or ("*",))).request(method, f"/api/admin/mail{path}", **query)


def test_put__the_unit_fails__there_is_no_letter_and_one_that_commits_is_sent_once(url: str, carrier: Any, clock: FrozenClock) -> None:
    async def main() -> None:
        async with running_hub("carrier", installed=[carrier], database_url=url, clock=clock) as hub:

            def fails(session: Any) -> None:
                hub.hub.mail.queue.put(session, **letter(title="Never"))
                raise ValueError("after all no")

            with pytest.raises(ValueError, match="after all no"):
                await hub.hub.database.write(fails)
            letter_id = await put(hub, html="<p>x</p>")
            await of_carrier("CAME").wait()  # nobody calls the worker
            await hub.hub.mail.settle()
            (sent,) = of_carrier("SENT")
            assert (sent.id, sent.to, sent.subject, sent.text, sent.html) == (letter_id, ADDRESS, "Your link", "the-secret-link", "<p>x</p>")
            (found,) = (await ask(hub, "GET", "")).json()["items"]
            assert (found["id"], found["state"], found["attempts"]) == (letter_id, "sent", 1)
            kept = await hub.hub.database.read(lambda session: session.execute(select(mail.c.content)).all())
            assert kept == [(None,)]

    asyncio.run(main())


def test_letters__many_put_at_once_and_three_workers__each_goes_out_exactly_once(url: str, carrier: Any, clock: FrozenClock) -> None:
    async def main() -> None:
        async with running_hub("carrier", installed=[carrier], database_url=url, clock=clock) as hub:
            queues = [MailQueue(hub.hub.database, clock, hub.hub.vault) for _ in range(2)]
            workers = [MailWorker(queue, clock, lambda: lend_transport(hub.hub.generation)) for queue in queues]
            made = await asyncio.gather(*(put(hub, to=f"p{number}@example.org") for number in range(12)))
            await asyncio.gather(*(worker.settle() for worker in workers), hub.hub.mail.settle())
            await hub.hub.mail.settle()
            assert Counter(sent.id for sent in of_carrier("SENT")) == Counter(made)

    asyncio.run(main())


def test_letter__no_transport__waits_where_operators_see_it_until_a_plugin_comes(carrier: Any) -> None:
    async def main() -> None:
        async with running_hub(installed=[carrier]) as hub:
            letter_id = await put(hub)
            await hub.hub.mail.settle()
            assert (await ask(hub, "GET", "")).json()["items"][0]["state"] == "waiting"
            checks = (await hub.client("hub:monitor").request("GET", "/health/detailed")).json()["checks"]
            (check,) = [one for one in checks if (one["plugin"], one["name"]) == ("core", "mail")]
            assert check["state"] == "degraded"
            assert "no running plugin carries mail" in check["reason"]
            await hub.swap("carrier", enabled=True)
            await of_carrier("CAME").wait()  # the swap woke the worker
            await hub.hub.mail.settle()
            assert (await ask(hub, "GET", f"/{letter_id}")).json()["letter"]["state"] == "sent"

    asyncio.run(main())


def test_letter__who_may_read_it__operators_alone_and_the_audit_log_tells() -> None:
    async def main() -> None:
        async with running_hub() as hub:
            letter_id = await put(hub, subject="usr_ada")
            path = f"/{letter_id}"
            assert (await ask(hub, "GET", path, "hub:keys")).status == 403
            assert (await ask(hub, "GET", "", "hub:keys")).status == 403
            assert (await ask(hub, "POST", f"{path}/discard", "hub:keys")).status == 403
            for scope in ("hub:mail", "hub:*"):
                shown = await ask(hub, "GET", path, scope)
                assert (shown.status, shown.json()["text"], shown.json()["letter"]["to"]) == (200, None, ADDRESS)
                assert "the-secret-link" not in shown.text + (await ask(hub, "GET", "", scope)).text
            recorded = (await hub.client("*").request("GET", "/api/admin/audit", query={"action": "mail."})).json()["items"]
            assert recorded == []
            assert (await ask(hub, "GET", path)).json()["text"] == "the-secret-link"
            assert (await ask(hub, "POST", f"{path}/discard", "hub:mail")).json()["state"] == "discarded"
            assert (await ask(hub, "GET", path)).json()["text"] == ""
            recorded = (await hub.client("*").request("GET", "/api/admin/audit", query={"action": "mail."})).json()["items"]
            assert [(one["action"], one["object"], one["subject"]) for one in recorded] == [
                ("mail.discard", letter_id, "usr_ada"),
                ("mail.read", letter_id, "usr_ada"),
            ]

    asyncio.run(main())


def test_letter__fails_again_and_again__eight_attempts_at_doubling_pauses_then_failed_and_kept(url: str, carrier: Any, clock: FrozenClock) -> None:
    async def main() -> None:
        async with running_hub("carrier", installed=[carrier], database_url=url, clock=clock) as hub:
            of_carrier("FAILURES").extend(Unavailable("busy", code="carrier.busy") for _ in range(8))
            letter_id = await put(hub)
            pauses = []
            await hub.hub.mail.settle()
            while (found := (await ask(hub, "GET", f"/{letter_id}")).json()["letter"])["state"] == "waiting":
                minutes = 0
                while len(of_carrier("FAILURES")) == 8 - found["attempts"]:
                    clock.advance(60)
                    minutes += 1
                    await hub.hub.mail.settle()
                pauses.append(minutes)
            assert pauses == [1, 2, 4, 8, 16, 32, 64]
            assert (found["state"], found["attempts"], found["error"]) == ("failed", 8, "carrier.busy: busy")
            assert (await ask(hub, "GET", f"/{letter_id}")).json()["text"] == "the-secret-link"
            await ask(hub, "POST", f"/{letter_id}/retry", "hub:mail")
            await hub.hub.mail.settle()
            assert [sent.id for sent in of_carrier("SENT")] == [letter_id]

    asyncio.run(main())


def test_transport__asks_to_be_left_alone__for_that_long(carrier: Any, clock: FrozenClock) -> None:
    async def main() -> None:
        async with running_hub("carrier", installed=[carrier], clock=clock) as hub:
            of_carrier("FAILURES").append(Unavailable("quota", retry_after=1800))
            await put(hub)
            await hub.hub.mail.settle()
            clock.advance(1799)
            await hub.hub.mail.settle()
            assert of_carrier("SENT") == []
            clock.advance(1)
            await hub.hub.mail.settle()
            assert len(of_carrier("SENT")) == 1

    asyncio.run(main())


def test_transport__down__the_round_ends_and_the_other_letters_keep_their_attempts(carrier: Any, clock: FrozenClock) -> None:
    async def main() -> None:
        async with running_hub(installed=[carrier], clock=clock) as hub:
            for number in range(6):
                await put(hub, to=f"p{number}@example.org")

            class Down:  # the hub's own worker has no transport: one round, by this one
                name = "down"

                async def send(self, mail: Mail) -> None:
                    raise Unavailable("down")

            worker = MailWorker(MailQueue(hub.hub.database, clock, hub.hub.vault), clock, lambda: nullcontext(Down()))
            await worker.settle()
            found = (await ask(hub, "GET", "")).json()["items"]
            assert sorted(one["attempts"] for one in found) == [0, 0, 0, 1, 1, 1]

    asyncio.run(main())


@pytest.mark.parametrize("failure", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), RuntimeError(f"{ADDRESS} is secret")])
def test_transport__raises_what_it_should_not__stays_inside_and_the_letter_waits(carrier: Any, clock: FrozenClock, failure: BaseException) -> None:
    async def main() -> None:
        async with running_hub("carrier", installed=[carrier], clock=clock) as hub:
            of_carrier("FAILURES").append(failure)
            letter_id = await put(hub)
            await hub.hub.mail.settle()
            found = (await ask(hub, "GET", f"/{letter_id}")).json()["letter"]
            assert (found["state"], found["attempts"]) == ("waiting", 1)
            assert "secret" not in found["error"]
            clock.advance(60)
            await hub.hub.mail.settle()
            assert [sent.id for sent in of_carrier("SENT")] == [letter_id]

    asyncio.run(main())


def test_letter__expires_while_it_waits__is_not_sent_and_its_words_are_gone(url: str, carrier: Any, clock: FrozenClock) -> None:
    async def main() -> None:
        async with running_hub("carrier", installed=[carrier], database_url=url, clock=clock) as hub:
            of_carrier("FAILURES").append(Unavailable("busy"))
            day = clock.now() + timedelta(hours=24)
            letter_id = await put(hub, expires_at=day)
            await hub.hub.mail.settle()
            clock.advance(24 * 3600)
            shown = (await ask(hub, "GET", f"/{letter_id}")).json()["letter"]
            assert shown["state"] == "expired"
            assert (await ask(hub, "POST", f"/{letter_id}/retry")).json()["code"] == "letter-settled"
            await hub.hub.mail.settle()
            assert of_carrier("SENT") == []
            row = await hub.hub.database.read(lambda session: session.execute(select(mail.c.state, mail.c.content)).one())
            assert tuple(row) == ("expired", None)

    asyncio.run(main())


def test_put__more_than_twenty_an_hour_to_one_address__is_refused_and_others_go_on(url: str, clock: FrozenClock) -> None:
    async def main() -> None:
        async with running_hub(database_url=url, clock=clock) as hub:
            for number in range(20):
                clock.advance(60)
                await put(hub, to=ADDRESS.upper() if number % 2 else ADDRESS)
            with pytest.raises(RateLimited) as refused:
                await put(hub)
            assert refused.value.code == "too-many-letters"
            await put(hub, to="bob@example.org")
            clock.advance(3600 - 19 * 60 - 1)
            with pytest.raises(RateLimited):
                await put(hub)
            clock.advance(1)
            await put(hub)

    asyncio.run(main())


def test_put__ten_thousand_letters_wait__is_refused_until_one_is_gone() -> None:
    async def main() -> None:
        async with running_hub() as hub:
            now = hub.hub.clock.now()
            row = {
                "subject": "x",
                "head": b"{}",
                "is_sealed": False,
                "state": "waiting",
                "attempts": 0,
                "created_at": now,
                "next_at": now,
                "error": "",
            }
            rows = [row | {"id": new_id("mail")} for _ in range(MAX_WAITING - 1)]
            await hub.hub.database.write(lambda session: session.execute(insert(mail), rows) and None)
            letter_id = await put(hub)
            with pytest.raises(Unavailable) as refused:
                await put(hub)
            assert refused.value.code == "mail-queue-full"
            await ask(hub, "POST", f"/{letter_id}/discard")
            await put(hub)

    asyncio.run(main())


def test_retry_and_discard__wrong_moment__say_why(carrier: Any, clock: FrozenClock) -> None:
    async def main() -> None:
        async with running_hub("carrier", installed=[carrier], clock=clock) as hub:
            letter_id = await put(hub)
            await hub.hub.mail.settle()
            busy = await hub.hub.database.write(lambda session: MailQueue(hub.hub.database, clock, hub.hub.vault).put(session, **letter()))
            lease = await hub.hub.mail.queue.outgoing.claim()
            assert lease is not None
            assert lease.mail.id == busy
            for verb in ("retry", "discard"):
                assert (await ask(hub, "POST", f"/{letter_id}/{verb}")).json()["code"] == "letter-settled"
                assert (await ask(hub, "POST", f"/{busy}/{verb}")).json()["code"] == "letter-busy"
                assert (await ask(hub, "POST", f"/mail_{'0' * 32}/{verb}")).json()["code"] == "letter-not-found"
                assert (await ask(hub, "POST", f"/nonsense/{verb}")).status in (400, 404)
            clock.advance(120)  # its worker counts as dead
            assert (await ask(hub, "POST", f"/{busy}/discard")).json()["state"] == "discarded"
            await hub.hub.mail.queue.outgoing.sent(lease)  # it was not dead, and comes too late
            assert (await ask(hub, "GET", f"/{busy}")).json()["letter"]["state"] == "discarded"

    asyncio.run(main())


def test_list__pages_and_states__give_each_letter_once(clock: FrozenClock) -> None:
    async def main() -> None:
        async with running_hub(clock=clock) as hub:
            made = [await put(hub, to=f"p{number}@example.org") for number in range(5)]
            await ask(hub, "POST", f"/{made[2]}/discard")
            seen: list[str] = []
            cursor: dict[str, Any] = {}
            while True:
                page = (await ask(hub, "GET", "", query={"limit": 2} | cursor)).json()
                seen += [one["id"] for one in page["items"]]
                if page["next_cursor"] is None:
                    break
                cursor = {"cursor": page["next_cursor"]}
            assert seen == made[::-1]
            discarded = (await ask(hub, "GET", "", query={"state": "discarded"})).json()["items"]
            assert [one["id"] for one in discarded] == [made[2]]
            assert (await ask(hub, "GET", "", query={"state": "lost"})).status == 400

    asyncio.run(main())


def test_tidy__after_an_hour_and_after_thirty_days__what_is_not_needed_is_gone(url: str, carrier: Any, clock: FrozenClock) -> None:
    async def main() -> None:
        async with running_hub("carrier", installed=[carrier], database_url=url, clock=clock) as hub:
            await put(hub)
            await hub.hub.mail.settle()
            digests = lambda session: session.execute(select(func.count(mail.c.address_digest), func.count())).one()  # noqa: E731
            assert tuple(await hub.hub.database.read(digests)) == (1, 1)
            clock.advance(3600)
            await hub.hub.mail.settle()
            assert tuple(await hub.hub.database.read(digests)) == (0, 1)
            clock.advance(30 * 24 * 3600)
            await hub.hub.mail.settle()
            assert tuple(await hub.hub.database.read(digests)) == (0, 0)

    asyncio.run(main())


def test_vault__letters_are_sealed_and_end_with_the_persons_key(url: str, tmp_path: Path, clock: FrozenClock) -> None:
    async def main() -> None:
        database = await open_database(url, data_dir=tmp_path, clock=clock)
        try:
            await upgrade(database, core_source())
            vault = HubVault(KeyRing(tmp_path / "keys" / "vault.key"), database, clock)
            await vault.start()
            queue = MailQueue(database, clock, vault)
            made = {}
            for who in ("ada", "bob", "eve"):
                wanted = letter(subject=f"usr_{who}", to=f"{who}@example.org")
                made[who] = await database.write(lambda session, wanted=wanted: queue.put(session, **wanted))
            stored = await database.read(lambda session: repr([tuple(row) for row in session.execute(text("SELECT * FROM core__mail"))]))
            for secret in ("the-secret-link", "Your link", "example.org"):
                assert secret not in stored
            assert [one.to for one in await queue.list()] == ["eve@example.org", "bob@example.org", "ada@example.org"]

            other = select(mail.c.content).where(mail.c.id == made["eve"]).scalar_subquery()
            await database.write(lambda session: session.execute(mail.update().where(mail.c.id == made["ada"]).values(content=other)) and None)
            await database.write(lambda session: vault.destroy(session, "usr_bob") and None)
            lease = await queue.outgoing.claim()
            assert lease is not None
            assert (lease.mail.id, lease.mail.to, lease.mail.text) == (made["eve"], "eve@example.org", "the-secret-link")
            found = {one.id: one for one in await queue.list()}
            assert (found[made["ada"]].state, found[made["ada"]].error.partition(":")[0]) == ("failed", "not-sealed-here")
            bob = found[made["bob"]]
            assert (bob.state, bob.to, bob.title, bob.error.partition(":")[0]) == ("discarded", "", "", "shredded")
            assert (await queue.read(bob.id, by=Actor("key_1", "operator", frozenset("*")))).text == ""
        finally:
            await database.close()

    asyncio.run(main())


@pytest.mark.parametrize("bad", NO_ADDRESSES)
def test_put__no_address__is_refused(bad: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_address(bad)
    assert refused.value.code == "bad-address"


@given(st.emails() | st.text(max_size=40).map(lambda head: f"{head}@example.org"))
def test_address__that_is_taken__is_one_address_and_one_line(address: str) -> None:
    try:
        check_address(address)
    except InvalidInput:
        return
    assert Address(addr_spec=address).addr_spec == address
    assert address.isascii()
    assert address.isprintable()
    assert not set(address) & set(' <>,;:"()[]\\')


@pytest.mark.parametrize("bad", NO_LETTERS)
def test_put__no_letter__is_refused(bad: dict[str, str]) -> None:
    async def main() -> None:
        async with running_hub() as hub:
            with pytest.raises(InvalidInput) as refused:
                await put(hub, **bad)
            assert refused.value.code == "bad-letter"

    asyncio.run(main())


def test_commands__hub_without_a_mail_plugin__the_operator_reads_the_letter_and_hands_it_over(tmp_path: Path) -> None:
    folder = tmp_path / "home"

    async def write_one() -> str:
        clock = SystemClock()
        database = await open_database("", data_dir=folder / "data", clock=clock)
        try:
            await upgrade(database, core_source())
            return await database.write(lambda session: MailQueue(database, clock).put(session, **letter()))
        finally:
            await database.close()

    (folder / "data").mkdir(parents=True)
    letter_id = asyncio.run(write_one())
    with serving(folder) as home:
        (listed,) = home.data("mail", "list", "--state", "waiting")
        assert (listed["id"], listed["to"], listed["title"]) == (letter_id, ADDRESS, "Your link")
        assert "the-secret-link" in home.run("--output", "table", "mail", "show", letter_id).stdout
        assert home.data("mail", "retry", letter_id)["state"] == "waiting"
        assert home.data("mail", "discard", letter_id)["state"] == "discarded"
        assert home.data("mail", "show", letter_id)["text"] == ""
        assert home.refusal("mail", "retry", letter_id)[1] == "letter-settled"
        assert home.refusal("mail", "show", f"mail_{'0' * 32}")[1] == "letter-not-found"
