"""The meter: quote, hold, extend, settle, release. One row of usage for each piece of work, which ends settled or released, never both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.orm import Session

from luminai import Conflict, Forbidden, Held, PaymentRequired, PluginContext, Prepared, Quote, RateLimited, Work, WorkFailure
from luminai_credits.catalogue import Catalogue, Priced
from luminai_credits.events import Low, Released, Settled
from luminai_credits.models import usage, wallets
from luminai_credits.pricing import cost
from luminai_credits.products import Plan, Product
from luminai_credits.purse import Part, Purse, Short, Take
from luminai_credits.quotas import Quotas, Spent, Window
from luminai_credits.subscriptions import Subscriptions
from luminai_credits.wallets import Payer, Wallets, spendable, totals_of

HOUR: Final = timedelta(hours=1)
_MINE: Final = (usage.c.key == bindparam("of"), usage.c.subject == bindparam("owner"))
_KNOWN: Final = Prepared(select(usage.c.id).where(*_MINE))
_LOCKED: Final = Prepared(
    select(usage)
    .join(wallets, wallets.c.id == usage.c.wallet_id)
    .where(*_MINE, wallets.c.subject == bindparam("owner"))
    .with_for_update(key_share=True)
)
_PUT: Final = Prepared(insert(usage))
_END: Final = Prepared(
    update(usage)
    .where(usage.c.id == bindparam("of"), usage.c.subject == bindparam("owner"))
    .values({name: bindparam(f"new_{name}") for name in ("state", "amount", "failure", "closed_at", "quantities")})
)


class CreditsMeter:
    """Implements ``Meter`` over products, wallets and quotas."""

    name = "credits"

    def __init__(
        self, ctx: PluginContext, catalogue: Catalogue, purse: Purse, wallets: Wallets, subscriptions: Subscriptions, quotas: Quotas
    ) -> None:
        self._ctx = ctx
        self._catalogue = catalogue
        self._purse = purse
        self._wallets = wallets
        self._subscriptions = subscriptions
        self._quotas = quotas

    def quote(self, session: Session, work: Work) -> Quote | None:
        """Tell what work would cost the person now; nothing is written."""
        now = self._ctx.clock.now()
        offer = self._catalogue.offer(session, work.action, work.model, now)
        if offer is None:
            return None
        priced, product = offer
        wallet = self._wallets.find(session, work.subject, product.product)
        plan = product.plan(wallet.plan if wallet is not None else product.default_plan)
        _check_right(product, plan, priced, work)
        amount = cost(priced.price, work.quantities, work.options)
        available = product.welcome
        funding = "credits" if any(source != "quota" for source in plan.funding or ()) else ""
        if wallet is not None:
            available = sum(bucket.available for bucket in spendable(self._wallets.begun(session, wallet, now), _sources(plan), now))
        if _is_unlimited(plan, work.action):
            amount, funding = 0, "unlimited"
        elif self._may_take_quota(session, wallet, plan, priced, now):
            amount, funding = 0, "quota"
        elif amount > available:
            funding = ""
        terms: dict[str, Any] = {"price": priced.id, "funding": funding, "grows_by": frozenset(priced.price.per)}
        return Quote(action=work.action, asset=product.unit, amount=amount, available=available, **terms)

    def hold(self, session: Session, work: Work) -> Held | None:
        """Hold what work costs, by the first funding of the plan that can pay.

        Raises:
            Forbidden: the plan does not have it (code ``credits.plan-lacks``).
            PaymentRequired: there is not enough (code ``credits.short``).
            RateLimited: the quota is spent (code ``credits.quota-spent``).
            Conflict: the key was used before (code ``credits.key-reused``).
        """
        now = self._ctx.clock.now()
        offer = self._catalogue.offer(session, work.action, work.model, now)
        if offer is None:
            return None
        priced, product = offer
        wallet = self._subscriptions.turn(session, self._wallets.open(session, work.subject, product, now), product, now)
        plan = product.plan(wallet.plan)
        _check_right(product, plan, priced, work)
        if _KNOWN.first(session, {"of": work.key, "owner": work.subject}) is not None:
            raise Conflict("This was held before.", code="credits.key-reused", hint="Name each attempt by a key of its own.")
        amount = cost(priced.price, work.quantities, work.options)
        usage_id = self._ctx.new_id("use")
        funding, parts = self._fund(session, wallet, product, priced, work, amount, usage_id, now)
        held = amount if funding == "credits" else 0
        row = {
            "id": usage_id,
            "subject": work.subject,
            "wallet_id": wallet.id,
            "key": work.key,
            "product": product.product,
            "unit": product.unit,
            "action": work.action,
            "model": work.model,
            "price_id": priced.id,
            "funding": funding,
            "state": "held",
            "failure": "",
            "quantities": dict(work.quantities),
            "options": list(work.options),
            "parts": msgspec.to_builtins(parts),
            "slices": 1,
            "held": held,
            "amount": 0,
            "opened_at": now,
            "lease_until": now + timedelta(seconds=work.lease),
        }
        _PUT.run(session, row)
        if funding != "credits":
            self._wallets.tell(session, wallet, now)
        return Held(work.key, work.subject, frozenset(priced.price.per) if funding == "credits" else frozenset())

    def extend(self, session: Session, held: Held, quantities: Mapping[str, int], lease: float) -> None:
        """Hold what the new totals cost beyond what is held, and renew the lease. Raises as ``hold``."""
        row, now = self._locked(session, held), self._ctx.clock.now()
        if row is None:
            return
        if row.state != "held":
            raise Conflict("This work has ended.", code="hold-closed", hint="Hold anew, with another key.")
        totals = {**row.quantities, **quantities}
        values: dict[str, Any] = {"quantities": totals, "lease_until": now + timedelta(seconds=lease)}
        needed = cost(self._catalogue.price_of(session, row.price_id), totals, tuple(row.options)) - row.held
        if row.funding == "credits" and needed > 0:
            product = self._catalogue.product(session, row.product)
            wallet = self._subscriptions.turn(session, self._wallets.open(session, held.subject, product, now), product, now)
            key = f"hold:{held.key}:{row.slices}"
            parts = self._take(session, wallet, product, needed, key, row.id, now)
            values |= {"parts": [*row.parts, *msgspec.to_builtins(parts)], "held": row.held + needed, "slices": row.slices + 1}
        mine = (usage.c.id == row.id) & (usage.c.subject == row.subject)
        session.execute(update(usage).where(mine).values(**values))

    def settle(self, session: Session, held: Held, used: Mapping[str, int]) -> None:
        """Charge what was used, at most what is held."""
        row = self._locked(session, held)
        if row is not None and row.state == "held":
            totals = {**row.quantities, **used}
            price = self._catalogue.price_of(session, row.price_id)
            amount = min(row.held, cost(price, totals, tuple(row.options))) if row.funding == "credits" else 0
            self._end(session, row, "settled", amount=amount, quantities=totals)

    def release(self, session: Session, held: Held, failure: WorkFailure) -> None:
        """End the hold of work that gave nothing. What only the work could find wrong is free so many times an hour, and is charged after that."""
        row = self._locked(session, held)
        if row is None or row.state != "held":
            return
        if failure is WorkFailure.INVALID_INPUT and self._invalid_within_hour(session, row) >= self._ctx.config.free_invalid_per_hour:
            self._end(session, row, "settled", amount=row.held, failure=failure)
        else:
            self._end(session, row, "released", failure=failure)

    def sweep(self, session: Session, limit: int) -> int:
        """Release what was held for work whose lease ran out, some at a time; return how many there were."""
        now = self._ctx.clock.now()
        late = select(usage).where(usage.c.state == "held", usage.c.lease_until < now).order_by(usage.c.lease_until).limit(limit)
        rows = session.execute(late.with_for_update(skip_locked=True)).all()
        for row in rows:
            self._end(session, row, "released", failure=WorkFailure.LOST)
        return len(rows)

    def _end(
        self, session: Session, row: Any, state: str, *, amount: int = 0, failure: str = "", quantities: Mapping[str, int] | None = None
    ) -> None:
        """End a piece of work: post what it costs, set the rest free, say so."""
        now = self._ctx.clock.now()
        parts = [Part(**part) for part in row.parts]
        amounts = {row.unit: amount}
        if state == "settled":  # a quota is a count of times: it is used in full
            for part in parts:
                if part.unit != row.unit:
                    amounts[part.unit] = amounts.get(part.unit, 0) + part.amount
        self._purse.finish(session, f"end:{row.key}", parts, amounts, reference=row.id)
        ended = {"state": state, "amount": amount, "failure": str(failure), "closed_at": now, "quantities": dict(quantities or row.quantities)}
        values = {f"new_{name}": value for name, value in ended.items()}
        _END.run(session, {**values, "of": row.id, "owner": row.subject})
        if state == "settled":
            self._wallets.publish(session, "Settled", Settled(row.id, row.product, row.unit, row.action, amount, row.funding), row.subject)
        else:
            self._wallets.publish(session, "Released", Released(row.id, row.product, row.action, str(failure)), row.subject)
        self._wallets.tell(session, Payer(row.wallet_id, row.subject, row.product, row.unit), now)

    def _fund(
        self, session: Session, wallet: Any, product: Product, priced: Priced, work: Work, amount: int, usage_id: str, now: datetime
    ) -> tuple[str, list[Part]]:
        """Hold by the first funding that can pay; return its name and the parts.

        Raises:
            PaymentRequired, RateLimited: none can.
        """
        plan, price, key = product.plan(wallet.plan), priced.price, f"hold:{work.key}:0"
        is_unlimited, has_quota = _is_unlimited(plan, work.action), self._quotas.covers(plan, price.quota)
        spent: Window | None = None
        if has_quota and (is_unlimited or "quota" in (plan.funding or ())):
            try:
                takes = self._quotas.takes(session, wallet, plan, price.quota, now)
                parts = self._purse.hold(session, key, takes, wallet.id, reference=usage_id) if takes else []
            except Spent as none_left:
                spent = none_left.window
            else:
                return "unlimited" if is_unlimited else "quota", parts
        elif is_unlimited:
            return "unlimited", []
        if spent is not None and (is_unlimited or not _sources(plan)):
            raise _quota_spent(spent, now)
        try:
            return "credits", self._take(session, wallet, product, amount, key, usage_id, now)
        except PaymentRequired as short:
            if spent is not None:
                short.facts["quota_resets_at"] = spent.resets_at.isoformat()
            raise

    def _take(self, session: Session, wallet: Any, product: Product, amount: int, key: str, usage_id: str, now: datetime) -> list[Part]:
        """Hold units of the wallet's buckets in the order of spending; tell live meters, and say so where few are left.

        Raises:
            PaymentRequired: they have not so many (code ``credits.short``).
        """
        begun = self._wallets.begun(session, wallet, now)
        all_available, in_progress = totals_of(begun, now)
        if amount == 0:
            self._wallets.tell(session, wallet, now, (all_available, in_progress))
            return []
        takes, missing = [], amount
        may_spend = spendable(begun, _sources(product.plan(wallet.plan)), now)
        available = sum(bucket.available for bucket in may_spend)
        for bucket in may_spend:
            part = min(bucket.available, missing)
            if part > 0:
                takes.append(Take(bucket.row.account, part, wallet.unit))
                missing -= part
        if missing == 0:
            try:
                parts = self._purse.hold(session, key, takes, wallet.id, reference=usage_id)
            except Short:
                pass
            else:
                if available >= product.low > available - amount:
                    self._wallets.publish(
                        session, "Low", Low(wallet.id, wallet.product, wallet.unit, available - amount, product.low), wallet.subject
                    )
                self._wallets.tell(session, wallet, now, (all_available - amount, in_progress + amount))
                return parts
        facts = {"asset": wallet.unit, "needed": amount, "available": available, "product": wallet.product}
        hint = f"Buy a pack or take another plan: GET /api/credits/products/{wallet.product} lists them."
        raise PaymentRequired(f"This needs {amount} {wallet.unit}, and {available} are available.", code="credits.short", hint=hint, facts=facts)

    def _may_take_quota(self, session: Session, wallet: Any, plan: Plan, priced: Priced, now: datetime) -> bool:
        wanted = priced.price.quota
        if "quota" not in (plan.funding or ()) or not self._quotas.covers(plan, wanted):
            return False
        if wallet is None:
            return True
        return all(one.left >= wanted[one.feature] for one in self._quotas.windows(session, wallet, plan, now) if one.feature in wanted)

    def _invalid_within_hour(self, session: Session, row: Any) -> int:
        mine = (usage.c.subject == row.subject) & (usage.c.failure == WorkFailure.INVALID_INPUT)
        since = usage.c.closed_at > self._ctx.clock.now() - HOUR
        return session.execute(select(func.count()).select_from(usage).where(mine, since)).scalar_one()

    def _locked(self, session: Session, held: Held) -> Any | None:
        """Return the row of a hold; it and its wallet are locked: nothing else decides about the two until the unit ends.

        Both by one statement: where it had to wait, PostgreSQL reads both rows anew once it has them.
        """
        return _LOCKED.first(session, {"of": held.key, "owner": held.subject})


def _sources(plan: Plan) -> Sequence[str]:
    return [source for source in plan.funding or () if source != "quota"]


def _is_unlimited(plan: Plan, action: str) -> bool:
    return any(fnmatchcase(action, pattern) for pattern in plan.unlimited or ())


def _check_right(product: Product, plan: Plan, priced: Priced, work: Work) -> None:
    """Refuse a model or a feature that the plan does not have; the hint names the lowest plan that does."""

    def has(one: Plan) -> bool:
        fits = not work.model or not one.models or any(fnmatchcase(work.model, pattern) for pattern in one.models)
        return fits and (not priced.price.feature or (one.features or {}).get(priced.price.feature, False))

    if has(plan):
        return
    others = sorted((filled for one in product.plans if has(filled := product.plan(one.id))), key=lambda one: one.tier or 0)
    hint = f"Plan {others[0].id} has it." if others else "No plan has it."
    what = f"model {work.model}" if work.model and not priced.price.feature else work.action
    raise Forbidden(f"Plan {plan.id} does not have {what}.", code="credits.plan-lacks", hint=hint)


def _quota_spent(window: Window, now: datetime) -> RateLimited:
    facts: dict[str, str | int] = {
        "feature": window.feature,
        "allowance": window.allowance,
        "used": window.used,
        "resets_at": window.resets_at.isoformat(),
    }
    wait = (window.resets_at - now).total_seconds()
    hint = f"It comes back at {window.resets_at.isoformat()}; a higher plan has more."
    return RateLimited(
        f"The {window.window}'s quota of {window.feature} is spent.", code="credits.quota-spent", hint=hint, facts=facts, retry_after=wait
    )
