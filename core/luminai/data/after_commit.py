"""What a unit of work wants said once its rows are durable: nothing of it is written, so it is also forgotten with the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

_SAID: Final = "luminai.after-commit"
Word = Callable[[bool], None]
"""Called in the event loop after the unit, with whether it was committed for sure; False: it may have been."""


def after_commit(session: Session, say: Word) -> None:
    """Have ``say`` called after the commit, unless the unit, or the savepoint in which this is called, is rolled back; once, however often it is
    asked.
    """
    session.info.setdefault(_SAID, []).append((session.get_nested_transaction() or session.get_transaction(), say))


def words(session: Session) -> tuple[Word, ...]:
    """Return what is to be said for the session's unit."""
    return tuple(dict.fromkeys(say for _, say in session.info.get(_SAID, ())))


@event.listens_for(Session, "after_soft_rollback")
def _rolled_back(session: Session, ended: SessionTransaction) -> None:
    if _SAID in session.info:
        session.info[_SAID] = [one for one in session.info[_SAID] if not _is_within(one[0], ended)]


def _is_within(transaction: Any, ended: SessionTransaction) -> bool:
    if transaction is None:  # said before the first statement
        return ended.parent is None
    while transaction is not None:
        if transaction is ended:
            return True
        transaction = transaction.parent
    return False
