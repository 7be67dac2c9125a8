"""What people agreed to, and took back: rows are only added, the newest of a purpose counts.

``do-not-sell`` (CCPA 1798.120) is kept the same way, turned round: it is given when the person opted out of having data sold or shared.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal

from msgspec import Struct
from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from luminai.data.ids import new_id
from luminai.data.tables_privacy import consents

DO_NOT_SELL: Final = "do-not-sell"
How = Literal["account", "registration"]


class ConsentRecord(Struct, frozen=True, kw_only=True):
    """One answer. ``version`` is the text's; ``how``: in the account, or by the browser's signal (``Sec-GPC``) at registration."""

    id: str
    purpose: str
    version: str
    given: bool
    at: datetime
    how: str


def answer(session: Session, person: str, purpose: str, *, version: str, given: bool, how: How, now: datetime) -> ConsentRecord:
    """Write an answer down and return it; one that is the same as the last one is not written twice."""
    known = newest(session, person).get(purpose)
    if known is not None and (known.version, known.given) == (version, given):
        return known
    made = ConsentRecord(id=new_id("con"), purpose=purpose, version=version, given=given, at=now, how=how)
    row = {name: getattr(made, name) for name in made.__struct_fields__}
    session.execute(insert(consents).values(**row, person_id=person))
    return made


def newest(session: Session, person: str) -> dict[str, ConsentRecord]:
    """Return a person's newest answer for each purpose."""
    last = select(func.max(consents.c.id)).where(consents.c.person_id == person).group_by(consents.c.purpose)
    return {row.purpose: _record(row) for row in session.execute(select(consents).where(consents.c.person_id == person, consents.c.id.in_(last)))}


def has_consent(session: Session, person: str, purpose: str) -> bool:
    """Tell whether the person's newest answer for a purpose is yes."""
    mine = (consents.c.person_id == person) & (consents.c.purpose == purpose)
    return bool(session.execute(select(consents.c.given).where(mine).order_by(consents.c.id.desc()).limit(1)).scalar())


def history(session: Session, person: str, *, limit: int, before: str | None) -> list[ConsentRecord]:
    """Return a person's answers, newest first, those behind the id ``before``."""
    query = select(consents).where(consents.c.person_id == person).order_by(consents.c.id.desc()).limit(limit)
    query = query.where(consents.c.id < before) if before else query
    return [_record(row) for row in session.execute(query)]


def _record(row: Any) -> ConsentRecord:
    return ConsentRecord(id=row.id, purpose=row.purpose, version=row.version, given=row.given, at=row.at, how=row.how)
