"""Hook implementations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from luminai import Action, Actor, Channel, Decision, Event, EventType, Job, Meter, Metric, PluginContext, Schedule, Service, Subscription, hookimpl
from luminai_credits import events, manage_routes, routes
from luminai_credits.config import CreditsConfig
from luminai_credits.models import metadata
from luminai_credits.service import Credits
from luminai_credits.upkeep import Kept, Nothing

if TYPE_CHECKING:
    from sqlalchemy import MetaData

EVENTS = (
    (events.Granted, "Units were put into a wallet."),
    (events.Low, "Work took what is available below the product's mark."),
    (events.Settled, "Paid work ended well and was charged."),
    (events.Released, "Held work gave no result, and nothing was charged."),
    (events.Refunded, "A settled action was refunded."),
    (events.PlanChanged, "A person's plan or its state is another one now."),
    (events.PaymentDue, "A plan is to be paid; whoever takes payments may charge a stored method by the key."),
)


class Plugin:
    """Credits."""

    config: ClassVar = CreditsConfig

    @hookimpl
    def models(self) -> MetaData:
        """Name the tables."""
        return metadata

    @hookimpl
    def services(self, ctx: PluginContext) -> Sequence[Service]:
        """Offer wallets and plans to plugins that require this one."""
        return [Service(Credits, Credits(ctx))]

    @hookimpl
    def meters(self, ctx: PluginContext) -> Sequence[Meter]:
        """Count paid work."""
        return [ctx.service(Credits).meter]

    @hookimpl
    def decisions(self, ctx: PluginContext) -> Sequence[Decision]:
        """Tell a plugin that takes payments what packs and plans cost."""
        return [Decision(point="choose.offer", decide=ctx.service(Credits).purchases.offer)]

    @hookimpl
    def subscriptions(self, ctx: PluginContext) -> Sequence[Subscription]:
        """Hear of payments, where a plugin takes some, and of what happened here, to count it."""
        purchases = ctx.service(Credits).purchases
        heard = (("Captured", purchases.captured), ("Refunded", purchases.refunded), ("Disputed", purchases.disputed))
        paid = [Subscription(event=f"payments.{name}", handle=purchases.hears(take), durable=True) for name, take in heard]

        async def count(event: Event) -> None:
            """Count what is committed: a unit that is run again is counted once."""
            told = event.payload
            match event.type:
                case "credits.Settled":
                    ctx.metrics.count("work_total", product=told["product"], state="settled", why=told["funding"])
                    ctx.metrics.count("units_total", told["amount"], unit=told["unit"], way="spent")
                case "credits.Released":
                    ctx.metrics.count("work_total", product=told["product"], state="released", why=told["failure"])
                case "credits.Granted":
                    ctx.metrics.count("units_total", told["amount"], unit=told["unit"], way=told["source"])

        return [*paid, *(Subscription(event=f"credits.{name}", name="metrics", handle=count) for name in ("Settled", "Released", "Granted"))]

    @hookimpl
    def metrics(self) -> Sequence[Metric]:
        """Declare what is counted."""
        return [
            Metric(
                name="work_total",
                kind="counter",
                help="Paid work that ended: settled, by what paid for it; released, by why it failed.",
                labels=("product", "state", "why"),
            ),
            Metric(name="units_total", kind="counter", help="Units that were spent, and that were given, by their source.", labels=("unit", "way")),
        ]

    @hookimpl
    def event_types(self) -> Sequence[EventType]:
        """Declare what is published."""
        return [EventType(name=payload.__name__, payload=payload, summary=summary) for payload, summary in EVENTS]

    @hookimpl
    def channels(self, ctx: PluginContext) -> Sequence[Channel]:  # noqa: ARG002 - the hook's shape
        """Tell people's live meters what they have."""

        async def is_own(actor: Actor, params: Mapping[str, str]) -> bool:
            return params["subject"] == actor.subject

        summary = "What a person has, whenever it changes."
        return [Channel(name="wallet.{subject}", kinds={"changed": events.Changed}, may_join=is_own, scope="credits:read", summary=summary)]

    @hookimpl
    def actions(self, ctx: PluginContext) -> Sequence[Action]:
        """Offer what the clock brings."""
        upkeep = ctx.service(Credits).upkeep

        async def run(_: Job, __: Nothing) -> Kept:
            return await upkeep.run()

        summary = "Begin months, end units whose time is over, and release what was held for lost work."
        kinds: dict[str, Any] = {"input": Nothing, "output": Kept, "scope": "credits:manage"}
        return [Action(name="upkeep", summary=summary, run=run, timeout=600, concurrency="skip", retries=3, **kinds)]

    @hookimpl
    def schedules(self, ctx: PluginContext) -> Sequence[Schedule]:  # noqa: ARG002 - the hook's shape
        """Look after it every five minutes; what a person asks for in between is brought up to date by the asking."""
        return [Schedule(name="upkeep", action="upkeep", trigger="every: 5m", jitter=30)]

    @hookimpl
    def routes(self, ctx: PluginContext) -> Sequence[Any]:
        """Offer wallets to people, and everything to operators."""
        found = ctx.service(Credits)
        return [*routes.handlers(ctx, found), *manage_routes.handlers(ctx, found)]

    @hookimpl
    async def start(self, ctx: PluginContext) -> None:
        """Import the product files of the settings."""
        await ctx.service(Credits).start()
