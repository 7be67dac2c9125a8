"""Messages to endpoints: who gets an event, what is sent and signed, and what an attempt means for the endpoint. Plain functions of a ``Session``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import bindparam, delete, insert, or_, select, update
from sqlalchemy.orm import Session

from luminai.contracts.vault import Vault
from luminai.data.event_log import Published
from luminai.data.ids import new_id
from luminai.data.prepared import Prepared
from luminai.data.tables_endpoints import endpoint_calls, endpoint_types, endpoints
from luminai.work.endpoints import KEPT_CALLS, call_place, key_of, place

PING: Final = "hub.ping"
DISABLE_AFTER: Final = 20
"""Attempts in a row that failed, over all messages; a single message makes at most 15."""
ANSWER_BYTES: Final = 500
_ENDPOINT: Final = select(endpoints).where(endpoints.c.id == bindparam("of"))
_WANTED: Final = Prepared(
    select(endpoints.c.id, endpoints.c.subject)
    .join(endpoint_types, endpoint_types.c.endpoint == endpoints.c.id)
    .where(
        endpoint_types.c.type.in_([bindparam("type"), "*"]),
        endpoints.c.state == "active",
        or_(endpoints.c.everyone.is_(True), endpoints.c.subject.in_([bindparam("owner"), bindparam("about")])),
    )
    .distinct()
    .limit(500)
)


class Message(Struct, frozen=True, kw_only=True):
    """What is sent: ``body`` is signed as it is."""

    id: str
    type: str
    body: bytes


class Receiver(Struct, frozen=True, kw_only=True):
    """Where a message goes, and the keys that sign it, newest first."""

    id: str
    subject: str
    everyone: bool
    url: str
    is_active: bool
    keys: tuple[bytes, ...]


class Call(Struct, frozen=True, kw_only=True):
    """An attempt that is over; ``status`` is 0 where there was no answer."""

    attempt: int
    began_at: datetime
    milliseconds: int
    status: int = 0
    error: str = ""
    answer: bytes = b""

    @property
    def went_well(self) -> bool:
        """Whether the endpoint took the message."""
        return 200 <= self.status < 300


def wanted_by(session: Session, event: Published) -> list[tuple[str, str]]:
    """Return the endpoints that get an event, with their subjects."""
    rows = _WANTED.rows(session, {"type": event.type, "owner": event.owner or "-", "about": event.subject or "-"})
    return [(row.id, row.subject) for row in rows]


def message_of(event: Published) -> Message:
    """Return an event as it is sent: ``{"type", "timestamp", "data", …}`` as Standard Webhooks has it."""
    head = {"id": event.id, "type": event.type, "version": event.version, "timestamp": event.at, "subject": event.subject}
    return Message(id=event.id, type=event.type, body=msgspec.json.encode({**head, "data": msgspec.Raw(event.payload)}))


def ping(message: str, now: datetime) -> Message:
    """Return a message that only tells whether the endpoint works."""
    return Message(id=message, type=PING, body=msgspec.json.encode({"id": message, "type": PING, "timestamp": now, "data": {}}))


def receiver(session: Session, vault: Vault, endpoint: str, now: datetime) -> Receiver | None:
    """Return an endpoint with its keys, None when it is gone."""
    row = session.execute(_ENDPOINT, {"of": endpoint}).first()
    if row is None:
        return None
    sealed: dict[str, Any] = {"secret": row.secret}
    if row.old_until is not None and row.old_until > now:
        sealed["old_secret"] = row.old_secret
    keys = [vault.open(session, subject=row.subject, place=place(column, row.id), sealed=bytes(value)) for column, value in sealed.items()]
    return Receiver(
        id=row.id,
        subject=row.subject,
        everyone=row.everyone,
        url=row.url,
        is_active=row.state == "active",
        keys=tuple(key_of(key.decode()) for key in keys),
    )


def note(session: Session, vault: Vault, to: Receiver, message: Message, call: Call) -> int:
    """Write an attempt down, and return how many failed in a row."""
    call_id = new_id("whc")
    answer = vault.seal(session, subject=to.subject, place=call_place(call_id), value=call.answer[:ANSWER_BYTES]) if call.answer else None
    row: Mapping[str, Any] = {
        "id": call_id,
        "endpoint": to.id,
        "message": message.id,
        "type": message.type,
        "answer": answer,
    }
    how = {"attempt": call.attempt, "began_at": call.began_at, "milliseconds": call.milliseconds, "status": call.status, "error": call.error[:300]}
    session.execute(insert(endpoint_calls).values(**row, **how))
    oldest = select(endpoint_calls.c.id).where(endpoint_calls.c.endpoint == to.id).order_by(endpoint_calls.c.id.desc()).offset(KEPT_CALLS).limit(1)
    if (last := session.execute(oldest).scalar()) is not None:
        session.execute(delete(endpoint_calls).where(endpoint_calls.c.endpoint == to.id, endpoint_calls.c.id <= last))
    values: dict[str, Any] = {"failures": 0, "worked_at": call.began_at} if call.went_well else {"failures": endpoints.c.failures + 1}
    session.execute(update(endpoints).where(endpoints.c.id == to.id).values(**values))
    return int(session.execute(select(endpoints.c.failures).where(endpoints.c.id == to.id)).scalar() or 0)


def disable(session: Session, endpoint: str, reason: str) -> bool:
    """Turn an endpoint off, and tell whether it was on."""
    mine = (endpoints.c.id == endpoint) & (endpoints.c.state == "active")
    result: Any = session.execute(update(endpoints).where(mine).values(state="disabled", reason=reason[:300]))
    return bool(result.rowcount)
