"""A hub with credits, and a plugin ``studio`` that does paid work as its client says: it holds, extends, settles and releases through ``ctx.metering``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from plugin_factory import PluginFactory

from luminai.host.discovery import installed_plugins
from luminai.http.inprocess import InProcessClient
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

                return await ctx.db.write(unit)

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
funding = ["quota"]
quotas = { films = { day = 2, month = 3 } }

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


@asynccontextmanager
async def studio(
    plugins: PluginFactory,
    folder: Path,
    *,
    product: str = BASIC,
    config: Mapping[str, Any] | None = None,
    clock: FrozenClock | None = None,
    database_url: str = "",
    more: tuple[str, ...] = (),
) -> AsyncIterator[Till]:
    """Start a hub with ledger, credits, studio and a stand-in that tells of payments as the plugin payments does."""
    (folder / "product.toml").write_text(product)
    made = [
        plugins.make("studio", STUDIO, manifest='tables = false\n[scopes]\n"studio:work" = "Work"\n'),
        plugins.make("payments", PAYMENTS, provides='["routes", "event_types"]', manifest='[scopes]\n"payments:tell" = "Tell"\n'),
    ]
    settings = {"credits": {"products": ["product.toml"], **(config or {})}}
    known = [one for one in installed_plugins() if one.id != "payments"]
    named = ("ledger", "credits", "payments", "studio", *more)
    frozen = clock or FrozenClock()
    async with running_hub(*named, installed=[*known, *made], folder=folder, config=settings, clock=frozen, database_url=database_url) as hub:
        yield Till(hub, frozen)


class Till:
    """What tests say to the hub, by HTTP."""

    def __init__(self, hub: HubUnderTest, clock: FrozenClock) -> None:
        self.hub = hub
        self.clock = clock
        self.operator = hub.client("*", subject="boss")

    def person(self, subject: str = "ann") -> InProcessClient:
        return self.hub.client("credits:read", "credits:write", "studio:work", subject=subject)

    async def work(self, do: str, key: str, *, subject: str = "ann", expect: int = 200, **more: Any) -> Any:
        answer = await self.person(subject).request("POST", "/api/studio/work", json={"do": do, "key": key, **more})
        assert answer.status == expect, (answer.status, answer.text)
        return answer.json()

    async def give(self, amount: int, *, subject: str = "ann", key: str = "gift", expect: int = 201, **more: Any) -> Any:
        body = {"subject": subject, "product": "studio", "amount": amount, "key": key, **more}
        answer = await self.operator.request("POST", "/api/credits/manage/grants", json=body)
        assert answer.status == expect, (answer.status, answer.text)
        return answer.json()

    async def wallet(self, subject: str = "ann") -> Any:
        answer = await self.person(subject).request("GET", "/api/credits/balance")
        assert answer.status == 200, answer.text
        return answer.json()[0]

    async def has(self, subject: str = "ann") -> tuple[int, int]:
        found = await self.wallet(subject)
        return found["available"], found["in_progress"]

    async def usage(self, subject: str = "ann") -> list[Any]:
        return (await self.person(subject).request("GET", "/api/credits/usage?limit=100")).json()["items"]

    async def plan(self, plan: str, *, subject: str = "ann", expect: int = 200, **more: Any) -> Any:
        answer = await self.person(subject).request("PUT", "/api/credits/plans/studio", json={"plan": plan, **more})
        assert answer.status == expect, (answer.status, answer.text)
        return answer.json()

    async def tell(self, name: str, item: str, amount: int, *, ref: str = "pi_1", purpose: str = "pack", subject: str = "ann", **more: Any) -> None:
        body = {"intent": "pay_1", "purpose": purpose, "product": f"studio/{item}", "subject": subject, "amount": amount, "asset": "EUR"}
        answer = await self.operator.request("POST", f"/api/payments/tell/{name}", json={**body, "provider": "sandbox", "ref": ref, **more})
        assert answer.status == 200, answer.text
        await self.hub.hub.jobs.settle()

    async def dead(self) -> list[Any]:
        return (await self.operator.request("GET", "/api/admin/jobs?state=dead")).json()["items"]
