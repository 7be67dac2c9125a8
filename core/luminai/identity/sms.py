"""A telephone as a second factor: a code of six digits that holds once, for five minutes and five tries.

Weaker than an app, for numbers are stolen and messages are read on the way (NIST SP 800-63B, 5.1.3.3); where a person has both, the app is preferred.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from sqlalchemy.orm import Session

from luminai.contracts.errors import Conflict, HubError, InvalidInput, NotFound, NotSignedIn, Unavailable
from luminai.contracts.identity import Actor, step_up
from luminai.contracts.sms import SMS_POINT, ShortMessage
from luminai.data.ids import new_id
from luminai.identity import one_time
from luminai.identity.one_time import LIFETIMES, CodePurpose
from luminai.identity.people import second_factors
from luminai.identity.second_factor import code_refused, factor_changed, make_recovery_codes, turn_off
from luminai.identity.throttle import CODES, MESSAGES, PER_ADDRESS, network_of

if TYPE_CHECKING:
    from luminai.identity.identity import Identity

_log = logging.getLogger("luminai.identity")
_SHOWN_DIGITS: Final = 2


class CodeSent(Struct, frozen=True):
    """A code is on its way to the number that ends in ``ending``; it holds for ``expires_in`` seconds."""

    ending: str
    expires_in: int


async def enrol(identity: Identity, actor: Actor, number: str) -> CodeSent:
    """Send a first code to a number, which counts once that is confirmed; one that is in use stays in use.

    Raises:
        Forbidden: the person has to authenticate again.
        NotFound, RateLimited, Unavailable, InvalidInput: as for ``send``.
    """
    step_up(actor)
    now = identity.clock.now()

    def unit(session: Session) -> None:
        row = identity.people.row(session, actor.subject)
        sealed = identity.people.seal(session, row.id, "phone_pending", number.encode())
        identity.people.set(session, row.id, now, phone_pending=sealed)

    _require_transport(identity)
    await identity.database.write(unit)
    return await _send(identity, actor.subject, "sms-enrol")


async def confirm(identity: Identity, actor: Actor, code: str) -> list[str]:
    """Turn the number on by its first code and end the person's other sessions. Returns recovery codes where this is the first factor.

    Raises:
        Forbidden: the person has to authenticate again.
        Conflict: nothing waits to be confirmed (code ``nothing-to-confirm``).
        NotSignedIn: the code does not hold (code ``code-refused``). RateLimited: too many codes within the hour.
    """
    step_up(actor)
    digests = await identity.digests.get()
    await identity.throttle.count(CODES, f"codes:{actor.subject}")
    now = identity.clock.now()

    def unit(session: Session) -> list[str] | None:
        row = identity.people.row(session, actor.subject)
        if row.phone_pending is None:
            raise Conflict("No number waits to be confirmed.", code="nothing-to-confirm", hint="POST /api/auth/sms/enrol first.")
        if not one_time.take_code(session, digests, person=row.id, purpose="sms-enrol", code=code, now=now):
            return None
        sealed = identity.people.seal(session, row.id, "phone", identity.people.open(session, row, "phone_pending"))
        identity.people.set(session, row.id, now, phone=sealed, phone_pending=None)
        factor_changed(identity, session, actor, row, "sms.enable")
        return [] if second_factors(row) else make_recovery_codes(session, digests, row.id)

    codes = await identity.database.write(unit)
    if codes is None:
        raise code_refused()
    return codes


async def disable(identity: Identity, actor: Actor) -> None:
    """Forget the number and end the person's other sessions. Re-authentication has asked for a code.

    Raises:
        Forbidden: the person has to authenticate again.
        Conflict: there is none (code ``no-second-factor``).
    """
    columns = ("phone", "phone_pending")
    await turn_off(identity, actor, columns, other="totp_secret", action="sms.disable", missing="There is no telephone number.")


async def send(identity: Identity, person: str) -> CodeSent:
    """Send a code to the number of somebody who is signed in.

    Raises:
        Conflict: the person has no number (code ``no-second-factor``).
        NotFound: no plugin carries messages (code ``no-sms``).
        RateLimited: three messages at once, and one more every ten minutes, for a person and for a number.
        Unavailable: the message was not taken (code ``sms-not-sent``). InvalidInput: the number does not exist (code ``bad-number``).
    """
    return await _send(identity, person, "sms")


async def send_for_challenge(identity: Identity, mfa_token: str, *, address: str) -> CodeSent:
    """Send a code to somebody whose password was right.

    Raises:
        NotSignedIn: the challenge is unknown, spent or expired (code ``challenge-refused``).
        Conflict, NotFound, RateLimited, Unavailable, InvalidInput: as for ``send``.
    """
    await identity.throttle.count(PER_ADDRESS, f"address:{network_of(address)}")
    digests, now = await identity.digests.get(), identity.clock.now()
    person = await identity.database.read(lambda session: one_time.holder(session, digests, mfa_token, purposes=("mfa",), now=now))
    if person is None:
        raise NotSignedIn("The challenge is spent or expired.", code="challenge-refused", hint="Sign in with the password again.")
    return await _send(identity, person, "sms")


async def _send(identity: Identity, person: str, purpose: CodePurpose) -> CodeSent:
    column = "phone" if purpose == "sms" else "phone_pending"
    _require_transport(identity)

    def look(session: Session) -> str:
        row = identity.people.row(session, person)
        if getattr(row, column) is None:
            raise Conflict("There is no telephone number.", code="no-second-factor", hint="POST /api/auth/sms/enrol first.")
        return identity.people.open(session, row, column).decode()

    number = await identity.database.read(look)
    digests, now = await identity.digests.get(), identity.clock.now()
    await identity.throttle.count(MESSAGES, f"sms:{person}")
    await identity.throttle.count(MESSAGES, f"sms-number:{digests.text('sms-number', number)}")
    code = await identity.database.write(lambda session: one_time.issue_code(session, digests, person=person, purpose=purpose, now=now))
    lifetime = LIFETIMES[purpose]
    minutes = int(lifetime.total_seconds()) // 60
    text = f"{code} is your code for {identity.letters.address}. It holds for {minutes} minutes. Give it to nobody."
    await _hand_over(identity, ShortMessage(id=new_id("sms"), to=number, text=text))
    return CodeSent(number[-_SHOWN_DIGITS:], int(lifetime.total_seconds()))


async def _hand_over(identity: Identity, message: ShortMessage) -> None:
    with identity.lend(SMS_POINT) as transport:
        if transport is None:
            raise _no_sms()
        try:
            await transport.send(message)
        except InvalidInput as error:
            raise InvalidInput("No message can be sent to that number.", code="bad-number", hint="Write it as in +41791234567.") from error
        except Exception as error:  # plugin code may raise anything
            _log.warning("sms.failed", extra={"sms": message.id, "reason": _said(error)})
            hint = "Try again in a minute, or use the app or a recovery code."
            raise Unavailable("The message could not be sent.", code="sms-not-sent", hint=hint, retry_after=60) from error


def _require_transport(identity: Identity) -> None:
    with identity.lend(SMS_POINT) as transport:
        if transport is None:
            raise _no_sms()


def _no_sms() -> NotFound:
    hint = "Use an authenticator app: POST /api/auth/totp/enrol. Where a number is enrolled already, a recovery code is taken too."
    return NotFound("No plugin that runs here carries short messages.", code="no-sms", hint=hint)


def _said(error: Any) -> str:
    """Return which error it was; its words may hold the number."""
    return error.code if isinstance(error, HubError) else type(error).__name__
