"""What pays for work: a plan's quota first, its credits in the order of spending, or nothing where the plan makes the action free."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy.orm import Session

from luminai import Forbidden, PaymentRequired, RateLimited, Work
from luminai_credits.catalogue import Priced
from luminai_credits.events import Low
from luminai_credits.products import Plan, Product
from luminai_credits.purse import Part, Purse, Short, Take
from luminai_credits.quotas import Quotas, Spent, Window
from luminai_credits.wallets import Wallets, spendable, totals_of


class Funding:
    """Chooses what pays, and holds it; all methods are plain functions of a session in which the wallet is locked."""

    def __init__(self, purse: Purse, wallets: Wallets, quotas: Quotas) -> None:
        self._purse = purse
        self._wallets = wallets
        self._quotas = quotas

    def foresee(
        self, session: Session, wallet: Any | None, product: Product, priced: Priced, work: Work, amount: int, now: datetime
    ) -> tuple[int, int, str]:
        """Return what work would take of the credits, what of them is there, and what would pay, "" where nothing can. Nothing is written, and the
        wallet, None for somebody who has none yet, need not be locked.
        """
        plan = product.plan(wallet.plan if wallet is not None else product.default_plan)
        available = product.welcome
        if wallet is not None:
            available = sum(bucket.available for bucket in spendable(self._wallets.begun(session, wallet, now), _sources(plan), now))
        if _is_unlimited(plan, work.action):
            return 0, available, "unlimited"
        if self._may_take_quota(session, wallet, plan, priced, now):
            return 0, available, "quota"
        return amount, available, "credits" if _sources(plan) and amount <= available else ""

    def fund(
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
            return "credits", self.take(session, wallet, product, amount, key, usage_id, now)
        except PaymentRequired as short:
            if spent is not None:
                short.facts["quota_resets_at"] = spent.resets_at.isoformat()
            raise

    def take(self, session: Session, wallet: Any, product: Product, amount: int, key: str, usage_id: str, now: datetime) -> list[Part]:
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


def check_right(product: Product, plan: Plan, priced: Priced, work: Work) -> None:
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


def _sources(plan: Plan) -> Sequence[str]:
    return [source for source in plan.funding or () if source != "quota"]


def _is_unlimited(plan: Plan, action: str) -> bool:
    return any(fnmatchcase(action, pattern) for pattern in plan.unlimited or ())


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
