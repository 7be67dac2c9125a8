"""What is asked of the ledger, and what it answers. Plain values: nothing here reads or writes."""

from __future__ import annotations

import re
from enum import StrEnum
from hashlib import sha1
from typing import Annotated, Final

from msgspec import Meta, Struct

from luminai import InvalidInput, Money

_NAMESPACE: Final = bytes.fromhex("6d0f6f6b1f1e5c0f9a3c4d4a1b7c2e90")
MAX_LEGS: Final = 10_000
"""Legs of one journal."""

Scope = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9:._-]{0,59}\Z", description="Who made the key: a plugin's id, and what it likes behind it.")]
Key = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+\Z", description="The same for every try of the same thing.")]
Code = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9.:_-]{0,79}\Z", description="What kind of business it is, such as credits.settle.")]
Reference = Annotated[
    str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\Z", description="What it belongs to, such as job:123. No names of people.")
]
AccountId = Annotated[str, Meta(pattern=r"^acc_[0-9a-f]{32}\Z")]
TransferId = Annotated[str, Meta(pattern=r"^trf_[0-9a-f]{44}\Z")]
_BYTES: Final = {"acc_": 16, "trf_": 22}
_MOMENT: Final = re.compile(r"_([0-9a-f]{12})7[0-9a-f]{3}[89ab][0-9a-f]{15}")
"""Milliseconds in an id that the hub made (a UUID version 7)."""


class Transfer(Struct, frozen=True, kw_only=True, tag="transfer", tag_field="type", forbid_unknown_fields=True):
    """Moves ``amount`` from ``debit`` to ``credit`` for good."""

    debit: AccountId
    credit: AccountId
    amount: Money
    code: Code
    reference: Reference = ""


class Hold(Struct, frozen=True, kw_only=True, tag="hold", tag_field="type", forbid_unknown_fields=True):
    """Sets ``amount`` aside until it is posted or voided.

    Attributes:
        seconds: Its lease: the sweeper voids it when nobody renewed it for so long. 0: it has none, and its maker alone ends it.
    """

    debit: AccountId
    credit: AccountId
    amount: Money
    code: Code
    reference: Reference = ""
    seconds: Annotated[int, Meta(ge=0, le=366 * 86_400)] = 0


class Post(Struct, frozen=True, kw_only=True, tag="post", tag_field="type", forbid_unknown_fields=True):
    """Moves what was held; the rest, where ``amount`` is less than all of it, is free again. None: all."""

    hold: TransferId
    amount: Money | None = None
    code: Code
    reference: Reference = ""


class Void(Struct, frozen=True, kw_only=True, tag="void", tag_field="type", forbid_unknown_fields=True):
    """Sets free what was held."""

    hold: TransferId
    code: Code
    reference: Reference = ""


Leg = Transfer | Hold | Post | Void


class Journal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Legs that happen all or none, in their order. ``(scope, key)`` names it for ever: a second one with the same content is the first.

    The number of an attempt belongs into the key of a hold (``job_…:attempt:2``): a void must not use up the key of the next try. A key that holds an
    id of what it is for (``job_…``, ``use_…``) is written faster in a large ledger: see ``raw_transfer_id``.
    """

    scope: Scope
    key: Key
    legs: Annotated[tuple[Leg, ...], Meta(min_length=1, max_length=MAX_LEGS)]

    @property
    def id(self) -> str:
        """Return the journal's id, which is that of its first leg."""
        return transfer_id(self.scope, self.key)

    def leg_id(self, number: int) -> str:
        """Return the id of a leg, counted from 0."""
        return transfer_id(self.scope, self.key, number)


class Result(StrEnum):
    """What became of a journal or a leg."""

    OK = "ok"
    EXISTS = "exists"
    EXISTS_WITH_DIFFERENT_CONTENT = "exists_with_different_content"
    INSUFFICIENT = "insufficient"
    BAD_OR_RESOLVED_PENDING = "bad_or_resolved_pending"
    INVALID = "invalid"
    LINKED_FAILED = "linked_failed"


class Outcome(Struct, frozen=True, kw_only=True):
    """The answer to one journal.

    Attributes:
        id: The journal's id.
        legs: The result of each leg; where one failed, the others are ``linked_failed``.
        seqs: The place of each leg in the ledger; empty where nothing was written.
        reason: Why it was refused, as a word: ``amount``, ``asset``, ``unknown-account``, ``closed-account``, ``same-account``, ``above-hold`` …
        account: The account that lacked something, "" where none did.
        available: What that account could have given, in minor units.
    """

    result: Result
    id: str
    legs: tuple[Result, ...]
    seqs: tuple[int, ...] = ()
    reason: str = ""
    account: str = ""
    available: int = 0

    @property
    def done(self) -> bool:
        """Tell whether it stands in the ledger, by this call or an earlier one."""
        return self.result in (Result.OK, Result.EXISTS)


def derived(*parts: str) -> bytes:
    """Return the UUID version 5 (RFC 9562) of the parts as bytes: the same for the same parts, for ever."""
    digest = bytearray(sha1(_NAMESPACE + "\0".join(parts).encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    return bytes(digest)


def transfer_id(scope: str, key: str, leg: int = 0) -> str:
    """Return the id of a leg of the journal ``(scope, key)``; leg 0 is the journal itself."""
    return "trf_" + raw_transfer_id(scope, key, leg).hex()


def raw_transfer_id(scope: str, key: str, leg: int = 0) -> bytes:
    """Return the same as 22 bytes: a moment, then the digest of scope, key and leg.

    The moment, 6 bytes of milliseconds, is that of the first id in the key that the hub made: so what happens now lies together in the index, however
    large it is. Without such an id the digest's own first bytes stand there, and it falls anywhere. The digest alone tells two keys apart.
    """
    digest = derived("transfer", scope, key, str(leg)) if leg else derived("transfer", scope, key)
    made = _MOMENT.search(key)
    return (bytes.fromhex(made[1]) if made else digest[:6]) + digest


def raw(wire: str) -> bytes:
    """Return the bytes of an id such as ``acc_…``.

    Raises:
        InvalidInput: it is none (code ``ledger.bad-id``).
    """
    try:
        found = bytes.fromhex(wire[4:])
    except ValueError:
        found = b""
    if len(found) != _BYTES.get(wire[:4]):
        hint = "Accounts are acc_ and 32 hex digits, transfers trf_ and 44."
        raise InvalidInput("This is no id of the ledger.", code="ledger.bad-id", hint=hint)
    return found
