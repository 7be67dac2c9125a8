"""A hub with credits, and a plugin ``studio`` that does paid work as its client says: it holds, extends, settles and releases by ``ctx.metering``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from plugin_factory import PluginFactory

from luminai.host.discovery import installed_plugins
from luminai.http.inprocess import Answer, InProcessClient
from luminai.testing import FrozenClock, HubUnderTest, running_hub

STUDIO = """
    from typing import Any
    from litestar import post
    from litestar.params import FromPath, JSONBody
    from msgspec import Struct
    from luminai import EventType, Event, Held, Work, WorkFailure, hookimpl, policy, signed_in
    from litestar import Request

    class Step(Struct):
        do: str
        key: str
        action: str = "studio.paint"
        model: str = ""
        quantities: dict[str, int] = {}
        options: tuple[str, ...] = ()
        failure: str = "provider"
        lease: float = 300.0

    class Paid(Struct):
        intent: str
        purpose: str
        product: str
        subject: str
        amount: int
        asset: str
        provider: str
        ref: str
        state: str = ""

    class Plugin:
        @hookimpl
        def routes(self, ctx):
            @post("/api/studio/work", opt=policy("studio:work"), status_code=200)
            async def work(request: Request[Any, Any, Any], data: JSONBody[Step]) -> dict[str, Any]:
                subject = signed_in(request).subject
                held = Held(data.key, subject)

                def unit(session):
                    if data.do == "hold":
                        given = {"quantities": data.quantities, "options": data.options, "lease": data.lease, "model": data.model}
                        found = ctx.metering.hold(session, Work(action=data.action, key=data.key, subject=subject, **given))
                        return {"free": found is None, "grows_by": sorted(found.grows_by) if found else []}
                    if data.do == "extend":
                        ctx.metering.extend(session, held, data.quantities, lease=data.lease)
                    elif data.do == "settle":
                        ctx.metering.settle(session, held, data.quantities)
                    else:
                        ctx.metering.release(session, held, WorkFailure(data.failure))
                    return {}

                return await ctx.db.write(unit, isolation="read-committed")

            return [work]
"""
PAYMENTS = """
    from typing import Any
    from litestar import Request, post
    from litestar.params import FromPath, JSONBody
    from msgspec import Struct, to_builtins
    from luminai import Event, EventType, hookimpl, policy

    class Paid(Struct):
        intent: str
        purpose: str
        product: str
        subject: str
        amount: int
        asset: str
        provider: str
        ref: str
        state: str = "open"

    class Asked(Struct):
        purpose: str
        product: str
        subject: str
        asset: str = ""

    class Plugin:
        @hookimpl
        def event_types(self):
            return [EventType(name=name, payload=Paid) for name in ("Captured", "Refunded", "Disputed")]

        @hookimpl
        def routes(self, ctx):
            @post("/api/payments/tell/{name:str}", opt=policy("payments:tell"), status_code=200)
            async def tell(name: FromPath[str], data: JSONBody[Paid]) -> dict[str, str]:
                event = Event(type=f"payments.{name}", payload=to_builtins(data), subject=data.subject, key=data.ref)
                return {"id": await ctx.db.write(lambda session: ctx.db.publish(session, event))}

            @post("/api/payments/offer", opt=policy("payments:tell"), status_code=200)
            async def offer(data: JSONBody[Asked]) -> dict[str, Any]:
                price = await ctx.decisions.choose("choose.offer", data)
                return {} if price is None else {"minor": price.minor, "asset": price.asset}

            return [tell, offer]
"""

BASIC = """
product = "studio"
title = "Studio"
unit = "STUDIO_CREDIT"
unit-title = "Credits"
start = 2020-01-01
default-plan = "payg"
low = 30
refund = { days = 7 }

[[prices]]
action = "studio.paint"
amount = 10
aliases = ["PAINT"]

[[prices]]
action = "studio.write"
per = { output_tokens = { amount = 1, each = 1000 } }

[[prices]]
action = "studio.film"
amount = 5
options = { hd = 2 }
quota = { films = 1 }

[[prices]]
action = "studio.secret"
amount = 1
feature = "secrets"
refundable = false

[[packs]]
id = "small"
title = "Small"
amount = 100
first-bonus = 10
price = { minor = 299, asset = "EUR" }

[[packs]]
id = "month-pack"
title = "A month"
amount = 50
days = 30
price = { minor = 100, asset = "EUR" }

[[plans]]
id = "payg"
title = "Pay as you go"
models = ["*/small"]

[[plans]]
id = "quota"
title = "Quota only"
models = ["*/small"]
funding = ["quota"]
quotas = { films = { day = 2, month = 3 } }

[[plans]]
id = "mixed"
title = "Quota, then credits"
models = ["*/small"]
funding = ["quota", "admin"]
quotas = { films = { day = 4 } }

[[plans]]
id = "pro"
title = "Pro"
extends = "payg"
tier = 2
price = { minor = 3000, asset = "EUR" }
credits = 100
rollover = 30
models = ["*"]
features = { secrets = true }

[[plans]]
id = "max"
title = "Max"
extends = "pro"
tier = 3
price = { minor = 6000, asset = "EUR" }
credits = 300

[[plans]]
id = "year"
title = "A year of pro"
extends = "pro"
tier = 4
price = { minor = 30000, asset = "EUR" }
months = 12

[[plans]]
id = "endless"
title = "Endless"
extends = "payg"
tier = 5
price = { minor = 9000, asset = "EUR" }
trial-days = 14
unlimited = ["studio.*"]
quotas = { films = { day = 3 } }
"""


NUMBERS = count(1)


class Shop:
    """The hub, its clock, an event loop that stays, and an operator."""

    def __init__(self, runner: asyncio.Runner, hub: HubUnderTest, clock: FrozenClock) -> None:
        self._runner = runner
        self.hub = hub
        self.clock = clock
        self.operator = hub.client("*", subject="boss")

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Wait for ``work``."""
        return self._runner.run(work)

    def ask(self, method: str, path: str, *, expect: int = 200, client: InProcessClient | None = None, **more: Any) -> Any:
        """Ask as the operator, or as ``client``; return the decoded answer."""
        answer: Answer = self.run((client or self.operator).request(method, path, **more))
        assert answer.status == expect, (answer.status, answer.text)
        return answer.json()

    def advance(self, **time: float) -> None:
        """Let time pass, with its schedules and jobs."""
        days, hours, seconds = time.get("days", 0), time.get("hours", 0), time.get("seconds", 0)
        self.run(self.hub.advance(days * 86_400 + hours * 3600 + seconds))

    def skip(self, **time: float) -> None:
        """Let time pass while no schedule fires."""
        self.clock.advance(time.get("days", 0) * 86_400 + time.get("hours", 0) * 3600 + time.get("seconds", 0))

    def upkeep(self) -> None:
        """Do what the clock brings, now; where the schedule has begun with it, wait for that."""
        self.settle_jobs()
        self.ask("POST", "/api/actions/credits.upkeep", json={}, expect=202)
        self.settle_jobs()

    def person(self) -> Person:
        """Return somebody new."""
        return Person(self, f"user_{next(NUMBERS)}")

    def settle_jobs(self) -> None:
        """Wait until no job is due."""
        self.run(self.hub.hub.jobs.settle())


class Person:
    """Somebody who pays, by HTTP."""

    def __init__(self, shop: Shop, subject: str) -> None:
        self.shop = shop
        self.subject = subject
        self.client = shop.hub.client("credits:read", "credits:write", "studio:work", "chat:read", "chat:write", subject=subject)

    def ask(self, method: str, path: str, *, expect: int = 200, **more: Any) -> Any:
        return self.shop.ask(method, path, expect=expect, client=self.client, **more)

    def work(self, do: str, key: str, *, expect: int = 200, **more: Any) -> Any:
        """Have the studio hold, extend, settle or release the work ``key``."""
        return self.ask("POST", "/api/studio/work", expect=expect, json={"do": do, "key": f"{self.subject}:{key}", **more})

    def give(self, amount: Any, *, key: str = "gift", expect: int = 201, **more: Any) -> Any:
        """Have the operator give units."""
        body = {"subject": self.subject, "product": "studio", "amount": amount, "key": f"{self.subject}:{key}", **more}
        return self.shop.ask("POST", "/api/credits/manage/grants", expect=expect, json=body)

    @property
    def wallet(self) -> Any:
        """What is there of the studio's product, or of the only one."""
        found = self.ask("GET", "/api/credits/balance")
        return next((one for one in found if one["product"] == "studio"), found[0])

    @property
    def has(self) -> tuple[int, int]:
        """What is available, and what is in progress."""
        found = self.wallet
        return found["available"], found["in_progress"]

    @property
    def usage(self) -> list[Any]:
        found: list[Any] = self.ask("GET", "/api/credits/usage?limit=100")["items"]
        return found

    def states(self) -> list[tuple[str, int]]:
        """State and amount of the person's paid work, oldest first."""
        return [(row["state"], row["amount"]) for row in reversed(self.usage)]

    def plan(self, plan: str, *, expect: int = 200, **more: Any) -> Any:
        return self.ask("PUT", "/api/credits/plans/studio", expect=expect, json={"plan": plan, **more})

    def pays(self, item: str, minor: int, *, name: str = "Captured", ref: str = "", purpose: str = "pack", asset: str = "EUR", **more: Any) -> None:
        """Have a payment told, as the plugin payments tells it."""
        body = {"intent": "pay_1", "purpose": purpose, "product": f"studio/{item}", "subject": self.subject, "amount": minor, "asset": asset}
        rest = {"provider": "sandbox", "ref": ref or f"pi_{self.subject}", **more}
        self.shop.ask("POST", f"/api/payments/tell/{name}", json=body | rest)
        self.shop.settle_jobs()


@contextmanager
def open_shop(
    folder: Path,
    *more: str,
    product: str = BASIC,
    config: Mapping[str, Any] | None = None,
    runs: bool = True,
    now: Any = None,
    more_config: Any = None,
    stand_in: bool = True,
    settings: Mapping[str, Any] | None = None,
    studio: str = STUDIO,
    provides: str = '["routes"]',
    make: Callable[[PluginFactory], Any] | None = None,
) -> Iterator[Shop]:
    """Start a hub with ledger, credits, studio, a stand-in that tells of payments as the plugin payments does, and ``more`` plugins.

    ``runs`` False: credits need not come up. ``stand_in`` False: the plugin payments itself. ``studio``: another plugin of that name, which
    ``provides`` so much. ``make`` makes one more plugin, which ``more`` names.
    """
    (folder / "packages").mkdir(parents=True, exist_ok=True)
    (folder / "product.toml").write_text(product)
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("luminai_payments", "luminai_studio")]:
            patch.delitem(sys.modules, name)  # the real one, which another test loaded; it is put back at the end
        patch.syspath_prepend(str(folder / "packages"))
        factory = PluginFactory(folder / "packages")
        made = [factory.make("studio", studio, provides=provides, manifest='[scopes]\n"studio:work" = "Work"\n')]
        if stand_in:
            made.append(factory.make("payments", PAYMENTS, provides='["routes", "event_types"]', manifest='[scopes]\n"payments:tell" = "Tell"\n'))
        if make is not None:
            made.append(make(factory))
        known = [one for one in installed_plugins() if one.id != "payments" or not stand_in]
        clock = FrozenClock(now) if now else FrozenClock()
        plugin_config = {"credits": {"products": ["product.toml"], **(config or {})}, **(more_config or {})}
        hub_settings = {"connections": {"requests": 1000}, **(settings or {})}
        plugins = ("ledger", "credits", "payments", "studio", *more)
        opened = running_hub(*plugins, installed=[*known, *made], config=plugin_config, folder=folder, clock=clock, settings=hub_settings)
        hub = runner.run(opened.__aenter__())
        try:
            wrong = [hub.status(one) for one in plugins if not hub.status(one).running]
            assert not runs or not wrong, [(one.id, one.reason, one.causes) for one in wrong]
            yield Shop(runner, hub, clock)
        finally:
            runner.run(opened.__aexit__(None, None, None))
            for name in ("studio", "payments"):
                sys.modules.pop(f"luminai_{name}.plugin", None)
                sys.modules.pop(f"luminai_{name}", None)
