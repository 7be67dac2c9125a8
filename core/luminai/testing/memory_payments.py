"""A payment provider in memory that keeps the contract: exact amounts, keys that repeat, signed webhooks, outcomes that stay unknown."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, NoReturn

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from luminai.contracts.context import Clock
from luminai.contracts.payment import (
    AuthorizeRequest,
    ClientAction,
    Evidence,
    MethodSetup,
    Money,
    Party,
    PaymentCapabilities,
    PaymentError,
    PaymentEvent,
    PaymentResult,
    PaymentStatus,
)
from luminai.testing.clock import FrozenClock

Outcome = Literal["declined", "lost", "rate"]
"""What can be scripted for the next effect: refused by the payer's bank; done but the answer was lost; not done, too many requests."""
TOLERANCE: Final = 300.0
"""Seconds that a webhook's time may differ from now."""
_CAPABLE: Final = PaymentCapabilities(
    authorize=True,
    partial_capture=True,
    multi_capture=True,
    partial_refund=True,
    idempotent=True,
    idempotency_days=1,
    query=True,
    list_since=True,
    webhook=True,
    assets=frozenset({"EUR", "USD"}),
    methods=frozenset({"card"}),
)


class _Signed(Struct, frozen=True):
    id: str
    kind: str
    ref: str
    status: PaymentStatus
    at: datetime
    amount: Money | None = None


class MemoryPayments:
    """Keeps payments in a dictionary and never moves money.

    Args:
        secrets: What webhooks are signed with; the first signs, any verifies, as while a secret is replaced.
    """

    def __init__(self, name: str = "memory", *, clock: Clock | None = None, secrets: tuple[bytes, ...] = (b"first-secret", b"second-secret")) -> None:
        self.name = name
        self._clock = clock or FrozenClock()
        self._secrets = secrets
        self._payments: dict[str, PaymentResult] = {}
        self._answers: dict[str, tuple[bytes, Any]] = {}
        self._script: list[Outcome] = []
        self._events: list[PaymentEvent] = []
        self._numbers = iter(range(1, 2**31))

    def script(self, *outcomes: Outcome) -> None:
        """Say what becomes of the next effects; those after them succeed."""
        self._script += outcomes

    def webhook(self, event: PaymentEvent, *, at: datetime | None = None, secret: bytes | None = None) -> tuple[bytes, dict[str, str]]:
        """Return body and headers of a delivery of ``event``, signed; the same event may be delivered again and in any order."""
        body = msgspec.json.encode(_Signed(event.id, event.kind, event.ref, event.status, event.at, event.amount))
        stamp = f"{(at or self._clock.now()).timestamp():.0f}"
        return body, {"x-signature": f"t={stamp},v={_sign(secret or self._secrets[0], stamp, body)}"}

    def capabilities(self) -> PaymentCapabilities:
        """Say what it can do."""
        return _CAPABLE

    async def ensure_party(self, party: Party, *, key: str) -> str:
        """Return the reference of a party, the same for the same party."""
        found: str = await self._effect(key, ("party", party), lambda: f"party_{party.reference}")
        return found

    async def onboarding(self, party_ref: str, return_url: str) -> ClientAction:
        """Refuse: it has no connected accounts."""
        self._refuse("onboarding", party_ref, return_url)

    async def setup_method(self, party_ref: str, *, key: str) -> MethodSetup:
        """Store a method."""
        found: MethodSetup = await self._effect(key, ("method", party_ref), lambda: MethodSetup(f"method_{next(self._numbers)}"))
        return found

    async def detach_method(self, method_ref: str, *, key: str) -> None:
        """Forget a method."""
        await self._effect(key, ("detach", method_ref), lambda: None)

    async def authorize(self, request: AuthorizeRequest, *, key: str) -> PaymentResult:
        """Reserve an amount, or take it with ``capture``."""

        def effect() -> PaymentResult:
            amount = request.amount
            if amount.asset not in _CAPABLE.assets or amount.minor <= 0:
                raise PaymentError(f"{amount.minor} {amount.asset} cannot be taken", definite=True, code="bad-amount")
            status = PaymentStatus.CAPTURED if request.capture else PaymentStatus.AUTHORIZED
            ref = f"pay_{next(self._numbers)}"
            return self._keep(PaymentResult(ref=ref, status=status, amount=amount, captured=amount.minor if request.capture else 0))

        return await self._payment(key, ("authorize", request), effect)

    async def capture(self, ref: str, amount: Money | None, *, key: str, final: bool = True) -> PaymentResult:
        """Take all or a part of what is reserved; what is left is let go with ``final``."""

        def effect() -> PaymentResult:
            payment = self._find(ref)
            left = payment.amount.minor - payment.captured
            taken = self._minor(payment, amount, left)
            if payment.status is not PaymentStatus.AUTHORIZED or taken > left:
                raise PaymentError(
                    f"{taken} of {left} cannot be captured of a payment that is {payment.status}", definite=True, code="not-capturable"
                )
            done = final or taken == left
            status = PaymentStatus.CAPTURED if done else PaymentStatus.AUTHORIZED
            return self._keep(replace(payment, captured=payment.captured + taken, status=status))

        return await self._payment(key, ("capture", ref, amount, final), effect)

    async def void(self, ref: str, *, key: str) -> PaymentResult:
        """Let go of what is reserved."""

        def effect() -> PaymentResult:
            payment = self._find(ref)
            if payment.status is not PaymentStatus.AUTHORIZED or payment.captured:
                raise PaymentError(f"a payment that is {payment.status} cannot be voided", definite=True, code="not-voidable")
            return self._keep(replace(payment, status=PaymentStatus.VOIDED))

        return await self._payment(key, ("void", ref), effect)

    async def refund(self, ref: str, amount: Money | None, *, key: str, reason: str = "") -> PaymentResult:
        """Give back all or a part of what was taken."""

        def effect() -> PaymentResult:
            payment = self._find(ref)
            left = payment.captured - payment.refunded
            given = self._minor(payment, amount, left)
            if given <= 0 or given > left:
                raise PaymentError(f"{given} of {left} cannot be refunded", definite=True, code="not-refundable")
            whole = given == left
            status = PaymentStatus.REFUNDED if whole else PaymentStatus.PARTIALLY_REFUNDED
            return self._keep(replace(payment, refunded=payment.refunded + given, status=status))

        return await self._payment(key, ("refund", ref, amount, reason), effect)

    async def transfer(self, source_ref: str, dest_ref: str, amount: Money, *, key: str, group: str = "") -> PaymentResult:
        """Refuse: not declared."""
        self._refuse("transfer", source_ref, dest_ref, amount, key, group)

    async def reverse_transfer(self, ref: str, amount: Money | None, *, key: str) -> PaymentResult:
        """Refuse: not declared."""
        self._refuse("reverse_transfer", ref, amount, key)

    async def payout(self, dest_ref: str, amount: Money, *, key: str) -> PaymentResult:
        """Refuse: not declared."""
        self._refuse("payout", dest_ref, amount, key)

    async def dispute_evidence(self, ref: str, evidence: Evidence, *, key: str) -> PaymentResult:
        """Refuse: not declared."""
        self._refuse("disputes", ref, evidence, key)

    async def query(self, ref: str | None = None, *, key: str | None = None) -> PaymentResult:
        """Return a payment as it stands, by its reference or by the key of the effect that touched it."""
        await asyncio.sleep(0)
        if ref is None:
            answer = self._answers.get(key or "", (b"", None))[1]
            if not isinstance(answer, PaymentResult):
                raise PaymentError("no effect with this key arrived", definite=True, code="not-found")
            ref = answer.ref
        return self._find(ref)

    async def changes(self, cursor: str | None) -> AsyncIterator[tuple[str, PaymentEvent]]:
        """Yield what happened after ``cursor``, oldest first."""
        for number, event in enumerate(self._events, 1):
            if number > int(cursor or 0):
                await asyncio.sleep(0)
                yield str(number), event

    def verify(self, body: bytes, headers: Mapping[str, str], now: datetime) -> PaymentEvent:
        """Return the event of a delivery after its signature and time were checked; nothing is kept."""
        given = dict(part.partition("=")[::2] for part in headers.get("x-signature", "").split(","))
        stamp, signature = given.get("t", ""), given.get("v", "")
        if not stamp.isdigit() or len(stamp) > 12 or not any(_same(_sign(secret, stamp, body), signature) for secret in self._secrets):
            raise PaymentError("the signature does not hold", definite=True, code="bad-signature")
        if abs((now - datetime.fromtimestamp(int(stamp), UTC)).total_seconds()) > TOLERANCE:
            raise PaymentError("the delivery is too old, or from the future", definite=True, code="bad-time")
        try:
            signed = msgspec.json.decode(body, type=_Signed)
        except msgspec.MsgspecError:
            raise PaymentError("the body is no event", definite=True, code="bad-event") from None
        found = {name: getattr(signed, name) for name in ("id", "kind", "ref", "status", "at", "amount")}
        return PaymentEvent(provider=self.name, raw=body, **found)

    async def _payment(self, key: str, arguments: tuple[Any, ...], effect: Callable[[], PaymentResult]) -> PaymentResult:
        result: PaymentResult = await self._effect(key, arguments, effect)
        return result

    async def _effect(self, key: str, arguments: tuple[Any, ...], effect: Callable[[], Any]) -> Any:
        """Have an effect once: the same key gives the first answer again, a refusal too."""
        if not key:
            raise PaymentError("an effect needs a key", definite=True, code="no-key")
        await asyncio.sleep(0)
        print_ = msgspec.json.encode(arguments)
        if key in self._answers:
            known, answer = self._answers[key]
            if known != print_:
                raise PaymentError("this key was used with other arguments", definite=True, code="idempotency-mismatch")
            if isinstance(answer, PaymentError):
                raise answer
            return answer
        scripted = self._script.pop(0) if self._script else None
        if scripted == "rate":
            raise PaymentError("too many requests", definite=True, code="rate-limited", retry_after=1.0)
        try:
            if scripted == "declined":
                raise PaymentError("the bank declined", definite=True, code="declined")
            answer = effect()
        except PaymentError as refused:
            self._answers[key] = (print_, refused)
            raise
        self._answers[key] = (print_, answer)
        await asyncio.sleep(0)  # cancelled here, it has happened and nobody was told
        if scripted == "lost":
            raise PaymentError("the answer was lost", definite=False, code="unknown")
        return answer

    def _keep(self, payment: PaymentResult) -> PaymentResult:
        self._payments[payment.ref] = payment
        number = len(self._events) + 1
        event = PaymentEvent(
            id=f"event_{number}",
            provider=self.name,
            kind=f"payment.{payment.status}",
            ref=payment.ref,
            status=payment.status,
            at=self._clock.now(),
            amount=payment.amount,
        )
        self._events.append(event)
        return payment

    def _find(self, ref: str) -> PaymentResult:
        found = self._payments.get(ref)
        if found is None:
            raise PaymentError(f"there is no payment {ref}", definite=True, code="not-found")
        return found

    def _minor(self, payment: PaymentResult, amount: Money | None, rest: int) -> int:
        if amount is None:
            return rest
        if amount.asset != payment.amount.asset or amount.minor <= 0:
            raise PaymentError(f"{amount.minor} {amount.asset} does not fit this payment", definite=True, code="bad-amount")
        return amount.minor

    def _refuse(self, what: str, *_: object) -> NoReturn:
        raise PaymentError(f"{what} is not declared in the capabilities", definite=True, code="not-supported")


def _sign(secret: bytes, stamp: str, body: bytes) -> str:
    return hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
