"""The preferred second factor: codes of an authenticator app (RFC 6238: SHA-1, 6 digits, 30 s).

A code of the current or the previous step holds, each step once.
"""

from __future__ import annotations

import base64
import secrets
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from sqlalchemy.orm import Session

from luminai.contracts.errors import Conflict
from luminai.contracts.identity import Actor, step_up
from luminai.identity.second_factor import code_refused, factor_changed, make_recovery_codes, turn_off
from luminai.identity.throttle import CODES

if TYPE_CHECKING:
    from luminai.identity.identity import Identity

STEP_SECONDS: Final = 30
_SECRET_BYTES: Final = 20


class Enrolment(Struct, frozen=True):
    """What the authenticator app needs: the secret in base32, and the same as a URI for a QR code."""

    secret: str
    uri: str


async def enrol(identity: Identity, actor: Actor) -> Enrolment:
    """Make a secret that waits to be confirmed; an earlier one that waits is void, one that is in use stays in use.

    Raises:
        Forbidden: the person has to authenticate again.
    """
    import pyotp

    step_up(actor)
    now, raw = identity.clock.now(), secrets.token_bytes(_SECRET_BYTES)

    def unit(session: Session) -> str:
        row = identity.people.row(session, actor.subject)
        sealed = identity.people.seal(session, row.id, "totp_pending", raw)
        identity.people.set(session, row.id, now, totp_pending=sealed)
        return identity.people.profile(session, row).email

    email = await identity.database.write(unit)
    secret = base64.b32encode(raw).decode()
    return Enrolment(secret, pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name="LuminAI"))


async def confirm(identity: Identity, actor: Actor, code: str) -> list[str]:
    """Turn the second factor on with a first code, end the person's other sessions, and return the recovery codes, which are shown this once.

    Raises:
        Forbidden: the person has to authenticate again.
        Conflict: nothing waits to be confirmed (code ``nothing-to-confirm``).
        NotSignedIn: the code does not hold (code ``code-refused``).
        RateLimited: too many codes within the hour.
    """
    step_up(actor)
    digests = await identity.digests.get()
    await identity.throttle.count(CODES, f"codes:{actor.subject}")
    now = identity.clock.now()

    def unit(session: Session) -> list[str] | None:
        row = identity.people.row(session, actor.subject)
        if row.totp_pending is None:
            raise Conflict("No second factor waits to be confirmed.", code="nothing-to-confirm", hint="POST /api/auth/totp/enrol first.")
        raw = identity.people.open(session, row, "totp_pending")
        step = _step_of(raw, code, now, after=0)
        if step is None:
            return None
        sealed = identity.people.seal(session, row.id, "totp_secret", raw)
        identity.people.set(session, row.id, now, totp_secret=sealed, totp_pending=None, totp_last_step=step)
        factor_changed(identity, session, actor, row, "totp.enable")
        return make_recovery_codes(session, digests, row.id)

    codes = await identity.database.write(unit)
    if codes is None:
        raise code_refused()
    return codes


async def disable(identity: Identity, actor: Actor) -> None:
    """Turn the app off and end the person's other sessions. Re-authentication has asked for a code.

    Raises:
        Forbidden: the person has to authenticate again.
        Conflict: there is none (code ``no-second-factor``).
    """
    columns = ("totp_secret", "totp_pending")
    await turn_off(identity, actor, columns, other="phone", action="totp.disable", missing="There is no authenticator app.")


def use_step(identity: Identity, session: Session, row: Any, code: str, now: datetime) -> bool:
    """Use a code of the app up; tell whether it held."""
    step = _step_of(identity.people.open(session, row, "totp_secret"), code, now, after=row.totp_last_step)
    if step is None:
        return False
    identity.people.set(session, row.id, now, totp_last_step=step)
    return True


def _step_of(raw: bytes, code: str, now: datetime, *, after: int) -> int | None:
    """Return the step whose code this is, the current or the one before, if it is later than ``after``."""
    import pyotp

    generator = pyotp.TOTP(base64.b32encode(raw).decode())
    current = int(now.timestamp()) // STEP_SECONDS
    held = [step for step in (current, current - 1) if secrets.compare_digest(generator.generate_otp(step), code) and step > after]
    return held[0] if held else None
