"""The signing key changes, a backup is restored: whoever verifies follows both, and is told of the second."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from audit.logbook import Logbook, with_log
from audit.test_attacker import with_fresh_hashes
from audit.test_commands import seal_now
from home import serving
from sqlalchemy import delete, select, update

from luminai import HubError
from luminai.audit.checkpoint import make_key, read_key
from luminai.audit.log import Filter
from luminai.audit.seal import Sealer
from luminai.audit.verify import verify_database
from luminai.contracts.audit import AuditEntry
from luminai.data.tables_audit import audit_checkpoints, audit_entries

DAY = 86_400


async def refused(call: object) -> str:
    with pytest.raises(HubError) as caught:
        await call  # type: ignore[misc]
    return caught.value.code


def test_key__rotated_twice__every_public_key_verifies_and_the_attacker_is_still_found(database_url: str, tmp_path: Path) -> None:
    async def work(book: Logbook) -> None:
        verifiers = [(await book.sealer.key()).verifier]
        await book.fill(9, 4)
        for _ in range(2):
            verifiers.append((await book.sealer.rotate("key_operator")).verifier)
            await book.fill(6)
        assert len(set(verifiers)) == 3
        assert read_key(book.places.key).verifier == verifiers[-1]
        assert [path.name for path in book.places.key.parent.iterdir()] == ["audit.key"], "old private keys are gone"
        for verifier in verifiers:
            for outside in (book.notes(), None):
                found = await verify_database(book.database, book.clock, verifier, outside=outside)
                assert (found.verdict, found.sealed, found.findings) == ("whole", 27, [])
        assert len(await book.log.page(book_filter("audit.rotate-key"), limit=5)) == 2

        whole = await book.copy()
        await book.change(lambda session: session.execute(update(audit_entries).where(audit_entries.c.position == 2).values(action="payment.see")))
        for verifier in verifiers:
            found = await verify_database(book.database, book.clock, verifier, outside=book.notes())
            assert (found.verdict, [one.code for one in found.findings]) == ("changed", ["content-changed"])
        await book.restore(whole)
        newest = await book.sealer.key()

        def rewrite(session: object) -> None:
            session.execute(update(audit_entries).where(audit_entries.c.position == 2).values(action="payment.see"))  # type: ignore[attr-defined]
            with_fresh_hashes(session, newest.sign)  # type: ignore[arg-type]

        await book.change(rewrite)
        assert "root-differs" in await book.codes(), "with the newest key too"

    with_log(database_url, tmp_path, work)


def test_old_key__that_was_taken__signs_nothing_that_holds(tmp_path: Path) -> None:
    async def work(book: Logbook) -> None:
        await book.fill(3)
        taken = await book.sealer.key()
        await book.sealer.rotate("key_operator")
        await book.fill(3)
        root = bytes(32)
        for forged in (taken.sign(99, root), taken.hand_over(make_key(tmp_path / "thief.key", taken.name), 4, root)):
            notes = [*book.notes(), forged]
            found = await verify_database(book.database, book.clock, taken.verifier, outside=notes)
            assert {one.code for one in found.findings} & {"checkpoint-forged", "keys-forked"}
        stranger = make_key(tmp_path / "stranger.key", taken.name)
        half = taken.hand_over(stranger, 7, root).rsplit("\n", 2)[0] + "\n"
        found = await verify_database(book.database, book.clock, taken.verifier, outside=[*book.notes(), half])
        assert {one.code for one in found.findings} == {"checkpoint-forged"}, "one signature is no handing over"

    with_log("", tmp_path, work)


def test_rotation__cut_short_before_the_file_had_its_name__goes_on(tmp_path: Path) -> None:
    async def work(book: Logbook) -> None:
        await book.fill(3)
        old = book.places.key.read_text()
        await book.sealer.rotate("key_operator")
        new = read_key(book.places.key)
        book.places.key.rename(book.places.key.with_name(f"audit.key.{new.id}"))
        book.places.key.write_text(old)
        book.places.key.chmod(0o600)
        assert (await book.new_sealer().key()).verifier == new.verifier

        other = book.new_sealer()
        await other.key()
        await book.sealer.rotate("key_operator")  # as another process on the same database and key file
        await book.record(AuditEntry(action="payment.send"))
        await other.seal()
        assert (await book.verify()).verdict == "whole"

        book.places.key.write_text(old)
        await book.record_and_try_to_seal("audit-key-retired")

    with_log("", tmp_path, work)


def test_key__of_its_age__is_changed_by_the_hub(tmp_path: Path) -> None:
    async def work(book: Logbook) -> None:
        sealer = Sealer(book.log, book.database, book.clock, book.places, key_days=30)
        await book.record(AuditEntry(action="payment.send"))
        await sealer.round(prune_too=True)
        first = (await sealer.key()).verifier
        book.clock.advance(31 * DAY)
        await sealer.round(prune_too=True)
        second = (await sealer.key()).verifier
        await sealer.round(prune_too=True)
        assert (sealer.problem, second != first, (await sealer.key()).verifier) == ("", True, second)
        (entry,) = await book.log.page(book_filter("audit.rotate-key"), limit=5)
        assert entry.actor == "hub"

    with_log("", tmp_path, work)


def test_backup__restored__is_told_as_that__accepted_once__and_told_for_good(database_url: str, tmp_path: Path) -> None:
    async def work(book: Logbook) -> None:
        await book.fill(9, 16)
        backup = await book.copy()
        await book.fill(8)
        assert await refused(book.new_sealer().accept_restore("key_operator", "too early")) == "audit-not-behind"
        await book.restore(backup)
        sealer = book.new_sealer()
        await sealer.round()
        assert sealer.problem == "audit-log-behind"
        found = await book.verify()
        assert (found.verdict, [(one.code, one.position) for one in found.findings]) == ("behind", [("log-behind", 25)])

        await book.record(AuditEntry(action="payment.send"))
        await sealer.accept_restore("key_operator", "the disk broke")
        assert sealer.problem == ""
        await book.fill(20)
        for _ in range(2):
            found = await book.verify()
            assert (found.ok, found.verdict, found.sealed, [(one.base, one.size) for one in found.restores]) == (True, "whole", 47, [(25, 33)])
            await book.new_sealer().seal()
        (entry,) = await book.log.page(book_filter("audit.accept-restore"), limit=5)
        assert (entry.actor, entry.detail) == ("key_operator", {"reason": "the disk broke", "entries": 25, "signed": 33})
        assert await refused(sealer.accept_restore("key_operator", "again")) == "audit-not-behind"

        later = await book.copy()
        await book.restore(backup)
        await book.change(lambda session: session.execute(update(audit_entries).where(audit_entries.c.position == 24).values(leaf_hash=bytes(32))))
        assert await refused(book.new_sealer().accept_restore("somebody", "hide it")) in ("audit-tree-changed", "audit-history-differs")
        await book.restore(later)
        await book.change(lambda session: session.execute(delete(audit_entries).where(audit_entries.c.position >= 40)))
        assert "log-too-short" in await book.codes(), "what was accepted before covers nothing later"

    with_log(database_url, tmp_path, work)


def test_backup__from_before_a_rotation__needs_the_newest_key(tmp_path: Path) -> None:
    async def work(book: Logbook) -> None:
        await book.fill(9)
        backup, old = await book.copy(), book.places.key.read_text()
        await book.sealer.rotate("key_operator")
        await book.fill(4)
        newest = book.places.key.read_text()
        await book.restore(backup)
        book.places.key.write_text(old)
        assert await refused(book.new_sealer().accept_restore("key_operator", "lost")) == "audit-key-retired"
        book.places.key.write_text(newest)
        sealer = book.new_sealer()
        await sealer.accept_restore("key_operator", "lost")
        await book.fill(3)
        found = await book.verify()
        assert (sealer.problem, found.verdict, len(found.restores)) == ("", "whole", 1)

    with_log("", tmp_path, work)


def test_attacker__without_the_log_key__cannot_accept_what_he_cut(tmp_path: Path) -> None:
    async def work(book: Logbook) -> None:
        await book.fill(9, 16)
        backup = await book.copy()
        await book.fill(8)
        await book.restore(backup)
        name = (await book.sealer.key()).name
        stranger = make_key(tmp_path / "stranger.key", name)
        note = await book.database.read(
            lambda session: session.execute(select(audit_checkpoints.c.note).where(audit_checkpoints.c.size == 25)).scalar()
        )
        root = note.splitlines()[2]
        forged = stranger.sign(25, bytes(32)).replace("\n\n", f"\nrestored 25 33 {root}\n\n")
        await book.change(lambda session: session.execute(update(audit_checkpoints).where(audit_checkpoints.c.size == 9).values(note=forged)))
        found = await book.verify()
        assert not found.ok
        assert found.restores == []

    with_log("", tmp_path, work)


def test_commands__rotate_restore_and_accept__in_a_served_hub(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as hub:
        hub.data("keys", "create", "--name", "first")
        seal_now(hub)
        first = hub.run("audit", "key").stdout.strip()
        second = hub.run("audit", "rotate-key").stdout.strip()
        assert second != first
        shutil.copytree(hub.folder / "data", tmp_path / "kept", ignore=shutil.ignore_patterns("*.lock"))
        (entry,) = hub.data("audit", "search", "--action", "key.create")
        assert hub.data("audit", "prove", entry["id"], "--key", first)["proven"], "the key of before still proves"
        for key in (first, second):
            assert hub.data("audit", "verify", "--key", key)["verdict"] == "whole"
        archive = tmp_path / "hub.luminai-backup"
        hub.data("backup", "create", "--to", str(archive))
        hub.data("keys", "create", "--name", "lost")
        seal_now(hub)
    home = hub.folder
    shutil.move(home / "data", tmp_path / "gone")
    (home / "data").mkdir()
    shutil.copytree(tmp_path / "gone" / "keys", home / "data" / "keys")
    del hub.env["LUMINAI_URL"]
    hub.data("backup", "restore", str(archive))
    done = hub.run("audit", "verify", "--offline")
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (8, "behind")
    assert "accept-restore" in done.stderr


def book_filter(action: str) -> Filter:

    return Filter(action=action)
