# ruff: noqa: S101 - assertions are what a conformance suite is made of
"""What every ``PaymentProvider`` must do. A plugin's tests subclass ``PaymentContract`` as ``Test…`` and give it a provider in its sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from luminai.contracts.payment import AuthorizeRequest, Evidence, Money, Party, PaymentError, PaymentProvider, PaymentStatus
from luminai.testing.stepping import cancel_at

Work = Callable[[PaymentProvider], Coroutine[Any, Any, None]]


class PaymentContract:
    """The conformance suite. Keys are unique within a test, and made unique in the sandbox by ``key``."""

    def provider(self, folder: Path) -> AbstractAsyncContextManager[PaymentProvider]:
        """Return a started provider for the length of a block; ``folder`` is the test's own."""
        raise NotImplementedError

    def request(self) -> AuthorizeRequest:
        """Return a request that the sandbox grants."""
        return AuthorizeRequest(amount=Money(1000, "EUR"), reference="order-1", method="card")

    def key(self, name: str) -> str:
        """Return an idempotency key; a real sandbox that remembers keys between runs needs a fresh part in it."""
        return name

    async def deliver(self, provider: PaymentProvider) -> tuple[bytes, Mapping[str, str], datetime]:
        """Return body, headers and time of a genuine webhook delivery; only asked for with the capability ``webhook``."""
        raise NotImplementedError

    def with_provider(self, folder: Path, work: Work) -> None:
        """Run ``work`` with a started provider."""

        async def main() -> None:
            async with self.provider(folder) as provider:
                await work(provider)

        asyncio.run(main())

    def test_authorize__purchase__takes_exactly_the_amount(self, tmp_path: Path) -> None:
        async def work(provider: PaymentProvider) -> None:
            request = replace(self.request(), capture=True)
            result = await provider.authorize(request, key=self.key("a"))
            assert result.ref
            assert result.status in (PaymentStatus.CAPTURED, PaymentStatus.PENDING)
            assert result.amount == request.amount
            assert (type(result.captured), type(result.refunded)) == (int, int)
            if result.status is PaymentStatus.CAPTURED:
                assert result.captured == request.amount.minor

        self.with_provider(tmp_path, work)

    def test_effect__same_key_and_arguments__gives_the_first_answer(self, tmp_path: Path) -> None:
        async def work(provider: PaymentProvider) -> None:
            request = replace(self.request(), capture=True)
            first = await provider.authorize(request, key=self.key("a"))
            again = await asyncio.gather(*(provider.authorize(request, key=self.key("a")) for _ in range(3)))
            assert {one.ref for one in again} == {first.ref}
            refund = await provider.refund(first.ref, None, key=self.key("r"))
            assert (await provider.refund(first.ref, None, key=self.key("r"))).refunded == refund.refunded == request.amount.minor
            assert (await provider.query(first.ref)).refunded == request.amount.minor

        self.with_provider(tmp_path, work)

    def test_effect__same_key_and_other_arguments__is_refused(self, tmp_path: Path) -> None:
        async def work(provider: PaymentProvider) -> None:
            request = self.request()
            await provider.authorize(request, key=self.key("a"))
            other = replace(request, amount=Money(request.amount.minor + 1, request.amount.asset))
            await _refused(lambda: provider.authorize(other, key=self.key("a")))

        self.with_provider(tmp_path, work)

    def test_effect__no_key__is_refused(self, tmp_path: Path) -> None:
        self.with_provider(tmp_path, lambda provider: _refused(lambda: provider.authorize(self.request(), key="")))

    @pytest.mark.parametrize("amount", [Money(0, "EUR"), Money(-1, "EUR"), Money(100, "NO_SUCH_ASSET")])
    def test_authorize__amount_that_cannot_be__is_refused(self, tmp_path: Path, amount: Money) -> None:
        self.with_provider(tmp_path, lambda provider: _refused(lambda: provider.authorize(replace(self.request(), amount=amount), key=self.key("a"))))

    def test_capture_and_refund__more_than_there_is__is_refused_and_changes_nothing(self, tmp_path: Path) -> None:
        async def work(provider: PaymentProvider) -> None:
            amount = self.request().amount
            more = Money(amount.minor + 1, amount.asset)
            if provider.capabilities().authorize:
                held = await provider.authorize(self.request(), key=self.key("a"))
                await _refused(lambda: provider.capture(held.ref, more, key=self.key("c")))
                assert (await provider.query(held.ref)).captured == 0
            paid = await provider.authorize(replace(self.request(), capture=True), key=self.key("b"))
            await _refused(lambda: provider.refund(paid.ref, more, key=self.key("r")))
            assert (await provider.query(paid.ref)).refunded == 0

        self.with_provider(tmp_path, work)

    def test_refund__in_parts__adds_up_and_ends_at_the_whole(self, tmp_path: Path) -> None:
        async def work(provider: PaymentProvider) -> None:
            if not provider.capabilities().partial_refund:
                pytest.skip("partial_refund is not declared")
            request = replace(self.request(), capture=True)
            paid = await provider.authorize(request, key=self.key("a"))
            part = Money(request.amount.minor // 3, request.amount.asset)
            first = await provider.refund(paid.ref, part, key=self.key("r1"))
            assert (first.status, first.refunded) == (PaymentStatus.PARTIALLY_REFUNDED, part.minor)
            last = await provider.refund(paid.ref, None, key=self.key("r2"))
            assert (last.status, last.refunded) == (PaymentStatus.REFUNDED, request.amount.minor)
            await _refused(lambda: provider.refund(paid.ref, part, key=self.key("r3")))

        self.with_provider(tmp_path, work)

    def test_void__held_once_and_never_after_a_capture(self, tmp_path: Path) -> None:
        async def work(provider: PaymentProvider) -> None:
            if not provider.capabilities().authorize:
                pytest.skip("authorize is not declared")
            held = await provider.authorize(self.request(), key=self.key("a"))
            assert (await provider.void(held.ref, key=self.key("v"))).status is PaymentStatus.VOIDED
            await _refused(lambda: provider.capture(held.ref, None, key=self.key("c")))
            paid = await provider.authorize(replace(self.request(), capture=True), key=self.key("b"))
            await _refused(lambda: provider.void(paid.ref, key=self.key("w")))

        self.with_provider(tmp_path, work)

    def test_operations__that_are_not_declared__are_refused(self, tmp_path: Path) -> None:
        async def work(provider: PaymentProvider) -> None:
            can, amount = provider.capabilities(), self.request().amount
            calls: dict[str, Callable[[], Awaitable[object]]] = {
                "transfer": lambda: provider.transfer("a", "b", amount, key=self.key("t")),
                "reverse_transfer": lambda: provider.reverse_transfer("a", None, key=self.key("u")),
                "payout": lambda: provider.payout("a", amount, key=self.key("p")),
                "disputes": lambda: provider.dispute_evidence("a", Evidence("text"), key=self.key("d")),
            }
            for name, call in calls.items():
                if not getattr(can, name):
                    await _refused(call)

        self.with_provider(tmp_path, work)

    def test_unknown_reference__every_call__is_refused(self, tmp_path: Path) -> None:
        async def work(provider: PaymentProvider) -> None:
            await _refused(lambda: provider.query("no-such-payment"))
            await _refused(lambda: provider.refund("no-such-payment", None, key=self.key("r")))

        self.with_provider(tmp_path, work)

    def test_effect__cancelled_at_any_await__is_known_by_its_key_and_never_doubled(self, tmp_path: Path) -> None:
        async def work(provider: PaymentProvider) -> None:
            request = replace(self.request(), capture=True)
            for n in range(1, 200):
                key = self.key(f"cancelled-{n}")
                outcome = await cancel_at(lambda key=key: provider.authorize(request, key=key), n)  # type: ignore[misc]
                first = await provider.authorize(request, key=key)
                assert (await provider.authorize(request, key=key)).ref == first.ref
                if provider.capabilities().query:
                    assert (await provider.query(key=key)).ref == first.ref
                if not outcome.reached:
                    return
                assert isinstance(outcome.error, asyncio.CancelledError), "it swallowed the cancellation"
            raise AssertionError("it awaits without end")

        self.with_provider(tmp_path, work)

    def test_party__same_reference__is_the_same(self, tmp_path: Path) -> None:
        async def work(provider: PaymentProvider) -> None:
            party = Party(reference="customer-1", email="a@example.org")
            assert await provider.ensure_party(party, key=self.key("p")) == await provider.ensure_party(party, key=self.key("p"))

        self.with_provider(tmp_path, work)

    def test_verify__genuine_delivery__gives_one_event_however_often(self, tmp_path: Path) -> None:
        async def work(provider: PaymentProvider) -> None:
            body, headers, now = await self._delivery(provider)
            first = provider.verify(body, headers, now)
            assert first.id
            assert first.provider == provider.name
            assert all(provider.verify(body, headers, now) == first for _ in range(3))

        self.with_provider(tmp_path, work)

    def test_verify__forged_late_or_unsigned__is_refused(self, tmp_path: Path) -> None:
        async def work(provider: PaymentProvider) -> None:
            body, headers, now = await self._delivery(provider)
            changed = {name: "x" + value[1:] if len(value) > 16 else value for name, value in headers.items()}
            for wrong in (
                (body + b" ", headers, now),
                (b"", headers, now),
                (b"{", headers, now),
                (body, {}, now),
                (body, changed, now),
                (body, headers, now + timedelta(days=2)),
                (body, headers, now - timedelta(days=2)),
            ):
                with pytest.raises(PaymentError) as refused:
                    provider.verify(*wrong)
                assert refused.value.definite

        self.with_provider(tmp_path, work)

    async def _delivery(self, provider: PaymentProvider) -> tuple[bytes, Mapping[str, str], datetime]:
        if not provider.capabilities().webhook:
            pytest.skip("webhook is not declared")
        return await self.deliver(provider)


async def _refused(call: Callable[[], Awaitable[object]]) -> None:
    """A refusal is definite: nothing happened."""
    with pytest.raises(PaymentError) as refused:
        await call()
    assert refused.value.definite, "a refusal says that nothing happened"
