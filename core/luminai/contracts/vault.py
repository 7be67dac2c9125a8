"""Encryption at rest: what is sealed for a subject can be read until the subject's key is destroyed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

HUB_SUBJECT: Final = "hub"
"""The subject of values that belong to no person: signing keys, tokens of the hub itself."""


class Vault(Protocol):
    """Seals values with AES-256-GCM under a key of their subject's own; both calls belong inside a unit of work.

    ``place`` says where the value lies, ``<table>.<column>:<row id>``; it is bound to the sealed bytes, so that they hold nowhere else.
    """

    def seal(self, session: Session, /, *, subject: str, place: str, value: bytes) -> bytes:
        """Return ``value`` sealed, 33 bytes longer or so; the subject's key is made on first use."""
        ...

    def open(self, session: Session, /, *, subject: str, place: str, sealed: bytes) -> bytes:
        """Return what was sealed.

        Raises:
            NotFound: the subject's key was destroyed (code ``shredded``).
            HubError: the bytes were changed, moved or sealed by another hub (code ``not-sealed-here``).
        """
        ...
