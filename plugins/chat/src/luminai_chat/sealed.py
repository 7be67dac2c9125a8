"""What people write and get to read is stored sealed, under the key of the conversation's subject."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from luminai import NotFound, Vault
from luminai_chat.models import messages, sessions

SEAL_BATCH: Final = 100


class Body(Struct, frozen=True):
    """A message's text and what it rests on."""

    content: str = ""
    sources: Sequence[Any] = ()


def seal_body(session: Session, vault: Vault, subject: str, message_id: str, body: Body) -> bytes:
    """Return a message's body as it is stored."""
    return vault.seal(session, subject=subject, place=_body_place(message_id), value=msgspec.json.encode(body))


def open_body(session: Session, vault: Vault, subject: str, row: Any) -> Body:
    """Return the body of a row of ``messages``; an empty one when the subject's key was destroyed."""
    if row.body is None:
        return Body(row.content, row.sources)
    raw = _open(session, vault, subject, _body_place(row.id), row.body)
    return msgspec.json.decode(raw, type=Body) if raw else Body()


def seal_title(session: Session, vault: Vault, subject: str, session_id: str, title: str) -> bytes:
    """Return a title as it is stored."""
    return vault.seal(session, subject=subject, place=_title_place(session_id), value=title.encode())


def open_title(session: Session, vault: Vault, row: Any) -> str:
    """Return the title of a row of ``sessions``, "" when the subject's key was destroyed."""
    if row.sealed_title is None:
        return str(row.title)
    return _open(session, vault, row.subject, _title_place(row.id), row.sealed_title).decode()


def seal_old_rows(session: Session, vault: Vault) -> int:
    """Seal some rows that an earlier release stored plainly, and return how many; 0 when none is left."""
    plain = select(messages).where(messages.c.body.is_(None), messages.c.subject != "")
    rows = session.execute(plain.limit(SEAL_BATCH)).all()
    for row in rows:
        body = seal_body(session, vault, row.subject, row.id, Body(row.content, row.sources))
        session.execute(update(messages).where(messages.c.id == row.id).values(body=body, content="", sources=[]))
    untitled = session.execute(select(sessions).where(sessions.c.sealed_title.is_(None)).limit(SEAL_BATCH)).all()
    for row in untitled:
        title = seal_title(session, vault, row.subject, row.id, row.title)
        session.execute(update(sessions).where(sessions.c.id == row.id).values(sealed_title=title, title=""))
    return len(rows) + len(untitled)


def _open(session: Session, vault: Vault, subject: str, place: str, sealed: bytes) -> bytes:
    try:
        return vault.open(session, subject=subject, place=place, sealed=bytes(sealed))
    except NotFound:
        return b""


def _body_place(message_id: str) -> str:
    return f"{messages.name}.body:{message_id}"


def _title_place(session_id: str) -> str:
    return f"{sessions.name}.sealed_title:{session_id}"
