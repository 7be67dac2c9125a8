"""Opening an account. Every answer is the same whether the address is known or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from luminai.audit.log import ANONYMOUS
from luminai.contracts.audit import AuditEntry
from luminai.contracts.errors import Forbidden, NotSignedIn
from luminai.identity import consents, one_time
from luminai.identity.passwords import MIN_ALONE
from luminai.identity.people import checked_email, email_digest
from luminai.identity.roles import MEMBER, give_roles
from luminai.identity.throttle import PER_ACCOUNT, PER_ADDRESS, network_of

if TYPE_CHECKING:
    from luminai.identity.identity import Identity


async def register(identity: Identity, *, email: str, password: str, name: str, locale: str, address: str, do_not_sell: bool = False) -> str | None:
    """Open an account, have its address confirmed where letters can be sent, and return its id.

    For a known address nothing is opened: its owner gets a letter instead.

    Args:
        address: IP address of the request.
        do_not_sell: The browser says so (``Sec-GPC``).

    Raises:
        Forbidden: nobody can sign up here (codes ``invitation-needed``, ``registration-closed``).
        InvalidInput: no e-mail address. Unprocessable: a weak password. RateLimited: too many tries from this address.
    """
    await identity.throttle.count(PER_ADDRESS, f"address:{network_of(address)}")
    require_open(identity)
    email = checked_email(email)
    await identity.passwords.check_new(password, minimum=MIN_ALONE, words=(email, name))
    hashed = await identity.passwords.hash(password)
    digests = await identity.digests.get()
    now, people = identity.clock.now(), identity.people

    def unit(session: Session) -> str | None:
        known = people.by_email(session, email_digest(digests, email))
        if known is not None:
            one_time.issue(session, digests, person=one_time.NOBODY, purpose="verify", now=now)
            identity.letters.known_already(session, known.id, people.profile(session, known).email)
            return None
        person = people.add(session, digests, email=email, name=name, status="active", now=now, password=hashed, locale=locale)
        give_roles(session, person, [MEMBER], now)
        if do_not_sell:
            consents.answer(session, person, consents.DO_NOT_SELL, version="", given=True, how="registration", now=now)
        token = one_time.issue(session, digests, person=person, purpose="verify", now=now)
        identity.letters.verify(session, person, email, token, now)
        identity.audit.record(session, ANONYMOUS, AuditEntry(action="person.register", object=person, subject=person))
        return person

    return await identity.database.write(unit)


def require_open(identity: Identity) -> None:
    """Let people open accounts only where they may.

    Raises:
        Forbidden: they may not (codes ``invitation-needed``, ``registration-closed``).
    """
    if identity.registration == "invite":
        raise Forbidden("An invitation is needed.", code="invitation-needed", hint="Ask the operator: `luminai people invite`.")
    if identity.registration == "closed":
        raise Forbidden("Nobody can sign up here.", code="registration-closed")


async def send_verification(identity: Identity, person: str, digest: bytes) -> None:
    """Send the letter once more, to somebody who knows the password."""
    await identity.throttle.count(PER_ACCOUNT, f"letters:{digest.hex()}")
    digests = await identity.digests.get()
    now = identity.clock.now()

    def unit(session: Session) -> None:
        email = identity.people.profile(session, identity.people.row(session, person)).email
        token = one_time.issue(session, digests, person=person, purpose="verify", now=now)
        identity.letters.verify(session, person, email, token, now)

    await identity.database.write(unit)


def token_refused() -> NotSignedIn:
    """Return the answer to a one-time token that does not hold."""
    return NotSignedIn("The link is wrong, used or expired.", code="token-refused", hint="Ask for a new letter.")
