"""Effects at providers: written down before they are asked for, asked for once, and settled with their journals and events in one unit of work.

An outcome is known, or it is unknown; what is unknown stays an open operation, which ``repairing`` asks about. Nothing else moves it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, NoReturn

import msgspec
from msgspec.structs import replace
from sqlalchemy.orm import Session

from luminai import Event, HubError, PaymentError, PaymentResult, PaymentStatus, PluginContext, Unavailable, Unprocessable
from luminai_payments import store
from luminai_payments.bookkeeping import Bookkeeper
from luminai_payments.config import PaymentsConfig
from luminai_payments.merging import NEVER_ARRIVED, Standing, merge, standing_of
from luminai_payments.schemas import Captured, Disputed, Failed, Refunded

NOT_SENT: Final = ("breaker-open",)
"""Codes of the hub's own refusals, before anything reached the provider."""


class Effects:
    """Asks providers, and settles what they answer."""

    def __init__(self, ctx: PluginContext, books: Bookkeeper) -> None:
        self._ctx = ctx
        self._config: PaymentsConfig = ctx.config
        self._books = books
        self._db = ctx.db.as_system()

    async def run(self, operation_id: str, kind: str, call: Callable[[], Awaitable[PaymentResult]]) -> PaymentResult | PaymentError | None:
        """Ask for what was written down, in a task of the hub: a client that leaves changes nothing. Return what the provider said, None where
        nobody knows.
        """
        return await asyncio.shield(self._ctx.spawn(self._ask(operation_id, kind, call), name=f"{kind}:{operation_id}"))

    async def _ask(self, operation_id: str, kind: str, call: Callable[[], Awaitable[PaymentResult]]) -> PaymentResult | PaymentError | None:
        try:
            async with asyncio.timeout(self._config.call_seconds):
                result = await call()
        except PaymentError as error:
            if error.definite:
                await self.refuse(operation_id, error.code or "refused")
                self._count(kind, "refused")
                return error
            await self.leave_open(operation_id, error.code or "unknown")
        except HubError as error:
            if error.code in NOT_SENT:
                await self.refuse(operation_id, error.code)
                return PaymentError(error.detail, definite=True, code=error.code, retry_after=error.retry_after)
            await self.leave_open(operation_id, error.code)
        except Exception as error:  # noqa: BLE001 - whatever a provider raises, the outcome is unknown
            self._ctx.log.warning("payment.unknown", extra={"operation": operation_id, "error": type(error).__name__})
            await self.leave_open(operation_id, type(error).__name__)
        else:
            await self.settle(operation_id, result)
            self._count(kind, "done")
            return result
        self._count(kind, "unknown")
        return None

    async def settle(self, operation_id: str, result: PaymentResult) -> None:
        """Write what an effect came to; the second time changes nothing."""
        incident_id = self._ctx.new_id("pinc")

        def unit(session: Session) -> None:
            operation = store.open_operation(session, operation_id)
            if operation is None:
                return
            payment = store.find(session, operation.payment)
            more = {"doing": ""} if operation.attempt == payment.attempt else {}
            if operation.kind == "authorize" and more:
                action = f"{result.action.kind} {result.action.url}"[:2000] if result.action else ""
                more |= {"ref": result.ref, "action": action}
            store.end(session, operation, "done", result.code, result.ref)
            self.absorb(session, payment, result, incident_id, is_current=False, **more)

        await self._db.write(unit)

    async def refuse(self, operation_id: str, code: str) -> None:
        """Write that an effect did not happen."""

        def unit(session: Session) -> None:
            operation = store.open_operation(session, operation_id)
            if operation is None or operation.state == "refused":
                return
            payment = store.find(session, operation.payment)
            store.end(session, operation, "refused", code)
            before = standing_of(payment)
            after = replace(before, status=PaymentStatus.FAILED, code=code[:60]) if operation.kind == "authorize" else before
            store.write(session, payment, after, self._ctx.clock.now(), doing="")
            self._publish(session, payment, before, after, payment.ref or "")

        await self._db.write(unit)

    async def leave_open(self, operation_id: str, code: str) -> None:
        """Write that nobody knows what an effect came to, and when to ask."""

        def unit(session: Session) -> None:
            operation = store.open_operation(session, operation_id)
            if operation is not None and operation.state != "refused":
                store.put_off(session, operation, code, self._ctx.clock.now())

        await self._db.write(unit)

    def absorb(self, session: Session, payment: Any, result: PaymentResult, incident_id: str, *, is_current: bool, **more: Any) -> bool:
        """Take over a provider's word about a payment, with journals and events; return False when it was an incident instead."""
        now, before = self._ctx.clock.now(), standing_of(payment)
        after, incident = merge(before, result, is_current=is_current)
        if incident is not None:
            about = f"{result.ref} {result.status} {result.captured} {result.refunded}"
            store.note(session, incident_id, incident, provider=payment.provider, payment=payment.id, about=about, now=now)
        self._books.book(session, payment, before, after)
        self._publish(session, payment, before, after, result.ref)
        store.write(session, payment, after, now, **more)
        return incident is None

    def _publish(self, session: Session, payment: Any, before: Standing, after: Standing, ref: str) -> None:
        for event in _events(payment, before, after, ref):
            payload = msgspec.to_builtins(event)
            self._ctx.db.publish(session, Event(type=f"payments.{type(event).__name__}", payload=payload, subject=payment.subject, key=payment.id))

    def _count(self, kind: str, state: str) -> None:
        self._ctx.metrics.count("operations_total", kind=kind, state=state)


def raise_refused(error: PaymentError) -> NoReturn:
    """Hand a provider's definite no on.

    Raises:
        Unprocessable: it refuses (code ``payments.refused``).
        Unavailable: it refuses for now (code ``payments.provider-busy``).
    """
    if error.retry_after is not None or error.code in NOT_SENT:
        hint = "Nothing was paid. Try again later, with a new Idempotency-Key."
        raise Unavailable("The provider does not take this now.", code="payments.provider-busy", hint=hint, retry_after=error.retry_after or 30)
    raise Unprocessable(f"The provider refuses: {error.code or error}."[:300], code="payments.refused", hint="Nothing has changed.")


def _events(payment: Any, before: Standing, after: Standing, ref: str) -> list[Captured]:
    same = {"intent": payment.id, "ref": ref}
    same |= {name: getattr(payment, name) for name in ("purpose", "product", "subject", "asset", "provider")}
    found: list[Captured] = []
    if taken := after.captured - before.captured:
        found.append(Captured(amount=taken, **same))
    if refunded := after.refunded - before.refunded:
        found.append(Refunded(amount=refunded, **same))
    if returned := after.returned - before.returned:
        found.append(Refunded(amount=returned, reason="returned", **same))
    if after.dispute != before.dispute:
        found.append(Disputed(amount=max(before.disputed, after.disputed), state=after.dispute, **same))  # type: ignore[arg-type]
    ended = after.status in (PaymentStatus.FAILED, PaymentStatus.VOIDED) and not after.captured
    if ended and (before.status != after.status or before.code == NEVER_ARRIVED):
        found.append(Failed(amount=after.amount, code=after.code, **same))
    return found
