"""Somebody with the database changes the log with SQL; verification against checkpoints outside finds each way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from audit.logbook import Logbook, with_log
from sqlalchemy import bindparam, delete, insert, select, text, update
from sqlalchemy.orm import Session

from luminai import HubError
from luminai.audit.entries import CONTENT, stored
from luminai.audit.merkle import Appender
from luminai.data.tables_audit import audit_checkpoints, audit_entries, audit_nodes

ROUNDS = (9, 1, 15, 8)
"""Entries a round; checkpoints at 9, 10, 25 and 33."""
ENTRIES = "core__audit_entries"


def sql(*statements: str) -> Callable[[Session], Any]:
    return lambda session: [session.execute(text(statement)) for statement in statements]


def with_fresh_hashes(session: Session, sign: Callable[[int, bytes], str] | None) -> None:
    """Recompute digests, leaves, nodes and (with the key) checkpoints over the rows as they are now, numbered without a gap."""
    rows = [stored(row) for row in session.execute(select(audit_entries).order_by(audit_entries.c.position))]
    sizes = [size for size in session.execute(select(audit_checkpoints.c.size)).scalars() if size <= len(rows)]
    session.execute(update(audit_entries).values(position=None))
    session.execute(delete(audit_nodes))
    tree = Appender()
    for row in rows:
        row = type(row)(**{name: getattr(row, name) for name in row.__struct_fields__} | {"digest": row.content_digest()})  # noqa: PLW2901 - the new one
        leaf = row.leaf(tree.size)
        values = {"position": tree.size, "leaf_hash": leaf, "digest": row.digest}
        session.execute(update(audit_entries).where(audit_entries.c.id == row.id).values(**values))
        for level, position, found in tree.append(leaf):
            session.execute(insert(audit_nodes).values(level=level, position=position, hash=found))
        if sign is not None and tree.size in sizes:
            session.execute(update(audit_checkpoints).where(audit_checkpoints.c.size == tree.size).values(note=sign(tree.size, tree.root())))
    session.execute(delete(audit_checkpoints).where(audit_checkpoints.c.size > len(rows)))


def swap(session: Session) -> None:
    for statement in (
        f"UPDATE {ENTRIES} SET position = NULL WHERE position = 3",
        f"UPDATE {ENTRIES} SET position = 3 WHERE position = 20",
        f"UPDATE {ENTRIES} SET position = 20 WHERE position IS NULL",
    ):
        session.execute(text(statement))


def renumber(session: Session) -> None:
    """Take a row out and move all behind it up, one by one."""
    session.execute(text(f"DELETE FROM {ENTRIES} WHERE position = 5"))
    move = text(f"UPDATE {ENTRIES} SET position = :to WHERE position = :now").bindparams(bindparam("to"), bindparam("now"))
    for position in range(6, sum(ROUNDS)):
        session.execute(move, {"to": position - 1, "now": position})


SIMPLE: dict[str, tuple[Callable[[Session], Any], set[str]]] = {
    "deleted row": (sql(f"DELETE FROM {ENTRIES} WHERE position = 7"), {"row-missing"}),
    "deleted first row": (sql(f"DELETE FROM {ENTRIES} WHERE position = 0"), {"row-missing"}),
    "swapped rows": (swap, {"row-changed", "node-changed", "root-differs"}),
    "renumbered rows": (renumber, {"row-changed", "node-changed", "root-differs", "log-too-short"}),
    "tail cut off": (sql(f"DELETE FROM {ENTRIES} WHERE position >= 30"), {"log-too-short"}),
    "taken out of the tree": (sql(f"UPDATE {ENTRIES} SET position = NULL WHERE position = 32"), {"log-too-short"}),
    "numbered without a signature": (sql(f"UPDATE {ENTRIES} SET position = 34 WHERE position = 32"), {"row-missing", "row-changed", "rows-unsigned"}),
    "blanked": (sql(f"UPDATE {ENTRIES} SET salt = NULL, actor = NULL, action = NULL WHERE position = 4"), {"content-changed"}),
    "inner node": (sql("UPDATE core__audit_nodes SET hash = (SELECT hash FROM core__audit_nodes WHERE level = 1 AND position = 0) WHERE level = 2"),
                   {"node-changed"}),
    "inner node deleted": (sql("DELETE FROM core__audit_nodes WHERE level = 1 AND position = 3"), {"node-changed"}),
    "checkpoint": (sql("UPDATE core__audit_checkpoints SET note = REPLACE(note, '25', '26') WHERE size = 25"), {"checkpoint-forged"}),
}  # fmt: skip


@pytest.mark.parametrize("attack", SIMPLE)
def test_attack__is_found_and_named(database_url: str, tmp_path: Path, attack: str) -> None:
    change, expected = SIMPLE[attack]

    async def work(book: Logbook) -> None:
        await book.fill(*ROUNDS)
        before = await book.verify()
        assert (before.ok, before.sealed, before.newest, before.checkpoints, before.outside) == (True, 33, 33, 4, True)
        await book.change(change)
        assert await book.codes() == expected

    with_log(database_url, tmp_path, work)


CHANGED = {
    "source": "chat",
    "actor": "key_other",
    "actor_subject": "somebody",
    "action": "payment.see",
    "object": "account:2",
    "outcome": "denied",
    "subject": "user_b",
    "is_sealed": False,
    "detail": b"{}",
}


@pytest.mark.parametrize("column", [*CONTENT, "salt", "digest", "retention", "at", "id", "leaf_hash"])
def test_attack__any_changed_value__is_found(database_url: str, tmp_path: Path, column: str) -> None:
    async def work(book: Logbook) -> None:
        await book.fill(*ROUNDS)
        values: dict[str, Any] = {"salt": bytes(16), "digest": bytes(32), "leaf_hash": bytes(32), "retention": "7y", "id": "aud_" + "0" * 32}
        values |= {**CHANGED, "at": book.clock.now() - timedelta(microseconds=1)}
        await book.change(
            lambda session: session.execute(update(audit_entries).where(audit_entries.c.position == 4).values({column: values[column]}))
        )
        found = await book.verify()
        assert {one.position for one in found.findings if one.code in ("content-changed", "row-changed")} == {4}
        assert not found.ok

    with_log(database_url, tmp_path, work)


@pytest.mark.parametrize("with_key", [False, True], ids=["without the key", "with the log's own key"])
def test_attack__everything_rewritten_with_fresh_hashes__is_found_from_outside(database_url: str, tmp_path: Path, with_key: bool) -> None:
    async def work(book: Logbook) -> None:
        await book.fill(*ROUNDS)
        key = await book.sealer.key()

        def rewrite(session: Session) -> None:
            session.execute(update(audit_entries).where(audit_entries.c.position == 12).values(action="payment.see"))
            session.execute(delete(audit_entries).where(audit_entries.c.position == 13))
            with_fresh_hashes(session, key.sign if with_key else None)

        await book.change(rewrite)
        assert await book.codes() == {"root-differs", "log-too-short"}
        if with_key:
            inside = await book.codes(outside=False)
            assert inside == {"rows-unsigned"}, "only that the last checkpoint fell away shows inside"
            with pytest.raises(HubError) as refused:
                await book.new_sealer().seal()
            assert refused.value.code == "audit-history-differs"

    with_log(database_url, tmp_path, work)


def test_attack__tail_cut_with_its_checkpoints__or_an_old_backup__is_found_only_from_outside(database_url: str, tmp_path: Path) -> None:
    async def work(book: Logbook) -> None:
        await book.fill(*ROUNDS[:3])
        backup = await book.copy()
        await book.fill(*ROUNDS[3:])
        whole = await book.copy()

        def cut(session: Session) -> None:
            session.execute(delete(audit_entries).where(audit_entries.c.position >= 25))
            session.execute(delete(audit_nodes).where(audit_nodes.c.level.in_((1, 2, 3)) & (audit_nodes.c.position >= 12)))
            session.execute(delete(audit_checkpoints).where(audit_checkpoints.c.size > 25))

        for attack in (cut, None):
            await book.restore(whole)
            assert (await book.verify()).ok
            await (book.change(attack) if attack else book.restore(backup))
            assert (await book.verify(outside=False)).ok, "inside all is consistent"
            found = await book.verify()
            assert ([one.code for one in found.findings], found.verdict, found.ok) == (["log-behind"], "behind", False)

        for _ in range(21):  # it grows past the lost size with other entries: they wait, and no second history comes under the key
            await book.record_and_try_to_seal("audit-log-behind")
        found = await book.verify()
        assert ([one.code for one in found.findings], found.waiting, len(book.notes())) == (["log-behind"], 21, 4)

    with_log(database_url, tmp_path, work)


def test_sealer__nothing_is_sealed_on_top_of_a_changed_tree(database_url: str, tmp_path: Path) -> None:
    async def work(book: Logbook) -> None:
        await book.fill(*ROUNDS)
        await book.change(lambda session: session.execute(update(audit_entries).where(audit_entries.c.position == 32).values(leaf_hash=bytes(32))))
        await book.record_and_try_to_seal("audit-history-differs")
        book.places.checkpoints.rename(tmp_path / "aside.txt")
        await book.record_and_try_to_seal("audit-tree-changed")
        assert (await book.verify(outside=False)).waiting == 2, "they are recorded, and wait"

    with_log(database_url, tmp_path, work)


def test_checkpoints_outside__of_a_stranger__do_not_count(tmp_path: Path) -> None:
    async def work(book: Logbook) -> None:
        await book.fill(3)
        place = book.places.checkpoints
        place.write_text(place.read_text().replace("\n3\n", "\n2\n"))
        found = await book.verify()
        assert ({one.code for one in found.findings}, found.outside) == ({"checkpoint-forged"}, False)

    with_log("", tmp_path, work)
