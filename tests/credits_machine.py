"""A state machine of a wallet: what is there after any mixture of grants, paid work, refunds, payments and time is what a plain model says. The
suite runs it, and `make fuzz` at length.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from msgspec import Struct
from paid_work import Shop, open_shop
from sqlalchemy.orm import Session

from luminai import Actor, Event, Held, HubError, Work, WorkFailure
from luminai.data.owners import Acting
from luminai_credits import Credits
from luminai_credits.events import Payment
from luminai_credits.schemas import GrantAsk, UsageView

HOUR = 3600
SOURCES = ("subscription", "promo", "admin", "refund", "purchase")
"""In the order of spending of the plan `payg`."""
PICK = st.integers(0, 10**6)


class Payer:
    """Somebody who pays, by the plugin's own service and meter: ten times quicker than by HTTP, which other tests show."""

    def __init__(self, shop: Shop, subject: str) -> None:
        self._shop = shop
        self._hub = shop.hub.hub
        self._credits = self._hub.generation.wiring.services.find("credits", Credits)
        self.subject = subject

    def expect(self, status: int, unit: Callable[[Session], Any]) -> Any:
        """Run a unit in the payer's name; it must be refused with this status, or go well with 200."""
        try:
            found = self._shop.run(self._hub.database.write(unit, whose=Acting(self.subject)))
        except HubError as refused:
            found = refused
        assert getattr(found, "status", 200) == status, (status, found)
        return found

    def work(self, do: str, key: str, *, expect: int = 200, **given: Any) -> Any:
        """Hold, extend, settle or release the work ``key``."""
        meter, held = self._credits.meter, Held(f"{self.subject}:{key}", self.subject)
        calls: dict[str, Callable[[Session], Any]] = {
            "hold": lambda session: meter.hold(session, Work(key=held.key, subject=self.subject, **given)),
            "extend": lambda session: meter.extend(session, held, given["quantities"], given["lease"]),
            "settle": lambda session: meter.settle(session, held, given["quantities"]),
            "release": lambda session: meter.release(session, held, WorkFailure(given["failure"])),
        }
        return self.expect(expect, calls[do])

    def give(self, key: str, **terms: Any) -> None:
        """Have an operator give units."""
        asked = GrantAsk(subject=self.subject, product="studio", key=f"{self.subject}:{key}", **terms)
        self.expect(200, lambda session: self._credits.grant(session, asked, Actor("key_boss", "boss")))

    def pays(self, take: str, ref: str, minor: int, number: int) -> None:
        """Be told of a payment."""
        what = {"intent": "pay_1", "purpose": "pack", "product": "studio/small", "subject": self.subject, "asset": "EUR", "provider": "sandbox"}
        payment, event = (
            Payment(**what, ref=f"{self.subject}-{ref}", amount=minor),
            Event(type="payments", payload={}, id=f"evt_{self.subject}_{number}"),
        )
        self.expect(200, lambda session: getattr(self._credits.purchases, take)(session, payment, event))

    def refund(self, usage_id: str, expect: int) -> None:
        """Have an action refunded."""
        self.expect(expect, lambda session: self._credits.refund(session, self.subject, usage_id, "", None))

    def has(self) -> tuple[int, int]:
        """Return what is available, and what is in progress."""
        found = self.expect(200, lambda session: self._credits.wallet(session, self.subject, "studio"))
        return found.available, found.in_progress

    def usage(self) -> list[UsageView]:
        """Return all work, oldest first."""
        found: list[UsageView] = self.expect(200, lambda session: self._credits.usage(session, self.subject, limit=10_000, before=None))
        return found[::-1]

    def upkeep(self) -> None:
        """Do what the clock brings."""
        self._shop.run(self._credits.upkeep.run())


class Bucket(Struct):
    """Units under the same terms; ``ends`` is hours since the beginning."""

    source: str
    priority: int
    ends: float | None
    made: int
    available: int = 0

    @property
    def order(self) -> tuple[int, int, float, int]:
        return (SOURCES.index(self.source), self.priority, self.ends if self.ends is not None else 1e9, self.made)


class Job(Struct):
    """A piece of paid work."""

    key: str
    action: str
    tokens: int
    lease: float
    parts: list[tuple[Bucket, int]]
    state: str = "held"
    amount: int = 0
    ended: float = 0.0

    @property
    def held(self) -> int:
        return sum(amount for _, amount in self.parts)


class Wallet(RuleBasedStateMachine):
    """Uses the hub of ``run``; every example is a person of its own."""

    shop: Shop
    examples = 0

    def __init__(self) -> None:
        super().__init__()
        self.buckets: list[Bucket] = []
        self.jobs: list[Job] = []
        self.payments: list[list[Any]] = []
        self.hours, self.number, self.invalid = 0.0, 0, list[float]()

    @initialize()
    def begin(self) -> None:
        """Take somebody new."""
        type(self).examples += 1
        self.person = Payer(self.shop, f"payer_{self.examples}")

    @rule(amount=st.integers(1, 60), source=st.sampled_from(SOURCES), priority=st.sampled_from([1, 100]), hours=st.sampled_from([None, 1, 3]))
    def give(self, amount: int, source: str, priority: int, hours: int | None) -> None:
        """Units come once, however often they are given."""
        key, ends = self._key("gift"), "" if hours is None else (self.shop.clock.now() + timedelta(hours=hours)).isoformat()
        for _ in range(1 + amount % 2):
            self.person.give(key, amount=amount, source=source, priority=priority, expires_at=ends)
        self._bucket(source, priority, None if hours is None else self.hours + hours).available += amount

    @rule(action=st.sampled_from(["studio.paint", "studio.write"]), tokens=st.integers(0, 30_000), lease=st.sampled_from([0.5, 2.0]))
    def hold(self, action: str, tokens: int, lease: float) -> None:
        """Work begins when there is enough, in the order of spending."""
        job = Job(key=self._key("job"), action=action, tokens=tokens, lease=self.hours + lease, parts=[])
        cost = self._cost(job, tokens)
        given = {"action": action, "quantities": {"output_tokens": tokens}, "lease": lease * HOUR}
        if self._take(job, cost):
            self.person.work("hold", job.key, **given)
            self.jobs.append(job)
        else:
            refused = self.person.work("hold", job.key, expect=402, **given)
            assert (refused.facts["needed"], refused.facts["available"]) == (cost, self.available)

    @precondition(lambda self: self.running)
    @rule(pick=PICK, tokens=st.integers(0, 60_000))
    def extend(self, pick: int, tokens: int) -> None:
        """It grows when there is enough, and stands as it was when there is not."""
        job = self.running[pick % len(self.running)]
        missing = self._cost(job, tokens) - job.held
        if self._take(job, max(0, missing)):
            self.person.work("extend", job.key, quantities={"output_tokens": tokens}, lease=HOUR)
            job.tokens, job.lease = tokens, self.hours + 1
        else:
            self.person.work("extend", job.key, expect=402, quantities={"output_tokens": tokens}, lease=HOUR)

    @precondition(lambda self: self.jobs)
    @rule(pick=PICK, used=st.integers(0, 60_000))
    def settle(self, pick: int, used: int) -> None:
        """What was used is charged, at most what is held; work that ended stays as it is."""
        job = self.jobs[pick % len(self.jobs)]
        self.person.work("settle", job.key, quantities={"output_tokens": used})
        if job.state == "held":
            self._end(job, "settled", min(job.held, self._cost(job, used)))

    @precondition(lambda self: self.jobs)
    @rule(pick=PICK, failure=st.sampled_from(["provider", "aborted", "invalid-input"]))
    def release(self, pick: int, failure: str) -> None:
        """What failed is free, but for wrong inputs past ten an hour."""
        job = self.jobs[pick % len(self.jobs)]
        self.person.work("release", job.key, failure=failure)
        if job.state != "held":
            return
        if failure != "invalid-input":
            self._end(job, "released", 0)
            return
        is_free = sum(self.hours - at < 1 for at in self.invalid) < 10
        self.invalid.append(self.hours)
        self._end(job, "released" if is_free else "settled", 0 if is_free else job.held)

    @precondition(lambda self: self.jobs)
    @rule(pick=PICK)
    def refund(self, pick: int) -> None:
        """What was charged comes back once, within the week."""
        job = self.jobs[pick % len(self.jobs)]
        expect = 409 if job.state == "refunded" else 200 if job.state == "settled" and job.amount and self.hours - job.ended <= 7 * 24 else 422
        self.person.refund(self.person.usage()[self.jobs.index(job)].id, expect)
        if expect == 200:
            job.state = "refunded"
            self._bucket("refund", 100, None).available += job.amount

    @precondition(lambda self: len(self.payments) < 3)
    @rule()
    def buy(self) -> None:
        """A payment gives a pack, the first one with its bonus, once."""
        ref, amount = self._key("pi"), 100 if any(bucket.source == "purchase" for bucket in self.buckets) else 110
        for _ in range(2):
            self.person.pays("captured", ref, 299, self.number)
        self.payments.append([ref, amount, 0, 0])
        self._bucket("purchase", 100, None).available += amount

    @precondition(lambda self: any(payment[2] < 299 for payment in self.payments))
    @rule(pick=PICK, minor=st.integers(1, 299))
    def pay_back(self, pick: int, minor: int) -> None:
        """A refunded payment takes back what is unspent of its part."""
        payment = self.payments[pick % len(self.payments)]
        self._key("refund")
        self.person.pays("refunded", payment[0], minor, self.number)
        payment[2] = min(299, payment[2] + minor)
        due = payment[1] * payment[2] // 299 - payment[3]
        payment[3] += due  # taken or written off
        bucket = self._bucket("purchase", 100, None)
        bucket.available -= min(due, bucket.available)

    @rule(hours=st.sampled_from([0.25, 1.0, 4.0]))
    def wait(self, hours: float) -> None:
        """Time ends units and lost work."""
        self.shop.skip(seconds=hours * HOUR)
        self.hours += hours
        self.person.upkeep()
        for job in self.running:
            if job.lease < self.hours:
                self._end(job, "released", 0)

    @precondition(lambda self: self.jobs)
    @rule(pick=PICK)
    def hold_again(self, pick: int) -> None:
        """A key is used once."""
        job = self.jobs[pick % len(self.jobs)]
        self.person.work("hold", job.key, expect=409, action=job.action)

    @invariant()
    def balances(self) -> None:
        """What is there is what the model says."""
        if hasattr(self, "person"):
            found, expected = self.person.has(), (self.available, sum(job.held for job in self.running))
            assert found == expected, (found, expected, self.buckets)

    def teardown(self) -> None:
        """Every piece of work has one row, in its state."""
        if hasattr(self, "person"):
            assert [(row.state, row.amount) for row in self.person.usage()] == [(job.state, job.amount) for job in self.jobs]

    @property
    def available(self) -> int:
        return sum(bucket.available for bucket in self._open())

    @property
    def running(self) -> list[Job]:
        return [job for job in self.jobs if job.state == "held"]

    def _open(self) -> list[Bucket]:
        return sorted((one for one in self.buckets if one.ends is None or one.ends > self.hours), key=lambda one: one.order)

    def _bucket(self, source: str, priority: int, ends: float | None) -> Bucket:
        for bucket in self.buckets:
            if (bucket.source, bucket.priority, bucket.ends) == (source, priority, ends):
                return bucket
        self.buckets.append(Bucket(source=source, priority=priority, ends=ends, made=len(self.buckets)))
        return self.buckets[-1]

    def _take(self, job: Job, cost: int) -> bool:
        if self.available < cost:
            return False
        for bucket in self._open():
            part = min(bucket.available, cost)
            if part:
                bucket.available -= part
                job.parts.append((bucket, part))
                cost -= part
        return True

    def _end(self, job: Job, state: str, amount: int) -> None:
        job.state, job.amount, job.ended = state, amount, self.hours
        for bucket, part in job.parts:
            taken = min(part, amount)
            amount -= taken
            bucket.available += part - taken
        if state == "released":
            job.amount = 0

    def _cost(self, job: Job, tokens: int) -> int:
        return 10 if job.action == "studio.paint" else -(-tokens // 1000)

    def _key(self, kind: str) -> str:
        self.number += 1
        return f"{kind}-{self.number}"


def run(folder: Path, examples: int, steps: int, *, seed: int = 0) -> None:
    """Run so many examples of so many steps in one hub, and rebuild the books at the end; a ``seed`` other than 0 draws the same again."""
    with open_shop(folder) as shop:
        Wallet.shop = shop
        phases = [Phase.explicit, Phase.generate, Phase.shrink]
        more: dict[str, Any] = {"suppress_health_check": list(HealthCheck), "deadline": None, "database": None}
        chosen = settings(max_examples=examples, stateful_step_count=steps, phases=phases, **more)
        run_state_machine_as_test(hypothesis_seed(seed)(Wallet) if seed else Wallet, settings=chosen)
        found = shop.ask("POST", "/api/ledger/verify")
        assert found["count"] == 0, found
