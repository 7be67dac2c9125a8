"""What a token costs on its way in: splitting and decoding alone, and the whole way through ``ctx.http`` and a provider.

The service is a process of its own, so that the processor time is ours alone. Bar: splitting and decoding at most 15 µs an event, which leaves most of
an eighth of LiteLLM's 470 to 600 µs a token to the gateway.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "core"), str(ROOT / "tests"), *(str(path) for path in ROOT.glob("plugins/*/src"))]

from ai_service import client  # noqa: E402

from luminai import ChatMessage, ChatRequest, NamedModel  # noqa: E402
from luminai.http.outbound.framing import Events, Lines  # noqa: E402
from luminai_ai_anthropic.config import AnthropicInstance  # noqa: E402
from luminai_ai_anthropic.provider import AnthropicProvider  # noqa: E402
from luminai_ai_anthropic.reader import Reader as Anthropic  # noqa: E402
from luminai_ai_gemini.reader import Reader as Gemini  # noqa: E402
from luminai_ai_ollama.reader import Reader as Ollama  # noqa: E402
from luminai_ai_openai.config import OpenAIInstance  # noqa: E402
from luminai_ai_openai.provider import OpenAIProvider  # noqa: E402
from luminai_ai_openai.reader import Reader as OpenAI  # noqa: E402

STREAMS, TOKENS, GAP = 40, 250, 0.02
REQUEST = ChatRequest(model="m", messages=(ChatMessage("user", "hello"),), timeout=120.0)
OPENAI = (
    b'data: {"id":"chatcmpl-9","object":"chat.completion.chunk","created":1700000000,"model":"m","system_fingerprint":"fp","choices":'
    b'[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}\n\n'
)
ANTHROPIC = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" word"}}\n\n'
GEMINI = (
    b'data: {"candidates":[{"content":{"parts":[{"text":" word"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":10,'
    b'"candidatesTokenCount":1,"totalTokenCount":11},"modelVersion":"m","responseId":"r1"}\r\n\r\n'
)
OLLAMA = b'{"model":"m","created_at":"2026-01-01T00:00:00.000000Z","message":{"role":"assistant","content":" word"},"done":false}\n'
ENDS = {
    "openai": b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":%d}}\n\ndata: [DONE]\n\n',
    "anthropic": b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":9,"output_tokens":%d}}\n\ndata: {"type":"message_stop"}\n\n',
}


def alone() -> None:
    """Print what one event costs, each in a piece of its own."""
    for name, event, reader, framing in (
        ("openai", OPENAI, OpenAI, Events),
        ("anthropic", ANTHROPIC, Anthropic, Events),
        ("gemini", GEMINI, Gemini, Events),
        ("ollama", OLLAMA, Ollama, Lines),
    ):
        times = []
        for _ in range(5):
            splitter, read = framing(1_048_576), reader(REQUEST).read
            began = time.process_time()
            for _ in range(20_000):
                for data in splitter.feed(event):
                    read(data)
            times.append((time.process_time() - began) / 20_000 * 1e6)
        print(f"split and decode, {name:10} {min(times):6.1f} µs an event (median {sorted(times)[2]:.1f})")


async def serve() -> None:
    """Answer each request with tokens: at once when the model is ``fast``, else paced."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        body = await reader.readexactly(length)
        name, event = ("anthropic", ANTHROPIC) if b"/messages" in head else ("openai", OPENAI)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        if b"fast" in body:
            writer.write(event * TOKENS)
        else:
            for _ in range(TOKENS):
                writer.write(event)
                await writer.drain()
                await asyncio.sleep(GAP)
        writer.write(ENDS[name] % TOKENS)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


async def whole_way(port: int) -> None:
    """Print what a token costs from the socket to the reader of a provider's stream."""
    url = f"http://127.0.0.1:{port}/v1"
    models = (NamedModel(id="m"), NamedModel(id="fast"))
    async with client(f"outbound:127.0.0.1:{port}") as http:
        http._streams = asyncio.Semaphore(STREAMS)  # noqa: SLF001 - as an operator sets max-streams
        for one in (
            OpenAIProvider(http, OpenAIInstance(base_url=url, models=models)),
            AnthropicProvider(http, AnthropicInstance(base_url=url, models=models)),
        ):
            for model, streams in (("m", STREAMS), ("fast", 1)):

                async def read(provider=one, model=model) -> int:
                    *_, end = [event async for event in provider.stream(ChatRequest(model=model, messages=REQUEST.messages, timeout=120.0))]
                    assert end.state == "finished"
                    return end.usage.output_tokens

                await read(model="fast")
                began, wall = time.process_time(), time.perf_counter()
                counts = await asyncio.gather(*(read() for _ in range(streams)))
                took, lasted = (time.process_time() - began) / sum(counts) * 1e6, time.perf_counter() - wall
                assert counts == [TOKENS] * streams
                kind = f"{streams} streams, a token each {GAP * 1000:.0f} ms" if model == "m" else "one stream, all at once"
                print(f"whole way, {one.name:10} {kind:36} {took:6.1f} µs a token; {sum(counts) / lasted:,.0f} tokens/s")


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
    else:
        alone()
        there = subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True)
        try:
            asyncio.run(whole_way(int(there.stdout.readline())))
        finally:
            there.kill()
            there.wait()
