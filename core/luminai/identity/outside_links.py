"""Whose an identity is: linked by a password, or by a letter that is answered in the browser where it waits; listed, and unlinked."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from luminai.contracts.errors import Conflict, Forbidden, NotFound, NotSignedIn, Unavailable
from luminai.contracts.identity import Actor, step_up
from luminai.contracts.vault import HUB_SUBJECT
from luminai.data.tables_people import outside_identities
from luminai.identity import one_time, outside_trips
from luminai.identity.digests import Digests
from luminai.identity.outside import attach, changed, check_open_account, new_person, owner_of
from luminai.identity.outside_trips import Waiting, waiting_in
from luminai.identity.people import checked_email, email_digest
from luminai.identity.sessions import Device
from luminai.identity.sign_in import Opened, as_opened, check_code, open_session, sign_in_refused
from luminai.identity.sign_up import require_open, send_verification, token_refused
from luminai.identity.throttle import PER_ACCOUNT, PER_ADDRESS, network_of

if TYPE_CHECKING:
    from luminai.identity.identity import Identity


class OutsideIdentity(Struct, frozen=True, kw_only=True):
    """An identity for its person. ``provider`` is "" where the hub does not know that service any more: nobody signs in by it."""

    id: str
    provider: str
    title: str
    issuer: str
    created_at: datetime


async def send_letter(identity: Identity, *, cookie: str, address: str) -> None:
    """Send a link to the address of the identity that waits in a browser. The answer does not tell whether that address has an account.

    Raises:
        NotSignedIn: nothing waits (code ``link-expired``). Unavailable: no letters can be sent (code ``no-mail``). RateLimited: too many.
    """
    await identity.throttle.count(PER_ADDRESS, f"address:{network_of(address)}")
    if not identity.has_mail:
        raise Unavailable("This hub sends no letters.", code="no-mail", hint="Give the account's password, or ask the operator.")
    digests = await identity.digests.get()
    waiting, digest = await _waiting(identity, digests, cookie)
    await identity.throttle.count(PER_ACCOUNT, f"letters:{digest.hex()}")
    now = identity.clock.now()

    def unit(session: Session) -> None:
        row = identity.people.by_email(session, digest)
        if identity.registration == "open" if row is None else row.status in ("active", "invited"):
            subject, to = (HUB_SUBJECT, waiting.email) if row is None else (row.id, identity.people.profile(session, row).email)
            identity.letters.link(session, subject, to, _letter_token(digests, cookie, digest), now + outside_trips.WAITING)

    await identity.database.write(unit)


async def link(identity: Identity, *, cookie: str, password: str, token: str, code: str, device: Device, do_not_sell: bool) -> Opened:
    """Link the identity that waits in a browser to the account of its address and sign in; by a letter's token an account is made if there is none.

    An account whose address nobody had confirmed yet loses its password and sessions by the letter: whoever set them up did not show that the
    address was theirs.

    Raises:
        NotSignedIn: nothing waits (code ``link-expired``), password (``sign-in-refused``), token (``token-refused``) or code does not hold.
        Forbidden: the account is suspended, its address not confirmed, or nobody can sign up here. RateLimited: too many tries.
        Conflict: the identity has found its account meanwhile (code ``identity-taken``).
    """
    await identity.throttle.count(PER_ADDRESS, f"address:{network_of(device.address)}")
    digests = await identity.digests.get()
    waiting, digest = await _waiting(identity, digests, cookie)
    row = await identity.database.read(lambda session: identity.people.by_email(session, digest))
    if token:
        if not secrets.compare_digest(token.encode(), _letter_token(digests, cookie, digest).encode()):
            raise token_refused()
    else:
        await identity.throttle.count(PER_ACCOUNT, f"account:{digest.hex()}:")
        if not await identity.passwords.verify(row.password if row else None, password) or row is None:
            raise sign_in_refused()
    if row is None:
        require_open(identity)
    else:
        await _check(identity, row, waiting, digest, code=code, by_letter=bool(token))
    now = identity.clock.now()

    def unit(session: Session) -> Any:
        current = identity.people.by_email(session, digest)
        if not outside_trips.take_waiting(session, digests, cookie=cookie, now=now):
            raise _nothing_waits()
        if owner_of(session, waiting.issuer, waiting.sub_digest) is not None:
            raise Conflict("That identity belongs to an account here.", code="identity-taken", hint="Sign in by it.")
        if _differs(row, current):
            raise sign_in_refused()
        if current is None:
            person = new_person(identity, session, digests, email=checked_email(waiting.email), name=waiting.name, do_not_sell=do_not_sell)
        else:
            person = _prove(identity, session, current, waiting, by_letter=bool(token))
        attach(identity, session, person, waiting.issuer, waiting.sub_digest)
        done = open_session(identity, session, digests, identity.people.row(session, person), device)
        if current is not None:
            changed(identity, session, current, "identity.link", keep=done[0], by=done[0])
        return done

    done = await identity.database.write(unit)
    identity.forget(done[2].id)
    return await as_opened(identity, digests, digest, done)


async def _check(identity: Identity, row: Any, waiting: Waiting, digest: bytes, *, code: str, by_letter: bool) -> None:
    """Refuse what signing in by password would refuse too. A letter shows that the address is confirmed, also to somebody who was invited."""
    if not (by_letter and row.status == "invited"):
        check_open_account(row.status)
    if row.verified_at is None and identity.must_verify and not by_letter and not waiting.is_verified:
        await send_verification(identity, row.id, digest)
        raise Forbidden("The address is not confirmed.", code="email-not-verified", hint="A new letter with a link is on its way.")
    await check_code(identity, row, code)


def _prove(identity: Identity, session: Session, row: Any, waiting: Waiting, *, by_letter: bool) -> str:
    """Note what has been shown of an account, and return its id."""
    now = identity.clock.now()
    if by_letter and row.verified_at is None:
        identity.people.set(session, row.id, now, password=None, status="active")
        session.execute(delete(outside_identities).where(outside_identities.c.person_id == row.id))
        one_time.void(session, row.id)
    if row.verified_at is None and (by_letter or waiting.is_verified):
        identity.people.set(session, row.id, now, verified_at=now)
    return str(row.id)


def _differs(before: Any, now: Any) -> bool:
    """Tell whether an account is another one than was judged, or may no longer what it might."""
    if before is None or now is None:
        return before is not now
    names = ("id", "status", "password", "totp_secret", "phone")
    return any(getattr(before, name) != getattr(now, name) for name in names)


async def list_identities(identity: Identity, actor: Actor, *, limit: int, after: str | None) -> list[OutsideIdentity]:
    """Return the identities of a person by id, those behind the id ``after``."""
    rows = await identity.database.read(lambda session: list(session.execute(_of(actor.subject))))
    named = {provider.given.issuer: provider.given for provider in identity.providers.values()}
    found = []
    for row in rows:
        given = named.get(row.issuer)
        name, title = (given.name, given.title) if given else ("", "")
        found.append(OutsideIdentity(id=_id(row), provider=name, title=title, issuer=row.issuer, created_at=row.created_at))
    return sorted((one for one in found if one.id > (after or "")), key=lambda one: one.id)[:limit]


async def unlink(identity: Identity, actor: Actor, identity_id: str) -> None:
    """Unlink an identity; the person's other sessions end.

    Raises:
        Forbidden: the person has to authenticate again (code ``step-up-required``).
        NotFound: the person has no such identity (code ``identity-not-found``).
        Conflict: there is no other way in (code ``last-way-in``).
    """
    step_up(actor)
    known = {provider.given.issuer for provider in identity.providers.values()}

    def unit(session: Session) -> None:
        row = identity.people.row(session, actor.subject)
        mine = list(session.execute(_of(row.id)))
        wanted = next((one for one in mine if _id(one) == identity_id), None)
        if wanted is None:
            hint = "GET /api/auth/identities lists them."
            raise NotFound(f"There is no identity {identity_id}.", code="identity-not-found", hint=hint)
        if row.password is None and not any(one is not wanted and one.issuer in known for one in mine):
            hint = "Set a password first: POST /api/auth/password/forgot. Or link another service."
            raise Conflict("There is no other way into this account.", code="last-way-in", hint=hint)
        columns = outside_identities.c
        same = (columns.person_id == row.id) & (columns.issuer == wanted.issuer) & (columns.sub_digest == wanted.sub_digest)
        session.execute(delete(outside_identities).where(same))
        changed(identity, session, row, "identity.unlink", keep=actor.session, by=actor)

    await identity.database.write(unit)
    identity.forget(actor.subject)


def _of(person: str) -> Any:
    return select(outside_identities).where(outside_identities.c.person_id == person).limit(100)


def _id(row: Any) -> str:
    """Return what a person names an identity by: half of a keyed digest, which tells nothing."""
    return f"oid_{bytes(row.sub_digest).hex()[:32]}"


async def _waiting(identity: Identity, digests: Digests, cookie: str) -> tuple[Waiting, bytes]:
    """Return the identity that waits in a browser, and the digest of its address."""
    now = identity.clock.now()
    found = await identity.database.read(lambda session: waiting_in(session, digests, identity.vault, cookie=cookie, now=now)) if cookie else None
    if found is None:
        raise _nothing_waits()
    return found, email_digest(digests, found.email)


def _letter_token(digests: Digests, cookie: str, digest: bytes) -> str:
    """Return what proves that whoever holds the cookie reads the letters of the address."""
    return digests.text("outside-letter", cookie, digest.hex())


def _nothing_waits() -> NotSignedIn:
    return NotSignedIn("No identity waits in this browser.", code="link-expired", hint="Begin the sign-in again; it waits for 30 minutes.")
