"""Payments as routes and other plugins have them: ``ctx.service(Payments)``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from msgspec.structs import replace
from sqlalchemy import insert
from sqlalchemy.orm import Session

from luminai import (
    Actor,
    AuditEntry,
    AuthorizeRequest,
    Conflict,
    HubError,
    Money,
    PaymentError,
    PaymentProvider,
    PaymentResult,
    PaymentStatus,
    PluginContext,
    Unprocessable,
)
from luminai_payments import store
from luminai_payments.bookkeeping import Bookkeeper
from luminai_payments.cards import refuse_cards
from luminai_payments.config import PaymentsConfig
from luminai_payments.effects import Effects, raise_refused
from luminai_payments.merging import NEVER_ARRIVED, TAKEN, standing_of
from luminai_payments.methods import Methods
from luminai_payments.models import payments
from luminai_payments.routing import choose, provider_named
from luminai_payments.schemas import Charge, Checkout, OfferAsk, OwnedPaymentView, PaymentAsk, PaymentView, Refund, Retry

_VOIDABLE: Final = (PaymentStatus.AUTHORIZED, PaymentStatus.REQUIRES_ACTION)


class Payments:
    """Opens payments and changes them. What is asked of a provider is a row before it is asked: a crash leaves nothing, or an open question."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self._config: PaymentsConfig = ctx.config
        self._books = Bookkeeper(ctx)
        self._db = ctx.db.as_system()
        self.effects = Effects(ctx, self._books)
        self.methods = Methods(ctx)

    async def checkout(self, subject: str, ask: Checkout) -> OwnedPaymentView:
        """Buy a product for a person.

        Raises:
            Unprocessable: nobody sells the product (code ``payments.no-offer``), no provider takes it, a card number, or a provider's refusal.
            Forbidden: ``guard.payment`` says no.
            Unavailable: the provider cannot be asked now.
        """
        refuse_cards(ask)
        price = await self._price(subject, ask)
        return await self._open(subject, ask, ask.product, price, capture=ask.capture)

    async def charge(self, subject: str, ask: Charge) -> OwnedPaymentView:
        """Let a person pay an amount of one's own choice.

        Raises:
            Unprocessable: the settings allow no such purpose (code ``payments.purpose``), and as ``checkout``; so do the others.
        """
        refuse_cards(ask)
        if ask.purpose not in self._config.charge_purposes:
            hint = f"Allowed: {', '.join(self._config.charge_purposes) or 'none'}."
            raise Unprocessable(f"Nobody may choose an amount for {ask.purpose}.", code="payments.purpose", hint=hint)
        return await self._open(subject, ask, "", Money(ask.amount, ask.asset), capture=True)

    async def renew(self, subject: str, ask: Checkout, price: Money, admit: Callable[[Session], None]) -> None:
        """Charge the stored method that ``ask`` names for what becomes due, while the person is not there; ``admit`` is part of the unit in which
        the payment is written, and what it raises keeps it from being made. What the provider answers is the payment's state and no error.

        Raises:
            Conflict: the product costs something else by now (code ``payments.price-moved``).
            Unprocessable, NotFound, Forbidden, Unavailable: as ``checkout``; nothing was charged then.
        """
        if await self._price(subject, ask) != price:
            raise Conflict("It costs something else by now.", code="payments.price-moved")
        await self._open(subject, ask, ask.product, price, capture=True, admit=admit)

    async def retry(self, subject: str, payment_id: str, ask: Retry) -> OwnedPaymentView:
        """Try a payment that failed again, as a new attempt.

        Raises:
            Conflict: it has not failed (code ``payments.not-failed``), or its outcome was never confirmed (``payments.never-confirmed``).
        """
        refuse_cards(ask)
        payment = await self._db.read(lambda session: store.find(session, payment_id, subject))
        provider = provider_named(self._ctx, payment.provider)
        operation = {"id": self._ctx.new_id("pop"), "kind": "authorize", "amount": payment.amount, "by": subject, "attempt": payment.attempt + 1}

        def unit(session: Session) -> AuthorizeRequest:
            row = store.find(session, payment_id, subject)
            if row.status not in (PaymentStatus.FAILED, PaymentStatus.VOIDED) or row.captured:
                raise Conflict(f"The payment is {row.status}.", code="payments.not-failed", hint="Only what failed can be tried again.")
            if row.code == NEVER_ARRIVED:
                raise Conflict("It may still turn up at the provider.", code="payments.never-confirmed", hint="Make a new payment instead.")
            token, party = self.methods.resolve(session, subject, payment.provider, ask.method)
            fresh = {"status": PaymentStatus.UNKNOWN, "code": "", "ref": None, "action": "", "attempt": row.attempt + 1, "due_at": None}
            store.begin(session, row, operation, self._ctx.clock.now(), **fresh)
            return _request(row, token, party, "")

        request = await self._db.write(unit)
        return await self._asked(payment_id, operation, lambda: provider.authorize(request, key=operation["id"]), is_opening=True)

    async def capture(self, payment_id: str, amount: int | None, by: Actor) -> OwnedPaymentView:
        """Take what is reserved, or a part of it; the rest is let go.

        Raises:
            Conflict: it is not reserved (code ``payments.not-authorized``), or something is under way (``payments.busy``).
            Unprocessable: more than is reserved (code ``payments.too-much``), or the provider refuses.
        """

        def check(row: Any) -> int | None:
            if row.status != PaymentStatus.AUTHORIZED:
                raise Conflict(f"The payment is {row.status}.", code="payments.not-authorized", hint="Only what is reserved can be taken.")
            return _at_most(amount, row.amount - row.captured)

        def call(provider: PaymentProvider, row: Any, key: str) -> Awaitable[PaymentResult]:
            return provider.capture(row.ref, _money(amount, row), key=key)

        return await self._change(payment_id, "capture", check, call, by)

    async def void(self, payment_id: str, by: Actor, subject: str = "") -> OwnedPaymentView:
        """Let go of what is reserved, or of what the payer has not confirmed.

        Raises:
            Conflict: neither (code ``payments.not-voidable``), or something is under way.
        """

        def check(row: Any) -> int | None:
            if row.status not in _VOIDABLE or row.captured:
                raise Conflict(f"The payment is {row.status}.", code="payments.not-voidable", hint="What was taken can be refunded.")
            return None

        return await self._change(payment_id, "void", check, lambda provider, row, key: provider.void(row.ref, key=key), by, subject)

    async def refund(self, ask: Refund, by: Actor) -> OwnedPaymentView:
        """Give back a payment, or a part of it.

        Raises:
            Conflict: nothing of it can be given back (code ``payments.not-refundable``), or something is under way.
            Unprocessable: more than the rest (code ``payments.too-much``), parts are not possible, or the provider refuses.
        """

        def check(row: Any) -> int | None:
            rest = standing_of(row).rest
            if row.status not in TAKEN or not rest:
                raise Conflict(f"The payment is {row.status}.", code="payments.not-refundable", hint="Only what was taken can be given back.")
            minor = _at_most(ask.amount, rest)
            if minor not in (None, rest) and not provider_named(self._ctx, row.provider).capabilities().partial_refund:
                raise Unprocessable("This provider gives back all or nothing.", code="payments.all-or-nothing", hint="Leave the amount out.")
            return minor

        def call(provider: PaymentProvider, row: Any, key: str) -> Awaitable[PaymentResult]:
            return provider.refund(row.ref, _money(ask.amount, row), key=key, reason=ask.reason)

        return await self._change(ask.payment, "refund", check, call, by, reason=ask.reason)

    async def find(self, payment_id: str, subject: str) -> PaymentView:
        """Return a person's payment.

        Raises:
            NotFound: there is none (code ``payments.not-found``).
        """
        row = await self._db.read(lambda session: store.find(session, payment_id, subject))
        found = store.view(row)
        if found.action is None or found.action.url:
            return found
        try:  # what the provider's own form needs is kept nowhere
            action = (await provider_named(self._ctx, row.provider).query(row.ref)).action
        except (PaymentError, HubError):
            return found
        return replace(found, action=store.shown(action) if action else None)

    async def _price(self, subject: str, ask: Checkout) -> Money:
        wanted = OfferAsk(purpose=ask.purpose, product=ask.product, subject=subject, asset=ask.asset)
        for offer in self._config.offers:
            if (offer.purpose, offer.product) == (ask.purpose, ask.product) and ask.asset in ("", offer.asset):
                return Money(offer.amount, offer.asset)
        found = await self._ctx.decisions.choose("choose.offer", wanted)
        if not isinstance(found, Money) or found.minor <= 0:
            raise Unprocessable("Nobody sells this.", code="payments.no-offer", hint="Check purpose, product and asset.")
        return found

    async def _open(
        self, subject: str, ask: Any, product: str, amount: Money, *, capture: bool, admit: Callable[[Session], None] | None = None
    ) -> OwnedPaymentView:
        """Open a payment; with ``admit`` the payer is not there, and whatever the provider answers is no error."""
        if amount.minor > self._config.max_amount:
            raise Unprocessable(f"At most {self._config.max_amount} at once.", code="payments.too-large", hint="Amounts are minor units.")
        stored = await self.methods.provider_of(subject, ask.method)
        provider = provider_named(self._ctx, stored) if stored else choose(self._ctx, amount.asset, ask)
        about = {"purpose": ask.purpose, "product": product, "subject": subject}
        asked = PaymentAsk(amount=amount, provider=provider.name, country=ask.country, kind=ask.kind, **about)
        await self._ctx.decisions.guard("guard.payment", asked)
        payment_id, now = self._ctx.new_id("pay"), self._ctx.clock.now()
        operation: dict[str, Any] = {"id": self._ctx.new_id("pop"), "kind": "authorize", "amount": amount.minor, "by": subject}
        zero = dict.fromkeys(("captured", "refunded", "returned", "disputed", "fee", "version"), 0)
        empty = dict.fromkeys(("dispute", "code", "action", "doing"), "")

        def unit(session: Session) -> AuthorizeRequest:
            if admit is not None:
                admit(session)
            self._books.check(session, subject, ask.purpose, amount.asset)
            token, party = self.methods.resolve(session, subject, provider.name, ask.method)
            row = {"id": payment_id, "provider": provider.name, "asset": amount.asset, "amount": amount.minor, "capture": capture, "attempt": 1}
            state = {"status": PaymentStatus.UNKNOWN, "created_at": now, "updated_at": now}
            session.execute(insert(payments).values(**about, **row, **state, **zero, **empty))
            payment = store.find(session, payment_id)
            store.begin(session, payment, operation, now)
            return _request(payment, token, party, ask.return_url, off_session=admit is not None)

        request = await self._db.write(unit)
        call = lambda: provider.authorize(request, key=operation["id"])  # noqa: E731
        return await self._asked(payment_id, operation, call, is_opening=True, is_asked_for=admit is None)

    async def _change(
        self,
        payment_id: str,
        kind: str,
        check: Callable[[Any], int | None],
        call: Callable[[PaymentProvider, Any, str], Awaitable[PaymentResult]],
        by: Actor,
        subject: str = "",
        reason: str = "",
    ) -> OwnedPaymentView:
        operation: dict[str, Any] = {"id": self._ctx.new_id("pop"), "kind": kind, "by": by.subject}

        def unit(session: Session) -> Any:
            row = store.find(session, payment_id, subject)
            minor = check(row)
            store.begin(session, row, operation | {"amount": minor}, self._ctx.clock.now())
            detail = {"operation": operation["id"], "amount": minor, "asset": row.asset, "reason": reason}
            entry = AuditEntry(action=f"payment.{kind}", object=payment_id, subject=row.subject, detail=detail, retention="7y")
            self._ctx.audit(session, by, entry)
            return row

        row = await self._db.write(unit)
        provider = provider_named(self._ctx, row.provider)
        return await self._asked(payment_id, operation, lambda: call(provider, row, operation["id"]), is_opening=False)

    async def _asked(
        self,
        payment_id: str,
        operation: dict[str, Any],
        call: Callable[[], Awaitable[PaymentResult]],
        *,
        is_opening: bool,
        is_asked_for: bool = True,
    ) -> OwnedPaymentView:
        """Ask the provider and return the payment; a payment that was refused when it was opened is an answer and no error."""
        told = await self.effects.run(operation["id"], operation["kind"], call)
        if isinstance(told, PaymentError) and is_asked_for and (not is_opening or told.retry_after is not None):
            raise_refused(told)
        found = store.owned_view(await self._db.read(lambda session: store.find(session, payment_id)))
        if found.action is not None and isinstance(told, PaymentResult) and told.action is not None:
            return replace(found, action=store.shown(told.action))
        return found


def _request(payment: Any, token: str, party: str, return_url: str, *, off_session: bool = False) -> AuthorizeRequest:
    amount = Money(payment.amount, payment.asset)
    more: dict[str, Any] = {"method": token, "party": party, "capture": payment.capture, "return_url": return_url, "off_session": off_session}
    return AuthorizeRequest(amount=amount, reference=payment.id, group=payment.id, **more)


def _money(minor: int | None, payment: Any) -> Money | None:
    return None if minor is None else Money(minor, payment.asset)


def _at_most(minor: int | None, rest: int) -> int | None:
    if minor is not None and minor > rest:
        raise Unprocessable(f"{minor} is more than the {rest} that are left.", code="payments.too-much", hint="Leave the amount out for all of it.")
    return minor
