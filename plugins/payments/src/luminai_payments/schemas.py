"""What clients send and see, and the payloads of the plugin's events."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from luminai import Money, PaymentStatus
from luminai_payments.config import Asset, Kind, Product, Purpose

Token = Annotated[
    str,
    Meta(max_length=200, pattern=r"^[A-Za-z0-9._-]*\Z", description="A token of the provider for one payment, or the id of a stored method."),
]
Amount = Annotated[int, Meta(ge=1, le=2**53 - 1, description="Minor units.")]
PaymentId = Annotated[str, Meta(pattern=r"^pay_[0-9a-f]{32}\Z")]
ReturnUrl = Annotated[str, Meta(max_length=500, pattern=r"^(https?://[^\s\x00-\x1f\x7f]+)?\Z", description="Where the payer comes back to.")]


class Checkout(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Buy a product. What it costs is not the client's to say.

    Attributes:
        kind: Kind of method, for the choice of the provider.
        capture: False reserves the amount; it is taken later.
    """

    purpose: Purpose
    product: Product
    asset: Annotated[str, Meta(pattern=r"^([A-Z][A-Z0-9_]{2,31})?\Z", description="Asset to pay with, where there is a choice.")] = ""
    method: Token = ""
    kind: Kind = "card"
    country: Annotated[str, Meta(pattern=r"^([A-Z]{2})?\Z")] = ""
    provider: Annotated[str, Meta(pattern=r"^([a-z][a-z0-9]*(-[a-z0-9]+)*)?\Z", max_length=40)] = ""
    return_url: ReturnUrl = ""
    capture: bool = True


class Charge(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pay an amount of one's own choice."""

    amount: Amount
    asset: Asset
    purpose: Purpose = "deposit"
    method: Token = ""
    kind: Kind = "card"
    country: Annotated[str, Meta(pattern=r"^([A-Z]{2})?\Z")] = ""
    provider: Annotated[str, Meta(pattern=r"^([a-z][a-z0-9]*(-[a-z0-9]+)*)?\Z", max_length=40)] = ""
    return_url: ReturnUrl = ""


class Retry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Try a payment that failed again, with another method if one is named."""

    method: Token = ""


class Refund(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Give back a payment, all that is left of it without ``amount``."""

    payment: PaymentId
    amount: Amount | None = None
    reason: Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\Z")] = ""


class NewMethod(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Store a method at a provider. Card numbers go to the provider's own form, never here.

    Attributes:
        renews: It may be charged for what becomes due, such as the next month of a plan; taking the method away ends that. Of several the newest is.
    """

    provider: Annotated[str, Meta(pattern=r"^([a-z][a-z0-9]*(-[a-z0-9]+)*)?\Z", max_length=40)] = ""
    kind: Kind = "card"
    renews: bool = False


class PortalAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask where one looks after methods and bills at a provider, the first one without ``provider``."""

    provider: Annotated[str, Meta(pattern=r"^([a-z][a-z0-9]*(-[a-z0-9]+)*)?\Z", max_length=40)] = ""
    return_url: Annotated[str, Meta(max_length=500, pattern=r"^https?://[^\s\x00-\x1f\x7f]+\Z", description="Where one comes back to.")]


class ActionView(Struct, frozen=True):
    """What the payer must do next: at ``url``, or in the provider's own form, which is given ``data``, a ``client_secret`` say."""

    kind: str
    url: str
    data: dict[str, str] = {}


class PaymentView(Struct, frozen=True, kw_only=True):
    """A payment. ``captured``, ``refunded``, ``returned`` (by the bank), ``disputed`` and ``fee`` are totals in minor units of the amount's asset.
    ``doing`` is what was asked of the provider and is not known to have happened (authorize, capture, void, refund); "" for nothing.
    """

    id: str
    purpose: str
    product: str
    provider: str
    amount: Money
    status: PaymentStatus
    captured: int
    refunded: int
    returned: int
    disputed: int
    fee: int
    dispute: str
    code: str
    doing: str
    attempt: int
    action: ActionView | None
    created_at: datetime
    updated_at: datetime


class OwnedPaymentView(PaymentView, frozen=True, kw_only=True):
    """The same for operators, with whose it is and the provider's reference."""

    subject: str
    ref: str


class MethodView(Struct, frozen=True, kw_only=True):
    """A stored method; its token stays here."""

    id: str
    provider: str
    kind: str
    renews: bool
    created_at: datetime
    action: ActionView | None = None


class OperationView(Struct, frozen=True, kw_only=True):
    """What was asked of a provider; ``started`` and ``unknown`` are still open."""

    id: str
    payment: str
    kind: str
    amount: int | None
    state: str
    code: str
    tries: int
    created_at: datetime
    due_at: datetime | None


class IncidentView(Struct, frozen=True, kw_only=True):
    """Something that does not add up, for a person to look at."""

    id: str
    provider: str
    payment: str
    kind: str
    about: str
    detail: str
    created_at: datetime
    resolved_at: datetime | None


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """The input of an action that takes none."""


class Repaired(Struct, frozen=True, kw_only=True):
    """What a repair came to: effects and payments that were asked about, those that are settled now, and those that stay unknown."""

    looked: int
    settled: int
    open: int


class Reconciled(Struct, frozen=True, kw_only=True):
    """What a comparison with the providers' lists found.

    Attributes:
        looked: Changes that the providers list since the last comparison.
        missed: Those of them that no webhook had told.
        incidents: What did not add up.
        complete: False when there is more than one run looks at; run it again.
    """

    looked: int
    missed: int
    incidents: int
    complete: bool


class Captured(Struct, frozen=True, kw_only=True):
    """Money was taken. ``amount`` is what came now, in minor units of ``asset``; ``ref`` is the provider's reference of the payment."""

    intent: str
    purpose: str
    product: str
    subject: str
    amount: int
    asset: str
    provider: str
    ref: str


class Refunded(Captured, frozen=True, kw_only=True):
    """Money went back: by a refund, or by the payer's bank (``reason`` ``returned``)."""

    reason: Literal["refund", "returned"] = "refund"


class Disputed(Captured, frozen=True, kw_only=True):
    """The payer disputes a payment, or the dispute ended."""

    state: Literal["open", "won", "lost"] = "open"


class Failed(Captured, frozen=True, kw_only=True):
    """A payment came to nothing; ``code`` says why."""

    code: str = ""


class OfferAsk(Struct, frozen=True, kw_only=True):
    """The subject of ``choose.offer``: what a product costs is answered with ``Money``, or None by those whose product it is not."""

    purpose: str
    product: str
    subject: str
    asset: str


class PaymentAsk(Struct, frozen=True, kw_only=True):
    """The subject of ``guard.payment``: a payment that is about to be made. Any no wins, and so does any failure."""

    purpose: str
    product: str
    subject: str
    amount: Money
    provider: str
    country: str
    kind: str
