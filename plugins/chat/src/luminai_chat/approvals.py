"""A person's answers to what a model wants to change, as rows: whichever process is told, the one that runs the turn hears it."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from luminai import Conflict, RateLimited
from luminai_chat.models import turn_approvals

MOST: Final = 64
"""Answers of one turn."""


def give(session: Session, subject: str, turn_id: str, digest: str, *, allow: bool, at: datetime) -> None:
    """Write down an answer.

    Raises:
        Conflict: that was answered (code ``chat.already-answered``).
        RateLimited: so many answers were never asked for (code ``chat.too-many-answers``).
    """
    mine = (turn_approvals.c.turn_id == turn_id) & (turn_approvals.c.subject == subject)
    if session.execute(select(turn_approvals.c.digest).where(mine, turn_approvals.c.digest == digest)).first():
        raise Conflict("This was answered.", code="chat.already-answered", hint="An answer holds once.")
    if session.execute(select(func.count()).select_from(turn_approvals).where(mine)).scalar_one() >= MOST:
        raise RateLimited("This turn has too many answers.", code="chat.too-many-answers", hint="Cancel the turn.", retry_after=60)
    session.execute(insert(turn_approvals).values(turn_id=turn_id, digest=digest, subject=subject, allow=allow, is_used=False, at=at))


def take(session: Session, subject: str, turn_id: str, digest: str, since: datetime) -> bool | None:
    """Use up an answer that came ``since``; None when there is none."""
    mine = (turn_approvals.c.turn_id == turn_id) & (turn_approvals.c.subject == subject) & (turn_approvals.c.digest == digest)
    found = session.execute(select(turn_approvals.c.allow).where(mine, turn_approvals.c.at >= since, ~turn_approvals.c.is_used)).first()
    if found is None:
        return None
    session.execute(update(turn_approvals).where(mine).values(is_used=True))
    return bool(found.allow)
