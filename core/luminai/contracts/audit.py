"""What is written into the audit log: who did what to which thing, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

Outcome = Literal["ok", "denied", "failed"]
Retention = Literal["90d", "7y"]
MAX_DETAIL_BYTES: Final = 4096
"""Bound of an entry's detail, encoded as JSON."""

_LINE: Final = r"^[^\x00-\x1f\x7f]*\Z"
Word = Annotated[str, Meta(max_length=500, pattern=r"^[^\x00]*\Z")]
DetailValue = Word | int | float | bool | None | Annotated[list[Word], Meta(max_length=64)]


class AuditEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that happened. Nothing secret belongs in it: name which setting changed, not to what.

    Attributes:
        action: ``<what>.<verb>``, such as ``key.create``.
        object: What it was done to, such as ``key_018f…`` or ``plugin:chat``.
        outcome: ``ok``; ``denied`` by a rule; ``failed`` although allowed.
        detail: A few plain values, at most ``MAX_DETAIL_BYTES`` as JSON. It is sealed under the subject's key, so it ends with that key.
        subject: Whom it is about (a person's id); "" when it is about nobody.
        retention: How long the content is kept at least and, without a legal hold, at most: 90 days or 7 years.
    """

    action: Annotated[str, Meta(max_length=80, pattern=r"^[a-z][a-z0-9-]*(\.[a-z][a-z0-9-]*)+\Z")]
    object: Annotated[str, Meta(max_length=200, pattern=_LINE)] = ""
    outcome: Outcome = "ok"
    detail: Annotated[Mapping[Annotated[str, Meta(min_length=1, max_length=64)], DetailValue], Meta(max_length=32)] = {}
    subject: Annotated[str, Meta(max_length=120, pattern=_LINE)] = ""
    retention: Retention = "90d"
