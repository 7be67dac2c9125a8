"""Reminds people of their own API keys that end soon, so that a program of theirs is not cut off without a word. Programs' keys are repair items."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from luminai.contracts.context import Once
from luminai.data.tables import api_keys
from luminai.data.tables_people import people

if TYPE_CHECKING:
    from luminai.identity.identity import Identity

BEFORE: Final = (timedelta(days=14), timedelta(days=3))
"""How long before its end somebody is reminded of a key."""
WINDOW: Final = timedelta(hours=20)
"""How late a reminder may come: shorter than marks of what was done are kept, so that each comes once."""
MOST: Final = 500
"""Reminders a round."""


async def remind(identity: Identity) -> int:
    """Queue the letters that are due, each once however many processes look; return how many were due.

    Keys with a successor need none, and without a plugin that carries mail nobody is told.
    """
    if not identity.has_mail:
        return 0
    columns, now = api_keys.c, identity.clock.now()
    due = or_(*(and_(columns.expires_at > now + before - WINDOW, columns.expires_at <= now + before) for before in BEFORE))
    query = select(api_keys).join(people, people.c.id == columns.subject).where(due, columns.replaced_by.is_(None), columns.revoked_at.is_(None))

    def look(session: Session) -> list[Any]:
        return list(session.execute(query.order_by(columns.id).limit(MOST)).all())

    found = await identity.database.read(look)
    for key in found:
        stage = min(before.days for before in BEFORE if key.expires_at <= now + before)
        await identity.database.write(_letter(identity, key), once=Once("key-reminder", f"{key.id}:{stage}", b"letter", str))
    return len(found)


def _letter(identity: Identity, key: Any) -> Any:
    def unit(session: Session) -> str:
        row = session.execute(select(people).where(people.c.id == key.subject)).one()
        email = identity.people.profile(session, row).email
        if email:
            identity.letters.key_ends(session, key.subject, email, key.name, key.expires_at)
        return str(key.id)

    return unit
