"""Tokens that hold once: for an address to verify, a password to reset, an invitation, the wait for a second factor."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, Literal

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from luminai.data.tables_people import one_time_tokens
from luminai.identity.digests import Digests

Purpose = Literal["verify", "reset", "invite", "mfa"]
CodePurpose = Literal["sms", "sms-enrol"]
LIFETIMES: Final[dict[str, timedelta]] = {
    "verify": timedelta(hours=24),
    "reset": timedelta(minutes=30),
    "invite": timedelta(days=7),
    "mfa": timedelta(minutes=5),
    "sms": timedelta(minutes=5),
    "sms-enrol": timedelta(minutes=5),
}
CODE_TRIES: Final = 5
"""Tries of a six-digit code at one challenge, and of one that was sent."""
NOBODY: Final = "nobody"
"""Whose token is written where there is nobody, so that both take the same work."""


def issue(session: Session, digests: Digests, *, person: str, purpose: Purpose, now: datetime) -> str:
    """Return a new token of 256 bits. Older ones for the same purpose are void, but for challenges: two devices may sign in at once."""
    columns = one_time_tokens.c
    if purpose != "mfa":
        session.execute(delete(one_time_tokens).where(columns.person_id == person, columns.purpose == purpose))
    text = secrets.token_urlsafe(32)
    tries = CODE_TRIES if purpose == "mfa" else 1
    row = {"digest": digests.of(purpose, text), "person_id": person, "purpose": purpose, "tries_left": tries}
    session.execute(insert(one_time_tokens).values(**row, expires_at=now + LIFETIMES[purpose]))
    return text


def redeem(session: Session, digests: Digests, text: str, *, purpose: Purpose, now: datetime) -> str | None:
    """Use a token up and return the id of its person; None when it is wrong, used or expired."""
    columns = one_time_tokens.c
    taken = delete(one_time_tokens).where(columns.digest == digests.of(purpose, text), columns.purpose == purpose, columns.expires_at > now)
    person: str | None = session.execute(taken.returning(columns.person_id)).scalar()
    return person if person != NOBODY else None


def holder(session: Session, digests: Digests, text: str, *, purposes: Iterable[Purpose], now: datetime) -> str | None:
    """Return the id of a token's person without using it up."""
    columns = one_time_tokens.c
    wanted = columns.digest.in_([digests.of(purpose, text) for purpose in purposes]) & (columns.expires_at > now)
    person: str | None = session.execute(select(columns.person_id).where(wanted)).scalar()
    return person if person != NOBODY else None


def spend_try(session: Session, digests: Digests, text: str, *, now: datetime) -> str | None:
    """Take one of a challenge's tries, before the code is looked at, and return the id of its person; None when none is left."""
    columns = one_time_tokens.c
    mine = (columns.digest == digests.of("mfa", text)) & (columns.purpose == "mfa") & (columns.expires_at > now) & (columns.tries_left > 0)
    spent = update(one_time_tokens).where(mine).values(tries_left=columns.tries_left - 1)
    person: str | None = session.execute(spent.returning(columns.person_id)).scalar()
    return person


def issue_code(session: Session, digests: Digests, *, person: str, purpose: CodePurpose, now: datetime) -> str:
    """Return a new code of six digits for a telephone; an older one for the same purpose is void."""
    columns = one_time_tokens.c
    session.execute(delete(one_time_tokens).where(columns.person_id == person, columns.purpose == purpose))
    code = f"{secrets.randbelow(1_000_000):06}"
    row = {"digest": digests.of(purpose, person, code), "person_id": person, "purpose": purpose, "tries_left": CODE_TRIES}
    session.execute(insert(one_time_tokens).values(**row, expires_at=now + LIFETIMES[purpose]))
    return code


def take_code(session: Session, digests: Digests, *, person: str, purpose: CodePurpose, code: str, now: datetime) -> bool:
    """Take one of a code's tries and tell whether it held, which uses it up. A try that failed counts only if the unit of work is committed."""
    columns = one_time_tokens.c
    mine = (columns.person_id == person) & (columns.purpose == purpose) & (columns.expires_at > now) & (columns.tries_left > 0)
    spent = update(one_time_tokens).where(mine).values(tries_left=columns.tries_left - 1)
    digest = session.execute(spent.returning(columns.digest)).scalar()
    if digest is None or not secrets.compare_digest(bytes(digest), digests.of(purpose, person, code)):
        return False
    session.execute(delete(one_time_tokens).where(columns.digest == digest, columns.person_id == person))
    return True


def void(session: Session, person: str) -> None:
    """Void all tokens of a person."""
    session.execute(delete(one_time_tokens).where(one_time_tokens.c.person_id == person))
