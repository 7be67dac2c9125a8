"""What all second factors share: recovery codes for when they are lost, and what happens when one is added or removed."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, insert
from sqlalchemy.orm import Session

from luminai.contracts.audit import AuditEntry
from luminai.contracts.errors import Conflict, NotSignedIn
from luminai.contracts.identity import Actor, step_up
from luminai.data.tables_people import recovery_codes, sessions
from luminai.identity.digests import Digests

if TYPE_CHECKING:
    from luminai.identity.identity import Identity

RECOVERY_CODES: Final = 10
_RECOVERY_BYTES: Final = 15


def make_recovery_codes(session: Session, digests: Digests, person: str) -> list[str]:
    """Return ten new codes of 120 bits, each of which holds once; older ones are void."""
    drop_recovery_codes(session, person)
    codes = [_recovery_code() for _ in range(RECOVERY_CODES)]
    for code in codes:
        session.execute(insert(recovery_codes).values(digest=_digest(digests, person, code), person_id=person))
    return codes


def drop_recovery_codes(session: Session, person: str) -> None:
    """Void a person's recovery codes."""
    session.execute(delete(recovery_codes).where(recovery_codes.c.person_id == person))


def take_recovery_code(session: Session, digests: Digests, person: str, code: str) -> bool:
    """Use a recovery code up; tell whether it held."""
    found = recovery_codes.c
    taken = delete(recovery_codes).where(found.digest == _digest(digests, person, code), found.person_id == person).returning(found.digest)
    return session.execute(taken).first() is not None


def factor_changed(identity: Identity, session: Session, actor: Actor, row: Any, action: str) -> None:
    """End a person's other sessions and record what has changed, of which a letter tells."""
    identity.sessions.end(session, identity.clock.now(), sessions.c.person_id == row.id, sessions.c.id != actor.session)
    identity.audit.record(session, actor, AuditEntry(action=action, object=row.id, subject=row.id))


async def turn_off(identity: Identity, actor: Actor, columns: tuple[str, str], *, other: str, action: str, missing: str) -> None:
    """Turn a factor off and end the person's other sessions; recovery codes go with the last one. Re-authentication has asked for a code.

    Args:
        columns: What of the person holds the factor, and what holds one that waits to be confirmed.
        other: What holds the other factor.

    Raises:
        Forbidden: the person has to authenticate again.
        Conflict: there is none, as ``missing`` says (code ``no-second-factor``).
    """
    step_up(actor)
    now = identity.clock.now()

    def unit(session: Session) -> None:
        row = identity.people.row(session, actor.subject)
        if getattr(row, columns[0]) is None:
            raise Conflict(missing, code="no-second-factor")
        identity.people.set(session, row.id, now, **dict.fromkeys(columns))
        if getattr(row, other) is None:
            drop_recovery_codes(session, row.id)
        factor_changed(identity, session, actor, row, action)

    await identity.database.write(unit)


def code_refused() -> NotSignedIn:
    """Return the answer to a code that does not hold."""
    hint = "Take the app's next code, or have a new one sent; each is taken once. A recovery code is taken too."
    return NotSignedIn("The code does not hold.", code="code-refused", hint=hint)


def _recovery_code() -> str:
    text = base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode().lower()
    return "-".join(text[start : start + 6] for start in range(0, len(text), 6))


def _digest(digests: Digests, person: str, code: str) -> bytes:
    return digests.of("recovery", person, code.replace("-", "").replace(" ", "").lower())
