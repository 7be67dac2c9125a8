"""Streams that are written from the task that makes them: silence, slow clients, ends."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from luminai.http import pushed
from luminai.testing import running_hub

PAGES = """
    import asyncio
    from litestar import post
    from luminai import PushedStream, ReaderLeft, hookimpl, policy

    OPEN, MADE = policy(anonymous=True), {"X-Made": "by hand"}
    ENDS, ENDED = [], asyncio.Event()

    class Plugin:
        @hookimpl
        def routes(self, ctx):
            def pushes(path, tell):
                @post(f"/api/pages/{path}", opt=OPEN, status_code=200, name=path, operation_id=path)
                async def pushing() -> PushedStream:
                    stream = PushedStream(media_type="text/event-stream", headers=MADE, begin=b"begin\\n", silence=b":\\n", seconds=0.05)
                    async def made():
                        try:
                            await tell(await stream.opened())
                            ENDS.append("end")
                        except BaseException as error:
                            ENDS.append(type(error).__name__)
                            raise
                        finally:
                            ENDED.set()
                    stream.maker = ctx.spawn(made(), name="made")
                    return stream
                return pushing
            async def words(write):
                await write(b"one\\n")
                await write(b"two\\n")
            async def silent(write):
                await asyncio.Event().wait()
            async def endless(write):
                while True:
                    await write(b"more\\n")
            async def broken(write):
                await write(b"one\\n")
                raise ValueError("broken")
            @post("/api/pages/ends", opt=OPEN, status_code=200)
            async def ends() -> list[str]:
                await ENDED.wait()
                return ENDS
            return [*(pushes(one.__name__, one) for one in (words, silent, endless, broken)), ends]
"""


@pytest.fixture
def ask(plugins: Any) -> Callable[[Callable[[Any], Coroutine[Any, Any, Any]]], list[str]]:
    """Run what a client does, and return how the tasks that made the streams ended."""

    def asks(does: Callable[[Any], Coroutine[Any, Any, Any]]) -> list[str]:
        async def main() -> list[str]:
            async with running_hub("pages", installed=[plugins.make("pages", PAGES)]) as hub:
                client = hub.client()
                await does(client)
                return (await client.request("POST", "/api/pages/ends")).json()

        return asyncio.run(main())

    return asks


def test_stream__with_a_key_or_without__is_whole_and_in_order(ask: Any) -> None:
    async def does(client: Any) -> None:
        for headers in ({}, {"idempotency-key": "one"}, {"idempotency-key": "one"}):
            answer = await client.request("POST", "/api/pages/words", headers=headers)
            assert (answer.status, answer.headers["x-made"], answer.text) == (200, "by hand", "begin\none\ntwo\n")
            assert answer.headers["content-type"].startswith("text/event-stream")

    assert ask(does) == ["end", "end"], "the third answer was kept"


def test_stream__silent__says_that_it_stands__until_its_reader_leaves(ask: Any) -> None:
    async def does(client: Any) -> None:
        async with client.stream("POST", "/api/pages/silent") as answer:
            found = [await anext(answer.chunks) for _ in range(4)]
            assert found == [b"begin\n", b":\n", b":\n", b":\n"]

    assert ask(does) == ["CancelledError"]


def test_stream__that_nobody_reads__ends_without_an_end(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushed, "READER_SECONDS", 0.1)

    async def does(client: Any) -> None:
        async with client.stream("POST", "/api/pages/endless") as answer:
            await client.request("POST", "/api/pages/ends")
            rest = b"".join([chunk async for chunk in answer.chunks])
            assert rest.startswith(b"begin\nmore\n")

    assert ask(does) == ["ReaderLeft"]


def test_stream__whose_maker_fails__is_cut(ask: Any) -> None:
    async def does(client: Any) -> None:
        with pytest.raises(RuntimeError, match="raised"):
            await client.request("POST", "/api/pages/broken")

    assert ask(does) == ["ValueError"]
