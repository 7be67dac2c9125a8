"""Changes in the running hub: on, off, settings, back; broken ones are refused and the last good generation goes on serving."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from luminai.host.generation import Generation
from luminai.host.loading import Loaded
from luminai.host.wiring import Wiring
from luminai.http.table import PrefixTable
from luminai.testing import HubUnderTest, running_hub

SPEAKER = """
    from typing import Annotated, ClassVar
    from litestar import get
    from msgspec import Meta, Struct
    from luminai import Service, hookimpl, policy

    EVENTS = []

    class Config(Struct, rename="kebab", forbid_unknown_fields=True):
        word: Annotated[str, Meta(max_length=20)] = "hello"
        fail: bool = False

    class Voice:
        def __init__(self, word):
            self.word = word

    class Plugin:
        config: ClassVar = Config

        @hookimpl
        def services(self, ctx):
            return [Service(Voice, Voice(ctx.config.word))]

        @hookimpl
        def routes(self, ctx):
            @get(f"/api/{ctx.id}/hello", opt=policy(anonymous=True))
            async def hello() -> dict[str, object]:
                return {"word": ctx.config.word, "generation": ctx.generation}
            return [hello]

        @hookimpl
        async def start(self, ctx):
            EVENTS.append(("start", ctx.config.word))
            if ctx.config.fail:
                raise OSError("no such host")

        @hookimpl
        async def stop(self, ctx):
            EVENTS.append(("stop", ctx.config.word))
"""
SCHEMA = """{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "additionalProperties": false, "properties": {
    "word": {"type": "string", "maxLength": 20, "default": "hello"}, "fail": {"type": "boolean", "default": false}}}"""
LISTENER = """
    from litestar import get
    from luminai import hookimpl, policy
    from luminai_speaker.plugin import Voice

    class Plugin:
        @hookimpl
        def routes(self, ctx):
            @get(f"/api/{ctx.id}/heard", opt=policy(anonymous=True))
            async def heard() -> dict[str, str]:
                return {"heard": ctx.service(Voice).word}
            return [heard]
"""
OFF = {"enabled": False, "approve": ["anonymous-routes"]}
QUICK: dict[str, Any] = {"hub": {"plugin-seconds": 2.0}, "server": {"drain-seconds": 2.0}}


def on_hub(plugins: Any, work: Any, *enabled: str, **more: Any) -> None:
    """Run ``work(hub, operator)`` with plugins good, speaker, and listener which requires speaker."""
    installed = [
        plugins.make("good"),
        plugins.make("speaker", SPEAKER, provides='["routes", "services"]', schema=SCHEMA),
        plugins.make("listener", LISTENER, manifest='requires = { speaker = "*" }'),
        *more.pop("also", []),
    ]

    off = {plugin.id: OFF for plugin in installed if plugin.id not in enabled}
    settings = more.pop("settings", QUICK) | {"plugins": off}

    async def main() -> None:
        async with running_hub(*enabled, installed=installed, settings=settings, **more) as hub:
            await work(hub, hub.client("*"))

    asyncio.run(main())


async def wish(operator: Any, plugin: str, status: int = 200, headers: Any = None, **body: Any) -> Any:
    answer = await operator.request("PUT", f"/api/admin/plugins/{plugin}/desired", json=body, headers=headers)
    assert answer.status == status, answer.text
    return answer.json()


async def get(hub: HubUnderTest, path: str) -> tuple[int, Any]:
    answer = await hub.client().request("GET", path)
    return answer.status, answer.json()


def events() -> list[tuple[str, str]]:
    import luminai_speaker.plugin

    return luminai_speaker.plugin.EVENTS


def test_enable_and_disable__in_a_running_hub__leave_the_others_untouched(plugins: Any) -> None:
    async def work(hub: HubUnderTest, operator: Any) -> None:
        good = hub.hub.generation.loaded("good")
        assert (await get(hub, "/api/speaker/hello"))[1]["code"] == "plugin-off"
        done = await wish(operator, "speaker", enabled=True)
        assert (done["built"], done["stopped"], done["revision"], done["generation"]) == (["speaker"], [], 1, 2)
        assert await get(hub, "/api/speaker/hello") == (200, {"word": "hello", "generation": 2})
        answer = await hub.client().request("GET", "/api/good/hello")
        assert answer.headers["luminai-generation"] == "2"
        done = await wish(operator, "speaker", enabled=False)
        assert (done["built"], done["stopped"]) == ([], ["speaker"])
        assert (await get(hub, "/api/speaker/hello"))[1]["code"] == "plugin-off"
        await hub.hub.supervisor.settle()
        assert events() == [("start", "hello"), ("stop", "hello")]
        assert hub.hub.generation.loaded("good") is good
        assert hub.state("speaker") == "disabled"

    on_hub(plugins, work, "good")


def test_reconfigure__builds_the_plugin_and_those_that_require_it(plugins: Any) -> None:
    async def work(hub: HubUnderTest, operator: Any) -> None:
        done = await wish(operator, "speaker", config={"word": "hi"})
        assert done["built"] == ["speaker", "listener"]
        assert (await get(hub, "/api/speaker/hello"))[1]["word"] == "hi"
        assert (await get(hub, "/api/listener/heard"))[1]["heard"] == "hi"
        done = await wish(operator, "speaker", config={})
        assert (await get(hub, "/api/listener/heard"))[1]["heard"] == "well"
        await hub.hub.supervisor.settle()
        assert events() == [("start", "well"), ("start", "hi"), ("stop", "well"), ("start", "well"), ("stop", "hi")]

    on_hub(plugins, work, "good", "speaker", "listener", config={"speaker": {"word": "well"}})


@pytest.mark.parametrize(
    ("config", "code", "where"),
    [
        ({"wrod": "x"}, "config-invalid", "speaker at config"),
        ({"word": "x" * 30}, "config-invalid", "speaker at config"),
        ({"word": "new", "fail": True}, "start-failed", "speaker at start: no such host"),
    ],
)
def test_change__that_cannot_run__is_refused_with_its_problems_and_nothing_changes(plugins: Any, config: Any, code: str, where: str) -> None:
    async def work(hub: HubUnderTest, operator: Any) -> None:
        before = hub.hub.generation
        refused = await wish(operator, "speaker", 409, config=config)
        assert refused["code"] == "change-refused"
        assert refused["errors"][0]["code"] == code
        assert where in refused["errors"][0]["detail"]
        assert refused["errors"][0]["hint"]
        assert hub.hub.generation is before
        assert await get(hub, "/api/speaker/hello") == (200, {"word": "hello", "generation": 1})
        assert (await get(hub, "/api/listener/heard"))[1]["heard"] == "hello"
        assert await hub.hub.desired.state() == (0, {})
        started = [word for what, word in events() if what == "start"]
        assert sorted(word for what, word in events() if what == "stop") == sorted(started[1:])

    on_hub(plugins, work, "good", "speaker", "listener")


def test_disable__still_required__is_refused_unless_it_may_cascade(plugins: Any) -> None:
    async def work(hub: HubUnderTest, operator: Any) -> None:
        refused = await wish(operator, "speaker", 409, enabled=False)
        assert (refused["code"], "listener" in refused["detail"]) == ("still-required", True)
        preview = await wish(operator, "speaker", enabled=False, cascade=True, dry_run=True)
        assert (preview["stopped"], preview["dry_run"], preview["revision"]) == (["speaker", "listener"], True, 0)
        assert (await get(hub, "/api/listener/heard"))[0] == 200
        assert (await wish(operator, "speaker", enabled=False, cascade=True))["stopped"] == ["speaker", "listener"]
        assert hub.state("listener") == "blocked"
        assert (await wish(operator, "speaker", enabled=True))["built"] == ["speaker", "listener"]
        assert (await get(hub, "/api/listener/heard"))[1]["heard"] == "hello"

    on_hub(plugins, work, "good", "speaker", "listener")


def test_rollback__brings_the_wishes_before_back__and_can_be_taken_back(plugins: Any) -> None:
    async def work(hub: HubUnderTest, operator: Any) -> None:
        await wish(operator, "speaker", config={"word": "one"})
        await wish(operator, "speaker", config={"word": "two"})
        done = (await operator.request("POST", "/api/admin/rollback", json={})).json()
        assert (done["revision"], done["built"]) == (3, ["speaker"])
        assert (await get(hub, "/api/speaker/hello"))[1]["word"] == "one"
        await operator.request("POST", "/api/admin/rollback", json={"to": 0})
        assert (await get(hub, "/api/speaker/hello"))[1]["word"] == "hello"
        await operator.request("POST", "/api/admin/rollback", json={"to": 2})
        assert (await get(hub, "/api/speaker/hello"))[1]["word"] == "two"
        page = (await operator.request("GET", "/api/admin/changes", query={"limit": 2})).json()
        assert [change["summary"] for change in page["items"]] == ["back to 2", "back to 0"]
        page = (await operator.request("GET", "/api/admin/changes", query={"cursor": page["next_cursor"]})).json()
        assert [change["revision"] for change in page["items"]] == [3, 2, 1]
        assert (await operator.request("POST", "/api/admin/rollback", json={"to": 99})).status == 400

    on_hub(plugins, work, "good", "speaker")


def test_change__based_on_an_old_revision__is_refused(plugins: Any) -> None:
    async def work(hub: HubUnderTest, operator: Any) -> None:
        first = await operator.request("PUT", "/api/admin/plugins/speaker/desired", json={"enabled": True}, headers={"if-match": '"0"'})
        assert (first.status, first.headers["etag"]) == (200, '"1"')
        late = await operator.request("PUT", "/api/admin/plugins/speaker/desired", json={"enabled": False}, headers={"if-match": '"0"'})
        assert (late.status, late.json()["code"]) == (409, "revision-changed")
        assert (await get(hub, "/api/speaker/hello"))[0] == 200

    on_hub(plugins, work, "good")


def test_requests_on_their_way__finish_on_the_generation_that_they_began_on(plugins: Any) -> None:
    slow = plugins.make(
        "slow",
        """
        import asyncio
        from typing import ClassVar
        from litestar import get
        from msgspec import Struct
        from luminai import hookimpl, policy
        ENTERED, GO, STOPPED = asyncio.Event(), asyncio.Event(), []
        class Config(Struct, forbid_unknown_fields=True):
            word: str = "old"
        class Plugin:
            config: ClassVar = Config
            @hookimpl
            def routes(self, ctx):
                @get("/api/slow/hello", opt=policy(anonymous=True))
                async def hello() -> dict[str, str]:
                    ENTERED.set()
                    await GO.wait()
                    return {"word": ctx.config.word}
                return [hello]
            @hookimpl
            async def stop(self, ctx):
                STOPPED.append(ctx.config.word)
        """,
        schema='{"type": "object", "properties": {"word": {"type": "string"}}, "additionalProperties": false}',
    )

    async def work(hub: HubUnderTest, operator: Any) -> None:
        import luminai_slow.plugin as code

        request = asyncio.create_task(hub.client().request("GET", "/api/slow/hello"))
        await code.ENTERED.wait()
        await wish(operator, "slow", config={"word": "new"})
        assert code.STOPPED == []
        code.GO.set()
        old = await request
        assert (old.status, old.json(), old.headers["luminai-generation"]) == (200, {"word": "old"}, "1")
        new = await hub.client().request("GET", "/api/slow/hello")
        assert (new.json(), new.headers["luminai-generation"]) == ({"word": "new"}, "2")
        await hub.hub.supervisor.settle()
        assert code.STOPPED == ["old"]

    on_hub(plugins, work, "slow", also=[slow])


def test_event_streams__of_a_replaced_plugin__are_told_to_reconnect__others_go_on(plugins: Any) -> None:
    code = """
        import asyncio
        from typing import ClassVar
        from litestar import get
        from litestar.response import ServerSentEvent
        from msgspec import Struct
        from luminai import hookimpl, policy
        class Config(Struct, forbid_unknown_fields=True):
            word: str = "old"
        class Plugin:
            config: ClassVar = Config
            @hookimpl
            def routes(self, ctx):
                @get(f"/api/{ctx.id}/ticks", opt=policy(anonymous=True))
                async def ticks() -> ServerSentEvent:
                    async def every():
                        yield ctx.config.word
                        await asyncio.Event().wait()
                    return ServerSentEvent(every())
                return [ticks]
    """
    schema = '{"type": "object", "properties": {"word": {"type": "string"}}, "additionalProperties": false}'
    streams = [plugins.make(name, code, schema=schema) for name in ("ticker", "clock")]

    async def work(hub: HubUnderTest, operator: Any) -> None:
        async with hub.client().stream("GET", "/api/ticker/ticks") as old, hub.client().stream("GET", "/api/clock/ticks") as kept:
            assert b"data: old" in await anext(old.chunks)
            assert b"data: old" in await anext(kept.chunks)
            await wish(operator, "ticker", config={"word": "new"})
            rest = b"".join([chunk async for chunk in old.chunks])
            assert rest.startswith(b"event: reconnect\nretry: ")
            async with hub.client().stream("GET", "/api/ticker/ticks") as new:
                assert b"data: new" in await anext(new.chunks)
            following = asyncio.ensure_future(anext(kept.chunks))
            await hub.hub.supervisor.settle()
            assert not following.done()
            following.cancel()

    settings = QUICK | {"server": {"drain-seconds": 0.4}}
    on_hub(plugins, work, "ticker", "clock", also=streams, settings=settings)


def test_plugin__that_cannot_be_swapped__keeps_the_wish_for_the_next_start(plugins: Any, tmp_path: Path) -> None:
    stiff = plugins.make("stiff", manifest='reload = "restart"')

    async def work(hub: HubUnderTest, operator: Any) -> None:
        done = await wish(operator, "stiff", enabled=False)
        assert done["restart_required"]
        assert "stiff" in done["reasons"][0]
        assert (await get(hub, "/api/stiff/hello"))[0] == 200

    async def after(hub: HubUnderTest, operator: Any) -> None:
        assert hub.state("stiff") == "disabled"
        assert (await wish(operator, "stiff", enabled=True))["built"] == ["stiff"]

    folder = tmp_path / "home"
    folder.mkdir()
    on_hub(plugins, work, "stiff", also=[stiff], folder=folder)
    on_hub(plugins, after, "stiff", also=[stiff], folder=folder)


def test_wishes__survive_a_restart(plugins: Any, tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()

    async def work(hub: HubUnderTest, operator: Any) -> None:
        await wish(operator, "speaker", enabled=True, config={"word": "kept"})

    async def after(hub: HubUnderTest, operator: Any) -> None:
        assert (await get(hub, "/api/speaker/hello"))[1]["word"] == "kept"
        state = (await operator.request("GET", "/api/admin/generations")).json()
        assert (state["revision"], state["converged"], len(state["nodes"])) == (1, True, 1)

    on_hub(plugins, work, "good", folder=folder)
    on_hub(plugins, after, "good", folder=folder)


def test_failed_plugin__is_tried_again_only_when_asked(plugins: Any) -> None:
    moody = plugins.make(
        "moody",
        """
        from luminai import hookimpl
        MOOD, STARTS = ["bad"], []
        class Plugin:
            @hookimpl
            async def start(self, ctx):
                STARTS.append(1)
                if MOOD == ["bad"]:
                    raise OSError("not today")
        """,
        provides="[]",
    )

    async def work(hub: HubUnderTest, operator: Any) -> None:
        import luminai_moody.plugin as code

        assert hub.state("moody") == "failed"
        await wish(operator, "speaker", enabled=True)
        assert (hub.state("moody"), len(code.STARTS)) == ("failed", 1)
        again = await operator.request("POST", "/api/admin/plugins/moody/restart")
        assert (again.status, again.json()["code"], len(code.STARTS)) == (409, "change-refused", 2)
        code.MOOD[:] = ["good"]
        assert (await operator.request("POST", "/api/admin/plugins/moody/restart")).json()["built"] == ["moody"]
        assert hub.state("moody") == "enabled"

    on_hub(plugins, work, "good", "moody", also=[moody])


def test_many_changes__leave_one_generation_in_memory(plugins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("luminai.host"), "disabled", True)  # a captured record keeps the frames of its traceback

    async def work(hub: HubUnderTest, operator: Any) -> None:
        for number in range(12):
            await wish(operator, "speaker", config={"word": f"w{number}"})
            await wish(operator, "speaker", 409, config={"word": "bad", "fail": True})
        await hub.hub.supervisor.settle()
        async with asyncio.timeout(20):
            while (alive := counted())[Loaded] > 2:  # noqa: ASYNC110 - the thread that loaded the last one may not have ended
                await asyncio.sleep(0.05)
        assert (alive[Generation], alive[PrefixTable], alive[Loaded]) == (1, 1, 2)
        assert alive[Wiring] <= 2, "the framework keeps the handler of the app that was made last"

    def counted() -> Counter[type]:
        return Counter(type(one) for one in held() if all(one is not other for other in before))

    def held() -> list[object]:
        gc.collect()
        return [one for one in gc.get_objects() if isinstance(one, Generation | Wiring | PrefixTable | Loaded)]

    before = held()  # what a failed test before this one may hold
    on_hub(plugins, work, "good", "speaker")
