"""What the twin holds, and the rules of PaymentIntents, refunds, disputes, Connect and subscriptions."""

from __future__ import annotations

import itertools
from typing import Any

from stripe_twin.errors import Refused, missing
from stripe_twin.forms import check, integer

DAY = 86_400
DECLINES = {
    "pm_card_chargeDeclined": "generic_decline",
    "pm_card_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "pm_card_chargeDeclinedExpiredCard": "expired_card",
}
GOOD = {"pm_card_visa", "pm_card_mastercard", "pm_card_createDispute", "pm_card_refundFail", "pm_card_threeDSecure2Required"}
CURRENCIES = {"eur", "usd", "gbp", "jpy", "bhd", "isk"}
INTENT = (
    "amount",
    "currency",
    "capture_method",
    "payment_method",
    "confirm",
    "customer",
    "transfer_group",
    "return_url",
    "payment_method_types",
    "off_session",
)


class Book:
    """Objects by kind and id, and the events that they made."""

    def __init__(self) -> None:
        self.now = 1_700_000_000
        self.objects: dict[str, dict[str, dict[str, Any]]] = {}
        self.events: list[dict[str, Any]] = []
        self._numbers = itertools.count(1)

    def new(self, kind: str, prefix: str, **values: Any) -> dict[str, Any]:
        """Keep a new object."""
        made = {"id": f"{prefix}_{next(self._numbers):08d}", "object": kind, "created": self.now, "livemode": False, "metadata": {}} | values
        self.objects.setdefault(kind, {})[made["id"]] = made
        return made

    def find(self, kind: str, ref: str, param: str = "id") -> dict[str, Any]:
        """Return an object that is there."""
        found = self.objects.get(kind, {}).get(ref)
        if found is None:
            raise missing(kind, ref, param)
        return found

    def listed(self, kind: str, params: dict[str, Any], **same: Any) -> dict[str, Any]:
        """Return a page, newest first."""
        check(params, "limit", "starting_after", "ending_before", "created", "payment_intent", "types")
        source = self.events if kind == "event" else list(self.objects.get(kind, {}).values())
        rows = [row for row in reversed(source) if all(row.get(name) == value for name, value in same.items())]
        rows = [row for row in rows if row["created"] >= int((params.get("created") or {}).get("gte", 0))]
        if types := set((params.get("types") or {}).values()):
            rows = [row for row in rows if row["type"] in types]
        ids, limit = [row["id"] for row in rows], integer(params, "limit", 10)
        if not 1 <= limit <= 100:
            raise Refused(400, "parameter_invalid_integer", "limit is 1 to 100", param="limit")
        if after := params.get("starting_after"):
            rows = rows[ids.index(after) + 1 :] if after in ids else []
            has_more = len(rows) > limit
            rows = rows[:limit]
        elif before := params.get("ending_before"):
            if kind == "event" and before not in ids:
                all_ids = [row["id"] for row in reversed(self.events)]
                place = all_ids.index(before)
                rows = [row for row in rows if all_ids.index(row["id"]) < place]
            else:
                rows = rows[: ids.index(before)]
            has_more = len(rows) > limit
            rows = rows[-limit:]
        else:
            has_more = len(rows) > limit
            rows = rows[:limit]
        return {"object": "list", "data": rows, "has_more": has_more, "url": f"/v1/{kind}s"}

    def event(self, kind: str, found: dict[str, Any]) -> None:
        """Note an event with the object as it is now."""
        number = next(self._numbers)
        body = {
            "id": f"evt_{number:08d}",
            "object": "event",
            "type": kind,
            "created": self.now,
            "livemode": False,
            "api_version": "2026-10-28.endive",
        }
        self.events.append(body | {"data": {"object": {name: value for name, value in found.items() if not name.startswith("_")}}})

    # payments

    def create_intent(self, params: dict[str, Any]) -> dict[str, Any]:
        check(params, *INTENT)
        amount, currency = integer(params, "amount"), params.get("currency", "")
        if currency not in CURRENCIES:
            raise Refused(400, "parameter_invalid_string", f"Invalid currency: {currency}", param="currency")
        if amount < 50:
            raise Refused(400, "amount_too_small", "Amount must be at least 50", param="amount")
        if amount > 99_999_999:
            raise Refused(400, "amount_too_large", "Amount must be no more than 99999999", param="amount")
        if customer := params.get("customer"):
            self.find("customer", customer, "customer")
        method = params.get("payment_method")
        self._check_method(method)
        for name in ("return_url", "off_session"):
            if params.get(name) and params.get("confirm") != "true":
                raise Refused(400, "parameter_unknown", f"{name} is only taken with confirm=true", param=name)
        if set((params.get("payment_method_types") or {"0": "card"}).values()) - {"card", "sepa_debit"}:
            raise Refused(400, "parameter_invalid_string", "The payment method type is invalid.", param="payment_method_types")
        intent = self.new(
            "payment_intent",
            "pi",
            amount=amount,
            currency=currency,
            amount_received=0,
            amount_capturable=0,
            capture_method=params.get("capture_method", "automatic"),
            status="requires_confirmation" if method else "requires_payment_method",
            payment_method=method,
            customer=customer,
            transfer_group=params.get("transfer_group"),
            metadata=params.get("metadata", {}),
            _return_url=params.get("return_url"),
            _is_away=params.get("off_session") == "true",
            latest_charge=None,
            last_payment_error=None,
            next_action=None,
        )
        intent["client_secret"] = f"{intent['id']}_secret_x"
        self.event("payment_intent.created", intent)
        return self._confirm(intent) if params.get("confirm") == "true" else intent

    def _check_method(self, method: str | None) -> None:
        if method and method not in GOOD and method not in DECLINES:
            self.find("payment_method", method, "payment_method")

    def _confirm(self, intent: dict[str, Any]) -> dict[str, Any]:
        method = intent["payment_method"]
        is_alone = method == "pm_card_threeDSecure2Required" and intent["_is_away"]
        if method in DECLINES or is_alone:
            why = {"code": "authentication_required"} if is_alone else {"code": "card_declined"}
            error = {
                "type": "card_error",
                **why,
                "decline_code": DECLINES.get(method, "authentication_required"),
                "message": "Your card was declined.",
            }
            intent |= {"status": "requires_payment_method", "last_payment_error": error, "payment_method": None}
            self.event("payment_intent.payment_failed", intent)
            more = {"decline_code": error["decline_code"], "payment_intent": dict(intent)}
            raise Refused(402, error["code"], error["message"], kind="card_error", kept=True, **more)
        if method == "pm_card_threeDSecure2Required":
            url = f"https://hooks.stripe.example/3d_secure/{intent['id']}"
            there = {"type": "redirect_to_url", "redirect_to_url": {"url": url}} if intent["_return_url"] else {"type": "use_stripe_sdk"}
            intent |= {"status": "requires_action", "next_action": there}
            self.event("payment_intent.requires_action", intent)
            return intent
        return self.authenticated(intent)

    def confirmed(self, client_secret: str, method: str) -> dict[str, Any]:
        """Let the payer give a method to Stripe's own form, which knows a payment by its client secret alone."""
        (intent,) = [one for one in self.objects["payment_intent"].values() if one["client_secret"] == client_secret]
        intent["payment_method"] = method
        return self._confirm(intent)

    def authenticated(self, intent: dict[str, Any]) -> dict[str, Any]:
        """Charge what the payer agreed to."""
        charge = self.new(
            "charge",
            "ch",
            amount=intent["amount"],
            currency=intent["currency"],
            amount_refunded=0,
            disputed=False,
            payment_intent=intent["id"],
            _moved=0,
        )
        intent |= {"latest_charge": charge["id"], "next_action": None, "last_payment_error": None}
        if intent["capture_method"] == "manual":
            intent |= {"status": "requires_capture", "amount_capturable": intent["amount"], "_held_at": self.now}
            self.event("payment_intent.amount_capturable_updated", intent)
            return intent
        return self._take(intent, intent["amount"])

    def _take(self, intent: dict[str, Any], amount: int) -> dict[str, Any]:
        charge = self.find("charge", intent["latest_charge"])
        fee = amount * 29 // 1000 + 30
        balance = self.new("balance_transaction", "txn", amount=amount, fee=fee, currency=intent["currency"], available_on=self.now + 2 * DAY)
        charge |= {"amount_captured": amount, "balance_transaction": balance["id"]}
        intent |= {"status": "succeeded", "amount_received": amount, "amount_capturable": 0}
        self.event("payment_intent.succeeded", intent)
        if intent["payment_method"] == "pm_card_createDispute":
            self.dispute(intent["id"])
        return intent

    def capture(self, ref: str, params: dict[str, Any]) -> dict[str, Any]:
        check(params, "amount_to_capture")
        intent = self._state(ref, "capture", "requires_capture")
        amount = integer(params, "amount_to_capture", intent["amount"])
        if not 0 < amount <= intent["amount_capturable"]:
            raise Refused(400, "amount_too_large", "The amount could not be captured", param="amount_to_capture")
        return self._take(intent, amount)

    def cancel(self, ref: str, params: dict[str, Any]) -> dict[str, Any]:
        check(params, "cancellation_reason")
        intent = self._state(ref, "cancel", "requires_payment_method", "requires_capture", "requires_confirmation", "requires_action", "processing")
        intent |= {"status": "canceled", "amount_capturable": 0}
        self.event("payment_intent.canceled", intent)
        return intent

    def _state(self, ref: str, verb: str, *allowed: str) -> dict[str, Any]:
        intent = self.find("payment_intent", ref)
        self._expire(intent)
        if intent["status"] not in allowed:
            message = f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}."
            raise Refused(400, "payment_intent_unexpected_state", message, payment_intent=dict(intent))
        return intent

    def _expire(self, intent: dict[str, Any]) -> None:
        if intent["status"] == "requires_capture" and self.now - intent["_held_at"] > 7 * DAY:
            intent |= {"status": "canceled", "amount_capturable": 0}
            self.event("payment_intent.canceled", intent)

    def show_intent(self, ref: str) -> dict[str, Any]:
        intent = self.find("payment_intent", ref)
        self._expire(intent)
        return intent

    def refund(self, params: dict[str, Any]) -> dict[str, Any]:
        check(params, "payment_intent", "amount", "reason")
        intent = self.find("payment_intent", params.get("payment_intent", ""), "payment_intent")
        if intent["status"] != "succeeded":
            raise Refused(400, "charge_not_refundable", "This PaymentIntent does not have a successful charge to refund.")
        charge = self.find("charge", intent["latest_charge"])
        if charge["disputed"]:
            raise Refused(400, "charge_disputed", "The charge has been charged back.")
        left = charge["amount_captured"] - charge["amount_refunded"]
        amount = integer(params, "amount", left)
        if not left:
            raise Refused(400, "charge_already_refunded", "Charge has already been refunded.")
        if not 0 < amount <= left:
            raise Refused(400, "amount_too_large", f"Refund amount ({amount}) is greater than unrefunded amount ({left})", param="amount")
        status = "failed" if intent["payment_method"] == "pm_card_refundFail" else "succeeded"
        more = {"amount": amount, "currency": intent["currency"], "payment_intent": intent["id"], "charge": charge["id"], "status": status}
        made = self.new("refund", "re", metadata=params.get("metadata", {}), **more)
        if status == "succeeded":
            charge["amount_refunded"] += amount
            self.event("charge.refunded", charge)
        else:
            self.event("refund.failed", made)
        return made

    def dispute(self, ref: str) -> dict[str, Any]:
        """Let the payer's bank open a dispute."""
        intent = self.find("payment_intent", ref)
        charge = self.find("charge", intent["latest_charge"])
        charge["disputed"] = True
        more = {"amount": charge["amount_captured"], "currency": charge["currency"], "charge": charge["id"], "payment_intent": ref}
        made = self.new("dispute", "dp", status="needs_response", reason="fraudulent", evidence={}, **more)
        self.event("charge.dispute.created", made)
        return made

    def answer_dispute(self, ref: str, params: dict[str, Any]) -> dict[str, Any]:
        check(params, "evidence", "submit")
        found = self.find("dispute", ref)
        if found["status"] not in ("needs_response", "under_review"):
            raise Refused(400, "dispute_closed", "This dispute is closed.")
        text = (params.get("evidence") or {}).get("uncategorized_text", "")
        found["status"] = {"winning_evidence": "won", "losing_evidence": "lost"}.get(text, "under_review")
        if found["status"] != "under_review":
            self.event("charge.dispute.closed", found)
        return found

    # Connect

    def create_transfer(self, params: dict[str, Any]) -> dict[str, Any]:
        check(params, "amount", "currency", "destination", "source_transaction", "transfer_group")
        account = self.find("account", params.get("destination", ""), "destination")
        charge = self.find("charge", params.get("source_transaction", ""), "source_transaction")
        amount = integer(params, "amount")
        if amount <= 0:
            raise Refused(400, "parameter_invalid_integer", "This value must be greater than or equal to 1.", param="amount")
        if params["currency"] != charge["currency"]:
            raise Refused(400, "transfer_source_balance_parameters_mismatch", "The currency must match the charge.", param="currency")
        if amount > charge["amount_captured"] - charge["_moved"]:
            raise Refused(400, "balance_insufficient", "Transfers using this transaction as a source must not exceed the source amount.")
        charge["_moved"] += amount
        account["_balance"][params["currency"]] = account["_balance"].get(params["currency"], 0) + amount
        more = {
            "amount": amount,
            "currency": params["currency"],
            "destination": account["id"],
            "source_transaction": charge["id"],
            "amount_reversed": 0,
        }
        made = self.new("transfer", "tr", reversed=False, metadata=params.get("metadata", {}), transfer_group=params.get("transfer_group"), **more)
        self.event("transfer.created", made)
        return made

    def reverse(self, ref: str, params: dict[str, Any]) -> dict[str, Any]:
        check(params, "amount")
        found = self.find("transfer", ref)
        left = found["amount"] - found["amount_reversed"]
        amount = integer(params, "amount", left)
        if not 0 < amount <= left:
            raise Refused(400, "amount_too_large", f"{amount} is greater than the unreversed amount {left}", param="amount")
        account = self.find("account", found["destination"])
        if account["_balance"][found["currency"]] < amount:
            raise Refused(400, "balance_insufficient", "The connected account has insufficient funds.")
        account["_balance"][found["currency"]] -= amount
        self.find("charge", found["source_transaction"])["_moved"] -= amount
        found["amount_reversed"] += amount
        found["reversed"] = found["amount_reversed"] == found["amount"]
        made = self.new("transfer_reversal", "trr", amount=amount, currency=found["currency"], transfer=ref, metadata=params.get("metadata", {}))
        self.event("transfer.reversed", found)
        return made

    def create_payout(self, params: dict[str, Any], account: str) -> dict[str, Any]:
        check(params, "amount", "currency")
        found = self.objects.get("account", {}).get(account)
        if found is None:
            raise Refused(403, "account_invalid", f"The key does not have access to account '{account}'", kind="invalid_request_error")
        amount, currency = integer(params, "amount"), params.get("currency", "")
        if not 0 < amount <= found["_balance"].get(currency, 0):
            raise Refused(400, "balance_insufficient", "You have insufficient funds in your Stripe account for this payout.")
        found["_balance"][currency] -= amount
        made = self.new("payout", "po", amount=amount, currency=currency, status="paid", metadata=params.get("metadata", {}))
        self.event("payout.paid", made)
        return made

    # billing

    def subscribe(self, params: dict[str, Any]) -> dict[str, Any]:
        check(params, "customer", "items", "trial_period_days")
        customer = self.find("customer", params.get("customer", ""), "customer")
        price = self.find("price", params["items"]["0"]["price"], "items[0][price]")
        trial = integer(params, "trial_period_days", 0)
        item = {"id": f"si_{next(self._numbers):08d}", "object": "subscription_item", "price": price, "current_period_end": self.now + 30 * DAY}
        items = {"object": "list", "data": [item], "has_more": False, "url": "/v1/subscription_items"}
        more = {"customer": customer["id"], "status": "trialing" if trial else "active", "cancel_at_period_end": False, "items": items}
        made = self.new("subscription", "sub", metadata=params.get("metadata", {}), **more)
        self.event("customer.subscription.created", made)
        return made

    def update_subscription(self, ref: str, params: dict[str, Any]) -> dict[str, Any]:
        check(params, "items", "proration_behavior", "cancel_at_period_end")
        found = self.find("subscription", ref)
        if found["status"] == "canceled":
            raise Refused(400, "resource_missing", "A canceled subscription can only update its cancellation_details and metadata.")
        if items := params.get("items"):
            (item,) = found["items"]["data"]
            if items["0"].get("id") != item["id"]:
                raise missing("subscription_item", items["0"].get("id", ""), "items[0][id]")
            item["price"] = self.find("price", items["0"]["price"], "items[0][price]")
        found["cancel_at_period_end"] = params.get("cancel_at_period_end", str(found["cancel_at_period_end"])).lower() == "true"
        self.event("customer.subscription.updated", found)
        return found

    def unpaid(self, ref: str) -> None:
        """Let the payment of a subscription's next period fail."""
        found = self.find("subscription", ref)
        found["status"] = "past_due"
        self.event("customer.subscription.updated", found)

    def end_subscription(self, ref: str) -> dict[str, Any]:
        found = self.find("subscription", ref)
        if found["status"] == "canceled":
            raise missing("subscription", ref)
        found["status"] = "canceled"
        self.event("customer.subscription.deleted", found)
        return found
