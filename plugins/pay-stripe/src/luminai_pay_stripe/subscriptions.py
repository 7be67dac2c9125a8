"""What Stripe tells of subscriptions. An event is only a hint: the subscription is asked for as it stands, and that is published."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from sqlalchemy.orm import Session

from luminai import Delivery, Event, InvalidInput, PluginContext, Verified, Webhook, check_timed_signature, signing_secrets
from luminai_pay_stripe.billing import StripeBilling
from luminai_pay_stripe.config import PayStripeConfig

_OURS: Final = "customer.subscription."


class Told(Struct, frozen=True):
    """What is kept of an event."""

    ref: str


class _Object(Struct):
    id: Annotated[str, Meta(max_length=200)] = ""


class _Data(Struct):
    object: _Object


class _Envelope(Struct):
    id: Annotated[str, Meta(min_length=1, max_length=200)]
    type: str
    data: _Data


def webhook(ctx: PluginContext, billing: StripeBilling) -> Webhook:
    """Return the webhook at ``/api/webhook/pay-stripe``."""
    config: PayStripeConfig = ctx.config

    def verify(body: bytes, headers: Mapping[str, str], now: datetime) -> Verified:
        secrets = signing_secrets(config.webhook_secrets, old_until=config.old_until)
        check_timed_signature(body, headers.get("stripe-signature"), secrets, now)
        try:
            event = msgspec.json.decode(body, type=_Envelope)
        except (msgspec.MsgspecError, ValueError) as error:
            raise InvalidInput("The body is no event of Stripe.", code="bad-event", hint="Send what Stripe sends.") from error
        told = Told(event.data.object.id) if event.type.startswith(_OURS) and event.data.object.id else None
        return Verified(id=event.id, event=told, summary=event.type[:200], id_is_signed=True)

    async def receive(told: Told, delivery: Delivery) -> None:
        found: dict[str, Any] = msgspec.to_builtins(await billing.find(told.ref))

        def unit(session: Session) -> None:
            ctx.db.publish(session, Event(type="pay-stripe.SubscriptionChanged", payload=found, key=told.ref))
            delivery.finish(session)

        await ctx.db.as_system().write(unit)

    return Webhook(event=Told, verify=verify, receive=receive)
