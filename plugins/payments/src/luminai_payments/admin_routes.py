"""HTTP for operators: all payments, open questions, incidents; capture, void, repair and reconcile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from litestar import Request, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import Struct
from sqlalchemy import select, update

from luminai import AuditEntry, NotFound, Page, PaymentStatus, PluginContext, page_cursor, page_limit, policy, signed_in
from luminai_payments import store
from luminai_payments.models import incidents, operations, payments
from luminai_payments.repairing import Repairer
from luminai_payments.routes import PaymentPath
from luminai_payments.schemas import Amount, IncidentView, OperationView, OwnedPaymentView, Reconciled, Repaired
from luminai_payments.service import Payments

Status = Annotated[PaymentStatus | None, QueryParameter(name="status", description="Only those in this state.")]
State = Literal["", "started", "unknown", "done", "refused"]
StateFilter = Annotated[State, QueryParameter(name="state", description="Only those in this state.")]
Person = Annotated[str, QueryParameter(max_length=120, description="Only those of this person.")]
IncidentPath = Annotated[str, PathParameter(pattern=r"^pinc_[0-9a-f]{32}\Z")]


class Capture(Struct, frozen=True, forbid_unknown_fields=True):
    """Take so much of what is reserved; all of it without ``amount``."""

    amount: Amount | None = None


def admin_routes(ctx: PluginContext, service: Payments, repairer: Repairer) -> Sequence[Any]:
    """Return the route handlers."""
    return [*_looking(ctx), *_acting(ctx, service, repairer)]


def _looking(ctx: PluginContext) -> Sequence[Any]:
    database = ctx.db.as_system()

    async def page(query: Any, column: Any, limit: int, cursor: str | None) -> tuple[list[Any], str | None]:
        found = await database.read(lambda session: list(session.execute(store.page(query, column, limit + 1, cursor))))
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    @get("/api/payments/admin/payments", opt=policy("payments:manage"))
    async def list_payments(
        status: Status = None, subject: Person = "", limit: page_limit = 20, cursor: page_cursor = None
    ) -> Page[OwnedPaymentView]:
        """List everybody's payments, newest first."""
        query = select(payments)
        query = query.where(payments.c.status == status) if status else query
        rows, following = await page(query.where(payments.c.subject == subject) if subject else query, payments.c.id, limit, cursor)
        return Page([store.owned_view(row) for row in rows], following)

    @get("/api/payments/admin/payments/{any_payment:str}", opt=policy("payments:manage"))
    async def show_payment(any_payment: PaymentPath) -> OwnedPaymentView:
        """Show a payment."""
        return store.owned_view(await database.read(lambda session: store.find(session, any_payment)))

    @get("/api/payments/admin/operations", opt=policy("payments:manage"))
    async def list_operations(in_state: StateFilter = "", limit: page_limit = 20, cursor: page_cursor = None) -> Page[OperationView]:
        """List what was asked of providers, newest first; `unknown` are those that nobody knows the outcome of."""
        query = select(operations).where(operations.c.state == in_state) if in_state else select(operations)
        rows, following = await page(query, operations.c.id, limit, cursor)
        return Page([store.operation_view(row) for row in rows], following)

    @get("/api/payments/admin/incidents", opt=policy("payments:manage"))
    async def list_incidents(limit: page_limit = 20, cursor: page_cursor = None) -> Page[IncidentView]:
        """List what does not add up and is not resolved, newest first."""
        rows, following = await page(select(incidents).where(incidents.c.resolved_at.is_(None)), incidents.c.id, limit, cursor)
        return Page([store.incident_view(row) for row in rows], following)

    return [list_payments, show_payment, list_operations, list_incidents]


def _acting(ctx: PluginContext, service: Payments, repairer: Repairer) -> Sequence[Any]:
    @post("/api/payments/admin/payments/{any_payment:str}/capture", opt=policy("payments:manage", step_up=True), status_code=200)
    async def capture(request: Request[Any, Any, Any], any_payment: PaymentPath, data: JSONBody[Capture]) -> OwnedPaymentView:
        """Take what is reserved, or a part of it; the rest is let go."""
        return await service.capture(any_payment, data.amount, signed_in(request))

    @post("/api/payments/admin/payments/{any_payment:str}/void", opt=policy("payments:manage", step_up=True), status_code=200)
    async def void(request: Request[Any, Any, Any], any_payment: PaymentPath) -> OwnedPaymentView:
        """Let go of what is reserved."""
        return await service.void(any_payment, signed_in(request))

    @post("/api/payments/admin/repair", opt=policy("payments:manage"), status_code=200)
    async def repair() -> Repaired:
        """Ask the providers now about everything that is unknown or waits."""
        return await repairer.repair(all_of_them=True)

    @post("/api/payments/admin/reconcile", opt=policy("payments:manage"), status_code=200)
    async def reconcile() -> Reconciled:
        """Compare with the providers' lists, and the payments with the ledger."""
        return await repairer.reconcile()

    @post("/api/payments/admin/incidents/{incident:str}/resolve", opt=policy("payments:manage", step_up=True), status_code=200)
    async def resolve(request: Request[Any, Any, Any], incident: IncidentPath) -> IncidentView:
        """Mark an incident as seen to."""
        actor, now = signed_in(request), ctx.clock.now()

        def unit(session: Any) -> IncidentView:
            session.execute(update(incidents).where(incidents.c.id == incident, incidents.c.resolved_at.is_(None)).values(resolved_at=now))
            row = session.execute(select(incidents).where(incidents.c.id == incident)).one_or_none()
            if row is None:
                raise NotFound("There is no such incident.", code="payments.incident-not-found")
            ctx.audit(session, actor, AuditEntry(action="payment.incident.resolve", object=incident, retention="7y"))
            return store.incident_view(row)

        return await ctx.db.as_system().write(unit)

    return [capture, void, repair, reconcile, resolve]
