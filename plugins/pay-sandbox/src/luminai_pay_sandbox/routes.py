"""HTTP: look into the sandbox, act as payer or bank, move its clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

from litestar import get, post
from litestar.params import JSONBody, PathParameter
from sqlalchemy import select
from sqlalchemy.orm import Session

from luminai import Conflict, Money, NotFound, Page, PaymentError, PaymentStatus, PluginContext, page_cursor, page_limit, policy
from luminai_pay_sandbox.book import Book, advance, ahead, refuse, settled, totals_status
from luminai_pay_sandbox.delivery import put_again, put_deliveries
from luminai_pay_sandbox.models import payments
from luminai_pay_sandbox.outcomes import OUTCOMES
from luminai_pay_sandbox.provider import SandboxProvider
from luminai_pay_sandbox.schemas import Act, Advance, ClockView, OutcomeView, PaymentView

Ref = Annotated[str, PathParameter(pattern=r"^sb[a-z]+_[0-9a-f]{32}$", max_length=40)]
_TAKEN: Final = (PaymentStatus.CAPTURED, PaymentStatus.PARTIALLY_REFUNDED)
_FROM: Final[dict[str, tuple[PaymentStatus, ...]]] = {
    "confirm": (PaymentStatus.REQUIRES_ACTION,),
    "refuse": (PaymentStatus.REQUIRES_ACTION,),
    "dispute": _TAKEN,
    "win": (PaymentStatus.DISPUTED,),
    "lose": (PaymentStatus.DISPUTED,),
    "return": _TAKEN,
}


def routes(ctx: PluginContext, provider: SandboxProvider) -> Sequence[Any]:
    """Return the route handlers."""
    database = ctx.db.as_system()

    @get("/api/pay-sandbox/outcomes", opt=policy("pay-sandbox:read"))
    async def list_outcomes() -> Page[OutcomeView]:
        """List the methods and amounts that bring an outcome about."""
        return Page([OutcomeView(one.name, one.amount, one.summary) for one in OUTCOMES])

    @get("/api/pay-sandbox/payments", opt=policy("pay-sandbox:read"))
    async def list_payments(limit: page_limit = 20, cursor: page_cursor = None) -> Page[PaymentView]:
        """List what the sandbox holds, newest first."""
        query = select(payments).order_by(payments.c.created_at.desc(), payments.c.ref.desc()).limit(limit + 1)
        found = await database.read(lambda session: list(session.execute(query.where(payments.c.ref < cursor) if cursor else query)))
        return Page([_view(row) for row in found[:limit]], found[limit - 1].ref if len(found) > limit else None)

    @post("/api/pay-sandbox/payments/{ref:str}/act", opt=policy("pay-sandbox:manage"), status_code=200)
    async def act(ref: Ref, data: JSONBody[Act]) -> PaymentView:
        """Act as the payer, or as the bank."""
        try:
            await provider.act(ref, _acting(data.act))
        except PaymentError as refused:
            if refused.code == "not-found":
                raise NotFound("There is no such payment.", code="pay-sandbox.not-found") from None
            raise Conflict(str(refused), code="pay-sandbox.not-possible", hint="GET /api/pay-sandbox/payments shows its state.") from None
        return _view(await database.read(lambda session: session.execute(select(payments).where(payments.c.ref == ref)).one()))

    @get("/api/pay-sandbox/clock", opt=policy("pay-sandbox:read"))
    async def show_clock() -> ClockView:
        """Show the sandbox's time."""
        is_ahead = await database.read(ahead)
        return ClockView(ctx.clock.now() + is_ahead, int(is_ahead.total_seconds()))

    @post("/api/pay-sandbox/clock", opt=policy("pay-sandbox:manage"), status_code=200)
    async def move_clock(data: JSONBody[Advance]) -> ClockView:
        """Move the clock on; what becomes due happens, and its webhooks are sent."""

        def unit(session: Session) -> ClockView:
            advance(session, data.seconds)
            book = Book(session, ctx.clock.now(), ctx.new_id, provider.basis_points)
            book.catch_up()
            put_again(session, book.now)
            put_deliveries(ctx, session)
            return ClockView(book.now, int(ahead(session).total_seconds()))

        return await database.write(unit)

    return [list_outcomes, list_payments, act, show_clock, move_clock]


def _acting(what: str) -> Callable[[Book, Any], None]:
    def change(book: Book, row: Any) -> None:
        if row.kind != "payment" or row.status not in _FROM[what]:
            raise refuse("not-possible", f"a {row.kind} that is {row.status} cannot be given to {what!r}")
        becomes: dict[str, dict[str, Any]] = {
            "confirm": settled(row),
            "refuse": {"status": PaymentStatus.FAILED, "code": "authentication_failed"},
            "dispute": {"status": PaymentStatus.DISPUTED, "code": "fraudulent"},
            "win": {"status": totals_status(row.captured, row.refunded), "code": "dispute_won"},
            "lose": {"status": PaymentStatus.DISPUTE_LOST, "code": "dispute_lost"},
            "return": {"status": PaymentStatus.FAILED, "code": "returned"},
        }
        book.change(row, **becomes[what])

    return change


def _view(row: Any) -> PaymentView:
    same = ("ref", "kind", "captured", "refunded", "moved", "fee", "code", "outcome", "created_at")
    return PaymentView(status=PaymentStatus(row.status), amount=Money(row.amount, row.asset), **{name: getattr(row, name) for name in same})
