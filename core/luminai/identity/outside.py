"""Signing in through others. An identity is (issuer, ``sub``) and never an address: addresses change hands, and not every provider checks them.

A new identity becomes a new person only with an address that its provider vouches for and that nobody has here. Everything else waits in its browser
until somebody shows whose it is (``outside_links``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from msgspec import Struct
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from luminai.audit.log import ANONYMOUS
from luminai.contracts.audit import AuditEntry
from luminai.contracts.errors import Conflict, Forbidden, HubError, InvalidInput, NotFound, NotSignedIn, Unprocessable
from luminai.contracts.identity import Actor, step_up
from luminai.data.tables_people import outside_identities, sessions
from luminai.identity import consents, outside_trips
from luminai.identity.digests import Digests
from luminai.identity.outside_providers import OutsidePerson, OutsideProvider
from luminai.identity.outside_trips import MAX_NEXT, Trip, round_of
from luminai.identity.people import Person, checked_email, email_digest, second_factors
from luminai.identity.roles import MEMBER, give_roles
from luminai.identity.sessions import Device, has_ended
from luminai.identity.sign_in import Challenge, Opened, as_opened, challenge, open_session
from luminai.identity.sign_up import require_open, send_verification
from luminai.identity.throttle import PER_ADDRESS, network_of

if TYPE_CHECKING:
    from luminai.identity.identity import Identity

WAITS: Final = ("link-required", "email-not-verified")
"""Codes after which an identity waits in its browser."""
_NEVER_IN_A_PATH: Final = re.compile(r"[\x00-\x20\x7f\\]")
"""Browsers drop some of these and turn others, so that ``/\\t/evil.example`` leads away."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_NAME_CHARACTERS: Final = 80


class Departure(Struct, frozen=True):
    """Where to send the browser, and the cookie that it is known by when it comes back."""

    location: str
    cookie: str


class Return(Struct, frozen=True, kw_only=True):
    """What a provider sends a browser back with; ``issuer`` is None where it sends none."""

    code: str
    error: str
    issuer: str | None


async def depart(
    identity: Identity, name: str, *, redirect_uri: str, next_path: str, address: str, again: bool = False, actor: Actor | None = None
) -> Departure:
    """Begin a round trip to a provider: to sign in, or to link an identity to the account of ``actor``.

    Args:
        redirect_uri: Where the provider sends the browser back to; it must know exactly this.
        next_path: Where the browser goes at last.
        address: IP address of the request.
        again: Have the person authenticate there even if signed in there.

    Raises:
        NotFound: there is no such provider (code ``provider-not-found``). InvalidInput: ``next_path`` leads away (code ``bad-next``).
        Forbidden: the person has to authenticate again (code ``step-up-required``). RateLimited: too many tries.
        Upstream: the provider does not answer (code ``provider-unavailable``).
    """
    if actor is not None:
        step_up(actor)
    provider = provider_of(identity, name)
    check_next(next_path)
    await identity.throttle.count(PER_ADDRESS, f"address:{network_of(address)}")
    digests = await identity.digests.get()
    state, cookie = outside_trips.new_secret(), outside_trips.new_secret()
    trip = round_of(digests, state=state, cookie=cookie, redirect_uri=redirect_uri)
    location = await provider.location(trip, again=again)
    row = {"provider": name, "next_path": next_path, "person_id": actor.subject if actor else "", "session_id": actor.session if actor else ""}
    now = identity.clock.now()
    await identity.database.write(lambda session: outside_trips.put_trip(session, digests, state=state, cookie=cookie, now=now, **row))
    return Departure(location, cookie)


async def arrive(identity: Identity, name: str, *, state: str, cookie: str, redirect_uri: str, address: str) -> Trip:
    """Return the round trip that this browser comes back from, which is used up.

    Raises:
        NotSignedIn: it never left for this provider, came back already, or took too long (code ``round-trip-refused``).
        RateLimited: too many tries.
    """
    await identity.throttle.count(PER_ADDRESS, f"address:{network_of(address)}")
    digests, now = await identity.digests.get(), identity.clock.now()
    row = await identity.database.write(lambda session: outside_trips.take_trip(session, digests, state=state, cookie=cookie, now=now))
    if row is None or row.provider != name or not state or not cookie:
        hint = "Begin again, in one tab; it takes ten minutes at most."
        raise NotSignedIn("This browser did not begin that sign-in, or it is over.", code="round-trip-refused", hint=hint)
    tied = round_of(digests, state=state, cookie=cookie, redirect_uri=redirect_uri)
    return Trip(provider=row.provider, person=row.person_id, session=row.session_id, next_path=row.next_path, round=tied)


async def finish(identity: Identity, trip: Trip, back: Return, *, cookie: str, device: Device, do_not_sell: bool) -> Opened | Challenge | None:
    """Sign in whoever came back, or link the identity (None).

    Raises:
        Forbidden: the person or the provider said no (code ``provider-refused``), the account is suspended, nobody can sign up here, or the address
            is not verified (``email-not-verified``: the identity waits).
        Conflict: the address belongs to an account (``link-required``: the identity waits), or the identity to another one (``identity-taken``).
        NotSignedIn: the answer does not hold, or the session that wanted to link has ended.
        Unprocessable: the provider tells no address (code ``email-missing``). Upstream: it does not answer.
    """
    if back.error or not back.code:
        raise Forbidden("The service did not sign you in.", code="provider-refused", hint="Try again, or sign in another way.")
    provider = provider_of(identity, trip.provider)
    found = await provider.person(back.code, trip.round, issuer=back.issuer)
    digests = await identity.digests.get()
    sub_digest = digests.of("outside-sub", found.issuer, found.sub)
    if trip.person:
        await _join(identity, trip, found.issuer, sub_digest, provider.given.title)
        return None
    owner = await identity.database.read(lambda session: owner_of(session, found.issuer, sub_digest))
    if owner is None:
        return await _newcomer(identity, digests, found, sub_digest, cookie=cookie, device=device, do_not_sell=do_not_sell)
    return await _enter(identity, digests, owner, found, device)


async def _enter(identity: Identity, digests: Digests, owner: str, found: OutsidePerson, device: Device) -> Opened | Challenge:
    """Open a session for the person of a known identity, or ask for the second factor."""
    now, people = identity.clock.now(), identity.people
    row = await identity.database.read(lambda session: people.row(session, owner))
    check_open_account(row.status)
    if row.verified_at is None and identity.must_verify:
        await send_verification(identity, row.id, bytes(row.email_digest))
        raise Forbidden("The address is not confirmed.", code="email-not-verified", hint="A new letter with a link is on its way.")

    def unit(session: Session) -> Any:
        current = people.row(session, owner)
        check_open_account(current.status)
        if second_factors(current):
            return challenge(session, digests, current, now)
        return _opened(identity, session, digests, current, found, device)

    done = await identity.database.write(unit)
    return done if isinstance(done, Challenge) else await as_opened(identity, digests, bytes(row.email_digest), done)


async def _newcomer(
    identity: Identity, digests: Digests, found: OutsidePerson, sub_digest: bytes, *, cookie: str, device: Device, do_not_sell: bool
) -> Opened | Challenge:
    """Make a person of an identity that nobody has, if its address allows; else let it wait."""
    try:
        email = checked_email(found.email)
    except HubError:
        hint = "Allow the hub to read your address there, or sign up by password."
        raise Unprocessable("The service tells no address of yours.", code="email-missing", hint=hint) from None
    digest, now = email_digest(digests, email), identity.clock.now()

    def unit(session: Session) -> Any:
        if found.is_verified and identity.people.by_email(session, digest) is None:
            require_open(identity)
            person = new_person(identity, session, digests, email=email, name=found.name, do_not_sell=do_not_sell)
            attach(identity, session, person, found.issuer, sub_digest)
            return _opened(identity, session, digests, identity.people.row(session, person), found, device)
        outside_trips.put_waiting(session, digests, identity.vault, cookie=cookie, sub_digest=sub_digest, found=found, now=now)
        return None

    done = await identity.database.write(unit)
    if done is not None:
        return await as_opened(identity, digests, digest, done)
    if found.is_verified:
        hint = "POST /api/auth/oauth/link with its password, or have a letter sent: POST /api/auth/oauth/letter."
        raise Conflict("There is an account with your address.", code="link-required", hint=hint)
    hint = "Have a letter sent to it: POST /api/auth/oauth/letter. Or give your password here: POST /api/auth/oauth/link."
    raise Forbidden("The service does not say that this address is yours.", code="email-not-verified", hint=hint)


def _opened(identity: Identity, session: Session, digests: Digests, row: Any, found: OutsidePerson, device: Device) -> tuple[str, str, Person]:
    """Open a session. Being signed in at the provider for long is no fresh authentication here."""
    done = open_session(identity, session, digests, row, device)
    if found.authenticated_at is not None:
        session.execute(update(sessions).where(sessions.c.id == done[0]).values(authenticated_at=found.authenticated_at))
    return done


async def _join(identity: Identity, trip: Trip, issuer: str, sub_digest: bytes, title: str) -> None:
    """Link an identity to the account of the session that began the trip."""
    now = identity.clock.now()

    def unit(session: Session) -> None:
        row = session.execute(select(sessions).where(sessions.c.id == trip.session, sessions.c.person_id == trip.person)).first()
        person = identity.people.row(session, trip.person)
        if row is None or has_ended(row, now) or person.status != "active":
            raise NotSignedIn("The session has ended.", code="session-ended", hint="Sign in again.")
        owner = owner_of(session, issuer, sub_digest)
        if owner == trip.person:
            return
        if owner is not None:
            raise Conflict("That identity belongs to another account here.", code="identity-taken", hint="Unlink it there first.")
        attach(identity, session, trip.person, issuer, sub_digest)
        changed(identity, session, person, "identity.link", keep=trip.session, by=trip.session, service=title)

    await identity.database.write(unit)
    identity.forget(trip.person)


def provider_of(identity: Identity, name: str) -> OutsideProvider:
    """Return a provider.

    Raises:
        NotFound: there is none of that name (code ``provider-not-found``).
    """
    provider = identity.providers.get(name)
    if provider is None:
        raise NotFound(f"Nobody signs in through {name} here.", code="provider-not-found", hint="GET /api/auth/providers lists the services.")
    return provider


def check_next(path: str) -> None:
    """Let only paths of this hub through (ASVS 5.0, 3.7.2).

    Raises:
        InvalidInput: it leads away (code ``bad-next``).
    """
    is_inside = path.startswith("/") and path[1:2] != "/" and len(path) <= MAX_NEXT and path.isascii() and not _NEVER_IN_A_PATH.search(path)
    parts = urlsplit(path) if is_inside else None
    if parts is None or parts.scheme or parts.netloc:
        raise InvalidInput("`next` is no path of this hub.", code="bad-next", hint="Begin it with one slash, and encode what is not ASCII.")


def owner_of(session: Session, issuer: str, sub_digest: bytes) -> str | None:
    """Return the person of an identity, None when it has none."""
    columns = outside_identities.c
    mine = (columns.issuer == issuer) & (columns.sub_digest == sub_digest)
    owner: str | None = session.execute(select(columns.person_id).where(mine)).scalar()
    return owner


def attach(identity: Identity, session: Session, person: str, issuer: str, sub_digest: bytes) -> None:
    """Link an identity that nobody has to a person.

    Raises:
        Conflict: the person has another one of the same provider (code ``provider-linked``).
    """
    columns = outside_identities.c
    if session.execute(select(columns.issuer).where(columns.person_id == person, columns.issuer == issuer)).first() is not None:
        raise Conflict("Another identity of that service is linked.", code="provider-linked", hint="Unlink it first.")
    row = {"issuer": issuer, "sub_digest": sub_digest, "person_id": person}
    session.execute(insert(outside_identities).values(**row, created_at=identity.clock.now()))


def new_person(identity: Identity, session: Session, digests: Digests, *, email: str, name: str, do_not_sell: bool) -> str:
    """Make an account without a password, whose address is confirmed, and return its id. ``do_not_sell``: the browser says so (``Sec-GPC``)."""
    now, short = identity.clock.now(), _CONTROL.sub("", name).strip()[:_NAME_CHARACTERS]
    person = identity.people.add(session, digests, email=email, name=short, status="active", now=now, password=None, locale="en")
    identity.people.set(session, person, now, verified_at=now)
    give_roles(session, person, [MEMBER], now)
    if do_not_sell:
        consents.answer(session, person, consents.DO_NOT_SELL, version="", given=True, how="registration", now=now)
    identity.audit.record(session, ANONYMOUS, AuditEntry(action="person.register", object=person, subject=person))
    return person


def changed(identity: Identity, session: Session, row: Any, action: str, *, keep: str, by: Actor | str, service: str = "another service") -> None:
    """End a person's other sessions and record that the ways in have changed, of which a letter tells (ASVS 5.0, 7.4.3 and 7.5.1)."""
    identity.sessions.end(session, identity.clock.now(), sessions.c.person_id == row.id, sessions.c.id != keep)
    identity.audit.record(session, by, AuditEntry(action=action, object=row.id, subject=row.id, detail={"service": service}))


def check_open_account(status: str) -> None:
    """Let only active people in.

    Raises:
        Forbidden: the account is not active (code ``account-suspended``).
    """
    if status != "active":
        raise Forbidden("This account is suspended.", code="account-suspended", hint="Ask the operator.")
