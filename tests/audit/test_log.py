"""What is recorded, by whom, how long it is kept, and that nothing happens without it."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from audit.logbook import OPERATOR, Logbook, with_log
from sqlalchemy import text, update

from luminai import Actor, ConfigRejected, HubError, InvalidInput
from luminai.audit.checkpoint import Checkpoint, continues_log, includes_entry, open_note
from luminai.audit.entries import StoredEntry
from luminai.audit.log import MOST_NOTED, Filter
from luminai.audit.merkle import Appender
from luminai.audit.outside import Places
from luminai.audit.retention import is_held, place_hold, prune, release_hold
from luminai.audit.seal import Sealer
from luminai.audit.tree import prove_consistency, prove_inclusion
from luminai.contracts.audit import AuditEntry
from luminai.data.drift import differences
from luminai.data.migrations import core_source
from luminai.data.tables_audit import audit_entries
from luminai.testing import running_hub

DAY = 86_400
SECRET = "hunter2-canary"


async def entries(client: Any, **query: Any) -> list[dict[str, Any]]:
    return (await client.request("GET", "/api/admin/audit", query=query)).json()["items"]


@pytest.mark.shows("TL-128d", "LK-48")
def test_admin_actions__are_recorded_with_who_what_and_without_values(plugins: Any, tmp_path: Path) -> None:
    schema = '{"type": "object", "properties": {"word": {"type": "string"}}, "additionalProperties": false}'
    code = """
        from msgspec import Struct
        from luminai import hookimpl
        class Settings(Struct, forbid_unknown_fields=True):
            word: str = ""
        class Plugin:
            config = Settings
    """
    installed = [plugins.make("quiet", code, provides="[]", schema=schema)]

    async def main() -> list[dict[str, Any]]:
        async with running_hub("quiet", installed=installed, folder=tmp_path) as hub:
            token = await hub.hub.keys.offer_setup()
            operator = hub.with_key((await hub.client().request("POST", "/api/setup", json={"token": token})).json()["key"])
            made = (await operator.request("POST", "/api/keys", json={"name": "small", "scopes": ["hub:keys"]})).json()
            await operator.request("DELETE", f"/api/keys/{made['id']}")
            for body in ({"config": {"word": SECRET}}, {"enabled": False}, {"enabled": True}):
                answer = await operator.request("PUT", "/api/admin/plugins/quiet/desired", json=body)
                assert answer.status == 200, answer.text
            await operator.request("POST", "/api/admin/rollback", json={})
            await operator.request("POST", "/api/admin/changes/adopted")
            assert (await operator.request("GET", "/api/admin/audit?action=plugin.&outcome=denied")).json()["items"] == []
            assert [one["action"] for one in await entries(operator, object=made["id"])] == ["key.revoke", "key.create"]
            assert (await hub.client("hub:plugins").request("GET", "/api/admin/audit")).status == 403
            for query in ("since=2026-01-31T00:00:00", "outcome=odd", "limit=101"):
                assert (await operator.request("GET", f"/api/admin/audit?{query}")).status == 400
            return await entries(operator)

    found = asyncio.run(main())[::-1]

    actions = ["setup.redeem", "key.create", "key.revoke", "plugin.settings", "plugin.disable", "plugin.enable", "plugin.rollback", "config.adopt"]
    assert [one["action"] for one in found] == actions
    assert [one["actor"] for one in found] == ["anonymous", *[found[0]["object"]] * 7]
    assert found[3]["detail"]["settings"] == ["word"]
    assert {one["object"] for one in found[3:7]} == {"plugin:quiet"}
    assert SECRET.encode() not in msgspec.json.encode(found), "which setting, not to what"


@pytest.mark.shows("TL-124")
def test_entry__is_proven_by_a_client__against_a_signed_checkpoint() -> None:
    async def main() -> None:
        async with running_hub() as hub:
            client = hub.client("hub:audit", "hub:keys")
            sizes = []
            for number in range(5):
                await client.request("POST", "/api/keys", json={"name": f"key {number}", "scopes": ["hub:keys"]})
                newest = (await entries(client, limit=1))[0]
                assert (await client.request("GET", f"/api/admin/audit/{newest['id']}")).json()["code"] == "audit-not-sealed"
                sealed = (await client.request("POST", "/api/admin/audit/checkpoints")).json()
                sizes.append(open_note(sealed["items"][0], sealed["verifier"]))
                proof = (await client.request("GET", f"/api/admin/audit/{newest['id']}")).json()
                row = msgspec.convert(proof["stored"], StoredEntry)
                hashes = [base64.b64decode(one) for one in proof["inclusion"]["hashes"]]
                assert row.content_digest() == row.digest
                assert row.is_sealed, "the detail lies encrypted"
                assert includes_entry(sizes[-1], row.leaf(number), number, hashes)
                assert not includes_entry(sizes[-1], row.leaf(number + 1), number, hashes)
            for older in sizes:
                answer = (await client.request("GET", "/api/admin/audit/consistency", query={"old": older.size})).json()
                assert continues_log(older, sizes[-1], [base64.b64decode(one) for one in answer["hashes"]])
            assert (await client.request("GET", "/api/admin/audit/consistency?old=2&new=9")).json()["code"] == "bad-audit-size"
            assert (await client.request("GET", "/api/admin/audit/aud_" + "0" * 32)).json()["code"] == "audit-entry-not-found"

            lines = [msgspec.json.decode(line) for line in (await client.request("GET", "/api/admin/audit/export")).body.splitlines()]
            tree = Appender()
            for position, line in enumerate(lines):
                tree.append(msgspec.convert(line["stored"], StoredEntry).leaf(position))
            assert Checkpoint(sizes[-1].origin, tree.size, tree.root()) == sizes[-1], "an export is enough to compute the signed root"
            assert (await entries(client, limit=1))[0]["action"] == "audit.export"

            pages, cursor = [], ""
            while cursor is not None:
                page = (await client.request("GET", f"/api/admin/audit?limit=2&action=key.{cursor}")).json()
                pages.append([one["detail"]["name"] for one in page["items"]])
                cursor = f"&cursor={page['next_cursor']}" if page["next_cursor"] else None
            assert pages == [["key 4", "key 3"], ["key 2", "key 1"], ["key 0"]]

    asyncio.run(main())


def test_action__whose_entry_cannot_be_written__does_not_happen() -> None:
    async def main() -> None:
        async with running_hub() as hub:
            client = hub.client("*")
            rename = "ALTER TABLE core__audit_entries RENAME TO {}"
            await hub.hub.database.write(lambda session: session.execute(text(rename.format("core__away"))) and None)
            answer = await client.request("POST", "/api/keys", json={"name": "unseen", "scopes": ["hub:keys"]})
            assert answer.status >= 500
            await hub.hub.database.write(lambda session: session.execute(text("ALTER TABLE core__away RENAME TO core__audit_entries")) and None)
            assert (await client.request("GET", "/api/keys")).json()["items"] == []

    asyncio.run(main())


def test_many_writers__with_two_sealers_between__lose_nothing_and_leave_no_gap(database_url: str, tmp_path: Path) -> None:
    async def work(book: Logbook) -> None:
        async def seal(sealer: Sealer) -> None:
            for _ in range(5):
                await sealer.seal()

        await book.sealer.key()
        writers = (book.fill_unsealed(10) for _ in range(12))
        await asyncio.gather(*writers, seal(book.sealer), seal(book.new_sealer()))
        await book.sealer.seal()
        done = await book.verify()
        assert (done.ok, done.sealed, done.waiting, done.outside) == (True, 120, 0, True)

    with_log(database_url, tmp_path, work)


def test_large_backlog__is_sealed_in_batches__and_every_proof_holds(tmp_path: Path) -> None:
    async def work(book: Logbook) -> None:
        def many(session: Any) -> None:
            for _ in range(1203):
                book.log.record(session, OPERATOR, AuditEntry(action="a.b"))

        await book.database.write(many)
        await book.sealer.seal()
        verifier = (await book.sealer.key()).verifier
        newest = open_note(book.notes()[-1], verifier)
        assert newest.size == 1203
        for position in (0, 499, 500, 1023, 1024, 1202):
            shown = await book.database.read(lambda session, at=position: prove_inclusion(session, at))
            assert includes_entry(newest, shown.leaf_hash, position, shown.hashes)
        own = await book.database.read(lambda session: prove_consistency(session, 500, None))
        assert len(own.hashes) <= 12
        assert (await book.verify()).ok

    with_log("", tmp_path, work)


@pytest.mark.shows("TL-127", "TL-D11")
def test_retention__blanks_what_expired__keeps_what_is_held_or_of_seven_years__proofs_stay(database_url: str, tmp_path: Path) -> None:
    async def work(book: Logbook) -> None:
        short = await book.record(AuditEntry(action="a.short", object="case:1", subject="user_a", detail={"name": "Ada"}))
        held = await book.record(AuditEntry(action="a.held", object="case:2", subject="user_b"))
        long = await book.record(AuditEntry(action="a.long", retention="7y", detail={"cents": 5}))
        await book.sealer.seal()
        waiting = await book.record(AuditEntry(action="a.waiting"))
        hold = await book.database.write(lambda s: place_hold(s, book.clock, object="", subject="user_b", reason="court", by="key_x"))
        assert await book.database.read(lambda session: is_held(session, "user_b"))

        async def states() -> dict[str, bool]:
            found = await book.log.page(Filter(), limit=10)
            return {one.id: one.action is not None for one in found}

        book.clock.advance(90 * DAY)
        assert await prune(book.database, book.clock) == 0, "ninety days are not over yet"
        book.clock.advance(1)
        assert await prune(book.database, book.clock) == 1
        assert await states() == {waiting: True, long: True, held: True, short: False}
        done = await book.verify()
        assert (done.ok, done.pruned) == (True, 1)
        proof = await book.database.read(lambda session: prove_inclusion(session, 0))
        row = await book.database.read(lambda session: book.log.find(session, short))
        verifier = (await book.sealer.key()).verifier
        assert includes_entry(open_note(proof.checkpoint, verifier), row.leaf(0), 0, proof.hashes)
        assert (row.detail, row.salt, row.actor, row.subject) == (None, None, None, None)

        await book.database.write(lambda session: release_hold(session, book.clock, hold.id))
        assert await prune(book.database, book.clock) == 1
        book.clock.advance((2557 - 91) * DAY)
        await book.sealer.seal()
        assert await prune(book.database, book.clock) == 1, "only what waited"
        book.clock.advance(2 * DAY)
        assert await prune(book.database, book.clock) == 1
        assert set((await states()).values()) == {False}
        assert (await book.verify()).ok

        await book.fill(1)
        blank = dict.fromkeys(("salt", "action", "actor", "detail"))
        early = update(audit_entries).where(audit_entries.c.position == 4).values(pruned_at=book.clock.now(), **blank)
        await book.change(lambda session: session.execute(early))
        assert await book.codes() == {"blanked-early"}, "nobody hides an entry by calling it expired"

    with_log(database_url, tmp_path, work)


def test_holds__over_http__are_recorded_and_bounded() -> None:
    async def main() -> None:
        async with running_hub() as hub:
            client = hub.client("hub:audit")
            made = await client.request("POST", "/api/admin/audit/holds", json={"subject": "user_b", "reason": "case 12"})
            assert made.status == 201
            path = f"/api/admin/audit/holds/{made.json()['id']}"
            assert (await client.request("POST", "/api/admin/audit/holds", json={"reason": "all"})).json()["code"] == "empty-hold"
            assert [one["reason"] for one in (await client.request("GET", "/api/admin/audit/holds")).json()["items"]] == ["case 12"]
            assert (await client.request("DELETE", path)).status == 204
            assert (await client.request("DELETE", path)).json()["code"] == "hold-not-found"
            found = await entries(client)
            assert [(one["action"], one["subject"], one["retention"]) for one in found] == [
                ("audit.release", "user_b", "7y"),
                ("audit.hold", "user_b", "7y"),
            ]

    asyncio.run(main())


def test_detail__lies_sealed__and_ends_with_the_subjects_key__proofs_stay(database_url: str, tmp_path: Path) -> None:
    async def work(book: Logbook) -> None:
        entry_id = await book.record(AuditEntry(action="profile.change", subject="user_a", detail={"name": SECRET}))
        other_id = await book.record(AuditEntry(action="profile.change", subject="user_b", detail={"name": "Bea"}))
        await book.sealer.seal()
        row = await book.database.read(lambda session: book.log.find(session, entry_id))
        assert SECRET.encode() not in (row.detail or b"")

        async def shown() -> dict[str, Any]:
            return {one.id: (one.detail, one.detail_state) for one in await book.log.page(Filter(), limit=5)}

        assert (await shown())[entry_id] == ({"name": SECRET}, "readable")
        del book.vault.keys["user_a"]
        assert await shown() == {entry_id: (None, "erased"), other_id: ({"name": "Bea"}, "readable")}
        assert (await book.verify()).ok
        moved = update(audit_entries).where(audit_entries.c.id == other_id).values(detail=row.detail)
        await book.change(lambda session: session.execute(moved))
        assert (await shown())[other_id] == (None, "unreadable")

    with_log(database_url, tmp_path, work)
    if not database_url:
        files = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir())
        assert SECRET.encode() not in files


@pytest.mark.parametrize(
    "entry",
    [
        AuditEntry(action="Key.Create"),
        AuditEntry(action="create"),
        AuditEntry(action="a.b", object="x" * 201),
        AuditEntry(action="a.b", object="two\nlines"),
        AuditEntry(action="a.b", subject="nul\0"),
        AuditEntry(action="a.b", detail={"x": {"deep": 1}}),
        AuditEntry(action="a.b", detail={f"x{number}": "y" * 400 for number in range(12)}),
        AuditEntry(action="a.b", outcome="odd"),
        AuditEntry(action="a.b", retention="1d"),
        AuditEntry(action="a.b", detail={"x": "\ud800"}),
    ],
)
def test_entry__out_of_its_bounds__is_refused(tmp_path: Path, entry: Any) -> None:
    async def work(book: Logbook) -> None:
        with pytest.raises(InvalidInput) as refused:
            await book.record(entry)
        assert refused.value.code == "bad-audit-entry"

    with_log("", tmp_path, work)


def test_denials__are_counted_and_bounded__and_told_when_some_were_dropped(tmp_path: Path) -> None:
    async def work(book: Logbook) -> None:
        for _ in range(50):
            book.log.denied(Actor("key_a", "ada"), "GET /api/keys\n", "missing-scope")
        for number in range(MOST_NOTED + 6):
            book.log.denied(None, f"GET /api/{number}", "not-signed-in")
        await book.sealer.seal()
        found = await book.log.page(Filter(action="access."), limit=MOST_NOTED + 5)
        assert len(found) == MOST_NOTED + 1
        first = found[-1]
        assert (first.actor, first.object, first.outcome, first.detail) == (
            "key_a",
            "GET /api/keys?",
            "denied",
            {"code": "missing-scope", "times": 50},
        )
        dropped = await book.log.page(Filter(action="access.dropped"), limit=2)
        assert [one.detail for one in dropped] == [{"times": 7}]

    with_log("", tmp_path, work)


@contextmanager
def witness(*statuses: int) -> Iterator[tuple[str, list[str]]]:
    """Serve a witness that answers with these, the last one for good."""
    answers, taken = list(statuses), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            note = self.rfile.read(int(self.headers["content-length"])).decode()
            status = answers.pop(0) if len(answers) > 1 else answers[0]
            if status == 200:
                taken.append(note)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/add", taken
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_witness__that_fails__is_tried_again__and_the_hub_goes_on() -> None:
    async def main() -> None:
        with witness(503, 200) as (url, taken):
            async with running_hub(settings={"audit": {"witness-url": url}}) as hub:
                client = hub.client("*")
                await client.request("POST", "/api/keys", json={"name": "one", "scopes": ["hub:keys"]})
                await hub.hub.sealer.round()
                state = (await client.request("GET", "/api/admin/audit/checkpoints")).json()
                assert (state["problem"], taken) == ("audit-witness-failed", [])
                await hub.hub.sealer.round()
                state = (await client.request("GET", "/api/admin/audit/checkpoints")).json()
                assert (state["problem"], taken) == ("", state["items"])
                await hub.hub.sealer.round()
                assert len(taken) == 1, "nothing new, nothing sent"

    asyncio.run(main())


def test_file_of_checkpoints__that_cannot_be_written__is_told_and_tried_again(tmp_path: Path) -> None:
    async def main() -> None:
        place = tmp_path / "outside" / "log.txt"
        place.mkdir(parents=True)
        async with running_hub(folder=tmp_path, settings={"audit": {"checkpoints": "outside/log.txt"}}) as hub:
            client = hub.client("*")
            assert (await client.request("POST", "/api/keys", json={"name": "one", "scopes": ["hub:keys"]})).status == 201
            await hub.hub.sealer.round()
            assert hub.hub.sealer.problem == "audit-round-failed"
            place.rmdir()
        assert place.read_text().splitlines()[1] == "1", "a stopping hub seals and hands out"

    asyncio.run(main())


def test_key_file__others_can_read__refuses_the_start(tmp_path: Path) -> None:
    async def main() -> None:
        for mode, starts in ((0o600, True), (0o640, False), (0o604, False)):
            key = tmp_path / "data" / "keys" / "audit.key"
            if not key.exists():
                async with running_hub(folder=tmp_path) as hub:
                    await hub.hub.sealer.key()
                assert key.stat().st_mode & 0o777 == 0o600
            key.chmod(mode)
            if starts:
                async with running_hub(folder=tmp_path):
                    continue
            with pytest.raises(ConfigRejected) as refused:
                async with running_hub(folder=tmp_path):
                    pass
            assert refused.value.code == "audit-key-exposed"

    asyncio.run(main())


def test_key__lost_or_another__nothing_is_sealed__entries_wait(tmp_path: Path) -> None:
    async def work(book: Logbook) -> None:
        await book.fill(3)
        book.places.key.unlink()
        await book.record_and_try_to_seal("audit-key-missing")
        elsewhere = Places(tmp_path / "other" / "audit.key", book.places.checkpoints)
        stranger = Sealer(book.log, book.database, book.clock, elsewhere)
        with pytest.raises(HubError) as refused:
            await stranger.seal()
        assert refused.value.code == "audit-key-missing", "a log that was sealed gets no second key"

    with_log("", tmp_path, work)


def test_tables__are_those_that_the_code_declares(database_url: str, tmp_path: Path) -> None:
    async def work(book: Logbook) -> None:
        found = await book.database.migrate(lambda connection: (differences(connection, core_source()), connection.rollback())[0])
        assert [line for line in found if "audit" in line] == []

    with_log(database_url, tmp_path, work)
