"""The meter: quote, hold, extend, settle, release. One row of usage for each piece of work, which ends settled or released, never both."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.orm import Session

from luminai import Conflict, Held, PluginContext, Prepared, Quote, Work, WorkFailure
from luminai_credits.catalogue import Catalogue
from luminai_credits.events import Released, Settled
from luminai_credits.funding import Funding, check_right
from luminai_credits.models import usage, wallets
from luminai_credits.pricing import cost
from luminai_credits.purse import Part, Purse
from luminai_credits.quotas import Quotas
from luminai_credits.subscriptions import Subscriptions
from luminai_credits.wallets import Payer, Wallets

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
        self._funding = Funding(purse, wallets, quotas)

    def quote(self, session: Session, work: Work) -> Quote | None:
        """Tell what work would cost the person now; nothing is written."""
        now = self._ctx.clock.now()
        offer = self._catalogue.offer(session, work.action, work.model, now)
        if offer is None:
            return None
        priced, product = offer
        wallet = self._wallets.find(session, work.subject, product.product)
        plan = product.plan(wallet.plan if wallet is not None else product.default_plan)
        check_right(product, plan, priced, work)
        amount = cost(priced.price, work.quantities, work.options)
        amount, available, funding = self._funding.foresee(session, wallet, product, priced, work, amount, now)
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
        check_right(product, plan, priced, work)
        if _KNOWN.first(session, {"of": work.key, "owner": work.subject}) is not None:
            raise Conflict("This was held before.", code="credits.key-reused", hint="Name each attempt by a key of its own.")
        amount = cost(priced.price, work.quantities, work.options)
        usage_id = self._ctx.new_id("use")
        funding, parts = self._funding.fund(session, wallet, product, priced, work, amount, usage_id, now)
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
            parts = self._funding.take(session, wallet, product, needed, key, row.id, now)
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

    def _invalid_within_hour(self, session: Session, row: Any) -> int:
        mine = (usage.c.subject == row.subject) & (usage.c.failure == WorkFailure.INVALID_INPUT)
        since = usage.c.closed_at > self._ctx.clock.now() - HOUR
        return session.execute(select(func.count()).select_from(usage).where(mine, since)).scalar_one()

    def _locked(self, session: Session, held: Held) -> Any | None:
        """Return the row of a hold; it and its wallet are locked: nothing else decides about the two until the unit ends.

        Both by one statement: where it had to wait, PostgreSQL reads both rows anew once it has them.
        """
        return _LOCKED.first(session, {"of": held.key, "owner": held.subject})
