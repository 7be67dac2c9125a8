"""Providers over servers that nobody here wrote: llama.cpp over a random model, aimock with its chaos, LiteLLM. `make ai-peers` installs them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ai_service import client

from luminai import (
    AIError,
    AIErrorKind,
    AIProvider,
    ChatMessage,
    ChatReply,
    ChatRequest,
    End,
    EndState,
    NamedModel,
    Secret,
    StreamEvent,
    TextDelta,
    Tool,
    ToolCallFound,
)
from luminai_ai_anthropic.config import AnthropicInstance
from luminai_ai_anthropic.provider import AnthropicProvider
from luminai_ai_gemini.config import GeminiInstance
from luminai_ai_gemini.provider import GeminiProvider
from luminai_ai_ollama.config import OllamaInstance
from luminai_ai_ollama.provider import OllamaProvider
from luminai_ai_openai.config import OpenAIInstance
from luminai_ai_openai.provider import OpenAIProvider
from luminai_voice_elevenlabs.config import ElevenLabsInstance
from luminai_voice_elevenlabs.provider import ElevenLabsProvider

HERE = Path(__file__).parent
PEERS = HERE.parents[1] / ".venv-ai-peers"
AIMOCK = PEERS / "node_modules/@copilotkit/aimock/dist/cli.js"
DIALECTS = ("openai", "anthropic", "gemini", "ollama")
SAID = "Hello there, this came from the mock."
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
WEATHER = Tool("weather", "Tells the weather.", {"type": "object", "properties": {"city": {"type": "string"}}})


@contextmanager
def running(command: Sequence[str | Path], said: str, folder: Path, *, seconds: float = 60.0, **env: str) -> Iterator[str]:
    """Run a server until its output has ``said`` in it, and give the first group of that."""
    log = folder / "log.txt"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **env}, start_new_session=True, cwd=folder)
    try:
        end = time.monotonic() + seconds
        while (found := re.search(said, log.read_text(errors="replace"))) is None:
            assert process.poll() is None, log.read_text(errors="replace")[-2000:]
            assert time.monotonic() < end, log.read_text(errors="replace")[-2000:]
            time.sleep(0.02)
        yield found[1] if found.re.groups else ""
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def needs(path: Path) -> None:
    if not path.exists():
        pytest.skip(f"{path.name} is not installed: make ai-peers")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    needs(PEERS / "bin/python")
    with running([PEERS / "bin/python", HERE / "llama_server.py", "0"], r"(?m)^(http://127\.0\.0\.1:\d+)\n", tmp_path_factory.mktemp("llama")) as url:
        yield url


@pytest.fixture(scope="module")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    needs(AIMOCK)
    command = ["node", AIMOCK, "-p", "0", "-f", HERE / "aimock.json", "-c", "8"]
    with running(command, r"listening on (http://\S+)", tmp_path_factory.mktemp("aimock")) as url:
        yield url


@pytest.fixture(scope="module")
def litellm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    needs(PEERS / "bin/litellm")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [PEERS / "bin/litellm", "--config", HERE / "litellm.yaml", "--host", "127.0.0.1", "--port", str(port)]
    folder = tmp_path_factory.mktemp("litellm")
    with running(command, "Application startup complete", folder, seconds=180, LITELLM_LOCAL_MODEL_COST_MAP="True"):
        yield f"http://127.0.0.1:{port}"


def provider(dialect: str, http: Any, url: str, *names: str, key: str = "") -> Any:
    models = tuple(NamedModel(id=name, kinds=("chat", "image", "speech", "embedding")) for name in names or ("m",))
    given: dict[str, Any] = {"models": models, "key": Secret("env:KEY", lambda _: key) if key else None}
    if dialect == "openai":
        return OpenAIProvider(http, OpenAIInstance(base_url=f"{url}/v1", **given))
    if dialect == "anthropic":
        return AnthropicProvider(http, AnthropicInstance(base_url=f"{url}/v1", **given))
    if dialect == "gemini":
        return GeminiProvider(http, GeminiInstance(base_url=f"{url}/v1beta", **given))
    return OllamaProvider(http, OllamaInstance(base_url=url, **given))


def over(url: str, work: Callable[[Any], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with client(f"outbound:{url.removeprefix('http://')}") as http:
            return await work(http)

    return asyncio.run(main())


def ask(text: str, **more: Any) -> ChatRequest:
    return ChatRequest(model="m", messages=(ChatMessage("user", text),), **{"timeout": 30.0, **more})


async def streamed(one: AIProvider, request: ChatRequest) -> tuple[str, list[StreamEvent], Any]:
    """Return the text, what else was found, and the end or the error."""
    events: list[StreamEvent] = []
    try:
        async for event in one.stream(request):
            events.append(event)  # noqa: PERF401 - what came before an error counts
    except AIError as error:
        assert events == []
        return "", [], error
    *content, end = events
    assert isinstance(end, End)
    text = "".join(event.text for event in content if isinstance(event, TextDelta))
    return text, [event for event in content if not isinstance(event, TextDelta)], end


@pytest.mark.parametrize("dialect", DIALECTS)
def test_aimock__good_answers__are_understood(aimock: str, dialect: str) -> None:
    async def work(http: Any) -> None:
        one = provider(dialect, http, aimock, key="sk-1")
        text, _, end = await streamed(one, ask("hello"))
        reply: ChatReply = await one.chat(ask("hello"))
        assert (text, end.state) == (reply.text, reply.end) == (SAID, EndState.FINISHED)
        assert (end.usage.origin, reply.usage) == ("estimated" if dialect == "ollama" else "reported", end.usage)
        if dialect != "ollama":
            assert (end.usage.input_tokens, end.usage.output_tokens) == (9, 8)

    over(aimock, work)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_aimock__tools__are_called(aimock: str, dialect: str) -> None:
    async def work(http: Any) -> None:
        one = provider(dialect, http, aimock, key="sk-1")
        _, (found,), end = await streamed(one, ask("what is it like?", tools=(WEATHER,)))
        (whole,) = (await one.chat(ask("what is it like?", tools=(WEATHER,)))).tool_calls
        assert isinstance(found, ToolCallFound)
        assert end.state is EndState.FINISHED
        for call in (found.call, whole):
            assert (call.name, msgspec.json.decode(call.arguments)) == ("weather", {"city": "Oslo"})

    over(aimock, work)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_aimock__cut_and_limited__are_told_as_such(aimock: str, dialect: str) -> None:
    async def work(http: Any) -> None:
        one = provider(dialect, http, aimock, key="sk-1")
        text, _, end = await streamed(one, ask("break off"))
        assert SAID.startswith(text)
        if isinstance(end, End):
            assert (end.state, end.usage and end.usage.origin) == (EndState.CUT, "estimated")
        else:
            assert (end.kind, text) == (AIErrorKind.UPSTREAM, "")
        _, _, error = await streamed(one, ask("limit"))
        assert error.kind is AIErrorKind.RATE
        assert error.retry_after

    over(aimock, work)


@pytest.mark.parametrize(("chaos", "kind"), [("drop", "upstream"), ("malformed", "upstream"), ("rateLimit", "rate"), ("disconnect", "upstream")])
def test_aimock__chaos__is_an_error_of_its_kind_in_every_dialect(aimock: str, chaos: str, kind: str) -> None:
    async def work(http: Any) -> None:
        try:
            assert (await http.request("POST", f"{aimock}/__aimock/chaos", json={f"{chaos}Rate": 1.0})).status < 300
            for dialect in DIALECTS:
                one = provider(dialect, http, aimock, key="sk-1")
                _, _, error = await streamed(one, ask("hello"))
                with pytest.raises(AIError) as whole:
                    await one.chat(ask("hello"))
                assert (str(error.kind), str(whole.value.kind)) == (kind, kind), dialect
        finally:
            await http.request("DELETE", f"{aimock}/__aimock/chaos")

    over(aimock, work)


def test_aimock__pictures_speech_and_models__are_read(aimock: str) -> None:
    async def work(http: Any) -> None:
        one = provider("openai", http, aimock, key="sk-1")
        assert (await one.image("m", "a cat", width=64, height=64)).content_type == "image/png"
        assert (await one.speak("m", "speak")).content.startswith(b"RIFF")
        assert len((await one.embed("m", ["one", "two"])).vectors) == 2
        for dialect in ("openai", "anthropic", "ollama"):
            assert await provider(dialect, http, aimock, key="sk-1").refresh() > 1

    over(aimock, work)


def test_aimock__elevenlabs__speaks_and_fails_as_it_says(aimock: str) -> None:
    async def work(http: Any) -> None:
        one = ElevenLabsProvider(http, ElevenLabsInstance(base_url=aimock, key=Secret("env:KEY", lambda _: "sk-1")))
        made = await one.speak("eleven_multilingual_v2", "Hello there.")
        assert (made.content[:4], made.content_type, made.synthetic) == (b"RIFF", "audio/wav", "spoken by eleven_multilingual_v2")
        (journal,) = [asked for asked in (await http.request("GET", f"{aimock}/__aimock/journal")).json() if "text-to-speech" in asked["path"]]
        assert journal["path"] == "/v1/text-to-speech/JBFqnCBsd6RMkjVDRZzb?output_format=mp3_44100_128"
        with pytest.raises(AIError) as limited:
            await one.speak("eleven_multilingual_v2", "limit")
        assert limited.value.kind is AIErrorKind.RATE
        try:
            for chaos, kind in (("drop", "upstream"), ("malformed", "upstream"), ("rateLimit", "rate"), ("disconnect", "upstream")):
                assert (await http.request("POST", f"{aimock}/__aimock/chaos", json={f"{chaos}Rate": 1.0})).status < 300
                with pytest.raises(AIError) as failed:
                    await one.speak("eleven_multilingual_v2", "Hello there.")
                assert str(failed.value.kind) == kind, chaos
                await http.request("DELETE", f"{aimock}/__aimock/chaos")
        finally:
            await http.request("DELETE", f"{aimock}/__aimock/chaos")

    over(aimock, work)


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_llama__real_tokens__are_counted_and_limited_as_the_server_says(llama: str, dialect: str) -> None:
    async def work(http: Any) -> None:
        one = provider(dialect, http, llama)
        for _ in range(2):
            _, _, end = await streamed(one, ask("hello", max_output_tokens=12, temperature=0.0))
            reply = await one.chat(ask("hello", max_output_tokens=12, temperature=0.0))
            assert (end.state, reply.end) == (EndState.LENGTH, EndState.LENGTH)
            assert (end.usage.output_tokens, reply.usage.output_tokens, reply.usage.origin) == (12, 12, "reported")
            assert reply.text

    over(llama, work)


def test_llama__schema__is_enforced_by_the_server(llama: str) -> None:
    async def work(http: Any) -> None:
        text, _, end = await streamed(provider("openai", http, llama), ask("hello", max_output_tokens=60, response_schema=SCHEMA))
        assert end.state in (EndState.FINISHED, EndState.LENGTH)
        if end.state is EndState.FINISHED:
            assert isinstance(msgspec.json.decode(text, type=dict[str, int])["n"], int)
        else:
            assert text.lstrip().startswith("{")

    over(llama, work)


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_llama__reader_leaves__and_the_server_is_free_again(llama: str, dialect: str) -> None:
    async def work(http: Any) -> None:
        one = provider(dialect, http, llama)
        for _ in range(3):
            stream = one.stream(ask("hello", max_output_tokens=64))
            await anext(stream)
            await stream.aclose()
        assert (await one.chat(ask("hello", max_output_tokens=3))).usage.output_tokens == 3

    over(llama, work)


def test_llama__what_it_refuses__is_invalid(llama: str) -> None:
    async def work(http: Any) -> None:
        one = provider("openai", http, llama)
        _, _, error = await streamed(one, ask("long " * 4000))
        assert error.kind is AIErrorKind.INVALID

    over(llama, work)


@pytest.mark.slow
def test_litellm__is_understood_in_three_dialects(litellm: str) -> None:
    async def work(http: Any) -> None:
        for dialect, model, said in (("openai", "mock", "fox"), ("anthropic", "mock-claude", "mocked"), ("gemini", "mock-gemini", "mocked")):
            one = provider(dialect, http, litellm, model, key="sk-bench")
            request = msgspec.structs.replace(ask("hello"), model=model)
            reply = await one.chat(request)
            assert said in reply.text, dialect
            assert (reply.end, reply.usage.origin) == (EndState.FINISHED, "reported")
            if dialect == "gemini":  # its stream of a mock goes to the network
                continue
            text, _, end = await streamed(one, request)
            assert (text, end.state) == (reply.text, EndState.FINISHED)
        limited = provider("openai", http, litellm, "mock-limited", key="sk-bench")
        with pytest.raises(AIError) as refused:
            await limited.chat(msgspec.structs.replace(ask("hello"), model="mock-limited"))
        assert refused.value.kind is AIErrorKind.RATE
        with pytest.raises(AIError) as refused:
            await provider("openai", http, litellm, "mock", key="wrong").chat(msgspec.structs.replace(ask("hello"), model="mock"))
        assert refused.value.kind in (AIErrorKind.AUTH, AIErrorKind.INVALID), "without a database it says 400 to a wrong key"

    over(litellm, work)
