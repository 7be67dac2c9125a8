"""The INSERT that can say what happens on a conflict. Each dialect of SQLAlchemy has one of its own."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session


def insert_for(session: Session) -> Any:
    """Return the ``insert`` of the session's dialect; only that dialect is imported, which takes longer than most statements."""
    if session.get_bind().dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
    return insert
