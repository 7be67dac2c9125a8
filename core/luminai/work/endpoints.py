"""Outbound webhooks as their owners see them: where events are sent, with which secret, and what came of it."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from luminai.audit.log import AuditLog
from luminai.contracts.audit import AuditEntry
from luminai.contracts.context import Clock, Database
from luminai.contracts.errors import Conflict, HubError, NotFound
from luminai.contracts.identity import Actor
from luminai.contracts.vault import Vault
from luminai.data.ids import new_id
from luminai.data.tables_endpoints import endpoint_calls, endpoint_types, endpoints

MAX_ENDPOINTS: Final = 20
OVERLAP: Final = timedelta(hours=24)
KEEP: Final = timedelta(days=30)
KEPT_CALLS: Final = 500
_PREFIX: Final = "whsec_"
_SECRET_BYTES: Final = 32


class EndpointInfo(Struct, frozen=True, kw_only=True):
    """An endpoint without its secret.

    Attributes:
        subject: Whose it is; with ``everyone`` it gets everybody's events, else those in that one's name or about that one.
        types: Full names of event types, or ``*``.
        state: active, or disabled with its ``reason``.
        failures: Attempts that failed in a row.
        old_secret_until: Until then messages are also signed with the secret before.
    """

    id: str
    subject: str
    everyone: bool
    url: str
    title: str
    types: list[str]
    state: str
    reason: str
    failures: int
    old_secret_until: datetime | None
    created_at: datetime
    worked_at: datetime | None


class CallInfo(Struct, frozen=True, kw_only=True):
    """An attempt. ``status`` is 0 where there was no answer; ``answer`` its first 500 bytes as text; ``message`` the event's id."""

    id: str
    message: str
    type: str
    attempt: int
    began_at: datetime
    milliseconds: int
    status: int
    error: str
    answer: str


class Endpoints:
    """Endpoints of people and operators. With ``subject`` only that one's are there."""

    def __init__(self, database: Database, vault: Vault, clock: Clock, audit: AuditLog) -> None:
        self._db = database
        self._vault = vault
        self._clock = clock
        self._audit = audit

    async def create(self, *, url: str, title: str, types: Sequence[str], everyone: bool, by: Actor) -> tuple[EndpointInfo, str]:
        """Make one for ``by``; return it with its secret, which is not shown again.

        Raises:
            Conflict: its owner has 20 already (code ``too-many-endpoints``).
        """
        endpoint, secret = new_id("end"), new_secret()

        def unit(session: Session) -> EndpointInfo:
            mine = select(func.count()).select_from(endpoints).where(endpoints.c.subject == by.subject)
            if session.execute(mine).scalar_one() >= MAX_ENDPOINTS:
                hint = "Delete one that is no longer used."
                raise Conflict(f"There are {MAX_ENDPOINTS} endpoints already.", code="too-many-endpoints", hint=hint)
            row = {"id": endpoint, "subject": by.subject, "everyone": everyone, "url": url, "title": title, "created_at": self._clock.now()}
            row |= {"state": "active", "reason": "", "failures": 0, "secret": self._sealed(session, by.subject, endpoint, secret)}
            session.execute(insert(endpoints).values(**row))
            session.execute(insert(endpoint_types), [{"endpoint": endpoint, "type": name} for name in dict.fromkeys(types)])
            self._told(session, by, "endpoint.create", endpoint, everyone=everyone, types=list(types))
            return _info(session, _row(session, endpoint, by.subject))

        return await self._db.write(unit), secret

    async def page(self, *, subject: str | None, limit: int, before: str | None) -> list[EndpointInfo]:
        """Return endpoints, newest first."""
        query = select(endpoints).order_by(endpoints.c.id.desc()).limit(limit)
        query = query.where(endpoints.c.subject == subject) if subject is not None else query
        query = query.where(endpoints.c.id < before) if before else query
        return await self._db.read(lambda session: [_info(session, row) for row in session.execute(query).all()])

    async def find(self, endpoint: str, *, subject: str | None) -> EndpointInfo:
        """Return one.

        Raises:
            NotFound: there is none, or it is somebody else's (code ``endpoint-not-found``).
        """
        return await self._db.read(lambda session: _info(session, _row(session, endpoint, subject)))

    async def rotate(self, endpoint: str, *, by: Actor) -> tuple[EndpointInfo, str]:
        """Give one of one's own another secret and return that; for a day both sign. Raises as ``find`` does."""
        secret = new_secret()

        def change(session: Session, row: Any) -> None:
            old = self._vault.open(session, subject=row.subject, place=place("secret", endpoint), sealed=bytes(row.secret))
            kept = self._vault.seal(session, subject=row.subject, place=place("old_secret", endpoint), value=old)
            values = {"secret": self._sealed(session, row.subject, endpoint, secret), "old_secret": kept, "old_until": self._clock.now() + OVERLAP}
            session.execute(update(endpoints).where(endpoints.c.id == endpoint).values(**values))

        return await self._change(endpoint, by.subject, by, "endpoint.rotate", change), secret

    async def set_state(self, endpoint: str, state: str, *, subject: str | None, by: Actor, reason: str = "") -> EndpointInfo:
        """Turn one on or off. Raises as ``find`` does."""

        def change(session: Session, _: Any) -> None:
            values = {"state": state, "reason": reason, "failures": 0}
            session.execute(update(endpoints).where(endpoints.c.id == endpoint).values(**values))

        return await self._change(endpoint, subject, by, "endpoint.enable" if state == "active" else "endpoint.turn-off", change)

    async def delete(self, endpoint: str, *, subject: str | None, by: Actor) -> None:
        """Delete one with what is known of its calls. Raises as ``find`` does."""

        def unit(session: Session) -> None:
            _row(session, endpoint, subject)
            forget(session, endpoint)
            self._told(session, by, "endpoint.delete", endpoint)

        await self._db.write(unit)

    async def calls(self, endpoint: str, *, subject: str | None, limit: int, before: str | None) -> list[CallInfo]:
        """Return the attempts of one, newest first. Raises as ``find`` does."""
        query = select(endpoint_calls).where(endpoint_calls.c.endpoint == endpoint).order_by(endpoint_calls.c.id.desc()).limit(limit)
        query = query.where(endpoint_calls.c.id < before) if before else query

        def unit(session: Session) -> list[CallInfo]:
            owner = _row(session, endpoint, subject).subject
            return [self._call(session, owner, row) for row in session.execute(query).all()]

        return await self._db.read(unit)

    async def disabled(self, *, limit: int) -> list[EndpointInfo]:
        """Return those that the hub turned off."""
        query = select(endpoints).where(endpoints.c.state == "disabled").order_by(endpoints.c.id).limit(limit)
        return await self._db.read(lambda session: [_info(session, row) for row in session.execute(query).all()])

    async def prune(self) -> None:
        """Forget calls of 30 days ago."""
        old = self._clock.now() - KEEP

        def unit(session: Session) -> None:
            some = select(endpoint_calls.c.id).where(endpoint_calls.c.began_at < old).limit(5000)
            session.execute(delete(endpoint_calls).where(endpoint_calls.c.id.in_(some)))

        await self._db.write(unit)

    async def _change(self, endpoint: str, subject: str | None, by: Actor, action: str, change: Callable[[Session, Any], None]) -> EndpointInfo:
        def unit(session: Session) -> EndpointInfo:
            change(session, _row(session, endpoint, subject))
            self._told(session, by, action, endpoint)
            return _info(session, _row(session, endpoint, subject))

        return await self._db.write(unit)

    def _told(self, session: Session, by: Actor, action: str, endpoint: str, **detail: Any) -> None:
        self._audit.record(session, by, AuditEntry(action=action, object=endpoint, detail=detail))

    def _sealed(self, session: Session, subject: str, endpoint: str, secret: str) -> bytes:
        return self._vault.seal(session, subject=subject, place=place("secret", endpoint), value=secret.encode())

    def _call(self, session: Session, owner: str, row: Any) -> CallInfo:
        same = {name: getattr(row, name) for name in CallInfo.__struct_fields__ if name != "answer"}
        try:
            raw = self._vault.open(session, subject=owner, place=call_place(row.id), sealed=bytes(row.answer)) if row.answer else b""
        except HubError:
            raw = b""
        return CallInfo(**same, answer=raw.decode("utf-8", "replace"))


def new_secret() -> str:
    """Return a new secret in the form of Standard Webhooks: ``whsec_`` and 32 bytes in base64."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """Return the bytes of a secret."""
    return base64.b64decode(secret.removeprefix(_PREFIX))


def place(column: str, endpoint: str) -> str:
    """Return what the vault binds an endpoint's secret to."""
    return f"{endpoints.name}.{column}:{endpoint}"


def call_place(call: str) -> str:
    """Return what the vault binds the beginning of an answer to."""
    return f"{endpoint_calls.name}.answer:{call}"


def forget(session: Session, endpoint: str) -> None:
    """Delete an endpoint with all that belongs to it."""
    session.execute(delete(endpoint_calls).where(endpoint_calls.c.endpoint == endpoint))
    session.execute(delete(endpoint_types).where(endpoint_types.c.endpoint == endpoint))
    session.execute(delete(endpoints).where(endpoints.c.id == endpoint))


def _info(session: Session, row: Any) -> EndpointInfo:
    types = session.execute(select(endpoint_types.c.type).where(endpoint_types.c.endpoint == row.id).order_by(endpoint_types.c.type)).scalars()
    same = ("id", "subject", "everyone", "url", "title", "state", "reason", "failures", "created_at", "worked_at")
    return EndpointInfo(**{name: getattr(row, name) for name in same}, types=list(types), old_secret_until=row.old_until)


def _row(session: Session, endpoint: str, subject: str | None) -> Any:
    query = select(endpoints).where(endpoints.c.id == endpoint)
    row = session.execute(query if subject is None else query.where(endpoints.c.subject == subject)).first()
    if row is None:
        raise NotFound(f"There is no endpoint {endpoint}.", code="endpoint-not-found", hint="`luminai endpoints list` shows them.")
    return row
