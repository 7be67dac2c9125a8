"""The provider: PaymentIntents, and Connect with separate charges and transfers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from luminai import (
    AuthorizeRequest,
    ClientAction,
    Evidence,
    MethodSetup,
    Money,
    NotSignedIn,
    Party,
    PaymentCapabilities,
    PaymentError,
    PaymentEvent,
    PaymentResult,
    PaymentStatus,
    PluginContext,
    check_timed_signature,
    signing_secrets,
)
from luminai_pay_stripe import reading
from luminai_pay_stripe.amounts import from_wire, to_wire
from luminai_pay_stripe.billing import StripeBilling
from luminai_pay_stripe.client import StripeApi
from luminai_pay_stripe.config import PayStripeConfig

KEY: Final = "luminai_key"
"""Metadata under which each object carries the key that made it, for Stripe cannot be asked by key."""
MAX_PAGES: Final = 10
PER_PAGE: Final = 100
FIRST_LOOK: Final = timedelta(days=1)
REMEMBERED: Final = timedelta(days=2)


class StripeProvider:
    """Implements ``PaymentProvider`` with Stripe."""

    name = "stripe"

    def __init__(self, ctx: PluginContext, api: StripeApi) -> None:
        self._ctx = ctx
        self._api = api
        self._config: PayStripeConfig = ctx.config

    def capabilities(self) -> PaymentCapabilities:
        """Say what it can do. A card is held for seven days, keys are remembered for one; the platform's balance is no escrow."""
        names = ("authorize", "partial_capture", "partial_refund", "transfer", "reverse_transfer", "payout", "disputes", "idempotent", "query")
        yes: dict[str, Any] = dict.fromkeys((*names, "list_since", "webhook"), True)
        days: dict[str, Any] = {"hold_days": 7, "settle_days": 2, "return_days": 120, "idempotency_days": 1}
        sets: dict[str, Any] = {
            name: frozenset(getattr(self._config, own)) for name, own in (("assets", "assets"), ("methods", "kinds"), ("countries", "countries"))
        }
        return PaymentCapabilities(custody="platform_balance", **yes, **days, **sets)

    async def ensure_party(self, party: Party, *, key: str) -> str:
        """Make a customer or a connected account."""
        more: dict[str, Any] = {"metadata": {"luminai_reference": party.reference}} | ({"email": party.email} if party.email else {})
        if party.kind == "account":
            wants = {name: {"requested": True} for name in ("transfers",)}
            account = {"type": "express", "country": party.country or self._config.account_country, "capabilities": wants} | more
            made = await self._effect(key, lambda client, options: client.v1.accounts.create_async(account, options))
        else:
            made = await self._effect(key, lambda client, options: client.v1.customers.create_async(more, options))
        return str(made["id"])

    async def onboarding(self, party_ref: str, return_url: str) -> ClientAction:
        """Return where the owner of a connected account tells Stripe who they are, or where a customer looks after methods and bills."""
        if not party_ref.startswith("acct_"):
            return ClientAction("redirect", await StripeBilling(self._api).portal(party_ref, return_url))
        link = {"account": party_ref, "refresh_url": return_url, "return_url": return_url, "type": "account_onboarding"}
        made = await self._api.call(lambda client: client.v1.account_links.create_async(link))
        return ClientAction("redirect", made["url"])

    async def setup_method(self, party_ref: str, *, key: str) -> MethodSetup:
        """Begin to store a method; the payer gives it to Stripe's own form with the client secret."""
        ask = {"customer": party_ref, "usage": "off_session", "payment_method_types": list(self._config.kinds), "metadata": {KEY: key}}
        made = await self._effect(key, lambda client, options: client.v1.setup_intents.create_async(ask, options))
        return MethodSetup(made["id"], ClientAction("client_secret", "", {"client_secret": made["client_secret"]}))

    async def detach_method(self, method_ref: str, *, key: str) -> None:
        """Have Stripe forget a method; one that was never given is forgotten already."""
        method = await self._method(method_ref, or_none=True)
        if method:
            await self._effect(key, lambda client, options: client.v1.payment_methods.detach_async(method, options=options))

    async def authorize(self, request: AuthorizeRequest, *, key: str) -> PaymentResult:
        """Make and confirm a PaymentIntent; without a method it waits for the payer."""
        self._need_key(key)
        amount, currency = to_wire(request.amount)
        if request.amount.asset not in self._config.assets:
            raise PaymentError(f"{request.amount.asset} is not taken", definite=True, code="bad-amount")
        ask: dict[str, Any] = {
            "amount": amount,
            "currency": currency,
            "capture_method": "automatic" if request.capture else "manual",
            "payment_method_types": list(self._config.kinds),
            "metadata": {**request.meta, KEY: key, "luminai_reference": request.reference},
            "expand": reading.EXPAND,
        }
        ask |= {"transfer_group": request.group} if request.group else {}
        ask |= {"customer": request.party} if request.party else {}
        if request.method:
            ask |= {"payment_method": await self._method(request.method), "confirm": True}
            ask |= {"off_session": True} if request.off_session else {}
        if request.return_url and request.method:
            ask["return_url"] = request.return_url
        try:
            made = await self._effect(key, lambda client, options: client.v1.payment_intents.create_async(ask, options))
        except PaymentError as error:
            declined = _declined(error)
            if declined is None:
                raise
            return await self.query(declined)
        return reading.payment(_plain(made))

    async def capture(self, ref: str, amount: Money | None, *, key: str, final: bool = True) -> PaymentResult:
        """Take what is held, or a part of it; the rest is let go."""
        if not final:
            raise PaymentError("a payment is captured once", definite=True, code="not-supported")
        ask = {"expand": reading.EXPAND} | await self._amount(ref, amount, "amount_to_capture")
        made = await self._effect(key, lambda client, options: client.v1.payment_intents.capture_async(ref, ask, options))
        return reading.payment(_plain(made))

    async def void(self, ref: str, *, key: str) -> PaymentResult:
        """Cancel what is held or waits."""
        made = await self._effect(key, lambda client, options: client.v1.payment_intents.cancel_async(ref, {}, options))
        return reading.payment(_plain(made) | {"latest_charge": None})

    async def refund(self, ref: str, amount: Money | None, *, key: str, reason: str = "") -> PaymentResult:
        """Give back; what was transferred is not taken back by that, reverse the transfer first."""
        metadata = {KEY: key, "payment": ref} | ({"reason": reason[:500]} if reason else {})
        ask = {"payment_intent": ref, "metadata": metadata} | await self._amount(ref, amount, "amount")
        made = await self._effect(key, lambda client, options: client.v1.refunds.create_async(ask, options))
        if made["status"] in ("failed", "canceled"):
            raise PaymentError("the refund failed", definite=True, code="refund-failed")
        return await self.query(ref)

    async def transfer(self, source_ref: str, dest_ref: str, amount: Money, *, key: str, group: str = "") -> PaymentResult:
        """Pass a part of a payment on to a connected account (separate charges and transfers)."""
        minor, currency = to_wire(amount)
        intent = await self._intent(source_ref)
        charge = (intent.get("latest_charge") or {}).get("id")
        ask = {"amount": minor, "currency": currency, "destination": dest_ref, "source_transaction": charge, "metadata": {KEY: key}}
        ask |= {"transfer_group": group} if group else {}
        made = await self._effect(key, lambda client, options: client.v1.transfers.create_async(ask, options))
        return reading.transfer(_plain(made))

    async def reverse_transfer(self, ref: str, amount: Money | None, *, key: str) -> PaymentResult:
        """Take a transfer, or a part of it, back."""
        self._need_key(key)
        ask = {"metadata": {KEY: key}} | ({"amount": to_wire(amount)[0]} if amount else {})
        await self._effect(key, lambda client, options: client.v1.transfers.reversals.create_async(ref, ask, options))
        return await self.query(ref)

    async def payout(self, dest_ref: str, amount: Money, *, key: str) -> PaymentResult:
        """Pay out what a connected account holds."""
        minor, currency = to_wire(amount)
        ask = {"amount": minor, "currency": currency, "metadata": {KEY: key}}
        call = lambda client, options: client.v1.payouts.create_async(ask, options | {"stripe_account": dest_ref})  # noqa: E731
        return reading.payout(_plain(await self._effect(key, call)))

    async def query(self, ref: str | None = None, *, key: str | None = None) -> PaymentResult:
        """Return a payment or transfer as it stands, by its reference, or by the key of what touched it in the last two days."""
        if ref is None:
            ref = await self._made_by(key or "")
        if ref.startswith("tr_"):
            return reading.transfer(_plain(await self._api.call(lambda client: client.v1.transfers.retrieve_async(ref))))
        intent = await self._intent(ref)
        dispute = None
        if (intent.get("latest_charge") or {}).get("disputed"):
            dispute = next(iter((await self._list("disputes", {"payment_intent": ref, "limit": 1}))["data"]), None)
        return reading.payment(intent, dispute)

    async def changes(self, cursor: str | None) -> AsyncIterator[tuple[str, PaymentEvent]]:
        """Yield events that concern payments after ``cursor``, oldest first; without one, those of the last day."""
        ask: dict[str, Any] = {"limit": PER_PAGE, "types": list(reading.EVENTS)}
        if cursor is None:
            since = int((self._ctx.clock.now() - FIRST_LOOK).timestamp())
            found: list[Any] = []
            for page in range(MAX_PAGES):
                more = {"created": {"gte": since}} | ({"starting_after": found[-1]["id"]} if page else {})
                listed = await self._list("events", ask | more)
                found += listed["data"]
                if not listed["has_more"]:
                    break
            for event in reversed(found):
                yield event["id"], self._event(event, b"")
            return
        while True:
            listed = await self._list("events", ask | {"ending_before": cursor})
            for event in reversed(listed["data"]):
                cursor = str(event["id"])
                yield cursor, self._event(event, b"")
            if not listed["has_more"] or not listed["data"]:
                return

    def verify(self, body: bytes, headers: Mapping[str, str], now: datetime) -> PaymentEvent:
        """Return the event of a genuine delivery: signed by a secret that holds, within five minutes."""
        secrets = signing_secrets(self._config.webhook_secrets, old_until=self._config.old_until)
        try:
            check_timed_signature(body, headers.get("stripe-signature"), secrets, now)
            return self._event(msgspec.json.decode(body), body)
        except NotSignedIn as forged:
            raise PaymentError(forged.detail, definite=True, code=forged.code) from None
        except (msgspec.MsgspecError, LookupError, TypeError, AttributeError, ValueError):
            raise PaymentError("the body is no event of Stripe", definite=True, code="bad-event") from None

    async def dispute_evidence(self, ref: str, evidence: Evidence, *, key: str) -> PaymentResult:
        """Answer the latest dispute of a payment."""
        found = await self._list("disputes", {"payment_intent": ref, "limit": 1})
        if not found["data"]:
            raise PaymentError("there is no dispute", definite=True, code="not-disputed")
        dispute, ask = found["data"][0]["id"], {"evidence": {"uncategorized_text": evidence.text[:20_000]}, "submit": True}
        await self._effect(key, lambda client, options: client.v1.disputes.update_async(dispute, ask, options))
        return await self.query(ref)

    def _need_key(self, key: str) -> None:
        if not 0 < len(key) <= 255:
            raise PaymentError("an effect needs a key of at most 255 characters", definite=True, code="no-key")

    async def _effect(self, key: str, ask: Callable[[Any, dict[str, Any]], Awaitable[Any]]) -> Any:
        self._need_key(key)
        return await self._api.call(lambda client: ask(client, {"idempotency_key": key}))

    async def _intent(self, ref: str) -> dict[str, Any]:
        return _plain(await self._api.call(lambda client: client.v1.payment_intents.retrieve_async(ref, {"expand": reading.EXPAND})))

    async def _method(self, token: str, *, or_none: bool = False) -> str:
        """Return the payment method that a token stands for: itself, or what a SetupIntent was given."""
        if not token.startswith("seti_"):
            return token
        found = _plain(await self._api.call(lambda client: client.v1.setup_intents.retrieve_async(token)))
        if found["status"] != "succeeded" and not or_none:
            raise PaymentError("the payer has not given the method yet", definite=True, code="method-not-set-up")
        return str(found.get("payment_method") or "")

    async def _amount(self, ref: str, amount: Money | None, name: str) -> dict[str, Any]:
        """Return the parameter for an amount. Stripe takes the currency from the payment, so a wrong one has to be noticed here."""
        if amount is None:
            return {}
        minor, currency = to_wire(amount)
        if (await self._intent(ref))["currency"] != currency:
            raise PaymentError(f"the payment is not in {amount.asset}", definite=True, code="bad-amount")
        return {name: minor}

    async def _made_by(self, key: str) -> str:
        """Return the object that a key made: Stripe's lists are walked, newest first, for it cannot be asked by key.

        Raises:
            PaymentError: not there (definite, code ``not-found``), or among more than can be looked through (unknown).
        """
        since = {"created": {"gte": int((self._ctx.clock.now() - REMEMBERED).timestamp())}}
        is_complete = True
        for kind in ("payment_intents", "refunds", "transfers"):
            last: dict[str, Any] = {}
            for page in range(MAX_PAGES):
                ask = {"limit": PER_PAGE, **since, **last}
                listed = await self._list(kind, ask)
                for found in listed["data"]:
                    if (found.get("metadata") or {}).get(KEY) == key:
                        return str(found["payment_intent"] if kind == "refunds" else found["id"])
                if not listed["has_more"]:
                    break
                last = {"starting_after": listed["data"][-1]["id"]}
                is_complete &= page < MAX_PAGES - 1
        raise PaymentError("no effect with this key is there", definite=is_complete, code="not-found" if is_complete else "too-many")

    async def _list(self, kind: str, ask: dict[str, Any]) -> dict[str, Any]:
        return _plain(await self._api.call(lambda client: getattr(client.v1, kind).list_async(ask)))

    def _event(self, event: Any, raw: bytes) -> PaymentEvent:
        kind, found = str(event["type"]), event["data"]["object"]
        amount = from_wire(found["amount"], found["currency"]) if isinstance(found.get("amount"), int) and found.get("currency") else None
        is_ours = kind in reading.EVENTS
        return PaymentEvent(
            id=str(event["id"]),
            provider=self.name,
            kind=kind,
            ref=reading.ref_of(kind, found) if is_ours else "",
            status=reading.EVENTS[kind] if is_ours else PaymentStatus.UNKNOWN,
            at=datetime.fromtimestamp(event["created"], UTC),
            amount=amount,
            raw=raw,
        )


def _plain(found: Any) -> dict[str, Any]:
    """Return an object of the SDK as a plain dict: its own class is none any more."""
    plain: dict[str, Any] = found.to_dict()
    return plain


def _declined(error: PaymentError) -> str | None:
    """Return the PaymentIntent that a declined card left behind: a decline is an outcome and no failure."""
    cause: Any = error.__cause__
    intent = getattr(getattr(cause, "error", None), "payment_intent", None)
    return str(intent["id"]) if intent is not None and type(cause).__name__ == "CardError" else None
