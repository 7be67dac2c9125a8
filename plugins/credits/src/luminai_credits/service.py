"""The parts of the plugin put together, and what routes, commands and other plugins ask of them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from luminai import Actor, AuditEntry, ConfigRejected, HubError, InvalidInput, NotFound, PluginContext, Work
from luminai_credits.catalogue import Catalogue, Imported
from luminai_credits.config import CreditsConfig
from luminai_credits.meter import CreditsMeter
from luminai_credits.models import grants, usage
from luminai_credits.periods import month_start
from luminai_credits.products import Product, moment
from luminai_credits.purchases import Purchases
from luminai_credits.purse import Purse
from luminai_credits.quotas import Quotas, unit_of
from luminai_credits.reading import read_product
from luminai_credits.refunds import Refunds
from luminai_credits.schemas import BucketView, GrantAsk, GrantView, PlanGrantAsk, QuoteAsk, QuoteView, UsageView, WalletView
from luminai_credits.subscriptions import Subscriptions
from luminai_credits.upkeep import Upkeep
from luminai_credits.wallets import Gift, Wallets, spendable, totals_of
from luminai_ledger import Ledger

SAMPLES = ("lumiku", "phoenix")


class Credits:
    """Wallets, plans and prices for plugins that require this one. Methods with a ``session`` belong into a unit of work in the person's name."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self.catalogue = Catalogue(ctx.new_id)
        self._purse = Purse(ctx.service(Ledger))
        self._wallets = Wallets(ctx, self._purse)
        self._quotas = Quotas(self._purse)
        self.subscriptions = Subscriptions(self._purse, self._wallets)
        self.meter = CreditsMeter(ctx, self.catalogue, self._purse, self._wallets, self.subscriptions, self._quotas)
        self.refunds = Refunds(ctx, self.catalogue, self._purse, self._wallets)
        self.purchases = Purchases(ctx, self.catalogue, self._purse, self._wallets, self.subscriptions)
        self.upkeep = Upkeep(ctx, self.catalogue, self._purse, self._wallets, self.subscriptions, self.meter)

    async def start(self) -> None:
        """Import the product files of the settings.

        Raises:
            ConfigRejected: one cannot be read, or has problems; ``errors`` lists all of them.
        """
        config: CreditsConfig = self._ctx.config
        for name in config.products:
            text = await self._ctx.run_sync(self._text_of, name)
            try:
                product = read_product(text)
                await self._ctx.db.as_system().write(lambda session, product=product: self.store(session, product))  # type: ignore[misc]
            except HubError as wrong:
                raise ConfigRejected(f"{name}: {wrong.detail}", hint=wrong.hint, errors=wrong.errors) from wrong

    def store(self, session: Session, product: Product) -> Imported:
        """Add a product and what it counts. Raises as ``Catalogue.store``."""
        self._purse.define(session, product.unit, product.unit_title)
        for feature in sorted({feature for plan in product.plans for feature in plan.quotas or {}}):
            self._purse.define(session, unit_of(feature), f"Quota: {feature}")
        return self.catalogue.store(session, product, self._ctx.clock.now())

    def wallet(self, session: Session, subject: str, product_name: str) -> WalletView:
        """Return a person's standing in a product; it opens the wallet where there is none.

        Raises:
            NotFound: there is no such product (code ``credits.unknown-product``).
        """
        now = self._ctx.clock.now()
        product = self.catalogue.product(session, product_name)
        wallet = self.subscriptions.turn(session, self._wallets.open(session, subject, product, now), product, now)
        return self._view(session, wallet, product)

    def wallets(self, session: Session, subject: str) -> list[WalletView]:
        """Return a person's standing in all products. Raises nothing."""
        return [self.wallet(session, subject, product.product) for product in self.catalogue.products(session)]

    def peek(self, session: Session, subject: str) -> list[WalletView] | None:
        """Return the same without writing anything; None where a wallet has to be opened or brought up to date first."""
        now, shown = self._ctx.clock.now(), []
        for product in self.catalogue.products(session):
            wallet = self._wallets.find(session, subject, product.product)
            if wallet is None or (wallet.due_at is not None and wallet.due_at <= now):
                return None
            shown.append(self._view(session, wallet, product))
        return shown

    def opened(self, session: Session, subject: str) -> list[WalletView]:
        """Return a person's standing where they have a wallet, as it was last brought up to date; nothing is written."""
        found = [(product, self._wallets.find(session, subject, product.product)) for product in self.catalogue.products(session)]
        return [self._view(session, wallet, product) for product, wallet in found if wallet is not None]

    def has_feature(self, session: Session, subject: str, product_name: str, feature: str) -> bool:
        """Tell whether a person's plan has a feature. Raises as ``wallet``."""
        product = self.catalogue.product(session, product_name)
        wallet = self._wallets.find(session, subject, product_name)
        plan = product.plan(wallet.plan if wallet is not None else product.default_plan)
        return (plan.features or {}).get(feature, False)

    def quote(self, session: Session, subject: str, ask: QuoteAsk) -> QuoteView:
        """Tell what an action would cost a person. Raises as ``Metering.quote``; NotFound: nothing is called so (code ``credits.unknown-action``)."""
        action = self.catalogue.named(session, ask.action)
        work = Work(action=action, key="quote", subject=subject, model=ask.model, quantities=ask.quantities, options=ask.options)
        found = self.meter.quote(session, work)
        if found is None:
            raise NotFound(
                "No price is known for this action.", code="credits.unknown-action", hint="GET /api/credits/prices lists what is paid for."
            )
        figures: dict[str, Any] = {"amount": found.amount, "available": found.available, "funding": found.funding}
        return QuoteView(action=action, unit=found.asset, price_id=found.price, **figures)

    def choose_plan(self, session: Session, subject: str, product_name: str, plan: str, zone: str) -> WalletView:
        """Take a plan. Raises as ``wallet`` and ``Subscriptions.choose``."""
        product, wallet, now = self._standing(session, subject, product_name)
        return self._view(session, self.subscriptions.choose(session, wallet, product, plan, zone, now), product)

    def cancel_plan(self, session: Session, subject: str, product_name: str) -> WalletView:
        """End the plan when its paid time is over. Raises as ``choose_plan``."""
        product, wallet, now = self._standing(session, subject, product_name)
        return self._view(session, self.subscriptions.cancel(session, wallet, product, now), product)

    def grant(self, session: Session, ask: GrantAsk, by: Actor) -> GrantView:
        """Give units to a person, and write down who did. What a product's maximum has no room for is given all the same: an operator decides.

        Raises:
            InvalidInput: it would end before it begins, or has ended (code ``credits.bad-time``).
            NotFound, Conflict: as ``wallet``, and as ``Wallets.give``.
        """
        product, wallet, now = self._standing(session, ask.subject, ask.product)
        begins, ends = (moment(text) if text else None for text in (ask.effective_at, ask.expires_at))
        if ends is not None and ends <= max(now, begins or now):
            raise InvalidInput(
                "It would end before it can be spent.", code="credits.bad-time", hint="Let expires_at lie behind effective_at and now."
            )
        terms: dict[str, Any] = {"priority": ask.priority, "effective_at": begins, "expires_at": ends}
        gift = Gift(source=ask.source, amount=ask.amount, key=f"grant:{ask.key}", note=ask.reason, **terms)
        row = self._wallets.give(session, wallet, gift, now)
        detail = {"product": product.product, "amount": ask.amount, "source": ask.source}
        self._audit(session, by, "credits.grant", row.id, ask.subject, detail)
        return view_grant(row)

    def grant_plan(self, session: Session, ask: PlanGrantAsk, by: Actor) -> WalletView:
        """Give a person a plan for some months. Raises as ``wallet``; NotFound: no such plan (code ``credits.unknown-plan``)."""
        product, wallet, now = self._standing(session, ask.subject, ask.product)
        if all(plan.id != ask.plan for plan in product.plans):
            raise NotFound("There is no such plan.", code="credits.unknown-plan", hint="GET /api/credits/products lists them.")
        wallet = self.subscriptions.give(session, wallet, product, product.plan(ask.plan), ask.months, now)
        self._audit(session, by, "credits.grant-plan", wallet.id, ask.subject, {"plan": ask.plan, "months": ask.months})
        return self._view(session, wallet, product)

    def refund(self, session: Session, subject: str, usage_id: str, reason: str, by: Actor | None) -> UsageView:
        """Refund a piece of work; ``by`` is the operator who does, None for the person. Raises as ``Refunds.refund``."""
        row = self.refunds.refund(session, subject, usage_id, reason, by_operator=by is not None)
        if by is not None:
            self._audit(session, by, "credits.refund", usage_id, subject, {"amount": row.amount})
        return view_usage(row)

    def grants(self, session: Session, subject: str, *, limit: int, before: str | None) -> list[GrantView]:
        """Return what a person was given, newest first."""
        query = select(grants).where(grants.c.subject == subject).order_by(grants.c.id.desc()).limit(limit)
        return [view_grant(row) for row in session.execute(query.where(grants.c.id < before) if before else query)]

    def usage(self, session: Session, subject: str, *, limit: int, before: str | None) -> list[UsageView]:
        """Return a person's paid work, newest first."""
        query = select(usage).where(usage.c.subject == subject).order_by(usage.c.id.desc()).limit(limit)
        return [view_usage(row) for row in session.execute(query.where(usage.c.id < before) if before else query)]

    def _standing(self, session: Session, subject: str, product_name: str) -> tuple[Product, Any, Any]:
        now = self._ctx.clock.now()
        product = self.catalogue.product(session, product_name)
        return product, self.subscriptions.turn(session, self._wallets.open(session, subject, product, now), product, now), now

    def _view(self, session: Session, wallet: Any, product: Product) -> WalletView:
        now = self._ctx.clock.now()
        plan = product.plan(wallet.plan)
        sources = ("subscription", "promo", "admin", "refund", "purchase")
        order = [source for source in plan.funding or () if source != "quota"]
        begun = self._wallets.begun(session, wallet, now)
        may_spend = spendable(begun, [*order, *(source for source in sources if source not in order)], now)
        price = product.plan(wallet.wanted_plan).price if wallet.wanted_plan else None
        renews = month_start(wallet.anchor, wallet.paid_months, wallet.zone) if plan.price is not None and wallet.state == "active" else None
        available, in_progress = totals_of(begun, now)
        return WalletView(
            product=wallet.product,
            unit=wallet.unit,
            available=available,
            in_progress=in_progress,
            maximum=product.maximum + wallet.raised if product.maximum else 0,
            plan=plan.id,
            state=wallet.state,
            buckets=[BucketView(source=one.row.source, available=one.available, expires_at=one.row.expires_at) for one in may_spend if one.available],
            quotas=self._quotas.windows(session, wallet, plan, now),
            renews_at=renews,
            next_plan=wallet.next_plan,
            wanted_plan=wallet.wanted_plan,
            due=wallet.wanted_due,
            due_asset=price.asset if price is not None else "",
        )

    def _audit(self, session: Session, by: Actor, action: str, thing: str, subject: str, detail: dict[str, Any]) -> None:
        self._ctx.audit(session, by, AuditEntry(action=action, object=thing, subject=subject, detail=detail, retention="7y"))

    def _text_of(self, name: str) -> str:
        if name in SAMPLES:
            return files("luminai_credits").joinpath("products", f"{name}.toml").read_text()
        path = self._ctx.base_dir / Path(name)
        try:
            return path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigRejected(f"The product file {name} cannot be read.", hint="Name a file beside config.toml.") from error


def view_grant(row: Any) -> GrantView:
    """Return a grant as clients see it."""
    return GrantView(id=row.id, unit=row.unit, source=row.source, amount=row.amount, note=row.note, at=row.at)


def view_usage(row: Any) -> UsageView:
    """Return a piece of paid work as clients see it."""
    what = {"id": row.id, "action": row.action, "model": row.model, "unit": row.unit, "state": row.state, "funding": row.funding}
    amounts = {"held": row.held, "amount": row.amount, "failure": row.failure, "price_id": row.price_id}
    return UsageView(**what, **amounts, opened_at=row.opened_at, closed_at=row.closed_at)
