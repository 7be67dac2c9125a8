"""Providers behind their channels: what fails again and again rests, what merely says no does not, and nobody waits past a deadline."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

import pytest

from luminai import AIError, AIProvider, ChatMessage, ChatRequest, PaymentProvider, StorageBackend, Unavailable
from luminai.host import provider_guard
from luminai.testing import Cut, FrozenClock, HubUnderTest, MemoryPayments, MemoryStorage, ScriptedProvider, running_hub

MAKER = """
    import asyncio
    from luminai import (
        AIError, AIErrorKind, ChatReply, End, EndState, Model, NotFound, PaymentError, PaymentEvent, TextDelta, Unavailable, Usage, hookimpl
    )
    from luminai.testing import MemoryPayments, MemoryStorage, ScriptedProvider

    HANGING, GO_ON = asyncio.Event(), asyncio.Event()

    async def act(what):
        kind, _, detail = what.partition(" ")
        if kind == "ai":
            raise AIError(AIErrorKind(detail), "as asked")
        if kind == "payment":
            raise PaymentError("as asked", definite=detail == "definite")
        if kind == "hang":
            HANGING.set()
            await GO_ON.wait()
        if kind == "raise":
            raise {"os": OSError, "value": ValueError, "exit": SystemExit, "missing": NotFound, "off": Unavailable}[detail]("as asked")

    class Brain(ScriptedProvider):
        async def chat(self, request):
            await act(request.messages[0].content)
            return ChatReply(text="fine", end=EndState.FINISHED, usage=Usage(input_tokens=1, output_tokens=1, origin="reported"))

        async def stream(self, request):
            what = request.messages[0].content
            yield TextDelta("so ")
            await act(what)
            if what.startswith("end "):
                yield End(state=EndState(what[4:]))
            elif what != "no end":
                yield End(state=EndState.FINISHED)

    class Till(MemoryPayments):
        async def query(self, ref=None, *, key=None):
            await act(ref)

        def verify(self, body, headers, now):
            raise PaymentError("forged", definite=True)

    class Shelf(MemoryStorage):
        async def stat(self, key):
            await act(key)

        async def open(self, key, *, start=0, end=None):
            await act(key)
            yield b"so"
            yield b"far"

    class Plugin:
        @hookimpl
        def ai_providers(self, ctx):
            return [Brain(name="brain")]

        @hookimpl
        def payment_providers(self, ctx):
            return [Till(name="till")]

        @hookimpl
        def storage_backends(self, ctx):
            return [Shelf(name="shelf")]
"""

CALLER = """
    import asyncio
    from contextlib import aclosing
    from litestar import post
    from litestar.params import FromQuery
    from luminai import ChatMessage, ChatRequest, End, HubError, hookimpl, policy

    class Plugin:
        @hookimpl
        def routes(self, ctx):
            async def broken_upload():
                yield b"so far"
                raise OSError("the uploader's line broke")

            async def do(call, what, seconds):
                request = ChatRequest(model="one", messages=(ChatMessage("user", what),), timeout=seconds)
                brain, shelf = ctx.providers.ai_providers["brain"], ctx.providers.storage_backends["shelf"]
                till = ctx.providers.payment_providers["till"]
                if call == "chat":
                    return (await brain.chat(request)).text
                if call == "stream":
                    async with aclosing(brain.stream(request)) as events:
                        return [event.state if isinstance(event, End) else event.text async for event in events]
                if call == "leave":
                    async with aclosing(brain.stream(request)) as events:
                        return (await anext(events)).text
                if call == "lose-patience":
                    async with aclosing(brain.stream(request)) as events:
                        await anext(events)
                        async with asyncio.timeout(0):
                            await anext(events)
                if call == "stat":
                    return await shelf.stat(what)
                if call == "read":
                    return b"".join([chunk async for chunk in shelf.open(what)]).decode()
                if call == "upload":
                    return await shelf.put("k", broken_upload())
                if call == "query":
                    return await till.query(what)
                return till.verify(b"", {}, ctx.clock.now())

            @post("/api/caller/do", opt=policy(anonymous=True))
            async def route(call: FromQuery[str], what: FromQuery[str] = "", seconds: FromQuery[float] = 60.0) -> dict[str, object]:
                try:
                    return {"said": await do(call, what, seconds)}
                except HubError:
                    raise
                except Exception as error:
                    return {"raised": type(error).__name__, "kind": getattr(error, "kind", None)}
            return [route]
"""


def on_hub(plugins: Any, work: Any, *more: Any, **options: Any) -> Any:
    families = '["ai_providers", "payment_providers", "storage_backends"]'
    made = [plugins.make("maker", MAKER, provides=families), plugins.make("caller", CALLER), *more]

    async def main() -> Any:
        async with asyncio.timeout(30), running_hub(*(one.id for one in made), installed=made, **options) as hub:
            return await work(hub)

    return asyncio.run(main())


async def do(hub: HubUnderTest, call: str, what: str = "", seconds: float = 60.0) -> Any:
    return await hub.client().request("POST", "/api/caller/do", query={"call": call, "what": what, "seconds": seconds})


async def channels(hub: HubUnderTest) -> dict[str, dict[str, Any]]:
    costs = (await hub.client("*").request("GET", "/api/admin/plugins/perf")).json()
    return {one["name"]: one for cost in costs if cost["id"] == "maker" for one in cost["channels"]}


@pytest.mark.parametrize(
    ("call", "what", "channel"),
    [
        ("chat", "ai upstream", "ai"),
        ("chat", "ai timeout", "ai"),
        ("chat", "raise value", "ai"),
        ("chat", "raise off", "ai"),
        ("chat", "raise exit", "ai"),
        ("stream", "end cut", "ai"),
        ("stream", "end stalled", "ai"),
        ("stream", "end failed", "ai"),
        ("stream", "no end", "ai"),
        ("stream", "raise value", "ai"),
        ("query", "payment unknown", "payments"),
        ("stat", "raise os", "storage"),
        ("read", "raise os", "storage"),
    ],
)
def test_provider__that_fails_again_and_again__rests_and_is_tried_again(plugins: Any, call: str, what: str, channel: str) -> None:
    clock = FrozenClock()

    async def work(hub: HubUnderTest) -> None:
        assert set(await channels(hub)) == {"ai", "payments", "storage"}
        for _ in range(5):
            assert (await do(hub, call, what)).json().get("code") != "breaker-open"
        refused = await do(hub, call, what)
        problem = refused.json()
        assert (refused.status, problem["code"], problem["plugin"], problem["retry_after"]) == (503, "breaker-open", "maker", 10)
        found = await channels(hub)
        assert {name: one["breaker"] for name, one in found.items() if one["breaker"] != "closed"} == {channel: "open"}
        assert (found[channel]["calls"], found[channel]["failures"]) == (5, 5), "a refused call is none"
        costs = (await hub.client("*").request("GET", "/api/admin/plugins/perf")).json()
        assert next(cost["resting"] for cost in costs if cost["id"] == "maker") == [channel]
        repairs = (await hub.client("*").request("GET", "/api/admin/repairs")).json()["items"]
        assert f"breaker:maker:{channel}" in [item["id"] for item in repairs]
        clock.advance(11)
        assert (await channels(hub))[channel]["breaker"] == "half-open"
        assert (await do(hub, call, what)).json().get("code") != "breaker-open", "one is tried"
        assert (await do(hub, call, what)).json()["code"] == "breaker-open", "it failed again"
        clock.advance(11)
        assert "said" in (await do(hub, call, "well")).json()
        assert (await channels(hub))[channel]["breaker"] == "closed"

    on_hub(plugins, work, clock=clock)


@pytest.mark.parametrize(
    ("call", "what"),
    [
        ("chat", "ai invalid"),
        ("chat", "ai auth"),
        ("chat", "ai quota"),
        ("chat", "ai rate"),
        ("chat", "raise missing"),
        ("stream", "end length"),
        ("stream", "end filtered"),
        ("stream", "end cancelled"),
        ("leave", "well"),
        ("lose-patience", "hang"),
        ("query", "payment definite"),
        ("verify", ""),
        ("stat", "raise missing"),
        ("read", "raise missing"),
        ("upload", ""),
    ],
)
def test_provider__that_says_no_or_is_left__does_not_rest(plugins: Any, call: str, what: str) -> None:
    async def work(hub: HubUnderTest) -> None:
        for _ in range(8):
            assert (await do(hub, call, what)).json().get("code") != "breaker-open"
        assert {(one["breaker"], one["failures"]) for one in (await channels(hub)).values()} == {("closed", 0)}

    on_hub(plugins, work)


def test_provider__one_of_several_of_a_plugin__rests_alone() -> None:
    async def main() -> None:
        async with running_hub() as hub:
            hub.provide("ai_providers", ScriptedProvider((Cut(),), name="bad"), ScriptedProvider(("Yes.",), name="good"), owner="pair")
            providers = hub.hub.generation.wiring.providers
            request = ChatRequest(model="one", messages=(ChatMessage("user", "hello"),))
            for _ in range(5):
                with pytest.raises(AIError):
                    await providers.ai_providers["bad"].chat(request)
            with pytest.raises(Unavailable, match="rests"):
                await providers.ai_providers["bad"].chat(request)
            assert (await providers.ai_providers["good"].chat(request)).text == "Yes."
            assert {channel.name: channel.breaker.state for channel in providers.channels} == {"ai bad": "open", "ai good": "closed"}

    asyncio.run(main())


def test_stream__that_fell_silent__counts_when_its_reader_leaves(plugins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_guard, "SILENCE", 0.0)

    async def work(hub: HubUnderTest) -> None:
        await do(hub, "lose-patience", "hang")
        assert (await channels(hub))["ai"]["failures"] == 1

    on_hub(plugins, work)


def test_provider__past_its_deadline__is_cut_off_with_the_contracts_own_words(plugins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_guard, "GRACE", 0.0)

    async def work(hub: HubUnderTest) -> None:
        assert (await do(hub, "chat", "hang", 0.01)).json() == {"raised": "AIError", "kind": "timeout"}
        assert (await do(hub, "stream", "hang", 0.01)).json() == {"said": ["so ", "stalled"]}
        assert (await channels(hub))["ai"]["failures"] == 2

    on_hub(plugins, work)


def test_half_open__many_callers__lets_one_through(plugins: Any) -> None:
    clock = FrozenClock()

    async def work(hub: HubUnderTest) -> None:
        for _ in range(5):
            await do(hub, "chat", "raise value")
        clock.advance(11)
        await do(hub, "lose-patience", "hang")  # the trial was given up, which tells nothing: the next call is one
        maker = import_module("luminai_maker.plugin")
        maker.HANGING.clear()
        tried = asyncio.create_task(do(hub, "chat", "hang"))
        await maker.HANGING.wait()
        assert [(await do(hub, "chat", "well")).json()["code"] for _ in range(3)] == ["breaker-open"] * 3
        maker.GO_ON.set()
        assert (await tried).json() == (await do(hub, "chat", "well")).json() == {"said": "fine"}

    on_hub(plugins, work, clock=clock)


def test_counts__outlive_a_change_of_another_plugin_and_not_of_its_own(plugins: Any) -> None:
    async def work(hub: HubUnderTest) -> None:
        for _ in range(5):
            await do(hub, "chat", "raise value")
        await hub.swap("other")
        assert (await do(hub, "chat", "well")).json()["code"] == "breaker-open"
        await hub.swap("maker")
        assert (await do(hub, "chat", "well")).json() == {"said": "fine"}

    on_hub(plugins, work, plugins.make("other"))


def test_dry_run__only_reports(plugins: Any) -> None:
    async def work(hub: HubUnderTest) -> None:
        for _ in range(7):
            assert (await do(hub, "chat", "raise value")).json()["raised"] == "ValueError"
        assert (await channels(hub))["ai"]["breaker"] == "open"

    on_hub(plugins, work, settings={"breaker": {"dry-run": True}})


def test_proxy__is_what_the_contract_asks_for_and_forwards_the_rest(plugins: Any) -> None:
    async def work(hub: HubUnderTest) -> None:
        mine = (ScriptedProvider(name="mine"), MemoryPayments(name="mine"), MemoryStorage(name="mine"))
        for family, value in zip(("ai_providers", "payment_providers", "storage_backends"), mine, strict=True):
            hub.provide(family, value)
        providers = hub.hub.generation.wiring.providers
        ai, payments, storage = providers.ai_providers["mine"], providers.payment_providers["mine"], providers.storage_backends["mine"]
        assert isinstance(ai, AIProvider)
        assert isinstance(payments, PaymentProvider)
        assert isinstance(storage, StorageBackend)
        assert (ai.name, ai.title, ai.models()) == (mine[0].name, mine[0].title, mine[0].models())
        assert ai.asked is mine[0].asked  # type: ignore[attr-defined]
        assert storage.capabilities() == mine[2].capabilities()
        with pytest.raises(AttributeError, match="whatever"):
            ai.whatever  # type: ignore[attr-defined]  # noqa: B018 - the look is the test

    on_hub(plugins, work)


def test_chat__with_a_provider_that_breaks__is_told_when_to_come_again() -> None:
    async def main() -> None:
        async with running_hub("personas", "resonance", "chat") as hub:
            hub.provide("ai_providers", ScriptedProvider((Cut(),)))
            client, body = hub.client("chat:write"), {"message": "go", "model": "scripted/one"}
            codes = [(await client.request("POST", "/api/chat", json=body)).json()["code"] for _ in range(6)]
            assert codes == ["chat.provider-upstream"] * 5 + ["breaker-open"]

    asyncio.run(main())
