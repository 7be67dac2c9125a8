"""``Idempotency-Key`` on every unsafe route (draft-ietf-httpapi-idempotency-key-header): one effect, and the same answer again.

The key's row is written by the first unit of work of the request, in its transaction (``data/keyed.py``); the answer follows before it leaves the
hub. A process that dies in between leaves a key without an answer: the effect is not done again, and the client is told that the answer is lost.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import timedelta
from typing import Any, Final

import msgspec
from litestar import Response
from msgspec import Struct
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from luminai.contracts.context import Clock
from luminai.contracts.errors import Conflict, InvalidInput, Unprocessable
from luminai.contracts.vault import HUB_SUBJECT, Vault
from luminai.data.database import HubDatabase
from luminai.data.keyed import Keyed, current, in_flight
from luminai.data.tables import idempotency
from luminai.http.requests import RequestState

_log = logging.getLogger("luminai.http")
KEPT: Final = timedelta(hours=24)
MAX_KEPT: Final = 256 * 1024
PLACE: Final = "core__idempotency.result"
_OF_THE_MOMENT: Final = frozenset({b"content-length", b"date", b"ratelimit", b"ratelimit-policy", b"set-cookie"})


class _Answer(Struct, array_like=True):
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class KeyedRequest:
    """A request with a key, from the guard to the end of its answer."""

    def __init__(self, idempotency: Idempotency, keyed: Keyed, subject: str) -> None:
        self._idempotency = idempotency
        self._keyed = keyed
        self._subject = subject
        self._status: int
        self._headers: list[tuple[bytes, bytes]]
        self._body = bytearray()
        self._is_whole = True

    def starts(self, status: int, headers: Any) -> None:
        """Note the head of the answer."""
        self._status = status
        self._headers = [(name, value) for name, value in headers if name not in _OF_THE_MOMENT]

    async def pass_on(self, message: Any, send: Any) -> None:
        """Send a part of the body; the last one when the answer is kept."""
        body = message.get("body", b"")
        if len(self._body) + len(body) > MAX_KEPT:
            self._is_whole = False
        if self._is_whole:
            self._body += body
        if not message.get("more_body") and self._is_whole:
            await self._idempotency.keep(self._keyed, self._subject, _Answer(self._status, self._headers, bytes(self._body)))
        await send(message)

    def end(self) -> None:
        """Let the key go."""
        self._idempotency.running.discard((self._keyed.scope, self._keyed.key))


class Idempotency:
    """Knows the keys. ``running`` are those of this process that are under way."""

    def __init__(self, database: HubDatabase, vault: Vault, clock: Clock) -> None:
        self._db = database
        self._vault = vault
        self._clock = clock
        self.running: set[tuple[str, str]] = set()

    async def begin(self, state: RequestState, target: str, body: bytes) -> Response[bytes] | None:
        """Take up a request with a key; return the answer of before where there is one.

        The key belongs to who sends it, to the organisation that is acted for, and to the route (``target``, as declared). A key without a credential
        belongs to everybody, so there it only counts together with the whole request.

        Raises:
            InvalidInput: it is no key (code ``bad-idempotency-key``).
            Conflict: it is in use (``idempotency-in-flight``), or its answer was lost (``idempotency-answer-lost``).
            Unprocessable: it was used for another request (code ``idempotency-mismatch``).
        """
        key = _text(state.idempotency_key or b"")
        subject, organisation = (state.actor.subject, state.actor.organisation) if state.actor is not None else ("", "")
        fingerprint = hashlib.sha256(b"%b\n%b\n%b" % (state.method.encode(), state.path.encode(), body)).digest()
        owned = f"{subject}\n{organisation}\n{state.method} {target}" if subject else f"\n{state.method} {target}\n{fingerprint.hex()}"
        keyed = Keyed(f"{state.owner}:http:{hashlib.sha256(owned.encode()).hexdigest()}", key, fingerprint)
        name = (keyed.scope, key)
        if name in self.running:
            raise in_flight()
        self.running.add(name)
        request = KeyedRequest(self, keyed, subject or HUB_SUBJECT)
        try:
            known = await self._find(keyed, subject or HUB_SUBJECT)
        except BaseException:
            request.end()
            raise
        if known is not None:
            request.end()
            return known
        state.keyed = request
        current.set(keyed)
        return None

    async def keep(self, keyed: Keyed, subject: str, answer: _Answer) -> None:
        """Keep an answer for those who ask again; a refusal that changed nothing is not kept, for it may be corrected and sent again."""
        if not keyed.has_effect and answer.status >= 300:
            return
        same = (idempotency.c.scope == keyed.scope) & (idempotency.c.key == keyed.key)
        packed, now = msgspec.msgpack.encode(answer), self._clock.now()

        def unit(session: Session) -> None:
            sealed = self._vault.seal(session, subject=subject, place=_place(keyed), value=packed)
            if keyed.has_effect:
                session.execute(update(idempotency).where(same).values(result=sealed))
            else:
                row = {"scope": keyed.scope, "key": keyed.key, "fingerprint": keyed.fingerprint, "result": sealed, "created_at": now}
                session.execute(insert(idempotency).values(**row))

        current.set(None)  # what the request does from here on is no part of its effect
        try:
            await self._db.write(unit)
        except Exception:  # noqa: BLE001 - the effect stands; its answer still goes to the one who waits for it
            _log.exception("idempotency.answer-not-kept")

    async def prune(self) -> None:
        """Forget keys of more than a day ago."""
        old = delete(idempotency).where(idempotency.c.created_at < self._clock.now() - KEPT)

        def unit(session: Session) -> None:
            session.execute(old)

        await self._db.write(unit)

    async def _find(self, keyed: Keyed, subject: str) -> Response[bytes] | None:
        same = (idempotency.c.scope == keyed.scope) & (idempotency.c.key == keyed.key)

        def unit(session: Session) -> tuple[bytes, bytes] | None:
            row = session.execute(select(idempotency.c.fingerprint, idempotency.c.result).where(same)).first()
            if row is None:
                return None
            sealed = bytes(row.result)
            opened = self._vault.open(session, subject=subject, place=_place(keyed), sealed=sealed) if sealed else b""
            return bytes(row.fingerprint), opened

        found = await self._db.read(unit)
        if found is None:
            return None
        if found[0] != keyed.fingerprint:
            raise Unprocessable("This Idempotency-Key was used for another request.", code="idempotency-mismatch", hint="Use a new key.")
        if not found[1]:
            hint = "It took effect once and is not done again: look at what it changed."
            raise Conflict("The answer to this Idempotency-Key was lost.", code="idempotency-answer-lost", hint=hint)
        answer = msgspec.msgpack.decode(found[1], type=_Answer)
        headers = {name.decode(): value.decode("latin-1") for name, value in answer.headers}
        return Response(answer.body, status_code=answer.status, headers={**headers, "Idempotency-Replayed": "true"})


def _place(keyed: Keyed) -> str:
    name = f"{keyed.scope}\n{keyed.key}"
    return f"{PLACE}:{hashlib.sha256(name.encode()).hexdigest()}"


def _text(raw: bytes) -> str:
    if not 1 <= len(raw) <= 255 or not raw.isascii() or not raw.decode().isprintable():
        raise InvalidInput("An Idempotency-Key has 1 to 255 printable ASCII characters.", code="bad-idempotency-key")
    return raw.decode()
