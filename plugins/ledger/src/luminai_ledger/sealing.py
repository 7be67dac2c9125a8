"""Seals: a digest over each stretch of history, chained, and told to the hub's audit tree, whose signed checkpoints leave the machine.

Nothing waits for it: transfers are written without a seal, and sealed later. On PostgreSQL several processes write, and a smaller number may become
visible after a larger one. So a horizon is taken first: the counter's value, and then, in a later transaction, the next transaction id. Who drew a
number up to the horizon had locked accounts before, and with that had a smaller transaction id: when no such transaction runs any more, everything
up to the horizon is there.
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import Any, Final

import msgspec
from sqlalchemy import Select, func, insert, select, text
from sqlalchemy.orm import Session

from luminai import AuditEntry, PluginContext
from luminai_ledger.models import seals, transfers
from luminai_ledger.moments import micros

STRETCH: Final = 50_000
"""Transfers under one seal, at most."""
EMPTY: Final = bytes(32)
ACTOR: Final = "ledger"
_LAST: Final = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM ledger__transfers_seq_seq"
_NEXT_TRANSACTION: Final = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
_OLDEST_TRANSACTION: Final = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
_PATIENCE: Final = 20.0


def history(first: int, last: int | None = None) -> Select[Any]:
    """Return the query for all columns of transfers from ``first`` to ``last`` in their order, which is the order of a digest."""
    query = select(transfers).where(transfers.c.seq >= first).order_by(transfers.c.seq)
    return query if last is None else query.where(transfers.c.seq <= last)


class Digest:
    """The running digest of one seal.

    Args:
        before: Digest of the seal before, ``EMPTY`` for the first.
    """

    def __init__(self, before: bytes) -> None:
        self._hash = sha256(b"luminai ledger seal 1\n" + before)
        self.count = 0

    def add(self, row: Any) -> None:
        """Take a transfer."""
        self._hash.update(msgspec.msgpack.encode(tuple(row)))
        self.count += 1

    def value(self) -> bytes:
        """Return the digest of what was taken."""
        return self._hash.digest()


async def seal(ctx: PluginContext) -> int:
    """Seal what is not sealed and cannot be preceded any more; return the number of new seals."""
    database = ctx.db.as_system()
    horizon = await _horizon(ctx)
    made = 0
    while True:
        newest = await database.read(lambda session: session.execute(select(seals).order_by(seals.c.id.desc()).limit(1)).first())
        first, number, before = (1, 1, EMPTY) if newest is None else (newest.last_seq + 1, newest.id + 1, bytes(newest.digest))
        digest, last = Digest(before), 0
        async for row in database.stream(history(first, horizon).limit(STRETCH)):
            digest.add(row)
            last = row.seq
        if not digest.count:
            return made
        values = {"id": number, "first_seq": first, "last_seq": last, "count": digest.count, "digest": digest.value()}

        def unit(session: Session, values: dict[str, Any] = values) -> bool:
            if session.execute(select(func.coalesce(func.max(seals.c.id), 0))).scalar_one() != values["id"] - 1:
                return False  # somebody else sealed meanwhile: what is left is looked for anew
            line = f"seal:{values['id']}:{values['first_seq']}-{values['last_seq']}:{values['digest'].hex()}"
            entry = AuditEntry(action="ledger.seal", object=line, detail={"transfers": values["count"]}, retention="7y")
            session.execute(insert(seals).values(**values, audit_entry=ctx.audit(session, ACTOR, entry), at=micros(ctx.clock.now())))
            return True

        made += await database.write(unit)


async def _horizon(ctx: PluginContext) -> int:
    """Return a number below which no transfer can appear any more; 0 while an old transaction does not end."""
    database = ctx.db.as_system()
    if database.dialect == "sqlite":  # one writer: what is visible is in order
        return await database.read(lambda session: session.execute(select(func.coalesce(func.max(transfers.c.seq), 0))).scalar_one())
    horizon: int = await database.read(lambda session: session.execute(text(_LAST)).scalar_one())
    following: int = await database.read(lambda session: session.execute(text(_NEXT_TRANSACTION)).scalar_one())
    until = ctx.clock.monotonic() + _PATIENCE
    while await database.read(lambda session: session.execute(text(_OLDEST_TRANSACTION)).scalar_one()) < following:
        if ctx.clock.monotonic() > until:
            return 0
        await asyncio.sleep(0.05)
    return horizon
