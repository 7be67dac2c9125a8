"""Checks the whole log against signed checkpoints: every content, every leaf, every root.

Against checkpoints from outside it finds a changed value, a deleted row, swapped and renumbered rows, a cut-off tail, a log rewritten with fresh
hashes (even with the log's own key), and an old backup. Without them (``outside`` is False in the result) it cannot find the last three.

An old backup is a true state, only not the last one: ``log-behind`` says that, and nothing of tampering. A tail that was cut off together with its
checkpoints is such a state too; who restored nothing has to take it for that.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Final, Literal

from msgspec import Struct
from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from luminai.audit.checkpoint import Checkpoint, Restored, current_branch
from luminai.audit.entries import StoredEntry, stored
from luminai.audit.keychain import KeyChain
from luminai.audit.merkle import Appender
from luminai.audit.tree import KEPT_CHECKPOINTS, marked_notes, newest_note
from luminai.contracts.context import Clock, Database
from luminai.contracts.errors import InvalidInput
from luminai.data.tables_audit import audit_checkpoints, audit_entries, audit_nodes

MAX_FINDINGS: Final = 100
BATCH: Final = 500


class Finding(Struct, frozen=True):
    """One thing that is wrong: ``position`` in the log or size of a checkpoint, the entry's id where there is one."""

    code: str
    detail: str
    position: int
    entry: str = ""


class Verification(Struct, frozen=True, kw_only=True):
    """The result.

    Attributes:
        verdict: ``whole``; ``behind``: all that is there is as it was signed, but more was signed; ``changed``.
        sealed: Entries in the tree.
        pruned: Of these, expired ones whose content was blanked.
        waiting: Entries that no checkpoint covers yet; None when that cannot be told from here.
        checkpoints: How many signed checkpoints were compared.
        newest: Size of the newest of them.
        outside: Whether checkpoints from outside were among them.
        restores: Restores of a backup that were accepted: what was signed beyond ``base`` entries, up to ``size``, is lost.
        findings: At most ``MAX_FINDINGS`` of ``problems``.
    """

    ok: bool
    verdict: Literal["whole", "behind", "changed"]
    sealed: int
    pruned: int
    waiting: int | None
    checkpoints: int
    newest: int
    outside: bool
    restores: list[Restored]
    problems: int
    findings: list[Finding]


class Checker:
    """Takes the sealed entries in order and compares.

    Args:
        verifier: A public key of the log, of now or of an earlier time.
        own: Notes of the log itself.
        outside: Notes that lay elsewhere, in their order; None when there is no such place.
        now: Entries that expire later must have their content.
    """

    def __init__(self, verifier: str, *, own: Iterable[str], outside: Iterable[str] | None, now: datetime) -> None:
        own, elsewhere = list(own), list(outside or ())
        self._keys = KeyChain(verifier)
        self._now = now
        self._tree: Appender | None = Appender()
        self._next = 0
        self._pruned = 0
        self._problems = 0
        self._findings: list[Finding] = []
        self._restores: list[Restored] = []
        self._own = 0
        self._signed: dict[int, list[Checkpoint]] = {}
        self._learn([*elsewhere, *own])
        handed_out = [one for note in elsewhere if (one := self._open("from outside", note))]
        self._has_outside = bool(handed_out)
        for one in current_branch(handed_out):
            self._take(one)
        for note in own:
            self.sign(note)

    def sign(self, note: str) -> None:
        """Take in a checkpoint of the log itself, before the rows that it covers."""
        self._learn([note])
        if (found := self._open("kept by the log", note)) is not None:
            self._take(found)
            self._own = max(self._own, found.size)

    def add(self, row: StoredEntry) -> list[tuple[int, int, bytes]]:
        """Check the next row and return the inner nodes (level, position, hash) that follow from it."""
        position = -1 if row.position is None else row.position
        if position != self._next:
            missing = position - self._next
            what = f"{missing} entries are missing" if missing > 0 else "this number is there twice"
            self._find("row-missing" if missing > 0 else "row-repeated", what, self._next, row.id)
            self._tree = None  # no root can be computed from here on
        self._next = position + 1
        self._check_content(row)
        leaf = row.leaf(position)
        if leaf != row.leaf_hash:
            self._find("row-changed", "its number, id, time, class or content is not what was sealed", position, row.id)
        if self._tree is None:
            return []
        nodes = self._tree.append(leaf)
        for signed in self._signed.get(self._tree.size, ()):
            if self._tree.root() != signed.root:
                self._find("root-differs", f"the first {signed.size} entries are not those that were signed", signed.size)
                self._tree = None  # all later roots differ for the same reason
                return []
        return nodes

    def node(self, level: int, position: int, *, computed: bytes, found: bytes | None) -> None:
        """Compare an inner node that proofs are made of."""
        if found != computed:
            self._find("node-changed", f"the stored node {level}/{position} is not the computed one", position << level)

    def finish(self, *, waiting: int | None) -> Verification:
        """Return the result after the last row."""
        newest = max(self._signed, default=0)
        is_behind = newest > self._next >= self._own and not self._problems
        if is_behind:
            detail = f"{newest} entries were signed, the log is whole up to {self._next}: an older backup was restored, or the end was cut off"
            self._find("log-behind", detail, self._next)
        elif newest > self._next:
            self._find("log-too-short", f"{newest} entries were signed, {self._next} are there", self._next)
        elif newest < self._next:
            self._find("rows-unsigned", f"{self._next} entries have a number, {newest} are signed", newest)
        return Verification(
            ok=not self._problems,
            verdict="behind" if is_behind else "changed" if self._problems else "whole",
            sealed=self._next,
            pruned=self._pruned,
            waiting=waiting,
            checkpoints=sum(map(len, self._signed.values())),
            newest=newest,
            outside=self._has_outside,
            restores=self._restores,
            problems=self._problems,
            findings=self._findings,
        )

    def _learn(self, notes: list[str]) -> None:
        try:
            self._keys.learn(notes)
        except InvalidInput as error:
            self._find("keys-forked", error.detail, 0)

    def _open(self, where: str, note: str) -> Checkpoint | None:
        try:
            return self._keys.open(note)
        except InvalidInput as error:
            self._find("checkpoint-forged", f"a checkpoint {where} does not hold: {error.detail}", 0)
            return None

    def _take(self, found: Checkpoint) -> None:
        known = self._signed.setdefault(found.size, [])
        if found not in known:
            known.append(found)
            self._restores += [found.restored] if found.restored else []

    def _check_content(self, row: StoredEntry) -> None:
        position = -1 if row.position is None else row.position
        if row.pruned_at is None:
            if row.content_digest() != row.digest:
                self._find("content-changed", "its content is not what was recorded", position, row.id)
            return
        self._pruned += 1
        if row.expires_at > self._now:
            self._find("blanked-early", f"it was blanked before its time was over ({row.expires_at:%Y-%m-%d})", position, row.id)

    def _find(self, code: str, detail: str, position: int, entry: str = "") -> None:
        self._problems += 1
        if len(self._findings) < MAX_FINDINGS:
            self._findings.append(Finding(code, detail, position, entry))


async def verify_database(database: Database, clock: Clock, verifier: str, *, outside: Iterable[str] | None) -> Verification:
    """Check the log in a database, a hub may go on writing to it.

    Raises:
        InvalidInput: that is no public key (code ``bad-audit-key``).
    """
    own = await database.read(lambda session: [note for _, note in (*marked_notes(session), *checkpoints(session, limit=KEPT_CHECKPOINTS))])
    checker = Checker(verifier, own=own, outside=outside, now=clock.now())
    last: int | None = None
    while True:
        rows, newest = await database.read(partial(_batch, after=last))
        if newest:
            checker.sign(newest)  # of the same snapshot: what was sealed meanwhile is covered
        computed: list[tuple[int, int, bytes]] = []
        for row in rows:
            computed += checker.add(row)
        found = await database.read(partial(_nodes, wanted=computed)) if computed else {}
        for level, position, hash_ in computed:
            checker.node(level, position, computed=hash_, found=found.get((level, position)))
        if len(rows) < BATCH:
            break
        last = rows[-1].position
    return checker.finish(waiting=await database.read(_waiting))


def checkpoints(session: Session, *, limit: int, before: int | None = None) -> list[tuple[int, str]]:
    """Return size and note of the log's own checkpoints, newest first."""
    query = select(audit_checkpoints.c.size, audit_checkpoints.c.note).order_by(audit_checkpoints.c.size.desc()).limit(limit)
    if before is not None:
        query = query.where(audit_checkpoints.c.size < before)
    return [(row.size, row.note) for row in session.execute(query)]


def _batch(session: Session, after: int | None) -> tuple[list[StoredEntry], str]:
    """Return the next rows, and the newest checkpoint of the same moment."""
    return _rows(session, after), newest_note(session)[1]


def _rows(session: Session, after: int | None) -> list[StoredEntry]:
    query = select(audit_entries).where(audit_entries.c.position.is_not(None)).order_by(audit_entries.c.position).limit(BATCH)
    if after is not None:
        query = query.where(audit_entries.c.position > after)
    return [stored(row) for row in session.execute(query)]


def _nodes(session: Session, wanted: list[tuple[int, int, bytes]]) -> dict[tuple[int, int], bytes]:
    """Read the stored nodes; those of one level lie side by side."""
    spans: dict[int, list[int]] = {}
    for level, position, _ in wanted:
        spans.setdefault(level, []).append(position)
    nodes = audit_nodes.c
    where = or_(*(and_(nodes.level == level, nodes.position.between(min(found), max(found))) for level, found in spans.items()))
    query = select(nodes.level, nodes.position, nodes.hash).where(where)
    return {(row.level, row.position): bytes(row.hash) for row in session.execute(query)}


def _waiting(session: Session) -> int:
    return session.execute(select(func.count()).select_from(audit_entries).where(audit_entries.c.position.is_(None))).scalar_one()
