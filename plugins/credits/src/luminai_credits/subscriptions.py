"""Plans of people over time: chosen, paid, renewed, past due, ended. Months are counted from the anchor; every grant has a key of its month."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy.orm import Session

from luminai import Conflict, NotFound, Unprocessable
from luminai_credits.events import PaymentDue, PlanChanged
from luminai_credits.periods import month_of, month_start, share_left
from luminai_credits.products import Cash, Plan, Product
from luminai_credits.purse import Purse, side_of
from luminai_credits.wallets import Gift, Wallets

TRIES: Final = tuple(timedelta(days=days) for days in (0, 1, 3, 6))
"""When after the beginning of an unpaid month its payment is asked for."""
MOST_TURNS: Final = 20


class Subscriptions:
    """Changes plans and turns months; all methods are plain functions of a session, confined to the person's own rows."""

    def __init__(self, purse: Purse, wallets: Wallets) -> None:
        self._purse = purse
        self._wallets = wallets

    def choose(self, session: Session, wallet: Any, product: Product, plan_id: str, zone: str, now: datetime) -> Any:
        """Take a plan: at once where nothing is to be paid, after the payment where something is, at the end of what is paid where it is a lower one.

        Raises:
            NotFound: there is no such plan (code ``credits.unknown-plan``).
            Unprocessable: there is no such time zone (code ``credits.unknown-zone``).
            Conflict: it is the plan already (code ``credits.same-plan``).
        """
        if all(plan.id != plan_id for plan in product.plans):
            raise NotFound("There is no such plan.", code="credits.unknown-plan", hint="GET /api/credits/products lists them.")
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise Unprocessable("There is no such time zone.", code="credits.unknown-zone", hint="Name one such as Europe/Berlin.") from error
        wallet = self.turn(session, wallet, product, now)
        current, wanted = product.plan(wallet.plan), product.plan(plan_id)
        if wanted.id == current.id:
            if not wallet.next_plan and not wallet.wanted_plan:
                raise Conflict("This is your plan already.", code="credits.same-plan", hint="Nothing has to be done.")
            return self._wallets.change(session, wallet, now, next_plan="", wanted_plan="", wanted_due=0)
        if wallet.state == "past_due" and wanted.price is None:  # the paid time is over: nothing may be asked for any more
            return self._fall_back(session, wallet, wanted, now)
        if current.price is not None and wallet.state != "trialing" and (wanted.price is None or (wanted.tier or 0) < (current.tier or 0)):
            return self._wallets.change(session, wallet, now, next_plan=wanted.id, wanted_plan="", wanted_due=0)
        if wanted.price is not None and wanted.trial_days and not wallet.had_trial and current.price is None:
            return self._begin_trial(session, wallet, wanted, zone, now)
        due = self._due(wallet, product, wanted, now)
        if due == 0:
            return self._activate(session, wallet, product, wanted, zone, now)
        return self._wallets.change(session, wallet, now, wanted_plan=wanted.id, wanted_due=due, zone=zone, next_plan="")

    def cancel(self, session: Session, wallet: Any, product: Product, now: datetime) -> Any:
        """End the plan when what is paid ends; what was bought stays."""
        return self.choose(session, wallet, product, product.default_plan, wallet.zone, now)

    def offer(self, wallet: Any | None, product: Product, plan_id: str) -> Cash | None:
        """Return what the person has to pay now for a plan, None when there is nothing to be paid for it."""
        plan = next((plan for plan in product.plans if plan.id == plan_id), None)
        if plan is None or plan.price is None or wallet is None:
            return None
        if wallet.wanted_plan == plan_id:
            return Cash(wallet.wanted_due, plan.price.asset)
        return plan.price if wallet.plan == plan_id else None

    def paid(self, session: Session, wallet: Any, product: Product, plan_id: str, now: datetime) -> Any:
        """Take in a payment of what ``offer`` said: the plan begins, or goes on."""
        plan = product.plan(plan_id)
        if wallet.wanted_plan == plan_id:
            return self._activate(session, wallet, product, plan, wallet.zone, now)
        if wallet.state == "trialing" or not wallet.paid_months:
            return self._begin(session, wallet, product, plan, wallet.zone, now)
        values = {"paid_months": wallet.paid_months + plan.months, "state": "active", "tries": 0, "grace_until": None, "due_at": now}
        return self.turn(session, self._wallets.change(session, wallet, now, **values), product, now)

    def end(self, session: Session, wallet: Any, product: Product, now: datetime) -> Any:
        """End a paid plan at once, because its payment was taken back."""
        return self._fall_back(session, wallet, product.plan(product.default_plan), now)

    def give(self, session: Session, wallet: Any, product: Product, plan: Plan, months: int, now: datetime) -> Any:
        """Let a plan hold for some months without a payment."""
        return self._begin(session, wallet, product, plan, wallet.zone, now, months=months)

    def turn(self, session: Session, wallet: Any, product: Product, now: datetime) -> Any:
        """Bring a wallet up to date: begin the months that have begun, ask for what is to be paid, end what was not."""
        for _ in range(MOST_TURNS):
            if wallet.due_at is None or wallet.due_at > now:
                break
            wallet = self._turn_once(session, wallet, product, now)
        return wallet

    def _turn_once(self, session: Session, wallet: Any, product: Product, now: datetime) -> Any:
        plan = product.plan(wallet.plan)
        month = wallet.month + 1
        begin = wallet.due_at if wallet.state == "trialing" else month_start(wallet.anchor, month, wallet.zone)
        if begin > now:
            return self._wallets.change(session, wallet, now, due_at=begin)
        if plan.price is not None and month >= wallet.paid_months:
            if wallet.next_plan:
                return self._fall_back(session, wallet, product.plan(wallet.next_plan), now)
            return self._ask(session, wallet, product, plan, plan.price, begin, now)
        month = month_of(wallet.anchor, now, wallet.zone)  # months that went by while no hub ran are over
        if plan.price is not None:
            month = min(month, wallet.paid_months - 1)
        self._grant(session, wallet, plan, month, plan.credits or 0, now)
        goes_on = plan.price is not None or plan.credits
        due = month_start(wallet.anchor, month + 1, wallet.zone) if goes_on else None
        return self._wallets.change(session, wallet, now, month=month, due_at=due)

    def _ask(self, session: Session, wallet: Any, product: Product, plan: Plan, price: Cash, begin: datetime, now: datetime) -> Any:
        """Ask for a payment, or end the plan when nobody paid for long enough."""
        first = wallet.grace_until is None
        grace_until = begin + timedelta(days=product.grace_days) if first else wallet.grace_until
        if now >= grace_until:
            return self._fall_back(session, wallet, product.plan(product.default_plan), now)
        start = grace_until - timedelta(days=product.grace_days)
        tries = sum(start + wait <= now for wait in TRIES)
        if tries > wallet.tries:
            key = f"{wallet.id}:{wallet.term}:{wallet.month + 1}:{tries}"
            item = f"{product.product}/{plan.id}"
            due = PaymentDue(wallet.id, "plan", item, price.minor, price.asset, tries, key)
            self._wallets.publish(session, "PaymentDue", due, wallet.subject)
        ahead = [start + wait for wait in TRIES if start + wait > now]
        values = {"state": "past_due", "tries": tries, "grace_until": grace_until, "due_at": min([*ahead, grace_until])}
        return self._changed(session, self._wallets.change(session, wallet, now, **values))

    def _begin_trial(self, session: Session, wallet: Any, plan: Plan, zone: str, now: datetime) -> Any:
        ends = now + timedelta(days=plan.trial_days)
        values = {"plan": plan.id, "state": "trialing", "zone": zone, "had_trial": True, "due_at": ends, "term": wallet.term + 1, "month": -1}
        wallet = self._wallets.change(session, wallet, now, **values, anchor=now, paid_months=0, wanted_plan="", wanted_due=0, next_plan="")
        self._grant(session, wallet, plan, 0, plan.credits or 0, now, until=ends)
        return self._changed(session, wallet)

    def _due(self, wallet: Any, product: Product, wanted: Plan, now: datetime) -> int:
        """Return what is to be paid for a change of plan: the difference for the rest of the time, or a new term less what is left of the old one."""
        if wanted.price is None:
            return 0
        current = product.plan(wallet.plan)
        if current.price is None or wallet.state != "active" or current.price.asset != wanted.price.asset:
            return wanted.price.minor
        start, end = self._paid_time(wallet, current)
        if current.months == wanted.months:
            return share_left(start, end, now, max(0, wanted.price.minor - current.price.minor), up=False)
        return max(0, wanted.price.minor - share_left(start, end, now, current.price.minor, up=True))

    def _activate(self, session: Session, wallet: Any, product: Product, plan: Plan, zone: str, now: datetime) -> Any:
        """Let a plan hold: in the running term where both are paid for as many months, or free; in a new one otherwise."""
        current = product.plan(wallet.plan)
        in_place = current.months == plan.months and wallet.state == "active" if current.price is not None else plan.price is None
        if not in_place:
            return self._begin(session, wallet, product, plan, zone, now)
        month = month_of(wallet.anchor, now, wallet.zone) if current.price is None else wallet.month
        start, end = (month_start(wallet.anchor, month + more, wallet.zone) for more in (0, 1))
        more = share_left(start, end, now, max(0, (plan.credits or 0) - (current.credits or 0)), up=True)
        self._grant(session, wallet, plan, month, more, now)
        goes_on = plan.price is not None or plan.credits
        values = {"plan": plan.id, "wanted_plan": "", "wanted_due": 0, "next_plan": "", "month": month, "due_at": end if goes_on else None}
        return self._changed(session, self._wallets.change(session, wallet, now, **values))

    def _begin(self, session: Session, wallet: Any, product: Product, plan: Plan, zone: str, now: datetime, *, months: int = 0) -> Any:
        values = {"plan": plan.id, "state": "active", "anchor": now, "zone": zone, "term": wallet.term + 1, "month": -1}
        values["paid_months"] = months or plan.months
        rest = {"next_plan": "", "wanted_plan": "", "wanted_due": 0, "tries": 0, "grace_until": None, "due_at": now}
        return self._changed(session, self.turn(session, self._wallets.change(session, wallet, now, **values, **rest), product, now))

    def _fall_back(self, session: Session, wallet: Any, plan: Plan, now: datetime) -> Any:
        """Let another plan follow when the paid time is over; what the person has keeps its own end."""
        goes_on = plan.price is not None or plan.credits
        values = {"plan": plan.id, "state": "active", "paid_months": wallet.month + 1, "due_at": now if goes_on else None}
        rest = {"next_plan": "", "wanted_plan": "", "wanted_due": 0, "tries": 0, "grace_until": None}
        return self._changed(session, self._wallets.change(session, wallet, now, **values, **rest))

    def _grant(self, session: Session, wallet: Any, plan: Plan, month: int, amount: int, now: datetime, until: datetime | None = None) -> None:
        """Give a month's units, once; what is left of the month before is carried over as far as the plan lets it."""
        start = month_start(wallet.anchor, month, wallet.zone)
        gift = Gift(
            source="subscription",
            amount=amount,
            key=f"sub:{wallet.id}:{wallet.term}:{month}:{plan.id}",
            expires_at=until or month_start(wallet.anchor, month + 1, wallet.zone),
            note=plan.title,
        )
        if amount and not self._wallets.has(session, wallet, gift.key):
            self._wallets.give(session, wallet, gift, now)
        room = plan.rollover or 0
        for one in self._wallets.begun(session, wallet, now) if room else ():
            bucket = one.row
            if bucket.source != "subscription" or bucket.expires_at != start:
                continue
            left = self._purse.balances(session, [bucket.account])[bucket.account]
            carried = min(room, left.available)
            if carried <= 0:
                continue
            room -= carried
            to = self._wallets.bucket(session, wallet, gift, now)
            moves = [(bucket.account, to.account, carried)]
            if left.available > carried:
                moves.append((bucket.account, side_of(wallet.id, "expired", wallet.unit), left.available - carried))
            self._purse.move(session, f"rollover:{bucket.id}:{start.isoformat()}", moves, wallet.unit, code="credits.rollover", reference=wallet.id)

    def _paid_time(self, wallet: Any, plan: Plan) -> tuple[datetime, datetime]:
        """Return the time that the last payment was for."""
        first = max(0, wallet.paid_months - plan.months)
        return month_start(wallet.anchor, first, wallet.zone), month_start(wallet.anchor, wallet.paid_months, wallet.zone)

    def _changed(self, session: Session, wallet: Any) -> Any:
        self._wallets.publish(session, "PlanChanged", PlanChanged(wallet.id, wallet.product, wallet.plan, wallet.state), wallet.subject)
        return wallet
