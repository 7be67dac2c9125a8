"""What the plugin publishes, what it says to live meters, and what it understands of payments."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Text = Annotated[str, Meta(max_length=200)]


class Changed(Struct, frozen=True):
    """What a person has now: ``available`` can be spent, ``in_progress`` is held for work that runs."""

    product: Text
    unit: Text
    available: int
    in_progress: int


class Granted(Struct, frozen=True):
    """Units were put into a wallet."""

    grant_id: str
    product: str
    unit: str
    source: str
    amount: int


class Low(Struct, frozen=True):
    """Work took what is available below the product's ``low``: time to buy, or to have bought."""

    wallet_id: str
    product: str
    unit: str
    available: int
    low: int


class Settled(Struct, frozen=True):
    """Paid work ended well; ``amount`` is 0 where a quota or an unlimited plan paid."""

    usage_id: str
    product: str
    unit: str
    action: str
    amount: int
    funding: str


class Released(Struct, frozen=True):
    """Held work ended without a result, and nothing was charged."""

    usage_id: str
    product: str
    action: str
    failure: str


class Refunded(Struct, frozen=True):
    """A settled action was refunded."""

    usage_id: str
    product: str
    unit: str
    amount: int


class PlanChanged(Struct, frozen=True):
    """A person's plan or its state is another one now."""

    wallet_id: str
    product: str
    plan: str
    state: str


class PaymentDue(Struct, frozen=True):
    """A plan is to be paid. Who takes payments answers with ``payments.Captured`` of the same purpose and product; ``key`` names the attempt."""

    wallet_id: str
    purpose: str
    product: str
    amount: int
    asset: str
    attempt: int
    key: str


class Payment(Struct, frozen=True, kw_only=True):
    """What ``payments.Captured``, ``payments.Refunded`` and ``payments.Disputed`` tell; ``product`` is ``<product>/<pack or plan>``."""

    intent: Text
    purpose: Text
    product: Text
    subject: Annotated[str, Meta(min_length=1, max_length=120)]
    amount: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    asset: Annotated[str, Meta(pattern=r"^[A-Z][A-Z0-9_]{2,31}\Z")]
    provider: Annotated[str, Meta(min_length=1, max_length=60)]
    ref: Annotated[str, Meta(min_length=1, max_length=120)]

    @property
    def key(self) -> str:
        """Return the payment's own key, the same however often it is told."""
        return f"pay:{self.provider}:{self.ref}"
