"""Both ends of `benchmarks/gateway.py`: a fast model service of our own that also fails in known ways, and the load that counts what comes back.

The service speaks OpenAI's chat completions, whole and streamed. The model's name says how: `fake` answers at once, `fake-t50` waits 50 ms before the
first token, `fake-i20` 20 ms between tokens, `fake-t50-i20` both; the words of ``SCENES`` break it in their own way. As many tokens as `max_tokens`
asks for, each ` word` and two letters.

Usage: python benchmarks/gateway_traffic.py serve PORT
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

MARK = b" word"
WORDS = [f" word{one}{two}" for one in "abcdefgh" for two in "abcdefgh"]
PROMPT_TOKENS = 10
BROKEN_AT = 3


class Scene(NamedTuple):
    """What an honest gateway tells of a model: tokens that came, how it ended, and the usage (None: the model told none that can be)."""

    tokens: int
    ends: tuple[str, ...]
    usage: int | None

    def is_told(self, said: tuple[int, str, int | None], *, streamed: bool) -> bool:
        """Tell whether a reply is the truth. Without a usage that can be, one that is at most three times off may be told, or none."""
        tokens, end, usage = said
        if end not in self.ends:
            return False
        if end == "status":
            return True
        if self.usage is not None:
            return (tokens, usage) == (self.tokens, self.usage)
        if not streamed and self.ends == NO_END:
            return True
        return tokens == self.tokens and (usage is None or tokens <= usage * 3 <= tokens * 9)


ASKED = 12
NO_END = ("error", "none", "status")
SCENES = {
    "": Scene(ASKED, ("stop",), ASKED),
    "split": Scene(ASKED, ("stop",), ASKED),  # pieces cut anywhere
    "short": Scene(ASKED, ("length",), ASKED),
    "filtered": Scene(ASKED, ("content_filter",), ASKED),
    "silent": Scene(ASKED, ("stop",), None),  # no usage
    "wrong": Scene(ASKED, ("stop",), None),  # usage that cannot be
    "ended": Scene(BROKEN_AT, NO_END, None),  # HTTP ends as it should, the reply does not: no reason, no end marker
    "cut": Scene(BROKEN_AT, NO_END, None),
    "reset": Scene(BROKEN_AT, NO_END, None),
    "stall": Scene(BROKEN_AT, NO_END, None),
    "error": Scene(BROKEN_AT, NO_END, None),  # an error object in the stream, or under the status 200
    "garbage": Scene(BROKEN_AT, NO_END, None),  # no UTF-8
    "e429": Scene(0, NO_END, None),
    "e500": Scene(0, NO_END, None),
}


def head(status: int, kind: str, *more: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} X", f"content-type: {kind}", *more, "", ""]).encode()


def whole(value: Any, status: int = 200, *more: str) -> bytes:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return head(status, "application/json", f"content-length: {len(body)}", *more) + body


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class Asked(NamedTuple):
    """What a request wants."""

    model: str
    tokens: int
    streams: bool
    usage: bool

    @property
    def scene(self) -> str:
        return next((part for part in self.model.split("-")[1:] if part in SCENES), "")

    def milliseconds(self, letter: str) -> float:
        found = [part[1:] for part in self.model.split("-")[1:] if part[:1] == letter and part[1:].isdigit()]
        return int(found[0]) / 1000 if found else 0.0


def base(asked: Asked, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-fake", "object": kind, "created": 1_700_000_000, "model": asked.model, "system_fingerprint": "fp"}


def told(asked: Asked) -> dict[str, int]:
    prompt, completion = (-7, 10**15) if asked.scene == "wrong" else (PROMPT_TOKENS, asked.tokens)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def reason(asked: Asked) -> str | None:
    return {"short": "length", "filtered": "content_filter", "ended": None}.get(asked.scene, "stop")


def body(asked: Asked) -> bytes:
    text = "".join(WORDS[place % 64] for place in range(asked.tokens))
    message = {"role": "assistant", "content": text, "refusal": None}
    value = {**base(asked, "chat.completion"), "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason(asked)}]}
    if asked.scene != "silent":
        value["usage"] = told(asked)
    return whole(value)


def event(asked: Asked, delta: dict[str, Any], ended: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": ended}
    return b"data: " + json.dumps({**base(asked, "chat.completion.chunk"), "choices": [choice]}).encode() + b"\n\n"


def pieces(asked: Asked) -> tuple[bytes, list[bytes], bytes]:
    """Return what a stream begins with, its tokens, and its end; all framed."""
    words = [event(asked, {"content": word}) for word in WORDS[: asked.tokens]]
    last = event(asked, {}, reason(asked))
    if asked.usage and asked.scene != "silent":
        last += b"data: " + json.dumps({**base(asked, "chat.completion.chunk"), "choices": [], "usage": told(asked)}).encode() + b"\n\n"
    framed = [chunked(word) for word in words]
    first = chunked(event(asked, {"role": "assistant", "content": ""}))
    return first, [framed[place % 64] for place in range(asked.tokens)], chunked(last + b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Service(asyncio.Protocol):
    """One connection."""

    made: dict[Asked, Any] = {}  # noqa: RUF012 - one for all connections: what is asked for often is made once

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.read = b""
        self.streaming: asyncio.Task[None] | None = None

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        if self.streaming is not None:
            self.streaming.cancel()

    def data_received(self, data: bytes) -> None:
        self.read += data
        end = self.read.find(b"\r\n\r\n")
        if end < 0:
            return
        start = self.read[:end].lower()
        at = start.find(b"content-length:")
        size = int(start[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self.read) < end + 4 + size:
            return
        content, self.read = self.read[end + 4 : end + 4 + size], self.read[end + 4 + size :]
        if not size:
            models = [{"id": "-".join(filter(None, ("fake", scene))), "object": "model"} for scene in (*SCENES, "t50", "t50-i20")]
            self.transport.write(whole({"object": "list", "data": models}))
            return
        value = json.loads(content)
        wants_usage = bool((value.get("stream_options") or {}).get("include_usage"))
        limit = value.get("max_completion_tokens") or value.get("max_tokens") or 64
        self.answer(Asked(value["model"], limit, bool(value.get("stream")), wants_usage))

    def answer(self, asked: Asked) -> None:
        scene = asked.scene
        if scene in ("e429", "e500"):
            self.transport.write(whole({"error": {"message": "asked for", "type": "fake"}}, int(scene[1:]), "retry-after: 1"))
        elif asked.streams:
            self.streaming = asyncio.ensure_future(self.stream(asked))
        elif scene in ("cut", "reset", "stall"):
            self.transport.write(body(asked)[:-40])
            if scene != "stall":
                self.leave(scene)
        elif scene == "error":
            self.transport.write(whole({"error": {"message": "asked for", "type": "fake", "code": 500}}))
        elif scene == "garbage":
            self.transport.write(whole(b'{"choices":[{"message":{"content":"\xff\xfe"}}]}'))
        else:
            made = self.made.get(asked)
            if made is None:
                made = self.made[asked] = body(asked)
            self.transport.write(made)

    def leave(self, scene: str) -> None:
        self.transport.abort() if scene == "reset" else self.transport.close()

    async def stream(self, asked: Asked) -> None:
        made = self.made.get(asked)
        if made is None:
            made = self.made[asked] = pieces(asked)
        first, words, last = made
        write, scene, gap = self.transport.write, asked.scene, asked.milliseconds("i")
        write(head(200, "text/event-stream", "cache-control: no-cache", "transfer-encoding: chunked"))
        if wait := asked.milliseconds("t"):
            await asyncio.sleep(wait)
        if scene == "split":
            rest = b"".join((*words, last))
            write(first)
            for place in range(0, len(rest), 37):
                write(rest[place : place + 37])
                await asyncio.sleep(0)
            return
        write(first)
        for place, word in enumerate(words):
            if place == BROKEN_AT and SCENES[scene].tokens == BROKEN_AT:
                self.end_badly(asked)
                return
            write(word)
            if gap:
                await asyncio.sleep(gap)
        write(last)

    def end_badly(self, asked: Asked) -> None:
        if asked.scene == "ended":
            self.transport.write(b"0\r\n\r\n")
        elif asked.scene in ("cut", "reset"):
            self.leave(asked.scene)
        elif asked.scene == "error":
            self.transport.write(chunked(b'data: {"error":{"message":"asked for","type":"fake","code":500}}\n\n') + b"0\r\n\r\n")
        elif asked.scene == "garbage":
            self.transport.write(chunked(b'data: {"choices":[{"index":0,"delta":{"content":"\xff\xfe"}}]}\n\n') + b"0\r\n\r\n")


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Service, "127.0.0.1", port)
    await server.serve_forever()


class Reply(asyncio.Protocol):
    """One connection of the load: a request at a time, and what its answer was."""

    def __init__(self) -> None:
        self.done: asyncio.Future[float] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def ask(self, request: bytes) -> asyncio.Future[float]:
        self.got = bytearray()
        self.start = -1
        self.status = self.scanned = self.marks = self.length = 0
        self.is_chunked = False
        self.first = self.last = 0.0
        self.gaps: list[float] = []
        self.done = asyncio.get_running_loop().create_future()
        self.began = time.perf_counter()
        self.transport.write(request)
        return self.done

    def data_received(self, data: bytes) -> None:
        now, got = time.perf_counter(), self.got
        got += data
        if self.start < 0:
            end = got.find(b"\r\n\r\n")
            if end < 0:
                return
            start = bytes(got[:end]).lower()
            self.status, self.start, self.scanned = int(start[9:12]), end + 4, end + 4
            self.is_chunked = b"transfer-encoding: chunked" in start
            at = start.find(b"content-length:")
            self.length = int(start[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        found = got.count(MARK, self.scanned)
        if found:
            if self.first:
                self.gaps.append(now - self.last)
            else:
                self.first = now
            self.last, self.marks = now, self.marks + found
            self.scanned = got.rfind(MARK) + len(MARK)
        else:
            self.scanned = max(self.scanned, len(got) - len(MARK) + 1)
        is_whole = got.endswith(b"0\r\n\r\n") if self.is_chunked else len(got) >= self.start + self.length
        if is_whole and self.done is not None and not self.done.done():
            self.done.set_result(now - self.began)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        if self.done is not None and not self.done.done():
            self.done.set_exception(ConnectionError("closed"))

    def said(self) -> tuple[int, str, int | None]:
        """Return the tokens that came, how the reply says that it ended, and the output tokens that it tells."""
        if self.status != 200:
            return self.marks, "status", None
        content = bytes(self.got[self.start :])
        if self.is_chunked:
            content = unchunked(content)
        values = [content] if content[:1] == b"{" else [line[6:] for line in content.split(b"\n") if line.startswith(b"data: ") and line[6:7] == b"{"]
        ended, usage = "none", None
        for value in values:
            try:
                read = json.loads(value)
            except ValueError:
                continue
            if read.get("error"):
                return self.marks, "error", usage
            if read.get("usage"):
                usage = read["usage"].get("completion_tokens")
            for choice in read.get("choices") or ():
                ended = choice.get("finish_reason") or ended
        return self.marks, ended, usage


def unchunked(data: bytes) -> bytes:
    found, at = [], 0
    while (line := data.find(b"\r\n", at)) >= 0 and (size := int(data[at:line].split(b";")[0] or b"0", 16)):
        found.append(data[line + 2 : line + 2 + size])
        at = line + 4 + size
    return b"".join(found)


class Load(NamedTuple):
    """What to ask, of whom, how often."""

    port: int
    path: str
    headers: tuple[str, ...]
    connections: int = 1
    requests: int = 100
    warm: int = 0
    streams: bool = False
    tokens: int = 64
    model: str = "fake"
    prompt: int = 200
    seconds: float = 60.0

    def request(self) -> bytes:
        value: dict[str, Any] = {"model": self.model, "max_tokens": self.tokens, "messages": [{"role": "user", "content": "x" * self.prompt}]}
        if self.streams:
            value |= {"stream": True, "stream_options": {"include_usage": True}}
        content = json.dumps(value).encode()
        lines = [f"POST {self.path} HTTP/1.1", f"host: 127.0.0.1:{self.port}", "content-type: application/json", *self.headers]
        return "\r\n".join([*lines, f"content-length: {len(content)}", "", ""]).encode() + content


async def run(load: Load, check: Callable[[Reply], bool] | None = None, before: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Return figures of the load after its warm-up: milliseconds, rates, and replies that were not what they had to be.

    ``before`` is called when the warm-up is over, ``check`` tells of each reply whether it is right.
    """
    loop, request = asyncio.get_running_loop(), load.request()
    left, took, firsts, gaps, wrong, marks = load.warm, [], [], [], 0, 0

    async def caller(*, counts: bool) -> None:
        nonlocal left, wrong, marks
        one: Reply | None = None
        while left > 0:
            left -= 1
            if one is None or one.transport.is_closing():
                _, one = await loop.create_connection(Reply, "127.0.0.1", load.port)
            try:
                async with asyncio.timeout(load.seconds):
                    seconds = await one.ask(request)
            except (OSError, TimeoutError):
                seconds = None
            if counts:
                marks += one.marks
                is_right = seconds is not None and one.status == 200 and one.marks == load.tokens if check is None else check(one)
                wrong += not is_right
                if seconds is not None:
                    took.append(seconds)
                if one.first:
                    firsts.append(one.first - one.began)
                    gaps.extend(one.gaps)
            if seconds is None:
                one.transport.abort()
                one = None
        if one is not None:
            one.transport.abort()

    await asyncio.gather(*(caller(counts=False) for _ in range(load.connections)))
    left = load.requests
    before()
    began = time.perf_counter()
    await asyncio.gather(*(caller(counts=True) for _ in range(load.connections)))
    wall = time.perf_counter() - began
    return {
        "requests": load.requests,
        "per_second": len(took) / wall,
        "tokens": marks,
        "tokens_per_second": marks / wall,
        "p50": quantile(took, 0.5),
        "p99": quantile(took, 0.99),
        "first_p50": quantile(firsts, 0.5),
        "gap_p99": quantile(gaps, 0.99),
        "wrong": wrong,
    }


def quantile(values: list[float], share: float) -> float:
    """Return milliseconds, nan of nothing."""
    if len(values) < 2:
        return values[0] * 1000 if values else float("nan")
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1] * 1000


def runner() -> Callable[..., Any]:
    """Return what runs a coroutine, on uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


if __name__ == "__main__" and sys.argv[1:2] == ["serve"]:
    runner()(serve(int(sys.argv[2])))
