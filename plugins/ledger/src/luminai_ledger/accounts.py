"""Accounts: opened once under a name that gives their id, never changed, closed when nothing is held."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum
from typing import Annotated, Any

from msgspec import Meta, Struct
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from luminai import Conflict, NotFound, Unprocessable
from luminai_ledger.assets import MAX_MINOR, AssetCode
from luminai_ledger.journal import derived, raw
from luminai_ledger.models import accounts, assets
from luminai_ledger.moments import micros

Text = Annotated[str, Meta(max_length=120, pattern=r"^[^\x00-\x1f\x7f]*\Z")]


class Guard(IntEnum):
    """Which side of an account may not outgrow the other; holds count."""

    NONE = 0
    DEBITS = 1
    """Debits may not exceed credits: wallets, escrow, what is owed to somebody, limits."""
    CREDITS = 2
    """Credits may not exceed debits: cash, what is there."""


class Account(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account by its name ``(tenant, owner, purpose, asset)``, which gives its id.

    Attributes:
        tenant: Organisation, "" for the hub's own.
        owner: The person (``user_…``) who may read it, "" for nobody. An id, never a name.
        purpose: Such as ``wallet``, ``clearing:stripe``, ``grant:grt_018f…``.
        overdraft: How far the guard may be overstepped, in minor units.
    """

    purpose: Annotated[str, Meta(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]+\Z")]
    asset: AssetCode
    owner: Text = ""
    tenant: Text = ""
    guard: Guard = Guard.NONE
    overdraft: Annotated[int, Meta(ge=0, le=MAX_MINOR)] = 0

    @property
    def id(self) -> str:
        """Return the id that this name gives: ``acc_…``."""
        return account_id(purpose=self.purpose, asset=self.asset, owner=self.owner, tenant=self.tenant)


def account_id(*, purpose: str, asset: str, owner: str = "", tenant: str = "") -> str:
    """Return the id of the account of that name, open or not."""
    return "acc_" + derived("account", tenant, owner, purpose, asset).hex()


class Balance(Struct, frozen=True, kw_only=True):
    """What an account holds, in minor units of ``asset``.

    Attributes:
        seq: The last transfer that is counted, 0 before the first.
    """

    account: str
    asset: str
    guard: Guard
    overdraft: int
    debits_posted: int
    credits_posted: int
    debits_pending: int
    credits_pending: int
    seq: int

    @property
    def posted(self) -> int:
        """Return what is settled: credits less debits, the other way round where credits are guarded."""
        difference = self.credits_posted - self.debits_posted
        return -difference if self.guard is Guard.CREDITS else difference

    @property
    def pending(self) -> int:
        """Return what is held of it."""
        return self.credits_pending if self.guard is Guard.CREDITS else self.debits_pending

    @property
    def available(self) -> int:
        """Return what can still be spent or held, the overdraft included."""
        return self.posted - self.pending + self.overdraft


def open_account(session: Session, account: Account, now: datetime) -> str:
    """Open an account, unless it is open already, and return its id.

    Raises:
        Unprocessable: there is no such asset (code ``ledger.unknown-asset``).
        Conflict: it is there with another guard or overdraft, or it was closed (codes ``ledger.account-differs``, ``ledger.account-closed``).
    """
    identity = raw(account.id)
    row = session.execute(select(accounts).where(accounts.c.id == identity)).first()
    if row is None:
        if session.execute(select(assets.c.code).where(assets.c.code == account.asset)).first() is None:
            hint = "Declare it in [plugins.ledger.config] assets, or have its plugin offer it."
            raise Unprocessable(f"There is no asset {account.asset}.", code="ledger.unknown-asset", hint=hint)
        name = {"tenant": account.tenant, "owner": account.owner, "purpose": account.purpose, "asset": account.asset}
        rules = {"guard": int(account.guard), "overdraft": account.overdraft, "opened_at": micros(now)}
        session.execute(insert(accounts).values(id=identity, **name, **rules))
    elif row.closed_at is not None:
        raise Conflict("The account is closed.", code="ledger.account-closed", hint="Take another purpose.")
    elif (row.guard, row.overdraft) != (account.guard, account.overdraft):
        hint = "Guard and overdraft never change: take another purpose, and move what is there."
        raise Conflict("The account is there with other rules.", code="ledger.account-differs", hint=hint)
    return account.id


def close_account(session: Session, identity: str, now: datetime) -> None:
    """Close an account for good; its history stays. A second time changes nothing.

    Raises:
        NotFound: there is none (code ``ledger.account-not-found``).
        Conflict: something of it is held, or it is not empty (code ``ledger.account-in-use``).
    """
    row = find_account(session, identity, lock=True)
    if row.closed_at is not None:
        return
    if row.debits_pending or row.credits_pending or row.debits_posted != row.credits_posted:
        raise Conflict("The account is not empty.", code="ledger.account-in-use", hint="Move what is there, and end its holds, first.")
    session.execute(update(accounts).where(accounts.c.id == row.id).values(closed_at=micros(now)))


def find_account(session: Session, identity: str, *, owner: str | None = None, lock: bool = False) -> Any:
    """Return an account's row; with ``owner`` only that one's.

    Raises:
        NotFound: there is none, or it is somebody else's: the two look the same (code ``ledger.account-not-found``).
    """
    query = select(accounts).where(accounts.c.id == raw(identity))
    query = query if owner is None else query.where(accounts.c.owner == owner)
    row = session.execute(query.with_for_update(key_share=True) if lock else query).first()
    if row is None:
        where = "accounts lists them" if owner is None else "mine lists yours"
        raise NotFound("There is no such account.", code="ledger.account-not-found", hint=f"GET /api/ledger/{where}.")
    return row
