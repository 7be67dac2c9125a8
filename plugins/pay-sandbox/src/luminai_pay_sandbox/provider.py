"""The provider: every effect is one unit of work with its key, so that it happens once whatever becomes of the answer."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from luminai import (
    AuthorizeRequest,
    ClientAction,
    Evidence,
    MethodSetup,
    Money,
    Party,
    PaymentCapabilities,
    PaymentError,
    PaymentEvent,
    PaymentResult,
    PaymentStatus,
    PluginContext,
)
from luminai_pay_sandbox.book import HOLD, Book, refuse, settled, totals_status
from luminai_pay_sandbox.config import PaySandboxConfig
from luminai_pay_sandbox.delivery import put_deliveries
from luminai_pay_sandbox.models import answers, events, parties, payments
from luminai_pay_sandbox.outcomes import Outcome, named, outcome_of
from luminai_pay_sandbox.signing import Signer

T = TypeVar("T")
PAGE: Final = 100
LATE: Final = timedelta(minutes=10)
NOT_LATE: Final = timedelta()
_TAKEN: Final = (PaymentStatus.CAPTURED, PaymentStatus.PARTIALLY_REFUNDED)
_LOST: Final = "the answer was lost"


class SandboxProvider:
    """Implements ``PaymentProvider`` over the plugin's own tables."""

    name = "sandbox"

    def __init__(self, ctx: PluginContext, signer: Signer) -> None:
        self._ctx = ctx
        self._signer = signer
        self._config: PaySandboxConfig = ctx.config
        self._db = ctx.db.as_system()

    @property
    def basis_points(self) -> int:
        """Fee of what is captured, in hundredths of a percent."""
        return self._config.fee_basis_points

    def capabilities(self) -> PaymentCapabilities:
        """Say what it can do: everything."""
        yes = dict.fromkeys(
            (
                "authorize",
                "partial_capture",
                "multi_capture",
                "partial_refund",
                "transfer",
                "reverse_transfer",
                "payout",
                "disputes",
                "idempotent",
                "query",
                "list_since",
                "webhook",
            ),
            True,
        )
        days = {"hold_days": HOLD.days, "settle_days": 2, "return_days": 120, "idempotency_days": 3650}
        more: dict[str, Any] = {**yes, **days, "custody": "segregated", "methods": frozenset({"card", "bank"})}
        return PaymentCapabilities(assets=frozenset(self._config.assets), **more)

    async def ensure_party(self, party: Party, *, key: str) -> str:
        """Return the reference of a party, the same for the same kind and reference."""

        def effect(book: Book) -> tuple[str, str]:
            same = select(parties.c.ref).where(parties.c.kind == party.kind, parties.c.reference == party.reference)
            ref = book.session.execute(same).scalar()
            if ref is None:
                ref = self._ctx.new_id("sbacc" if party.kind == "account" else "sbcus")
                book.session.execute(insert(parties).values(ref=ref, kind=party.kind, reference=party.reference))
            return ref, ref

        return await self._effect(key, ("party", party), str, effect)

    async def onboarding(self, party_ref: str, return_url: str) -> ClientAction:
        """Say where an account would be set up, or a customer look after methods; nothing has to be done there."""
        await self._read(lambda book: book.party(party_ref, "account" if party_ref.startswith("sbacc") else "customer"))
        return ClientAction("redirect", return_url)

    async def setup_method(self, party_ref: str, *, key: str) -> MethodSetup:
        """Store a method that succeeds."""

        def effect(book: Book) -> tuple[str, MethodSetup]:
            book.party(party_ref, "customer")
            ref = self._ctx.new_id("sbpm")
            book.session.execute(insert(parties).values(ref=ref, kind="method", reference=f"{party_ref} {ref}"))
            return ref, MethodSetup(ref)

        return await self._effect(key, ("method", party_ref), MethodSetup, effect)

    async def detach_method(self, method_ref: str, *, key: str) -> None:
        """Forget a method."""

        def effect(book: Book) -> tuple[str, None]:
            book.session.execute(delete(parties).where(parties.c.ref == method_ref, parties.c.kind == "method"))
            return method_ref, None

        await self._effect(key, ("detach", method_ref), type(None), effect)

    async def authorize(self, request: AuthorizeRequest, *, key: str) -> PaymentResult:
        """Reserve an amount, or take it with ``capture``; the method's name or the amount says what becomes of it."""
        amount, outcome, fate = request.amount, outcome_of(request.method, request.amount.minor), ["given"]
        if amount.asset not in self._config.assets or amount.minor <= 0:
            raise refuse("bad-amount", f"{amount.minor} {amount.asset} cannot be taken")

        def effect(book: Book) -> tuple[str, PaymentResult]:
            if outcome.answer == "never":
                raise PaymentError(_LOST, definite=False, code="timeout")
            if request.method and named(request.method) is None:
                book.party(request.method, "method")
            first = PaymentStatus.AUTHORIZED if outcome.first is PaymentStatus.CAPTURED and not request.capture else outcome.first
            code = outcome.code
            if request.off_session and first is PaymentStatus.REQUIRES_ACTION:
                first, code = PaymentStatus.FAILED, "authentication_required"
            more = {"code": code, "outcome": outcome.name, "reference": request.reference[:200], "capture": request.capture}
            ref = book.open("payment", amount, first, **more)
            row = book.find(ref)
            if first in (PaymentStatus.AUTHORIZED, PaymentStatus.CAPTURED):
                book.change(row, outcome, **settled(row))
                book.plan(ref, PaymentStatus.VOIDED, "expired", HOLD)
            else:
                book.note(ref, first, code, copies=outcome.copies, delay=outcome.later[0].after + 30 if outcome.reordered else 0)
            for later in outcome.later:
                book.plan(ref, later.status, later.code, timedelta(seconds=later.after), copies=outcome.copies)
            fate[0] = outcome.answer
            return ref, book.result(ref)

        late = LATE if outcome.answer == "late" else NOT_LATE
        result = await self._effect(key, ("authorize", request), PaymentResult, effect, late)
        return _told(fate[0], result)

    async def capture(self, ref: str, amount: Money | None, *, key: str, final: bool = True) -> PaymentResult:
        """Take all or a part of what is reserved; what is left is let go with ``final``."""

        def effect(book: Book) -> tuple[str, PaymentResult]:
            row = book.find(ref)
            left = row.amount - row.captured
            taken = _minor(row, amount, left)
            if row.status != PaymentStatus.AUTHORIZED or taken > left:
                raise refuse("not-capturable", f"{taken} of {left} cannot be captured of a payment that is {row.status}")
            is_done = final or taken == left
            book.change(row, _outcome(row), captured=row.captured + taken, status=PaymentStatus.CAPTURED if is_done else PaymentStatus.AUTHORIZED)
            return ref, book.result(ref)

        return await self._effect(key, ("capture", ref, amount, final), PaymentResult, effect)

    async def void(self, ref: str, *, key: str) -> PaymentResult:
        """Let go of what is reserved, or of what the payer has not confirmed."""

        def effect(book: Book) -> tuple[str, PaymentResult]:
            row = book.find(ref)
            if row.status not in (PaymentStatus.AUTHORIZED, PaymentStatus.REQUIRES_ACTION) or row.captured:
                raise refuse("not-voidable", f"a payment that is {row.status} cannot be voided")
            book.change(row, _outcome(row), status=PaymentStatus.VOIDED)
            return ref, book.result(ref)

        return await self._effect(key, ("void", ref), PaymentResult, effect)

    async def refund(self, ref: str, amount: Money | None, *, key: str, reason: str = "") -> PaymentResult:
        """Give back all or a part of what was taken and not passed on."""
        fate = ["given"]

        def effect(book: Book) -> tuple[str, PaymentResult]:
            row = book.find(ref)
            left = row.captured - row.refunded - row.moved
            given = _minor(row, amount, left)
            if row.status not in _TAKEN or given <= 0 or given > left:
                raise refuse("not-refundable", f"{given} of {left} cannot be refunded of a payment that is {row.status}")
            outcome = _outcome(row)
            if outcome.refund == "refused":
                raise refuse("refund-failed", "the bank refuses the refund")
            fate[0] = "lost" if outcome.refund == "lost" else "given"
            refunded = row.refunded + given
            book.change(row, outcome, refunded=refunded, status=totals_status(row.captured, refunded))
            return ref, book.result(ref)

        result = await self._effect(key, ("refund", ref, amount, reason), PaymentResult, effect)
        return _told(fate[0], result)

    async def transfer(self, source_ref: str, dest_ref: str, amount: Money, *, key: str, group: str = "") -> PaymentResult:
        """Pass what was taken on to an account."""

        def effect(book: Book) -> tuple[str, PaymentResult]:
            row = book.find(source_ref)
            book.party(dest_ref, "account")
            left = row.captured - row.refunded - row.moved
            moved = _minor(row, amount, left)
            if row.status not in _TAKEN or moved > left:
                raise refuse("not-transferable", f"{moved} of {left} cannot be passed on of a payment that is {row.status}")
            book.session.execute(payments.update().where(payments.c.ref == source_ref).values(moved=row.moved + moved))
            return _paid(book, "transfer", amount, reference=dest_ref, source=source_ref)

        return await self._effect(key, ("transfer", source_ref, dest_ref, amount, group), PaymentResult, effect)

    async def reverse_transfer(self, ref: str, amount: Money | None, *, key: str) -> PaymentResult:
        """Take back from an account what it still holds."""

        def effect(book: Book) -> tuple[str, PaymentResult]:
            row = book.find(ref, "transfer")
            left = min(row.captured - row.refunded, book.balance(row.reference, row.asset))
            back = _minor(row, amount, left)
            if back <= 0 or back > left:
                raise refuse("not-reversible", f"{back} of {left} cannot be taken back")
            book.session.execute(payments.update().where(payments.c.ref == row.source).values(moved=payments.c.moved - back))
            refunded = row.refunded + back
            book.change(row, refunded=refunded, status=totals_status(row.captured, refunded))
            return ref, book.result(ref)

        return await self._effect(key, ("reverse", ref, amount), PaymentResult, effect)

    async def payout(self, dest_ref: str, amount: Money, *, key: str) -> PaymentResult:
        """Pay out what an account holds."""

        def effect(book: Book) -> tuple[str, PaymentResult]:
            book.party(dest_ref, "account")
            held = book.balance(dest_ref, amount.asset)
            if not 0 < amount.minor <= held:
                raise refuse("not-payable", f"{amount.minor} of {held} cannot be paid out")
            return _paid(book, "payout", amount, reference=dest_ref)

        return await self._effect(key, ("payout", dest_ref, amount), PaymentResult, effect)

    async def dispute_evidence(self, ref: str, evidence: Evidence, *, key: str) -> PaymentResult:
        """Answer a dispute: the text ``winning_evidence`` wins it, ``losing_evidence`` loses it, any other leaves it open."""

        def effect(book: Book) -> tuple[str, PaymentResult]:
            row = book.find(ref)
            if row.status != PaymentStatus.DISPUTED:
                raise refuse("not-disputed", f"a payment that is {row.status} has no open dispute")
            if evidence.text == "winning_evidence":
                book.change(row, status=totals_status(row.captured, row.refunded), code="dispute_won")
            elif evidence.text == "losing_evidence":
                book.change(row, status=PaymentStatus.DISPUTE_LOST, code="dispute_lost")
            return ref, book.result(ref)

        return await self._effect(key, ("evidence", ref, evidence), PaymentResult, effect)

    async def query(self, ref: str | None = None, *, key: str | None = None) -> PaymentResult:
        """Return a payment as it stands, by its reference or by the key of the effect that touched it."""

        def unit(book: Book) -> PaymentResult:
            if ref is not None:
                return book.result(ref)
            known = book.session.execute(select(answers).where(answers.c.key == (key or ""))).one_or_none()
            if known is None:
                raise refuse("not-found", "no effect with this key arrived")
            if known.visible_at > book.now:
                raise PaymentError("nothing can be said yet", definite=False, code="not-yet", retry_after=60.0)
            return book.result(known.ref)

        return await self._read(unit)

    async def changes(self, cursor: str | None) -> AsyncIterator[tuple[str, PaymentEvent]]:
        """Yield what happened after ``cursor``, oldest first."""
        last = int(cursor) if cursor and cursor.isdecimal() else 0

        def unit(book: Book) -> list[Any]:
            book.catch_up()
            query = select(events, payments.c.amount, payments.c.asset).join(payments, payments.c.ref == events.c.ref)
            return list(book.session.execute(query.where(events.c.seq > last).order_by(events.c.seq).limit(PAGE)))

        while found := await self._read(unit):
            for row in found:
                last = row.seq
                yield str(last), event_of(self.name, row)

    def verify(self, body: bytes, headers: Mapping[str, str], now: datetime) -> PaymentEvent:
        """Return the event of a delivery after its signature and time were checked."""
        return self._signer.verify(self.name, body, headers, now)

    async def act(self, ref: str, change: Callable[[Book, Any], None]) -> PaymentResult:
        """Let payer or bank change a payment."""

        def unit(book: Book) -> PaymentResult:
            change(book, book.find(ref))
            return book.result(ref)

        return await self._read(unit)

    async def _read(self, unit: Callable[[Book], T]) -> T:
        """Run a unit that may find changes due: so it writes."""

        def run(session: Session) -> T:
            answer = unit(self._book(session))
            put_deliveries(self._ctx, session)
            return answer

        return await self._db.write(run)

    async def _effect(
        self, key: str, arguments: tuple[Any, ...], kind: type[T], effect: Callable[[Book], tuple[str, T]], late: timedelta = NOT_LATE
    ) -> T:
        """Have an effect once: the same key gives the first answer again. What was refused did not happen, and may be tried again."""
        if not 0 < len(key) <= 255:
            raise refuse("no-key", "an effect needs a key of at most 255 characters")
        fingerprint = hashlib.sha256(msgspec.json.encode(arguments)).digest()

        def unit(session: Session) -> T:
            book = self._book(session)
            known = session.execute(select(answers).where(answers.c.key == key)).one_or_none()
            if known is not None:
                if known.fingerprint != fingerprint:
                    raise refuse("idempotency-mismatch", "this key was used with other arguments")
                return msgspec.json.decode(known.answer, type=kind)
            ref, given = effect(book)
            row = {"key": key, "fingerprint": fingerprint, "ref": ref, "answer": msgspec.json.encode(given), "visible_at": book.now + late}
            session.execute(insert(answers).values(**row))
            put_deliveries(self._ctx, session)
            return given

        return await self._db.write(unit)

    def _book(self, session: Session) -> Book:
        return Book(session, self._ctx.clock.now(), self._ctx.new_id, self.basis_points)


def event_of(provider: str, row: Any) -> PaymentEvent:
    """Return the event that a row of ``events``, joined with its payment, stands for."""
    status = PaymentStatus(row.status)
    kind = f"payment.{row.code}" if row.code in ("dispute_won", "returned") else f"payment.{status}"
    return PaymentEvent(id=row.id, provider=provider, kind=kind, ref=row.ref, status=status, at=row.at, amount=Money(row.amount, row.asset))


def _paid(book: Book, kind: str, amount: Money, **more: Any) -> tuple[str, PaymentResult]:
    ref = book.open(kind, amount, PaymentStatus.CAPTURED, captured=amount.minor, **more)
    book.note(ref, PaymentStatus.CAPTURED, "")
    return ref, book.result(ref)


def _told(answer: str, result: PaymentResult) -> PaymentResult:
    """Return the result unless its answer gets lost on the way, the first time."""
    if answer in ("lost", "late"):
        raise PaymentError(_LOST, definite=False, code="timeout")
    return result


def _outcome(row: Any) -> Outcome:
    return outcome_of(row.outcome, 0)


def _minor(row: Any, amount: Money | None, rest: int) -> int:
    if amount is None:
        return rest
    if amount.asset != row.asset or amount.minor <= 0:
        raise refuse("bad-amount", f"{amount.minor} {amount.asset} does not fit this payment")
    return amount.minor
