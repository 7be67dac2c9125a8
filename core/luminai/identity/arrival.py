"""The first session of an account: by the letter that confirms its address, or at once where no address has to be confirmed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from luminai.contracts.errors import Forbidden
from luminai.identity import one_time
from luminai.identity.people import email_digest, second_factors
from luminai.identity.sessions import Device
from luminai.identity.sign_in import Challenge, Opened, as_opened, challenge, open_session
from luminai.identity.sign_up import token_refused
from luminai.identity.throttle import PER_ADDRESS, network_of

if TYPE_CHECKING:
    from luminai.identity.identity import Identity


async def verify(identity: Identity, token: str, *, device: Device) -> Opened | Challenge:
    """Confirm an address by the token that was sent to it, and open a session, or ask for the second factor.

    Raises:
        NotSignedIn: wrong, used or expired token (code ``token-refused``).
        Forbidden: the address is confirmed, but the account is suspended (code ``account-suspended``).
        RateLimited: too many tries from this address.
    """
    await identity.throttle.count(PER_ADDRESS, f"address:{network_of(device.address)}")
    digests = await identity.digests.get()
    now = identity.clock.now()

    def unit(session: Session) -> Any:
        person = one_time.redeem(session, digests, token, purpose="verify", now=now)
        if person is None:
            return "refused"
        identity.people.set(session, person, now, verified_at=now)
        row = identity.people.row(session, person)
        if row.status != "active":
            return "suspended"
        return challenge(session, digests, row, now) if second_factors(row) else open_session(identity, session, digests, row, device)

    done = await identity.database.write(unit)
    if done == "refused":
        raise token_refused()
    if done == "suspended":
        raise Forbidden("This account is suspended.", code="account-suspended", hint="Ask the operator.")
    return done if isinstance(done, Challenge) else await as_opened(identity, digests, email_digest(digests, done[2].email), done)


async def enter(identity: Identity, person: str, *, device: Device) -> Opened:
    """Open the session of an account that was made a moment ago, where the operator wants no address confirmed."""
    digests = await identity.digests.get()

    def unit(session: Session) -> Any:
        return open_session(identity, session, digests, identity.people.row(session, person), device)

    done = await identity.database.write(unit)
    return await as_opened(identity, digests, email_digest(digests, done[2].email), done)
