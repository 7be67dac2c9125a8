"""From a verified access token to an actor: session, person and roles as the database has them now."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from luminai.contracts.context import Clock, Database
from luminai.contracts.errors import NotSignedIn
from luminai.contracts.identity import STEP_UP_MINUTES, Actor
from luminai.data.tables_people import people, sessions
from luminai.identity.jwt import LEEWAY_SECONDS, AccessTokens, refused
from luminai.identity.people import PREFIX
from luminai.identity.roles import roles_of, scopes_of
from luminai.identity.sessions import SessionTable, has_ended

STEP_UP: Final = timedelta(minutes=STEP_UP_MINUTES)


class Access:
    """Turns tokens into actors.

    Attributes:
        seen: When sessions were used, as far as it is not written down yet.
    """

    def __init__(self, database: Database, clock: Clock, tokens: AccessTokens, table: SessionTable) -> None:
        self._db = database
        self._clock = clock
        self._tokens = tokens
        self._table = table
        self.seen: dict[str, datetime] = {}

    async def actor_of(self, token: str, *, is_use: bool = True) -> tuple[Actor, float]:
        """Return the actor of an access token, and for how many seconds that may be believed unasked.

        Args:
            is_use: The person does something; else nothing but the session's standing is looked at.

        Raises:
            NotSignedIn: it does not hold, or its session has ended or (code ``session-locked``) was idle too long.
        """
        claims = await self._tokens.verify(token)
        now = self._clock.now()

        def unit(session: Session) -> tuple[Any, frozenset[str], str]:
            joined = sessions.join(people, people.c.id == sessions.c.person_id)
            mine = (sessions.c.id == claims.sid) & (people.c.id == claims.sub) & (people.c.status == "active")
            row = session.execute(select(sessions).select_from(joined).where(mine)).first()
            if row is None:
                return None, frozenset(), ""
            place = row.organisation_id
            is_inside = bool(place) and bool(roles_of(session, claims.sub, organisation=place))
            organisation = place if is_inside else ""
            return row, scopes_of(session, claims.sub, organisation=organisation), organisation

        row, scopes, organisation = await self._db.read(unit)
        if row is None or has_ended(row, now):
            raise refused()
        if self._table.is_locked(row, now, self.seen):
            raise locked()
        if is_use:
            self.seen[row.id] = now
        fresh_for = row.authenticated_at + STEP_UP - now
        ends = datetime.fromtimestamp(claims.exp + LEEWAY_SECONDS, now.tzinfo)
        moments = [ends - now, row.ends_at - now, row.idle_ends_at - now, self._table.locks_in(row, now)]
        if fresh_for > timedelta(0):
            moments.append(fresh_for)
        actor = Actor(
            id=row.id,
            subject=claims.sub,
            scopes=scopes,
            session=row.id,
            organisation=organisation,
            authenticated_at=row.authenticated_at,
            is_fresh=fresh_for > timedelta(0),
        )
        return actor, min(moments).total_seconds()

    async def rights(self, subject: str, organisation: str = "") -> frozenset[str] | None:
        """Return what the owner of a key may do now, in ``organisation`` if the key acts for one; nothing when suspended, gone or no member.

        Returns:
            None for a subject that is no person.
        """
        if not subject.startswith(f"{PREFIX}_"):
            return None

        def unit(session: Session) -> frozenset[str]:
            status = session.execute(select(people.c.status).where(people.c.id == subject)).scalar()
            return scopes_of(session, subject, organisation=organisation) if status == "active" else frozenset()

        return await self._db.read(unit)

    async def note_use(self) -> None:
        """Write down when sessions were used."""
        seen, self.seen = self.seen, {}
        if seen:
            try:
                await self._db.write(lambda session: self._table.touch(session, seen))
            except Exception:
                self.seen = seen | self.seen
                raise


def locked() -> NotSignedIn:
    """Return the answer to a session that was idle too long."""
    hint = "POST /api/auth/refresh with the password (and a code, if there is a second factor) opens it again."
    return NotSignedIn("The session is locked: it was not used for a while.", code="session-locked", hint=hint)
