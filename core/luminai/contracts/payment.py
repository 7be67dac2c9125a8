"""Payment providers: money crosses in integer minor units; an unknown outcome is a state, not an error."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Protocol, runtime_checkable

from msgspec import Meta, Struct

MAX_MINOR = 2**53 - 1


class Money(Struct, frozen=True):
    """An amount: integer minor units (cents) of ``asset`` (``EUR``, ``LUMIKU_CREDIT``); within ±(2^53 - 1) so that JSON clients stay exact."""

    minor: Annotated[int, Meta(ge=-MAX_MINOR, le=MAX_MINOR)]
    asset: Annotated[str, Meta(pattern=r"^[A-Z][A-Z0-9_]{2,31}\Z")]


class PaymentStatus(StrEnum):
    """Provider-neutral states. Merge rank: unknown -1, requires_action 0, pending 1, authorized 2, captured/voided/failed 3,
    partially_refunded 4, refunded 5, disputed 6, dispute_lost 7; a lower rank never overwrites a higher one."""

    UNKNOWN = "unknown"
    REQUIRES_ACTION = "requires_action"
    PENDING = "pending"
    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    VOIDED = "voided"
    FAILED = "failed"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    DISPUTE_LOST = "dispute_lost"


class PaymentCapabilities(Struct, frozen=True, kw_only=True):
    """What a provider can do, as data, read at start: an operation that is not declared is refused, never tried. Days are whole days."""

    authorize: bool = False
    partial_capture: bool = False
    multi_capture: bool = False
    partial_refund: bool = False
    transfer: bool = False
    reverse_transfer: bool = False
    payout: bool = False
    disputes: bool = False
    custody: Literal["none", "platform_balance", "segregated", "qualified_third_party"] = "none"
    hold_days: int = 0
    settle_days: int = 0
    return_days: int = 0
    idempotent: bool = False
    idempotency_days: int = 0
    query: bool = False
    list_since: bool = False
    webhook: bool = False
    assets: frozenset[str] = frozenset()
    methods: frozenset[str] = frozenset()
    countries: frozenset[str] = frozenset()


class ClientAction(Struct, frozen=True):
    """What the payer must do next: ``kind`` redirect, three_d_secure or micro_deposit; ``url`` where."""

    kind: str
    url: str = ""
    data: dict[str, str] = {}


class Party(Struct, frozen=True, kw_only=True):
    """A customer or a connected account, by our own reference."""

    reference: str
    kind: Literal["customer", "account"] = "customer"
    email: str = ""
    country: str = ""


class AuthorizeRequest(Struct, frozen=True, kw_only=True):
    """Money in. ``capture=True`` makes it a purchase; ``method`` is a provider token, never a card number. ``off_session``: the payer is not there,
    so that what they would have to confirm is a decline.
    """

    amount: Money
    reference: str
    method: str = ""
    party: str = ""
    capture: bool = False
    group: str = ""
    return_url: str = ""
    off_session: bool = False
    meta: dict[str, str] = {}


class PaymentResult(Struct, frozen=True, kw_only=True):
    """The provider decided. ``captured`` and ``refunded`` are totals in minor units of ``amount.asset``."""

    ref: str
    status: PaymentStatus
    amount: Money
    captured: int = 0
    refunded: int = 0
    fee: int | None = None
    available_at: datetime | None = None
    action: ClientAction | None = None
    code: str = ""
    retry_after: float | None = None
    raw: bytes = b""


class MethodSetup(Struct, frozen=True):
    """A stored payment method: ``ref`` is the provider's token; ``action`` if the payer has to confirm it."""

    ref: str
    action: ClientAction | None = None


class PaymentEvent(Struct, frozen=True, kw_only=True):
    """A verified webhook event; the core deduplicates by (provider, id), queries the object and merges by rank."""

    id: str
    provider: str
    kind: str
    ref: str
    status: PaymentStatus
    at: datetime
    amount: Money | None = None
    raw: bytes = b""


class Evidence(Struct, frozen=True):
    """What is sent against a dispute."""

    text: str
    files: tuple[str, ...] = ()


class PaymentError(Exception):
    """``definite=True``: nothing happened. ``definite=False``: unknown; store ``unknown``, never retry with a new key, call ``query``."""

    def __init__(self, message: str, *, definite: bool, code: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.definite = definite
        self.code = code
        self.retry_after = retry_after


@runtime_checkable
class PaymentProvider(Protocol):
    """A payment service. Every effect takes ``key``, which the caller derives from its own row: the same key with the same arguments
    returns the first answer, with other arguments it is refused. ``verify`` is pure (constant-time compare, time window, several secrets)
    and raises ``PaymentError(definite=True)`` for a forgery. The provider never touches the ledger. Deadlines and cancellation are
    honoured;
    after a cancelled effect the outcome is unknown.
    """

    name: str

    def capabilities(self) -> PaymentCapabilities: ...

    async def ensure_party(self, party: Party, *, key: str) -> str: ...

    async def onboarding(self, party_ref: str, return_url: str) -> ClientAction: ...

    async def setup_method(self, party_ref: str, *, key: str) -> MethodSetup: ...

    async def detach_method(self, method_ref: str, *, key: str) -> None: ...

    async def authorize(self, request: AuthorizeRequest, *, key: str) -> PaymentResult: ...

    async def capture(self, ref: str, amount: Money | None, *, key: str, final: bool = True) -> PaymentResult: ...

    async def void(self, ref: str, *, key: str) -> PaymentResult: ...

    async def refund(self, ref: str, amount: Money | None, *, key: str, reason: str = "") -> PaymentResult: ...

    async def transfer(self, source_ref: str, dest_ref: str, amount: Money, *, key: str, group: str = "") -> PaymentResult: ...

    async def reverse_transfer(self, ref: str, amount: Money | None, *, key: str) -> PaymentResult: ...

    async def payout(self, dest_ref: str, amount: Money, *, key: str) -> PaymentResult: ...

    async def query(self, ref: str | None = None, *, key: str | None = None) -> PaymentResult: ...

    def changes(self, cursor: str | None) -> AsyncIterator[tuple[str, PaymentEvent]]: ...

    def verify(self, body: bytes, headers: Mapping[str, str], now: datetime) -> PaymentEvent: ...

    async def dispute_evidence(self, ref: str, evidence: Evidence, *, key: str) -> PaymentResult: ...
