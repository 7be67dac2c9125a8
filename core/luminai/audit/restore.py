"""Going on after a backup was restored: the log is shorter than what was signed, and says so for good."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from luminai.audit.checkpoint import Restored, SigningKey
from luminai.audit.log import AuditLog
from luminai.audit.outside import known_branch, refuse_other_history
from luminai.audit.tree import append, newest_note
from luminai.contracts.audit import AuditEntry, DetailValue
from luminai.contracts.errors import Conflict
from luminai.contracts.identity import Actor


def accept_restore(session: Session, log: AuditLog, key: SigningKey, outside: Sequence[str], now: datetime, *, by: Actor | str, reason: str) -> None:
    """Record the restore as an entry, and sign a checkpoint that names what was lost.

    Args:
        outside: All notes of the place outside, in their order.

    Raises:
        Conflict: codes as of ``Sealer.accept_restore``.
    """
    keys, branch = known_branch(session, key, outside)
    base, _ = newest_note(session)
    lost = branch[-1] if branch else None
    if lost is None or lost.size <= base:
        hint = "`luminai audit verify` shows the state."
        raise Conflict("The audit log is not behind its checkpoints outside.", code="audit-not-behind", hint=hint)
    refuse_other_history(session, branch, base)
    detail: dict[str, DetailValue] = {"reason": reason, "entries": base, "signed": lost.size}
    log.record(session, by, AuditEntry(action="audit.accept-restore", object="audit", detail=detail, retention="7y"))
    mark = Restored(base, lost.size, lost.root)
    append(session, key, now, sign=lambda size, root: key.sign(size, root, restored=mark), keys=keys)
