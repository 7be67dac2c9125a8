"""Quotas of plans: each window of a feature is an account of its own, filled when it is first asked for, so that nothing has to be reset."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy.orm import Session

from luminai_credits.periods import DAY, day_start, month_of, month_start
from luminai_credits.products import Plan
from luminai_credits.purse import Purse, Take, side_of
from luminai_ledger import account_id


class Window(Struct, frozen=True, kw_only=True):
    """What is left of a quota in the window that holds now."""

    feature: str
    window: str
    allowance: int
    used: int
    resets_at: datetime

    @property
    def left(self) -> int:
        """Return what is free."""
        return max(0, self.allowance - self.used)


class Spent(Exception):
    """A quota has not enough left; ``window`` is the one that comes back last."""

    def __init__(self, window: Window) -> None:
        super().__init__(window.feature)
        self.window = window


class Quotas:
    """Takes units of quotas; all methods are plain functions of a session."""

    def __init__(self, purse: Purse) -> None:
        self._purse = purse

    def windows(self, session: Session, wallet: Any, plan: Plan, now: datetime) -> list[Window]:
        """Return every quota of the plan with what is used of it."""
        found = [one for feature in plan.quotas or {} for one in _windows(wallet, plan, feature, now)]
        accounts = [_account(wallet, one, start) for one, start in found]
        balances = self._purse.balances(session, accounts)
        shown = []
        for (one, _), account in zip(found, accounts, strict=True):
            balance = balances.get(account)
            used = balance.debits_posted + balance.debits_pending if balance else 0
            shown.append(Window(feature=one.feature, window=one.window, allowance=one.allowance, used=used, resets_at=one.resets_at))
        return shown

    def takes(self, session: Session, wallet: Any, plan: Plan, wanted: Mapping[str, int], now: datetime) -> list[Take]:
        """Return what is to be held of the windows for so many units of features, their accounts filled.

        Raises:
            Spent: one of them has not enough left.
        """
        spent = [one for one in self.windows(session, wallet, plan, now) if one.feature in wanted and one.left < wanted[one.feature]]
        if spent:
            raise Spent(max(spent, key=lambda one: one.resets_at))
        takes = []
        for feature, amount in wanted.items():
            for one, start in _windows(wallet, plan, feature, now):
                takes.append(Take(self._fill(session, wallet, one, start), amount, unit_of(feature)))
        return takes

    def covers(self, plan: Plan, wanted: Mapping[str, int]) -> bool:
        """Tell whether the plan has a quota of every feature that is wanted."""
        return bool(wanted) and all(feature in (plan.quotas or {}) for feature in wanted)

    def _fill(self, session: Session, wallet: Any, window: Window, start: datetime) -> str:
        """Open a window's account, and bring what was put into it up to the allowance: a better plan adds the difference."""
        unit, account = unit_of(window.feature), _account(wallet, window, start)
        known = self._purse.balances(session, [account]).get(account)
        if known is None:
            self._purse.open_sides(session, wallet.id, unit, ("issued", "spent"))
            self._purse.open(session, wallet.subject, _purpose(wallet, window, start), unit)
        missing = window.allowance - (known.credits_posted if known else 0)
        if missing > 0:
            key = f"quota:{wallet.id}:{window.feature}:{window.window}:{start.isoformat()}:{window.allowance}"
            self._purse.move(session, key, [(side_of(wallet.id, "issued", unit), account, missing)], unit, code="credits.quota", reference=wallet.id)
        return account


def unit_of(feature: str) -> str:
    """Return the asset that a feature's quota is counted in."""
    return f"QUOTA_{feature.upper()}"


def _windows(wallet: Any, plan: Plan, feature: str, now: datetime) -> list[tuple[Window, datetime]]:
    """Return a feature's windows that hold now, unused, each with its beginning."""
    limits = (plan.quotas or {}).get(feature)
    found = []
    if limits is not None and limits.day:
        start = day_start(now)
        found.append((Window(feature=feature, window="day", allowance=limits.day, used=0, resets_at=start + DAY), start))
    if limits is not None and limits.month:
        number = month_of(wallet.anchor, now, wallet.zone)
        start, end = (month_start(wallet.anchor, number + more, wallet.zone) for more in (0, 1))
        found.append((Window(feature=feature, window="month", allowance=limits.month, used=0, resets_at=end), start))
    return found


def _purpose(wallet: Any, window: Window, start: datetime) -> str:
    return f"quota:{wallet.id}:{window.feature}:{window.window}:{start:%Y%m%dT%H%M%S}"


def _account(wallet: Any, window: Window, start: datetime) -> str:
    return account_id(purpose=_purpose(wallet, window, start), asset=unit_of(window.feature), owner=wallet.subject)
