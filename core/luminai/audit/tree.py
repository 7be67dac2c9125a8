"""The tree over the stored entries: appending what was recorded, proofs from stored nodes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import bindparam, delete, func, insert, or_, select, update
from sqlalchemy.orm import Session

from luminai.audit.checkpoint import SigningKey
from luminai.audit.entries import stored
from luminai.audit.keychain import KeyChain
from luminai.audit.merkle import EMPTY_ROOT, Appender, Node, consistency_proof, inclusion_proof, node_hash, peaks_at
from luminai.contracts.errors import Conflict, InvalidInput, Unavailable
from luminai.data.tables_audit import audit_checkpoints, audit_entries, audit_nodes

KEPT_CHECKPOINTS: Final = 10_000
"""Of the log itself, beside the marked ones, which stay."""
_TOLD: Final = ("at", "id", "actor", "actor_subject", "action", "object", "outcome", "source")
BATCH: Final = 500
_KEYED: Final = audit_checkpoints.c.note.like("%\nkey %")
_MARKED: Final = or_(_KEYED, audit_checkpoints.c.note.like("%\nrestored %"))


class Inclusion(Struct, frozen=True, kw_only=True):
    """Shows that an entry is in the log: ``hashes`` lead from its leaf at ``index`` to the root that ``checkpoint`` signs."""

    index: int
    leaf_hash: bytes
    hashes: list[bytes]
    checkpoint: str


class Consistency(Struct, frozen=True, kw_only=True):
    """Shows that the log of ``old`` entries is the beginning of that of ``new``."""

    old: int
    new: int
    hashes: list[bytes]


def newest_note(session: Session) -> tuple[int, str]:
    """Return size and note of the newest checkpoint, (0, "") when there is none."""
    row = session.execute(select(audit_checkpoints.c.size, audit_checkpoints.c.note).order_by(audit_checkpoints.c.size.desc()).limit(1)).first()
    return (row.size, row.note) if row else (0, "")


def marked_notes(session: Session) -> list[tuple[int, str]]:
    """Return size and note of the checkpoints that handed the log over to another key or accepted a restore, oldest first."""
    found = select(audit_checkpoints.c.size, audit_checkpoints.c.note).where(_MARKED).order_by(audit_checkpoints.c.size)
    return [(row.size, row.note) for row in session.execute(found)]


def key_since(session: Session) -> datetime | None:
    """Return when the log got its key, None when nothing was signed yet."""
    handed: datetime | None = session.execute(select(func.max(audit_checkpoints.c.at)).where(_KEYED)).scalar()
    first = select(audit_entries.c.at).where(audit_entries.c.position == 0)
    return handed or session.execute(first).scalar()


def is_waiting(session: Session) -> bool:
    """Tell whether there are entries outside of the tree."""
    return session.execute(select(audit_entries.c.id).where(audit_entries.c.position.is_(None)).limit(1)).first() is not None


def append(session: Session, key: SigningKey, now: datetime, *, sign: Callable[[int, bytes], str] | None = None, keys: KeyChain | None = None) -> int:
    """Take up to ``BATCH`` waiting entries into the tree, sign the new size and root, and return how many there were.

    The stored tree is continued only if its root is the one that was signed last.

    Args:
        sign: Makes the note from size and root; a plain one of ``key`` when None.
        keys: The log's keys; those that its own notes tell of when None.

    Raises:
        Conflict: the last checkpoint is not by the log's keys (code ``audit-key-differs``), the key is not in use any more
            (``audit-key-retired``), or the tree is not the signed one (``audit-tree-changed``).
    """
    waiting = select(audit_entries).where(audit_entries.c.position.is_(None)).order_by(audit_entries.c.id).limit(BATCH)
    rows = [stored(row) for row in session.execute(waiting)]
    if not rows:
        return 0
    tree = _signed_tree(session, key, keys or KeyChain(key.verifier, (note for _, note in marked_notes(session))))
    leaves: list[dict[str, Any]] = []
    nodes: list[dict[str, Any]] = []
    for row in rows:
        leaf = row.leaf(tree.size)
        leaves.append({"entry": row.id, "at_position": tree.size, "leaf": leaf})
        nodes += [{"level": level, "position": position, "hash": found} for level, position, found in tree.append(leaf)]
    placed = update(audit_entries).where(audit_entries.c.id == bindparam("entry"))
    session.connection().execute(placed.values(position=bindparam("at_position"), leaf_hash=bindparam("leaf")), leaves)
    if nodes:
        session.execute(insert(audit_nodes), nodes)
    session.execute(insert(audit_checkpoints).values(size=tree.size, note=(sign or key.sign)(tree.size, tree.root()), at=now))
    newest = select(audit_checkpoints.c.size).order_by(audit_checkpoints.c.size.desc()).offset(KEPT_CHECKPOINTS).limit(1)
    if (last_kept := session.execute(newest).scalar()) is not None:
        session.execute(delete(audit_checkpoints).where(audit_checkpoints.c.size <= last_kept, ~_MARKED))
    return len(rows)


def sealed_from(session: Session, *, size: int, count: int) -> list[dict[str, Any]]:
    """Return who did what, of the ``count`` entries behind the first ``size`` of the tree."""
    columns = [audit_entries.c[name] for name in _TOLD]
    rows = session.execute(select(*columns).where(audit_entries.c.position >= size).order_by(audit_entries.c.position).limit(count))
    return [{"event": "audit", **row._asdict()} for row in rows]


def root_at(session: Session, size: int) -> bytes:
    """Return the root over the first ``size`` stored entries."""
    node = node_reader(session)
    hashes = [node(level, position) for level, position in peaks_at(size)]
    if not hashes:
        return EMPTY_ROOT
    found = hashes[-1]
    for peak in reversed(hashes[:-1]):
        found = node_hash(peak, found)
    return found


def prove_inclusion(session: Session, position: int | None) -> Inclusion:
    """Return the proof of a sealed entry against the newest checkpoint.

    Raises:
        Unavailable: no checkpoint covers it yet (code ``audit-not-sealed``).
    """
    size, note = newest_note(session)
    if position is None or position >= size:
        raise Unavailable("No checkpoint covers this entry yet.", code="audit-not-sealed", hint="Ask again in some seconds.", retry_after=10)
    node = node_reader(session)
    return Inclusion(index=position, leaf_hash=node(0, position), hashes=inclusion_proof(node, position, size), checkpoint=note)


def prove_consistency(session: Session, old: int, new: int | None) -> Consistency:
    """Return the proof between two sizes, by default up to the newest checkpoint's.

    Raises:
        InvalidInput: not ``0 < old <= new <= size`` (code ``bad-audit-size``).
    """
    size, _ = newest_note(session)
    new = size if new is None else new
    if not 0 < old <= new <= size:
        raise InvalidInput(f"There is no proof from {old} to {new}; the log has {size} sealed entries.", code="bad-audit-size")
    return Consistency(old=old, new=new, hashes=consistency_proof(node_reader(session), old, new))


def node_reader(session: Session) -> Node:
    """Return a look-up of stored nodes."""

    def node(level: int, position: int) -> bytes:
        if level:
            query = select(audit_nodes.c.hash).where(audit_nodes.c.level == level, audit_nodes.c.position == position)
        else:
            query = select(audit_entries.c.leaf_hash).where(audit_entries.c.position == position)
        found = session.execute(query).scalar()
        if found is None:
            raise _changed(f"node {level}/{position} is missing")
        return bytes(found)

    return node


def _signed_tree(session: Session, key: SigningKey, keys: KeyChain) -> Appender:
    if keys.successor(key.verifier):
        hint = "Put the newest keys/audit.key in its place; several processes on one database share one key file."
        raise Conflict("The key of the audit log was handed over to another one.", code="audit-key-retired", hint=hint)
    size, note = newest_note(session)
    if not size:
        return Appender()
    try:
        signed = keys.open(note)
    except InvalidInput as error:
        hint = "Restore keys/audit.key of the process that made the log; several processes on one database share one key file."
        raise Conflict(f"The audit log was not sealed with this key: {error.detail}", code="audit-key-differs", hint=hint) from error
    node = node_reader(session)
    tree = Appender(size, [node(level, position) for level, position in peaks_at(size)])
    if signed.size != size or tree.root() != signed.root:
        raise _changed("its root is not the signed one")
    return tree


def _changed(why: str) -> Conflict:
    hint = "Run `luminai audit verify`; nothing is sealed on top of a changed log."
    return Conflict(f"The audit log was changed in the database: {why}.", code="audit-tree-changed", hint=hint)
