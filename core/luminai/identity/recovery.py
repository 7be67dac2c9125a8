"""New passwords: forgotten ones, changed ones, and the first one of somebody who was invited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from luminai.audit.log import ANONYMOUS
from luminai.contracts.audit import AuditEntry
from luminai.contracts.identity import Actor
from luminai.data.tables_people import sessions
from luminai.identity import one_time
from luminai.identity.notices import coarse
from luminai.identity.passwords import MIN_ALONE, MIN_WITH_SECOND_FACTOR
from luminai.identity.people import checked_email, email_digest, second_factors
from luminai.identity.sign_in import authenticate_again
from luminai.identity.sign_up import token_refused
from luminai.identity.throttle import PER_ACCOUNT, PER_ADDRESS, network_of

if TYPE_CHECKING:
    from luminai.identity.identity import Identity


async def forgot(identity: Identity, email: str, *, address: str) -> None:
    """Send a link for a new password; without an account of that address nothing is sent, and nothing else differs.

    Raises:
        InvalidInput: no e-mail address. RateLimited: too many requests from this IP address or for this account.
    """
    await identity.throttle.count(PER_ADDRESS, f"address:{network_of(address)}")
    digests = await identity.digests.get()
    digest = email_digest(digests, checked_email(email))
    await identity.throttle.count(PER_ACCOUNT, f"letters:{digest.hex()}")
    now = identity.clock.now()

    def unit(session: Session) -> None:
        row = identity.people.by_email(session, digest)
        is_there = row is not None and row.status == "active"
        token = one_time.issue(session, digests, person=row.id if is_there else one_time.NOBODY, purpose="reset", now=now)
        if is_there:
            identity.letters.reset(session, row.id, identity.people.profile(session, row).email, token, now)

    await identity.database.write(unit)


async def reset(identity: Identity, *, token: str, password: str, address: str) -> None:
    """Set a password by a link from a letter, which also confirms the address; all sessions end. The second factor stays as it is.

    Raises:
        NotSignedIn: wrong, used or expired token (code ``token-refused``).
        Unprocessable: a weak password; the link still holds.
    """
    await identity.throttle.count(PER_ADDRESS, f"address:{network_of(address)}")
    digests = await identity.digests.get()
    row, words = await identity.database.read(lambda session: _holder(identity, session, digests, token))
    if row is None:
        raise token_refused()
    await _check(identity, row, words, password)
    hashed = await identity.passwords.hash(password)
    now = identity.clock.now()

    def unit(session: Session) -> list[str]:
        person = one_time.redeem(session, digests, token, purpose="reset", now=now)
        person = person or one_time.redeem(session, digests, token, purpose="invite", now=now)
        current = identity.people.row(session, person) if person else None
        if current is None or current.status not in ("active", "invited"):
            raise token_refused()
        identity.people.set(session, current.id, now, password=hashed, verified_at=current.verified_at or now, status="active")
        identity.sessions.end(session, now, sessions.c.person_id == current.id)
        one_time.void(session, current.id)
        action = "password.reset" if current.status == "active" else "password.first"
        entry = AuditEntry(action=action, object=current.id, subject=current.id, detail={"network": coarse(address)})
        identity.audit.record(session, ANONYMOUS, entry)
        return [current.id]

    for person in await identity.database.write(unit):
        identity.forget(person)


async def change(identity: Identity, actor: Actor, *, password: str, code: str, new_password: str) -> None:
    """Replace a password that is known, and end the person's other sessions.

    Raises:
        NotSignedIn: the old password or the code is wrong. Unprocessable: the new one is weak. RateLimited: too many tries.
    """
    await authenticate_again(identity, person=actor.subject, session_id=actor.session or actor.subject, password=password, code=code)

    def look(session: Session) -> tuple[Any, tuple[str, str]]:
        row = identity.people.row(session, actor.subject)
        profile = identity.people.profile(session, row)
        return row, (profile.email, profile.name)

    row, words = await identity.database.read(look)
    await _check(identity, row, words, new_password)
    hashed = await identity.passwords.hash(new_password)
    now = identity.clock.now()

    def unit(session: Session) -> None:
        identity.people.set(session, row.id, now, password=hashed)
        identity.sessions.end(session, now, sessions.c.person_id == row.id, sessions.c.id != actor.session)
        one_time.void(session, row.id)
        identity.audit.record(session, actor, AuditEntry(action="password.change", object=row.id, subject=row.id))

    await identity.database.write(unit)
    identity.forget(row.id)


def _holder(identity: Identity, session: Session, digests: Any, token: str) -> tuple[Any, tuple[str, str]]:
    person = one_time.holder(session, digests, token, purposes=("reset", "invite"), now=identity.clock.now())
    row = identity.people.row(session, person) if person else None
    if row is None:
        return None, ("", "")
    profile = identity.people.profile(session, row)
    return row, (profile.email, profile.name)


async def _check(identity: Identity, row: Any, words: tuple[str, str], password: str) -> None:
    minimum = MIN_WITH_SECOND_FACTOR if second_factors(row) else MIN_ALONE
    await identity.passwords.check_new(password, minimum=minimum, words=words)
