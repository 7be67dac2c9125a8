"""How often somebody may try: counted before the try, in one statement of the database, so that parallel tries in any number of processes are exact.

The rule is GCRA, a leaky bucket kept as one number: the moment at which the whole burst is there again.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Final
from weakref import WeakValueDictionary

from msgspec import Struct
from sqlalchemy import case, delete, select
from sqlalchemy.orm import Session

from luminai.contracts.context import Clock, Database
from luminai.contracts.errors import RateLimited
from luminai.data.tables_people import throttles
from luminai.data.upsert import insert_for

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Rate(Struct, frozen=True):
    """``burst`` tries at once; one more every ``seconds / burst``."""

    burst: int
    seconds: int


PER_ACCOUNT: Final = Rate(5, 900)
PER_ADDRESS: Final = Rate(20, 60)
CODES: Final = Rate(10, 3600)
"""Six-digit codes an account, over all its challenges."""
MESSAGES: Final = Rate(3, 1800)
"""Short messages to a person, and to a number: each costs the operator money."""
IDENTITY_CHECKS: Final = Rate(5, 86_400)
IDENTITY_LOOKS: Final = Rate(30, 3600)


class Throttle:
    """Counts tries. What is counted is stored as a digest, since it may be an address."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._db = database
        self._clock = clock
        self._lines: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    async def count(self, rate: Rate, what: str) -> None:
        """Count a try; the count stays, whatever becomes of the try.

        Raises:
            RateLimited: too many (code ``too-many-tries``); this one is not counted, so waiting helps even while somebody else goes on.
        """
        digest = hashlib.sha256(what.encode()).digest()
        now = (self._clock.now() - _EPOCH) // timedelta(microseconds=1)
        step = rate.seconds * 1_000_000 // rate.burst
        room = now + (rate.burst - 1) * step

        def unit(session: Session) -> int | None:
            statement = insert_for(session)(throttles).values(digest=digest, full_at=now + step)
            before = throttles.c.full_at
            following = case((before > now, before), else_=now) + step
            counted = statement.on_conflict_do_update(index_elements=["digest"], set_={"full_at": following}, where=before <= room)
            if session.execute(counted.returning(throttles.c.full_at)).first() is not None:
                return None
            return int(session.execute(select(before).where(throttles.c.digest == digest)).scalar_one())

        # The statement locks the row, also one that it leaves as it is; serializable, fifty of one bucket would run again and again until their time
        # is up. Those of this process stand in line before they take a connection.
        async with self._lines.setdefault(digest, asyncio.Lock()):
            full_at = await self._db.write(unit, isolation="read-committed")
        if full_at is not None:
            wait = (full_at - room) / 1_000_000
            raise RateLimited("Too many tries.", code="too-many-tries", hint=f"Try again in {max(1, round(wait))} s.", retry_after=wait)

    async def forget(self, what: str) -> None:
        """Give the whole burst back: somebody has shown that the tries were his."""
        digest = hashlib.sha256(what.encode()).digest()

        def unit(session: Session) -> None:
            session.execute(delete(throttles).where(throttles.c.digest == digest))

        await self._db.write(unit)

    def tidy(self, session: Session) -> None:
        """Forget buckets that are full again."""
        session.execute(delete(throttles).where(throttles.c.full_at < (self._clock.now() - _EPOCH) // timedelta(microseconds=1)))


def network_of(address: str) -> str:
    """Return whom to count for an IP address: itself, and for IPv6 the /64, of which one customer has all addresses."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)
