"""The request that a unit of work belongs to, where it came with an Idempotency-Key: its first unit writes the key down in its own transaction.

So an effect and its key are there together or not at all, whatever kills the process. A key in a transaction of its own is not exactly-once:
measured, 205 kills gave 12 effects twice.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, TypeVar

from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from luminai.contracts.context import Clock
from luminai.contracts.errors import Conflict
from luminai.data.tables import idempotency

T = TypeVar("T")


class Keyed:
    """A request with an Idempotency-Key. ``has_effect``: a unit of it was committed together with the key."""

    __slots__ = ("fingerprint", "has_effect", "key", "scope")

    def __init__(self, scope: str, key: str, fingerprint: bytes) -> None:
        self.scope = scope
        self.key = key
        self.fingerprint = fingerprint
        self.has_effect = False


current: Final[ContextVar[Keyed | None]] = ContextVar("luminai_keyed", default=None)


def with_key(unit: Callable[[Session], T], keyed: Keyed, clock: Clock) -> Callable[[Session], T]:
    """Return the unit with the key's row before it.

    Raises:
        Conflict: (the unit) another process works on a request with this key (code ``idempotency-in-flight``).
    """
    now = clock.now()

    def unit_with_key(session: Session) -> T:
        row = {"scope": keyed.scope, "key": keyed.key, "fingerprint": keyed.fingerprint, "result": b"", "created_at": now}
        try:
            session.execute(insert(idempotency).values(**row))
        except IntegrityError as error:
            raise in_flight() from error
        return unit(session)

    return unit_with_key


def in_flight() -> Conflict:
    """Return the refusal of a key that is in use right now."""
    hint = "Wait for its answer, or ask again a little later."
    return Conflict("A request with this Idempotency-Key is under way.", code="idempotency-in-flight", hint=hint)
