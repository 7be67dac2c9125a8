"""HTTP: accounts and journals for operators, balances and statements for everybody's own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final

from litestar import Request, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter
from litestar.response import Stream
from sqlalchemy import select
from sqlalchemy.orm import Session

from luminai import AuditEntry, Page, PluginContext, page_limit, policy, signed_in
from luminai_ledger import reading
from luminai_ledger.accounts import Account, find_account
from luminai_ledger.assets import Asset
from luminai_ledger.check_routes import check_routes
from luminai_ledger.export import beancount
from luminai_ledger.journal import Journal, Outcome, raw
from luminai_ledger.models import accounts, assets
from luminai_ledger.refusals import refused
from luminai_ledger.schemas import AccountView, OwnBalance, PostJournal, ReverseJournal, account_view, own_balance
from luminai_ledger.service import Ledger

OPERATOR = "operator"
"""Scope of the keys of journals that operators post."""

account_path = Annotated[str, PathParameter(pattern=r"^acc_[0-9a-f]{32}\Z", description="acc_ and 32 hex digits.")]
transfer_path = Annotated[str, PathParameter(pattern=r"^trf_[0-9a-f]{44}\Z", description="trf_ and 44 hex digits.")]
account_cursor = Annotated[str | None, QueryParameter(pattern=r"^acc_[0-9a-f]{32}\Z", description="Where the last page ended.")]
transfer_cursor = Annotated[str | None, QueryParameter(pattern=r"^trf_[0-9a-f]{44}\Z", description="Where the last page ended.")]
place_cursor = Annotated[str | None, QueryParameter(pattern=r"^[0-9]{1,15}\Z", description="Where the last page ended.")]
asset_cursor = Annotated[str | None, QueryParameter(pattern=r"^[A-Z][A-Z0-9_]{2,31}\Z", description="Where the last page ended.")]
by_text = Annotated[str | None, QueryParameter(max_length=120, description="Only those with exactly this.")]
by_account = Annotated[str | None, QueryParameter(pattern=r"^acc_[0-9a-f]{32}\Z", description="Only those of this account.")]
NEWEST: Final = 2**53 - 1
at_place = Annotated[int, QueryParameter(ge=0, le=NEWEST, description="As it was after the transfer at this place; by default as it is now.")]
by_since = Annotated[datetime | None, QueryParameter(description="From this moment on (RFC 3339 with zone).")]
by_until = Annotated[datetime | None, QueryParameter(description="Before this moment (RFC 3339 with zone).")]


def handlers(ctx: PluginContext, ledger: Ledger) -> Sequence[Any]:
    """Return the route handlers over ``ledger``."""
    return [*_own(ctx), *_reading(ctx), *_posting(ctx, ledger), *check_routes(ctx)]


def _own(ctx: PluginContext) -> Sequence[Any]:
    @get("/api/ledger/assets", opt=policy("ledger:read"))
    async def list_assets(limit: page_limit = 100, cursor: asset_cursor = None) -> Page[Asset]:
        """List what is counted, by code, with the decimals of each."""
        query = select(assets).order_by(assets.c.code).limit(limit + 1)
        query = query if cursor is None else query.where(assets.c.code > cursor)
        rows = await ctx.db.as_system().read(lambda session: session.execute(query).all())
        found = [Asset(code=row.code, exponent=row.exponent, title=row.title) for row in rows]
        return Page(found[:limit], found[limit - 1].code if len(found) > limit else None)

    @get("/api/ledger/mine", opt=policy("ledger:read"))
    async def list_own_balances(request: Request[Any, Any, Any], limit: page_limit = 50, cursor: account_cursor = None) -> Page[OwnBalance]:
        """List your own open accounts with what is in them."""
        subject = signed_in(request).subject

        def unit(session: Session) -> list[OwnBalance]:
            query = select(accounts, assets.c.exponent).join(assets).where(accounts.c.owner == subject, accounts.c.closed_at.is_(None))
            query = query if cursor is None else query.where(accounts.c.id > raw(cursor))
            rows = session.execute(query.order_by(accounts.c.id).limit(limit + 1))
            return [own_balance(row.purpose, reading.balance_of(row), row.exponent) for row in rows]

        found = await ctx.db.as_system().read(unit)
        return Page(found[:limit], found[limit - 1].account if len(found) > limit else None)

    @get("/api/ledger/mine/{own_account:str}/statement", opt=policy("ledger:read"))
    async def show_own_statement(
        request: Request[Any, Any, Any],
        own_account: account_path,
        since: by_since = None,
        until: by_until = None,
        limit: page_limit = 50,
        cursor: place_cursor = None,
    ) -> Page[reading.Line]:
        """Show what happened in one of your own accounts, newest first."""
        subject = signed_in(request).subject

        def unit(session: Session) -> list[reading.Line]:
            find_account(session, own_account, owner=subject)
            return reading.statement(session, own_account, limit=limit + 1, before=_place(cursor), since=since, until=until)

        return _lines(await ctx.db.as_system().read(unit), limit)

    return [list_assets, list_own_balances, show_own_statement]


def _reading(ctx: PluginContext) -> Sequence[Any]:
    @get("/api/ledger/accounts", opt=policy("ledger:audit"))
    async def list_accounts(
        owner: by_text = None, purpose: by_text = None, limit: page_limit = 50, cursor: account_cursor = None
    ) -> Page[AccountView]:
        """List accounts by id."""

        def unit(session: Session) -> list[AccountView]:
            query = select(accounts).order_by(accounts.c.id).limit(limit + 1)
            for column, wanted in ((accounts.c.owner, owner), (accounts.c.purpose, purpose)):
                query = query if wanted is None else query.where(column == wanted)
            query = query if cursor is None else query.where(accounts.c.id > raw(cursor))
            return [account_view(row) for row in session.execute(query)]

        found = await ctx.db.as_system().read(unit)
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @get("/api/ledger/accounts/{account:str}", opt=policy("ledger:audit"))
    async def show_account(account: account_path) -> AccountView:
        """Show one account."""
        return await ctx.db.as_system().read(lambda session: account_view(find_account(session, account)))

    @get("/api/ledger/accounts/{account:str}/balance", opt=policy("ledger:audit"))
    async def show_balance(account: account_path, at: at_place = NEWEST) -> reading.BalanceView:
        """Show what an account holds, or held after the transfer at a place."""
        return await ctx.db.as_system().read(lambda session: reading.balance_view(reading.balance(session, account, None if at == NEWEST else at)))

    @get("/api/ledger/accounts/{account:str}/statement", opt=policy("ledger:audit"))
    async def show_statement(
        account: account_path, since: by_since = None, until: by_until = None, limit: page_limit = 50, cursor: place_cursor = None
    ) -> Page[reading.Line]:
        """Show what happened in an account, newest first."""
        read = ctx.db.as_system().read
        found = await read(lambda session: reading.statement(session, account, limit=limit + 1, before=_place(cursor), since=since, until=until))
        return _lines(found, limit)

    @get("/api/ledger/holds", opt=policy("ledger:audit"))
    async def list_holds(account: by_account = None, limit: page_limit = 50, cursor: transfer_cursor = None) -> Page[reading.OpenHold]:
        """List what is held now, by id."""
        found = await ctx.db.as_system().read(lambda session: reading.open_holds(session, account=account, limit=limit + 1, after=cursor))
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    @get("/api/ledger/transfers", opt=policy("ledger:audit"))
    async def list_transfers(limit: page_limit = 50, cursor: place_cursor = None) -> Page[reading.TransferView]:
        """List all transfers in their order."""
        found = await ctx.db.as_system().read(lambda session: reading.transfers_page(session, limit=limit + 1, after=_place(cursor) or 0))
        return Page(found[:limit], str(found[limit - 1].seq) if len(found) > limit else None)

    @get("/api/ledger/transfers/{transfer:str}", opt=policy("ledger:audit"))
    async def show_transfer(transfer: transfer_path) -> reading.TransferView:
        """Show one transfer."""
        return await ctx.db.as_system().read(lambda session: reading.transfer(session, transfer))

    @get("/api/ledger/export", opt=policy("ledger:audit"), media_type="text/plain")
    async def export_books() -> Stream:
        """Export the whole books as a Beancount file."""
        return Stream(beancount(ctx), media_type="text/plain", headers={"Cache-Control": "no-store"})

    return [list_accounts, show_account, show_balance, show_statement, list_holds, list_transfers, show_transfer, export_books]


def _posting(ctx: PluginContext, ledger: Ledger) -> Sequence[Any]:
    @post("/api/ledger/accounts", opt=policy("ledger:manage", step_up=True), status_code=201)
    async def open_account(request: Request[Any, Any, Any], data: JSONBody[Account]) -> AccountView:
        """Open an account; one that is open with the same rules is returned."""
        actor = signed_in(request)

        def unit(session: Session) -> AccountView:
            identity = ledger.open(session, data)
            ctx.audit(session, actor, AuditEntry(action="ledger.open-account", object=identity, retention="7y"))
            return account_view(find_account(session, identity))

        return await ctx.db.as_system().write(unit)

    @post("/api/ledger/accounts/{account:str}/close", opt=policy("ledger:manage", step_up=True), status_code=200)
    async def close_account(request: Request[Any, Any, Any], account: account_path) -> AccountView:
        """Close an empty account for good; its history stays."""
        actor = signed_in(request)

        def unit(session: Session) -> AccountView:
            ledger.close(session, account)
            ctx.audit(session, actor, AuditEntry(action="ledger.close-account", object=account, retention="7y"))
            return account_view(find_account(session, account))

        return await ctx.db.as_system().write(unit)

    @post("/api/ledger/journals", opt=policy("ledger:manage", step_up=True), status_code=200)
    async def post_journal(request: Request[Any, Any, Any], data: JSONBody[PostJournal]) -> Outcome:
        """Post a journal: all its legs or none. The same key with the same legs answers what it did the first time."""
        actor = signed_in(request)
        journal = Journal(scope=OPERATOR, key=data.key, legs=data.legs)

        def unit(session: Session) -> Outcome:
            (outcome,) = ledger.apply(session, journal)
            if not outcome.done:
                raise refused(outcome)
            detail = {"reason": data.reason, "result": outcome.result.value}
            ctx.audit(session, actor, AuditEntry(action="ledger.post", object=journal.id, detail=detail, retention="7y"))
            return outcome

        return await ctx.db.as_system().write(unit)

    @post("/api/ledger/journals/{journal:str}/reverse", opt=policy("ledger:manage", step_up=True), status_code=200)
    async def reverse_journal(request: Request[Any, Any, Any], journal: transfer_path, data: JSONBody[ReverseJournal]) -> Outcome:
        """Take a journal back by one that moves the same the other way. That happens once; asked again it answers what it did."""
        actor = signed_in(request)

        def unit(session: Session) -> Outcome:
            key = f"{journal}:reverse"
            outcome = ledger.reverse(session, journal, scope=OPERATOR, key=key, code=data.code, reference=data.reference)
            if not outcome.done:
                raise refused(outcome)
            detail = {"reason": data.reason, "reverses": journal}
            ctx.audit(session, actor, AuditEntry(action="ledger.reverse", object=outcome.id, detail=detail, retention="7y"))
            return outcome

        return await ctx.db.as_system().write(unit)

    return [open_account, close_account, post_journal, reverse_journal]


def _place(cursor: str | None) -> int | None:
    return None if cursor is None else int(cursor)


def _lines(found: list[reading.Line], limit: int) -> Page[reading.Line]:
    return Page(found[:limit], str(found[limit - 1].seq) if len(found) > limit else None)
