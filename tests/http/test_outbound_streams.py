"""Answers that are read as events and lines: what is said, however it is cut, and which silence counts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from ai_service import HANG, Service, Step, head, run
from hypothesis import given
from hypothesis import strategies as st

from luminai import HubError
from luminai.http.outbound.framing import Events, Lines

FIELDS = st.sampled_from(
    [b"data: one", b"data:two", b"data:  three", b"data", b": comment", b"event: x", b"id: 7", b"data: \xc3\xa9", b"", b"dato: no"]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def dispatched(body: bytes) -> list[bytes]:
    """Return the data of events as WHATWG HTML 9.2.6 says it, line by line, without any haste."""
    found, data = [], []
    *whole, _ = re.split(rb"\r\n|\n|\r", body.removeprefix(b"\xef\xbb\xbf"))
    for line in whole:
        name, colon, value = line.partition(b":")
        if not line:
            found += [b"\n".join(data)] if data else []
            data = []
        elif name == b"data" and colon:
            data.append(value.removeprefix(b" "))
    return found


def cut(body: bytes, places: Sequence[int]) -> list[bytes]:
    edges = sorted({0, len(body), *(place % (len(body) + 1) for place in places)})
    return [body[a:b] for a, b in pairwise(edges)]


@given(st.lists(st.tuples(FIELDS, ENDS), max_size=30), st.lists(st.integers(0, 10_000), max_size=20), st.booleans())
def test_events__however_they_are_cut__are_those_of_the_standard(lines: list[tuple[bytes, bytes]], places: list[int], marked: bool) -> None:
    body = (b"\xef\xbb\xbf" if marked else b"") + b"".join(line + end for line, end in lines)
    splitter = Events(1000)
    found = [event for piece in cut(body, places) for event in splitter.feed(piece)]
    assert found == dispatched(body)


@given(st.lists(st.binary(max_size=8), max_size=20), st.lists(st.integers(0, 200), max_size=20))
def test_lines__however_they_are_cut__are_whole_ones(parts: list[bytes], places: list[int]) -> None:
    body = b"\n".join(parts)
    splitter = Lines(1000)
    assert [line for piece in cut(body, places) for line in splitter.feed(piece)] == [line for one in body.split(b"\n")[:-1] if (line := one.strip())]


@pytest.mark.parametrize("splitter", [Events, Lines])
def test_framing__larger_than_allowed__is_refused(splitter: Any) -> None:
    for *begin, last in ([b"x" * 101], [b"x" * 60] * 2, [b"x" * 101 + b"\n\n"]):
        framing = splitter(100)
        for piece in begin:
            framing.feed(piece)
        with pytest.raises(HubError) as large:
            framing.feed(last)
        assert large.value.code == "outbound-too-large"


def listen(steps: Sequence[Step], *, how: str = "events", quiet: bytes = b"", pause: float = 0.0, **options: Any) -> tuple[list[bytes], str]:
    """Return what was said and the code of the failure; ``quiet`` says nothing, and each word keeps the reader busy for ``pause`` seconds."""

    async def work(service: Service, http: Any) -> tuple[list[bytes], str]:
        service.answer = lambda _: [*head(kind="text/event-stream"), *steps]
        heard: list[bytes] = []
        try:
            async with http.stream("GET", service.url, **options) as answer:
                async for one in getattr(answer, how)():
                    heard.append(one)
                    await asyncio.sleep(pause)
                    if one == quiet:
                        answer.still_silent()
        except HubError as error:
            return heard, error.code
        return heard, ""

    found: tuple[list[bytes], str] = run(work)
    return found


def test_events__come_one_by_one__and_half_an_event_is_none() -> None:
    assert listen([b"data: 1\n\ndata: 2\n\nda", b"ta: 3\n\ndata: 4\n"]) == ([b"1", b"2", b"3"], "")
    assert listen([b'{"a": 1}\n\n{"b"', b': 2}\r\n{"c": 3}'], how="lines") == ([b'{"a": 1}', b'{"b": 2}'], "")


@pytest.mark.parametrize("noise", [b": ping\n\n", b"event: x\n"])
def test_events__only_comments__end_no_silence(noise: bytes) -> None:
    steps = [b"data: 1\n\n", *([noise, 0.05] * 40)]
    assert listen(steps, idle=0.3) == ([b"1"], "outbound-timeout")
    assert listen(steps[:20], idle=0.3, how="chunks")[1] == "", "a piece ends a silence"


def test_events__that_say_nothing__end_no_silence() -> None:
    steps = [b"data: 1\n\n", *([b"data: ping\n\n", 0.05] * 40)]
    heard, code = listen(steps, idle=0.3, quiet=b"ping")
    assert code == "outbound-timeout"
    assert len(heard) < 12
    assert listen(steps[:20], idle=0.3)[1] == ""


def test_events__a_slow_reader__is_no_silence_of_the_service() -> None:
    assert listen([b"data: 1\n\n", b"data: 2\n\n", 0.05, b"data: 3\n\n"], idle=0.2, pause=0.3) == ([b"1", b"2", b"3"], "")


def test_stream__with_a_shorter_silence_set_on_the_way__ends_sooner() -> None:
    async def work(service: Service, http: Any) -> float:
        service.answer = lambda _: [*head(), b"data: 1\n\n", HANG]

        async def read() -> None:
            async with http.stream("GET", service.url, idle=60) as answer:
                async for _ in answer.events():
                    answer.idle = 0.1

        began = asyncio.get_running_loop().time()
        with pytest.raises(HubError, match="silent"):
            await read()
        return asyncio.get_running_loop().time() - began

    assert run(work) < 5


def test_call__over_a_kept_connection_that_the_service_closed__is_made_over_a_new_one() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"  # says nothing of closing, and closes

    async def work(service: Service, http: Any) -> list[int]:
        service.answer = lambda _: [answer]
        return [(await http.request("POST", service.url, json={"n": number})).status for number in range(20)]

    assert run(work) == [200] * 20
