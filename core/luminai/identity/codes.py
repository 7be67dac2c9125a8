"""A code of any of a person's second factors."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from luminai.identity import one_time, totp
from luminai.identity.digests import Digests
from luminai.identity.second_factor import take_recovery_code

if TYPE_CHECKING:
    from luminai.identity.identity import Identity


def use_code(identity: Identity, session: Session, digests: Digests, row: Any, code: str, now: datetime) -> bool:
    """Use a code of the app, one that was sent, or a recovery code up; tell whether it held.

    The try must have been counted before, in a unit of its own; this unit must be committed also where the code does not hold.
    """
    if not (code.isascii() and code.isdigit()):
        return take_recovery_code(session, digests, row.id, code)
    if row.totp_secret is not None and totp.use_step(identity, session, row, code, now):
        return True
    return row.phone is not None and one_time.take_code(session, digests, person=row.id, purpose="sms", code=code, now=now)
