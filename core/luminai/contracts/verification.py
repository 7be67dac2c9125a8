"""Checks of who a person is (KYC), and who makes them."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Final, Literal, Protocol, runtime_checkable

from msgspec import Meta, Struct

IDENTITY_CHECK_POINT: Final = "hub.identity-check/1"
"""The extension point that takes an ``IdentityCheck``; the first one makes all checks."""


class IdentityClaim(Struct, frozen=True, kw_only=True):
    """Who a person says to be.

    Attributes:
        id: Stays the same over all calls for one check: what was begun under it is not begun again.
        person: The person's id (``usr_…``).
        name: As in the passport, up to 120 characters.
        country: Where the person lives, two letters (ISO 3166-1).
        reference: What the last finding of this check said; "" at first.
    """

    id: str
    person: str
    name: str
    born: date
    country: str
    address: str = ""
    reference: str = ""


class IdentityFinding(Struct, frozen=True, kw_only=True):
    """What a check has found.

    Attributes:
        state: ``pending``: the hub asks again when the person does.
        reasons: Why it is pending or rejected, for the person to read.
        next_url: Where the person goes on, such as to photograph a document; an ``https`` address.
        reference: The service's own name of the check; it comes back in the next claim.
    """

    state: Literal["verified", "pending", "rejected"]
    reasons: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...], Meta(max_length=8)] = ()
    next_url: Annotated[str, Meta(max_length=2000, pattern=r"^(https://[!-~]+)?\Z")] = ""
    reference: Annotated[str, Meta(max_length=200)] = ""


@runtime_checkable
class IdentityCheck(Protocol):
    """Finds out whether a person is who they say."""

    name: str

    async def check(self, claim: IdentityClaim) -> IdentityFinding:
        """Begin a check, or tell how the one of ``claim.id`` stands; within 10 seconds.

        Raises:
            Unavailable: it cannot be told now; the person may ask again.
            InvalidInput: this claim cannot be checked (a country that the service does not know); nothing is kept of it.
        """
        ...
