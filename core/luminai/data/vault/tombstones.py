"""Tombstones: which data keys were destroyed, kept outside the database too, so that a restored backup cannot bring anybody back.

The file has a line a key: its id and when it was destroyed. It names nobody, and only grows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from luminai.data.tables_vault import subject_keys
from luminai.data.vault.subject_keys import ACTIVE, DESTROYED

FILE_NAME: Final = "tombstones.txt"
_LINE: Final = re.compile(r"^(dek_[0-9a-f]{32}) (\S+)\Z")
_CHUNK: Final = 500


def tombstones(session: Session, since: datetime | None = None) -> dict[str, datetime]:
    """Return ids of destroyed keys and when that was, from a moment on."""
    query = select(subject_keys.c.id, subject_keys.c.destroyed_at).where(subject_keys.c.state == DESTROYED)
    if since is not None:
        query = query.where(subject_keys.c.destroyed_at >= since)
    return {row.id: row.destroyed_at for row in session.execute(query)}


def replay(session: Session, known: Iterable[str], now: datetime) -> int:
    """Destroy those of the known keys that this database still has, and return how many they were."""
    ids, count = sorted(set(known)), 0
    for start in range(0, len(ids), _CHUNK):
        still = subject_keys.c.id.in_(ids[start : start + _CHUNK]) & (subject_keys.c.state == ACTIVE)
        done = session.execute(update(subject_keys).where(still).values(state=DESTROYED, wrapped=None, destroyed_at=now))
        count += int(done.rowcount)  # type: ignore[attr-defined]
    return count


def read_file(path: Path) -> dict[str, str]:
    """Return the lines of the file, id to moment; a line that a crash cut off is passed over."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    return {match[1]: match[2] for line in lines if (match := _LINE.match(line))}


def carry(source: Path, target: Path) -> None:
    """Append to ``target`` the lines of ``source`` that it lacks."""
    known = read_file(target)
    append_file(target, {one: datetime.fromisoformat(at) for one, at in read_file(source).items() if one not in known})


def append_file(path: Path, found: dict[str, datetime]) -> None:
    """Append lines and wait until they are on the disk."""
    if not found:
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "rb+") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        before = "\n" if end and file.read(1) != b"\n" else ""
        file.write((before + "".join(f"{one} {at.isoformat()}\n" for one, at in found.items())).encode())
        file.flush()
        os.fsync(file.fileno())
