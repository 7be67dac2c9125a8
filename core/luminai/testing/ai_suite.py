# ruff: noqa: S101 - assertions are what a conformance suite is made of
"""What every ``AIProvider`` must do. A plugin's tests subclass ``AIProviderContract`` as ``Test…`` and give it a provider and a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace

from luminai.contracts.ai import (
    AIError,
    AIErrorKind,
    AIProvider,
    ChatMessage,
    ChatRequest,
    End,
    EndState,
    SourceFound,
    StreamEvent,
    TextDelta,
    ToolCallFound,
)


async def events_of(provider: AIProvider, request: ChatRequest) -> list[StreamEvent]:
    """Return all events of a stream."""
    return [event async for event in provider.stream(request)]


class AnyProviderContract:
    """What holds for providers of every kind; both suites have it."""

    def provider(self, folder: Path) -> AbstractAsyncContextManager[AIProvider]:
        """Return a started provider for the length of a block; ``folder`` is the test's own."""
        raise NotImplementedError

    def test_unknown_model__every_call__is_invalid(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.provider(tmp_path) as provider:
                wrong = ChatRequest(model="no-such-model", messages=(ChatMessage("user", "a"),))
                await _invalid(lambda: provider.chat(wrong))
                await _invalid(lambda: events_of(provider, wrong))
                await _invalid(lambda: provider.embed("no-such-model", ["a"]))
                await _invalid(lambda: provider.image("no-such-model", "a", width=64, height=64))
                await _invalid(lambda: provider.speak("no-such-model", "a"))

        asyncio.run(main())

    def test_kind_that_a_model_lacks__its_call__is_invalid(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.provider(tmp_path) as provider:
                for model in provider.models():
                    calls: dict[str, Callable[[], Awaitable[object]]] = {
                        "chat": lambda name=model.id: provider.chat(ChatRequest(model=name, messages=(ChatMessage("user", "a"),))),  # type: ignore[misc]
                        "embedding": lambda name=model.id: provider.embed(name, ["a"]),  # type: ignore[misc]
                        "image": lambda name=model.id: provider.image(name, "a", width=64, height=64),  # type: ignore[misc]
                        "speech": lambda name=model.id: provider.speak(name, "a"),  # type: ignore[misc]
                    }
                    for kind in calls.keys() - model.kinds:
                        await _invalid(calls[kind])

        asyncio.run(main())


class AIProviderContract(AnyProviderContract):
    """The conformance suite of a provider that chats; ``MediaProviderContract`` is that of its other kinds."""

    def request(self) -> ChatRequest:
        """Return a request that the provider answers with text, in more than one piece."""
        raise NotImplementedError

    def test_models__chat_model__is_listed(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.provider(tmp_path) as provider:
                models = {model.id: model for model in provider.models()}
                assert "chat" in models[self.request().model].kinds
                assert provider.name
                assert provider.title

        asyncio.run(main())

    def test_stream__good_request__ends_with_exactly_one_end(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.provider(tmp_path) as provider:
                *content, last = await events_of(provider, self.request())
                assert isinstance(last, End)
                assert last.state is EndState.FINISHED
                assert last.usage is not None
                assert last.usage.output_tokens > 0
                assert not any(isinstance(event, End) for event in content)
                assert any(isinstance(event, TextDelta) and event.text for event in content)

        asyncio.run(main())

    def test_chat__same_request__equals_the_joined_stream(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.provider(tmp_path) as provider:
                events = await events_of(provider, self.request())
                reply = await provider.chat(self.request())
                end = events[-1]
                assert isinstance(end, End)
                assert reply.text == "".join(event.text for event in events if isinstance(event, TextDelta))
                assert reply.sources == tuple(event.source for event in events if isinstance(event, SourceFound))
                assert reply.tool_calls == tuple(event.call for event in events if isinstance(event, ToolCallFound))
                assert (reply.end, reply.usage, reply.covered) == (end.state, end.usage, end.covered)

        asyncio.run(main())

    def test_stream__closed_early__ends_quietly(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.provider(tmp_path) as provider:
                stream = cast("AsyncGenerator[StreamEvent, None]", provider.stream(self.request()))
                await anext(stream)
                await stream.aclose()
                assert [event async for event in stream] == []
                assert (await provider.chat(self.request())).end is EndState.FINISHED

        asyncio.run(main())

    def test_stream__task_cancelled__passes_it_on(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.provider(tmp_path) as provider:
                task = asyncio.create_task(events_of(provider, self.request()))
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert (await provider.chat(self.request())).end is EndState.FINISHED

        asyncio.run(main())

    def test_stream__no_time__is_a_timeout(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.provider(tmp_path) as provider:
                late = replace(self.request(), timeout=0.0)
                for call in (lambda: provider.chat(late), lambda: events_of(provider, late)):
                    await _timed_out(call)

        asyncio.run(main())


async def _invalid(call: Callable[[], Awaitable[object]]) -> None:
    with pytest.raises(AIError) as refused:
        await call()
    assert refused.value.kind is AIErrorKind.INVALID


async def _timed_out(call: Callable[[], Awaitable[object]]) -> None:
    """A call without time raises ``TIMEOUT``, or what it had begun ends as ``stalled``."""
    try:
        answer = await call()
    except AIError as error:
        outcome: object = error.kind
    else:
        last = answer[-1] if isinstance(answer, list) else answer
        outcome = last.state if isinstance(last, End) else getattr(last, "end", None)
    assert outcome in (AIErrorKind.TIMEOUT, EndState.STALLED)
