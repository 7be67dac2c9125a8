"""Signing in, staying signed in, signing out."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from sqlalchemy.orm import Session

from luminai.contracts.audit import AuditEntry
from luminai.contracts.errors import Forbidden, NotSignedIn
from luminai.contracts.identity import Actor
from luminai.data.owners import Acting
from luminai.data.tables_people import sessions
from luminai.identity import one_time
from luminai.identity.access import locked
from luminai.identity.codes import use_code
from luminai.identity.digests import Digests
from luminai.identity.passwords import needs_rehash
from luminai.identity.people import Person, SecondFactor, email_digest, second_factors
from luminai.identity.second_factor import code_refused
from luminai.identity.sessions import Device, Rotation, has_ended
from luminai.identity.sign_up import send_verification
from luminai.identity.throttle import CODES, PER_ACCOUNT, PER_ADDRESS, network_of

if TYPE_CHECKING:
    from luminai.identity.identity import Identity

_NONCE_CHARACTERS: Final = 22


class Opened(Struct, frozen=True, kw_only=True):
    """A session that was opened or went on. ``device_token`` lets this device try its password even while others are made to wait."""

    session: str
    person: Person
    access_token: str
    refresh_token: str
    device_token: str = ""


class Challenge(Struct, frozen=True, kw_only=True):
    """The password was right; a code is needed too, of one of ``methods``, the preferred one first, or a recovery code."""

    mfa_token: str
    methods: tuple[SecondFactor, ...]


async def sign_in(identity: Identity, *, email: str, password: str, device: Device, device_token: str = "") -> Opened | Challenge:
    """Check a password and open a session, or ask for the second factor.

    Raises:
        NotSignedIn: address or password is wrong (code ``sign-in-refused``); an unknown address takes just as long.
        Forbidden: right, but suspended (``account-suspended``) or not confirmed (``email-not-verified``; a new letter is on its way).
        RateLimited: too many tries. Unavailable: too many people sign in.
    """
    digests = await identity.digests.get()
    digest = email_digest(digests, email)
    device_name = _known_device(digests, digest, device_token)
    await identity.throttle.count(PER_ADDRESS, f"address:{network_of(device.address)}")
    bucket = f"account:{digest.hex()}:{device_name}"
    await identity.throttle.count(PER_ACCOUNT, bucket)
    row = await identity.database.read(lambda session: identity.people.by_email(session, digest))
    if not await identity.passwords.verify(row.password if row else None, password) or row is None:
        raise sign_in_refused()
    if row.status != "active":
        raise Forbidden("This account is suspended.", code="account-suspended", hint="Ask the operator.")
    if row.verified_at is None and identity.must_verify:
        await send_verification(identity, row.id, digest)
        raise Forbidden("The address is not confirmed.", code="email-not-verified", hint="A new letter with a link is on its way.")
    await identity.throttle.forget(bucket)
    fresh_hash = await identity.passwords.hash(password) if needs_rehash(row.password) else row.password
    now = identity.clock.now()

    def unit(session: Session) -> tuple[str, str, Person] | Challenge:
        current = identity.people.row(session, row.id)
        if current.status != "active" or current.password != row.password:
            raise sign_in_refused()
        if fresh_hash != current.password:
            identity.people.set(session, row.id, now, password=fresh_hash)
        if second_factors(current):
            return challenge(session, digests, current, now)
        return open_session(identity, session, digests, current, device)

    done = await identity.database.write(unit)
    return done if isinstance(done, Challenge) else await as_opened(identity, digests, digest, done)


async def second_factor(identity: Identity, *, mfa_token: str, code: str, device: Device) -> Opened:
    """Answer a challenge with a code and open the session.

    Raises:
        NotSignedIn: the challenge is unknown, spent or expired (code ``challenge-refused``), or the code does not hold (``code-refused``).
        RateLimited: too many codes within the hour, over all challenges.
    """
    digests = await identity.digests.get()
    await identity.throttle.count(PER_ADDRESS, f"address:{network_of(device.address)}")
    now = identity.clock.now()
    person = await identity.database.write(lambda session: one_time.spend_try(session, digests, mfa_token, now=now))
    if person is None:
        raise NotSignedIn("The challenge is spent or expired.", code="challenge-refused", hint="Sign in with the password again.")
    await identity.throttle.count(CODES, f"codes:{person}")

    def unit(session: Session) -> tuple[str, str, Person] | None:
        row = identity.people.row(session, person)
        if row.status != "active" or not second_factors(row) or not use_code(identity, session, digests, row, code, now):
            return None
        if one_time.redeem(session, digests, mfa_token, purpose="mfa", now=now) is None:
            raise code_refused()  # another request answered the same challenge: nothing of this one stays
        return open_session(identity, session, digests, row, device)

    done = await identity.database.write(unit)
    if done is None:
        raise code_refused()
    return await as_opened(identity, digests, email_digest(digests, done[2].email), done)


async def refresh(identity: Identity, token: str, *, password: str, code: str, address: str) -> Opened:
    """Use a refresh token; with password (and code) this also unlocks a session that was idle, and counts as authentication.

    Raises:
        NotSignedIn: the token does not hold (code ``session-ended``), was used before, which ends its session (``token-reused``), or the session
            is locked (``session-locked``); the password or code is wrong.
        RateLimited: too many passwords or codes.
    """
    digests = await identity.digests.get()
    if password:
        await identity.throttle.count(PER_ADDRESS, f"address:{network_of(address)}")
        row = await identity.database.read(lambda session: identity.sessions.owner(session, digests, token))
        if row is None or has_ended(row, identity.clock.now()):
            raise _ended()
        await authenticate_again(identity, person=row.person_id, session_id=row.id, password=password, code=code)
    now, seen = identity.clock.now(), dict(identity.access.seen)

    def unit(session: Session) -> tuple[Rotation, Person | None]:
        found = identity.sessions.rotate(session, digests, token, now=now, seen=seen, is_authenticated=bool(password))
        if found.outcome == "reused":
            entry = AuditEntry(action="session.reuse", object=found.session, subject=found.person, outcome="denied")
            identity.audit.record(session, found.session, entry)
        if found.outcome != "ok":
            return found, None
        row = identity.people.row(session, found.person)
        return (found, identity.people.view(session, row)) if row.status == "active" else (Rotation("refused"), None)

    found, person = await identity.database.write(unit)
    if found.outcome == "locked":
        raise locked()
    if found.outcome == "reused":
        identity.forget(found.session)
        hint = "Sign in again. If you did not copy the session, somebody else did: change your password."
        raise NotSignedIn("This refresh token was used before; its session was ended.", code="token-reused", hint=hint)
    if person is None:
        raise _ended()
    if password:
        identity.forget(found.session)
    access = await identity.tokens.issue(person=found.person, session=found.session)
    return Opened(session=found.session, person=person, access_token=access, refresh_token=found.refresh_token)


def require_session(actor: Actor) -> Actor:
    """Return the actor if it is a person's session.

    Raises:
        Forbidden: it is a key, which has no password, no sessions and no profile (code ``not-a-session``).
    """
    if not actor.session:
        raise Forbidden("A key is no session.", code="not-a-session", hint="Sign in as a person.")
    return actor


async def reauthenticate(identity: Identity, actor: Actor, *, password: str, code: str) -> None:
    """Note that the person of this session has given password (and code) anew.

    Raises:
        NotSignedIn: the password or code is wrong. RateLimited: too many tries.
    """
    await authenticate_again(identity, person=actor.subject, session_id=actor.session, password=password, code=code)
    now = identity.clock.now()
    await identity.database.write(lambda session: identity.sessions.authenticated(session, actor.subject, actor.session, now))
    identity.forget(actor.session)


async def authenticate_again(identity: Identity, *, person: str, session_id: str, password: str, code: str) -> None:
    """Check the password of a session's person, and a code if there is a second factor.

    Raises:
        NotSignedIn: wrong (codes ``sign-in-refused``, ``code-refused``). RateLimited: too many tries.
    """
    await identity.throttle.count(PER_ACCOUNT, f"again:{session_id}")
    row = await identity.database.read(lambda session: identity.people.row(session, person), whose=Acting(person))
    if not await identity.passwords.verify(row.password, password) or row.status != "active":
        raise sign_in_refused()
    await check_code(identity, row, code)


async def check_code(identity: Identity, row: Any, code: str) -> None:
    """Use a code of a person up, if there is a second factor.

    Raises:
        NotSignedIn: there is no code (``code-needed``), or it does not hold (``code-refused``). RateLimited: too many codes.
    """
    if not second_factors(row):
        return
    if not code:
        hint = "Send the authenticator's code along, or one that POST /api/auth/sms/send sent."
        raise NotSignedIn("A code is needed too.", code="code-needed", hint=hint)
    await identity.throttle.count(CODES, f"codes:{row.id}")
    digests, now = await identity.digests.get(), identity.clock.now()

    def unit(session: Session) -> bool:
        current = identity.people.row(session, row.id)
        return not second_factors(current) or use_code(identity, session, digests, current, code, now)

    if not await identity.database.write(unit, whose=Acting(row.id)):
        raise code_refused()


async def sign_out(identity: Identity, *, actor: Actor | None, token: str) -> None:
    """End the session of an actor or of a refresh token; one that has ended already is as well."""
    digests = await identity.digests.get()
    now = identity.clock.now()

    def unit(session: Session) -> dict[str, str]:
        found = identity.sessions.owner(session, digests, token) if token else None
        ended = {actor.session: actor.subject} if actor and actor.session else {}
        ended |= {found.id: found.person_id} if found else {}
        for one, person in ended.items():
            if identity.sessions.end(session, now, sessions.c.id == one):
                identity.audit.record(session, one, AuditEntry(action="session.end", object=one, subject=person))
        return ended

    for one in await identity.database.write(unit):
        identity.forget(one)


def challenge(session: Session, digests: Digests, row: Any, now: datetime) -> Challenge:
    """Return a challenge for a person with a second factor."""
    return Challenge(mfa_token=one_time.issue(session, digests, person=row.id, purpose="mfa", now=now), methods=second_factors(row))


def open_session(identity: Identity, session: Session, digests: Digests, row: Any, device: Device) -> tuple[str, str, Person]:
    """Open a session for somebody who has just authenticated; return its id, its first refresh token and the person."""
    session_id, token = identity.sessions.open(session, digests, person=row.id, device=device, now=identity.clock.now())
    identity.audit.record(session, session_id, AuditEntry(action="session.open", object=session_id, subject=row.id))
    return session_id, token, identity.people.view(session, row)


async def as_opened(identity: Identity, digests: Digests, digest: bytes, done: tuple[str, str, Person]) -> Opened:
    """Return what ``open_session`` opened with an access token; ``digest`` is that of the address."""
    session_id, token, person = done
    nonce = secrets.token_urlsafe(16)
    device_token = nonce + digests.text("device", digest.hex(), nonce)
    access = await identity.tokens.issue(person=person.id, session=session_id)
    return Opened(session=session_id, person=person, access_token=access, refresh_token=token, device_token=device_token)


def _known_device(digests: Digests, digest: bytes, token: str) -> str:
    """Return what a device that signed in to this account before is counted by, "" for any other."""
    nonce, mac = token[:_NONCE_CHARACTERS], token[_NONCE_CHARACTERS:]
    is_ours = token.isascii() and secrets.compare_digest(mac, digests.text("device", digest.hex(), nonce))
    return nonce if is_ours else ""


def sign_in_refused() -> NotSignedIn:
    """Return the answer to a password that does not hold, or an address that nobody has."""
    return NotSignedIn("Address or password is wrong.", code="sign-in-refused", hint="Reset the password if you forgot it.")


def _ended() -> NotSignedIn:
    return NotSignedIn("The session has ended.", code="session-ended", hint="Sign in again.")
