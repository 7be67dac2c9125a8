"""The doubles keep the contracts that they stand in for."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from luminai import AIError, AIErrorKind, AuthorizeRequest, ChatMessage, ChatRequest, End, EndState, Money, PaymentError, PaymentStatus, Unavailable
from luminai.testing import (
    AIProviderContract,
    CalculatorContract,
    Cut,
    FrozenClock,
    Hang,
    MemoryPayments,
    MemoryStorage,
    PaymentContract,
    PersonaContract,
    ScriptedProvider,
    StorageContract,
    Wait,
    WordCalculator,
    sample_persona,
)
from luminai.testing.scripted_provider import rate_limited

ASKED = ChatRequest(model="one", messages=(ChatMessage("user", "a question of five words"),))
EUROS = AuthorizeRequest(amount=Money(1000, "EUR"), reference="order-1", method="card")


@asynccontextmanager
async def given(thing):
    yield thing


class TestScriptedProvider(AIProviderContract):
    def provider(self, folder):
        return given(ScriptedProvider(("Hello", " there", ", you.")))

    def request(self):
        return ASKED


class TestMemoryStorage(StorageContract):
    def backend(self, folder):
        return given(MemoryStorage())


class TestMemoryPayments(PaymentContract):
    clock = FrozenClock()

    def provider(self, folder):
        return given(MemoryPayments(clock=self.clock))

    async def deliver(self, provider):
        await provider.authorize(EUROS, key="delivered")
        _, event = await anext(provider.changes(None))
        return (*provider.webhook(event), self.clock.now())


class TestSamplePersona(PersonaContract):
    def personas(self):
        return [sample_persona(), sample_persona("another", aliases=("other",))]


class TestWordCalculator(CalculatorContract):
    def calculators(self):
        return [WordCalculator()]


async def events(provider: ScriptedProvider, request: ChatRequest = ASKED) -> list[object]:
    return [event async for event in provider.stream(request)]


@pytest.mark.parametrize(
    ("steps", "state"),
    [(("a", Cut()), EndState.CUT), (("a", rate_limited()), EndState.FAILED), (("a", End(state=EndState.LENGTH)), EndState.LENGTH)],
)
def test_scripted__breaks_after_the_first_piece__ends_in_that_state(steps, state) -> None:
    (first, last) = asyncio.run(events(ScriptedProvider(steps)))

    assert (first.text, last.state) == ("a", state)


@pytest.mark.parametrize(("step", "kind"), [(Cut(), AIErrorKind.UPSTREAM), (rate_limited(7), AIErrorKind.RATE)])
def test_scripted__breaks_before_the_first_piece__raises(step, kind) -> None:
    with pytest.raises(AIError) as raised:
        asyncio.run(events(ScriptedProvider((step, "never"))))

    assert raised.value.kind is kind
    assert raised.value.retry_after == (7 if kind is AIErrorKind.RATE else None)


@pytest.mark.parametrize("step", [Hang(), Wait(60)])
def test_scripted__silence_longer_than_the_time__is_stalled(step) -> None:
    short = ChatRequest(model="one", messages=ASKED.messages, timeout=0.05)

    assert asyncio.run(events(ScriptedProvider(("a", step, "never")), short))[-1].state is EndState.STALLED


def test_scripted__replies_in_turn__the_last_one_stays() -> None:
    async def main() -> list[str]:
        provider = ScriptedProvider(("one",), ("two",))
        return [(await provider.chat(ASKED)).text for _ in range(3)]

    assert asyncio.run(main()) == ["one", "two", "two"]


def test_storage__no_room__is_refused_and_keeps_the_old() -> None:
    async def main() -> None:
        storage = MemoryStorage(room=10)
        await storage.put("a", b"12345678")
        with pytest.raises(Unavailable) as refused:
            await storage.put("b", b"123")
        assert refused.value.code == "storage-full"
        assert [one.key for one in (await storage.list()).items] == ["a"]
        await storage.put("a", b"1234567890")

    asyncio.run(main())


def test_payments__answer_lost__is_known_by_its_key_and_done_once() -> None:
    async def main() -> None:
        payments = MemoryPayments()
        payments.script("lost")
        with pytest.raises(PaymentError) as lost:
            await payments.authorize(EUROS, key="k")
        assert not lost.value.definite
        found = await payments.query(key="k")
        assert found == await payments.authorize(EUROS, key="k")
        assert len([one async for one in payments.changes(None)]) == 1

    asyncio.run(main())


def test_payments__declined__stays_declined_for_its_key() -> None:
    async def main() -> None:
        payments = MemoryPayments()
        payments.script("declined")
        for _ in range(2):
            with pytest.raises(PaymentError) as refused:
                await payments.authorize(EUROS, key="k")
            assert (refused.value.definite, refused.value.code) == (True, "declined")
        assert (await payments.authorize(EUROS, key="other")).status is PaymentStatus.AUTHORIZED

    asyncio.run(main())


def test_payments__webhooks__any_secret_verifies_and_a_strange_one_does_not() -> None:
    async def main() -> None:
        clock = FrozenClock()
        payments = MemoryPayments(clock=clock, secrets=(b"new", b"old"))
        await payments.authorize(EUROS, key="k")
        _, event = await anext(payments.changes(None))
        for secret in (b"new", b"old"):
            body, headers = payments.webhook(event, secret=secret)
            assert payments.verify(body, headers, clock.now() + timedelta(minutes=4)).id == event.id
        body, headers = payments.webhook(event, secret=b"strange")
        with pytest.raises(PaymentError, match="signature"):
            payments.verify(body, headers, clock.now())

    asyncio.run(main())
