"""What every provider over HTTP makes of a service that fails: each fault has its own end, and nothing is invented.

A plugin's tests subclass ``ProviderFaults`` as ``Test…`` and tell how its dialect is written.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from ai_service import ABORT, HANG, Service, Step, head, run, whole
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from luminai import AIError, AIErrorKind, ChatMessage, ChatRequest, End, EndState, StreamEvent, TextDelta

WORDS = ("Grüße", " aus", " der", " 世界", " 🙂")
TEXT = "".join(WORDS)
PROMPT = "a prompt that nobody may log"
ENOUGH = 8.0
IDLE = 0.2


class ProviderFaults:
    """The suite."""

    kind = "text/event-stream"

    def provider(self, http: Any, url: str, **more: Any) -> Any:
        """Return a provider with the chat model ``m`` over a service."""
        raise NotImplementedError

    def content(self, words: Sequence[str]) -> list[bytes]:
        """Return a stream's beginning and its words, without an end."""
        raise NotImplementedError

    def ending(self, reason: str, tokens: tuple[int, int] | None) -> list[bytes]:
        """Return a stream's end; ``reason`` is ``stop``, ``length``, ``filter`` or ``odd``."""
        raise NotImplementedError

    def reply(self, text: str, tokens: tuple[int, int] | None) -> Any:
        """Return a whole reply."""
        raise NotImplementedError

    def error(self) -> list[bytes]:
        """Return an error within a stream."""
        raise NotImplementedError

    def sign_of_life(self) -> bytes:
        """Return what the dialect sends when it has nothing to say."""
        return b": still here\n\n"

    def request(self, **more: Any) -> ChatRequest:
        return ChatRequest(model="m", messages=(ChatMessage("user", PROMPT),), **{"timeout": ENOUGH, **more})

    async def outcome(self, provider: Any, request: ChatRequest | None = None) -> tuple[str, Any]:
        """Return the text that came, and the end or the error."""
        events: list[StreamEvent] = []
        failure: AIError | None = None
        try:
            async for event in provider.stream(request or self.request()):
                events.append(event)  # noqa: PERF401 - what came before an error counts
        except AIError as error:
            failure = error
        if failure is not None:
            assert events == [], "an error only before the first event"
            assert PROMPT not in str(failure)
            return "", failure
        assert isinstance(events[-1], End)
        assert not any(isinstance(event, End) for event in events[:-1])
        return "".join(event.text for event in events if isinstance(event, TextDelta)), events[-1]

    def ask(self, *steps: Step, request: ChatRequest | None = None, **more: Any) -> tuple[str, Any]:
        """Return the outcome of one stream that the service answers with ``steps``."""

        async def work(service: Service, http: Any) -> tuple[str, Any]:
            service.answer = lambda _: steps
            return await self.outcome(self.provider(http, service.url, **more), request)

        found: tuple[str, Any] = run(work)
        return found

    def stream(self, *steps: Step, **more: Any) -> tuple[str, Any]:
        return self.ask(*head(kind=self.kind), *steps, **more)

    def test_stream__however_it_is_cut_into_pieces__says_the_same(self) -> None:
        body = b"".join([*self.content(WORDS), *self.ending("stop", (7, 5))])

        @settings(max_examples=25, deadline=None)
        @given(st.lists(st.integers(0, len(body)), max_size=12))
        def check(places: list[int]) -> None:
            edges = sorted({0, len(body), *places})
            service.answer = lambda _: [*head(kind=self.kind), *(body[a:b] for a, b in pairwise(edges))]
            text, end = runner.run(self.outcome(provider))
            assert (text, end.state, end.usage.origin) == (TEXT, EndState.FINISHED, "reported")
            assert (end.usage.input_tokens, end.usage.output_tokens) == (7, 5)

        with asyncio.Runner() as runner:
            service, http, close = runner.run(_open())
            provider = self.provider(http, service.url)
            check()
            runner.run(close())

    def test_stream__cut_at_any_byte__is_never_finished_before_the_model_says_so(self) -> None:
        content, ending = b"".join(self.content(WORDS)), b"".join(self.ending("stop", (7, 5)))
        body = content + ending

        @settings(max_examples=40, deadline=None)
        @given(st.integers(0, len(body) - 1), st.booleans())
        def check(place: int, resets: bool) -> None:
            service.answer = lambda _: [*head(kind=self.kind), body[:place], *([0.002, ABORT] if resets else [])]
            text, end = runner.run(self.outcome(provider))
            assert TEXT.startswith(text)
            if isinstance(end, AIError):
                assert end.kind is AIErrorKind.UPSTREAM
            elif end.state is EndState.FINISHED:
                assert place > len(content)
                assert text == TEXT
            else:
                assert end.state is EndState.CUT
                assert text
                assert end.usage.origin == "estimated"
                assert end.usage.output_tokens > 0

        with asyncio.Runner() as runner:
            service, http, close = runner.run(_open())
            provider = self.provider(http, service.url)
            check()
            runner.run(close())

    @pytest.mark.parametrize(("reason", "state"), [("length", EndState.LENGTH), ("filter", EndState.FILTERED), ("odd", EndState.FAILED)])
    def test_stream__ended_by_the_model__is_what_it_says(self, reason: str, state: EndState) -> None:
        text, end = self.stream(*self.content(WORDS), *self.ending(reason, (7, 5)))
        assert (text, end.state) == (TEXT, state)
        assert bool(end.reason) == (state is not EndState.LENGTH)

    def test_stream__falls_silent__is_stalled(self) -> None:
        text, end = self.stream(*self.content(WORDS), HANG, idle_seconds=IDLE)
        assert (text, end.state) == (TEXT, EndState.STALLED)

    def test_stream__only_signs_of_life__is_stalled(self) -> None:
        pings = [step for _ in range(100) for step in (self.sign_of_life(), 0.05)]
        text, end = self.stream(*self.content(WORDS), *pings, idle_seconds=IDLE)
        assert (text, end.state) == (TEXT, EndState.STALLED)

    def test_stream__slow_but_alive__is_finished(self) -> None:
        slow = [step for piece in self.content(WORDS * 2) for step in (piece, 0.06)]
        text, end = self.stream(*slow, *self.ending("stop", (7, 5)), idle_seconds=4 * IDLE)
        assert (text, end.state) == (TEXT * 2, EndState.FINISHED)

    def test_stream__never_begins__is_a_timeout(self) -> None:
        for steps in ([HANG], [*head(kind=self.kind), HANG], [*head(kind=self.kind), self.sign_of_life(), HANG]):
            text, error = self.ask(*steps, request=self.request(timeout=IDLE))
            assert (text, error.kind) == ("", AIErrorKind.TIMEOUT)

    def test_stream__endless__ends_with_its_time(self) -> None:
        forever = [step for _ in range(2000) for step in (*self.content(WORDS), 0.005)]
        text, end = self.stream(*forever, request=self.request(timeout=0.4))
        assert end.state is EndState.STALLED
        assert text.startswith(TEXT)

    def test_stream__endless_without_a_separator__is_bounded(self) -> None:
        text, end = self.stream(*self.content(WORDS), *[b"x" * 65_536] * 40)
        assert (text, end.state) == (TEXT, EndState.FAILED)

    @pytest.mark.parametrize(
        "rubbish", [b"{not json", b"\xff\xfe\x00", b'{"choices": "many", "candidates": 7, "message": [], "type": 8}', b"[" * 5000]
    )
    def test_stream__something_else_in_the_middle__is_failed(self, rubbish: bytes) -> None:
        framed = b"data: " + rubbish + b"\n\n" if self.kind == "text/event-stream" else rubbish + b"\n"
        text, end = self.stream(*self.content(WORDS), framed, *self.ending("stop", (7, 5)))
        assert (text, end.state) == (TEXT, EndState.FAILED)
        assert self.stream(framed)[1].kind is AIErrorKind.UPSTREAM

    def test_stream__invalid_utf8_in_the_text__is_failed(self) -> None:
        good = self.content(["A", "B"])
        bad = [*good[:-1], good[-1].replace(b'"B"', b'"\xc3\x28"')]
        assert bad != good
        text, end = self.stream(*bad, *self.ending("stop", (7, 5)))
        assert (text, end.state) == ("A", EndState.FAILED)

    def test_error__in_the_stream__is_told_before_and_ends_it_after_the_first_event(self) -> None:
        _, error = self.stream(*self.error())
        assert isinstance(error, AIError)
        text, end = self.stream(*self.content(WORDS), *self.error(), *self.ending("stop", (7, 5)))
        assert (text, end.state) == (TEXT, EndState.FAILED)
        assert end.usage.origin == "estimated"

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            *((401, AIErrorKind.AUTH), (402, AIErrorKind.QUOTA), (403, AIErrorKind.AUTH), (400, AIErrorKind.INVALID), (404, AIErrorKind.INVALID)),
            *((408, AIErrorKind.TIMEOUT), (429, AIErrorKind.RATE), (500, AIErrorKind.UPSTREAM), (529, AIErrorKind.UPSTREAM)),
            *((302, AIErrorKind.UPSTREAM), (504, AIErrorKind.TIMEOUT)),
        ],
    )
    def test_status__each__is_one_of_the_six_kinds(self, status: int, kind: AIErrorKind) -> None:
        async def work(service: Service, http: Any) -> None:
            service.answer = lambda _: whole(f"{PROMPT} and more".encode(), status, Retry_After="7")
            provider = self.provider(http, service.url)
            for call in (provider.chat(self.request()), self.outcome(provider)):
                try:
                    answer: Any = await call
                    error = answer[1]
                except AIError as raised:
                    error = raised
                assert (error.kind, error.retry_after) == (kind, 7.0)
                assert PROMPT not in str(error)
            assert len(service.asked) == 2, "nothing is tried twice"

        run(work)

    def test_answer__error_under_200__is_an_error(self) -> None:
        async def work(service: Service, http: Any) -> None:
            provider = self.provider(http, service.url)
            for body in (
                {"error": {"message": PROMPT, "type": "server_error"}},
                {"type": "error", "error": {"type": "overloaded_error", "message": PROMPT}},
                {"error": PROMPT},
                {"detail": PROMPT},
                {},
                b"<html>",
                b"",
            ):
                service.answer = lambda _, body=body: whole(body)
                with pytest.raises(AIError) as refused:
                    await provider.chat(self.request())
                assert refused.value.kind is AIErrorKind.UPSTREAM
                assert (await self.outcome(provider))[1].kind is AIErrorKind.UPSTREAM

        run(work)

    def test_answer__whole_reply_in_place_of_a_stream__is_taken(self) -> None:
        text, end = self.ask(*whole(self.reply(TEXT, (7, 5))))
        assert (text, end.state, end.usage.output_tokens) == (TEXT, EndState.FINISHED, 5)

    def test_answer__page_in_place_of_a_stream__is_an_error(self) -> None:
        assert self.ask(*head(kind="text/html"), b"<html>\n<p>Sign in</p>\n\n")[1].kind is AIErrorKind.UPSTREAM

    @pytest.mark.parametrize("tokens", [None, (0, 0), (-3, -5), (7, 10**12)])
    def test_usage__that_cannot_be__is_estimated(self, tokens: tuple[int, int] | None) -> None:
        text, end = self.stream(*self.content(WORDS), *self.ending("stop", tokens))
        assert (text, end.state, end.usage.origin) == (TEXT, EndState.FINISHED, "estimated")
        assert 1 <= end.usage.output_tokens <= len(TEXT.encode())
        assert 1 <= end.usage.input_tokens <= len(PROMPT)

    def test_chat__is_the_same_whole(self) -> None:
        async def work(service: Service, http: Any) -> None:
            service.answer = lambda _: whole(self.reply(TEXT, (7, 5)))
            reply = await self.provider(http, service.url).chat(self.request())
            assert (reply.text, reply.end, reply.usage.output_tokens, reply.usage.origin) == (TEXT, EndState.FINISHED, 5, "reported")

        run(work)

    def test_chat__breaks_off__is_an_error(self) -> None:
        async def work(service: Service, http: Any) -> None:
            body = json.dumps(self.reply(TEXT, (7, 5))).encode()
            service.answer = lambda _: [*head(Content_Length=str(len(body))), body[:-9]]
            with pytest.raises(AIError) as cut:
                await self.provider(http, service.url).chat(self.request())
            assert cut.value.kind is AIErrorKind.UPSTREAM

        run(work)

    def test_stream__closed_by_its_reader__hangs_up_at_once(self) -> None:
        async def work(service: Service, http: Any) -> None:
            service.answer = lambda _: [*head(kind=self.kind), *self.content(WORDS), HANG]
            stream = self.provider(http, service.url).stream(self.request())
            assert await anext(stream) == TextDelta(WORDS[0])
            await stream.aclose()
            await service.has_left()

        run(work)

    def test_stream__task_cancelled__hangs_up(self) -> None:
        async def work(service: Service, http: Any) -> None:
            service.answer = lambda _: [*head(kind=self.kind), *self.content(WORDS), HANG]
            begun = asyncio.Event()

            async def read() -> None:
                async for _ in self.provider(http, service.url).stream(self.request()):
                    begun.set()

            task = asyncio.create_task(read())
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await service.has_left()

        run(work)

    def test_address__not_granted__is_refused_with_what_to_do(self) -> None:
        async def work(service: Service, http: Any) -> None:
            provider = self.provider(http, service.url.replace("127.0.0.1", "127.0.0.2"))
            with pytest.raises(AIError, match="approve") as refused:
                await provider.chat(self.request())
            assert refused.value.kind is AIErrorKind.AUTH

        run(work)

    def test_call__no_time__asks_nobody(self) -> None:
        async def work(service: Service, http: Any) -> None:
            with pytest.raises(AIError) as late:
                await self.provider(http, service.url).chat(replace(self.request(), timeout=0.0))
            assert (late.value.kind, service.asked) == (AIErrorKind.TIMEOUT, [])

        run(work)


async def _open() -> tuple[Service, Any, Any]:
    """Open a service and a client for a loop that runs again and again."""
    from contextlib import AsyncExitStack

    from ai_service import client, service

    stack = AsyncExitStack()
    there = await stack.enter_async_context(service())
    return there, await stack.enter_async_context(client(there.grant)), stack.aclose
