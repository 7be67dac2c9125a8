"""espeak-ng: the program itself where it is installed, and programs of ours that misbehave."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import wave
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luminai import AIError, AIErrorKind, ChatMessage, ChatRequest
from luminai.testing import MediaProviderContract, running_hub
from luminai_voice_espeak.config import EspeakConfig
from luminai_voice_espeak.provider import MODEL, EspeakProvider, sound

is_there = shutil.which("espeak-ng") is not None
needs_program = pytest.mark.skipif(
    not is_there and not os.environ.get("LUMINAI_REQUIRE_SERVICES"), reason="espeak-ng is not installed: apt-get install espeak-ng"
)


@asynccontextmanager
async def hub_with(folder: Path, **config: Any):
    async with running_hub("voice-espeak", config={"voice-espeak": config}, folder=folder) as hub:
        assert hub.state("voice-espeak") == "enabled"
        yield hub


def of(hub: Any) -> EspeakProvider:
    found: EspeakProvider = hub.hub.generation.wiring.providers.ai_providers["espeak"]
    return found


async def health_of(hub: Any) -> Any:
    (loaded,) = hub.hub.generation.plugins
    (check,) = loaded.contributions["health_checks"]
    return await check.check()


def failure(call: Any) -> AIError:
    with pytest.raises(AIError) as refused:
        asyncio.run(call)
    return refused.value


def script(folder: Path, text: str) -> str:
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@needs_program
class TestContract(MediaProviderContract):
    @asynccontextmanager
    async def provider(self, folder: Path):
        async with hub_with(folder) as hub:
            yield of(hub)


@needs_program
def test_speech__is_a_sound_wav_of_its_true_length() -> None:
    async def main() -> None:
        one = EspeakProvider(EspeakConfig())
        seconds = []
        for text, voice in (("Hello.", ""), ("Hello there, this is a longer sentence.", "en-gb+f3"), ("Grüße aus der 世界.", "de")):
            made = await one.speak(MODEL, text, voice=voice)
            assert (made.content_type, made.synthetic) == ("audio/wav", "spoken by espeak-ng")
            with wave.open(io.BytesIO(made.content)) as told:
                assert (told.getnchannels(), told.getsampwidth(), told.getframerate()) == (1, 2, 22_050)
                samples = told.readframes(told.getnframes())
                assert len(samples) == 2 * told.getnframes() == len(made.content) - 44
                assert any(samples), "it is not silent"
                seconds.append(told.getnframes() / told.getframerate())
        assert seconds[0] < seconds[1] < 60
        slow = await EspeakProvider(EspeakConfig(words_per_minute=80)).speak(MODEL, "Hello there, this is a longer sentence.", voice="en-gb+f3")
        assert len(slow.content) > 44 + 2 * 22_050 * seconds[1]

    asyncio.run(main())


@needs_program
def test_text__is_only_spoken__whatever_stands_in_it(tmp_path: Path) -> None:
    async def main() -> None:
        one = EspeakProvider(EspeakConfig())
        long = await one.speak(MODEL, "x" * 100 + " hello " * 200)
        for text in (
            f"-w {tmp_path}/never.wav",
            "--version",
            "\x01100S\x01 fast",
            "<break time='99999s'/> hi",
            "\x00\ud800 hi",
            "`id` $(id) ; id",
            "[[h@'loU]]",
        ):
            made = await one.speak(MODEL, text)
            assert 44 < len(made.content) < len(long.content), "neither orders nor markup are followed"

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []


@needs_program
def test_voices__that_are_unknown__are_refused_and_known_ones_listed() -> None:
    one = EspeakProvider(EspeakConfig())
    error = failure(one.speak(MODEL, "hello", voice="xx-nope"))
    assert (error.kind, "xx-nope" in str(error)) == (AIErrorKind.INVALID, True)
    found = {voice.id: voice for voice in asyncio.run(one.voices())}
    assert {"en-gb", "de", "fr-fr"} <= found.keys()
    assert (found["de"].title, found["de"].language) == ("German", "de")


@needs_program
def test_hub__tells_health_and_lists_voices_by_an_action(tmp_path: Path) -> None:
    async def main() -> None:
        async with hub_with(tmp_path) as hub:
            assert (await health_of(hub)).state == "ok"
            headers = {"prefer": "wait=20", "idempotency-key": "1"}
            answer = await hub.client("voice-espeak:manage").request("POST", "/api/actions/voice-espeak.list-voices", json={}, headers=headers)
            assert len(answer.json()["output"]["voices"]) > 100, answer.text

    asyncio.run(main())


def test_program_absent__degraded_with_what_to_do__and_the_hub_serves(tmp_path: Path) -> None:
    async def main() -> None:
        async with hub_with(tmp_path, program="/nowhere/espeak-ng") as hub:
            found = await health_of(hub)
            assert found.state == "degraded"
            assert "apt-get install espeak-ng" in found.reason
            for call in (of(hub).speak(MODEL, "hello"), of(hub).voices()):
                with pytest.raises(AIError, match="apt-get install") as refused:
                    await call
                assert (refused.value.kind, refused.value.code) == (AIErrorKind.UPSTREAM, "not-installed")
            headers = {"prefer": "wait=20", "idempotency-key": "1"}
            answer = await hub.client("voice-espeak:manage").request("POST", "/api/actions/voice-espeak.list-voices", json={}, headers=headers)
            assert "apt-get install espeak-ng" in answer.json()["error"], answer.text

    asyncio.run(main())


@pytest.mark.parametrize("voice", ["../../etc/passwd", "/etc/passwd", "-w", "en gb", "en+../x", "en\n", "e", "EN", "mb/mb-en1", "a" * 200, "é"])
def test_voice__that_is_no_name__runs_nothing(tmp_path: Path, voice: str) -> None:
    one = EspeakProvider(EspeakConfig(program=script(tmp_path, "touch run")))
    assert failure(one.speak(MODEL, "hello", voice=voice)).kind is AIErrorKind.INVALID
    assert list(tmp_path.iterdir()) == [tmp_path / "program"]


def test_text_and_kinds__that_it_does_not_do__are_invalid() -> None:
    one = EspeakProvider(EspeakConfig(max_characters=5))
    ask = ChatRequest(model=MODEL, messages=(ChatMessage("user", "a"),))
    calls = [
        *(one.speak(MODEL, text) for text in ("", " \n", "123456")),
        *(one.speak("other", "a"), one.chat(ask), anext(one.stream(ask)), one.embed(MODEL, ["a"]), one.image(MODEL, "a", width=64, height=64)),
    ]
    for call in calls:
        assert failure(call).kind is AIErrorKind.INVALID


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("exit 3", "failed", "status 3"),
        ("kill -9 $$", "failed", "status -9"),
        ("cat > /dev/null; echo no sound at all, and some more of it to be longer", "", "no sound"),
        ("exit 0", "", "no sound"),
        ("cat /dev/zero", "too-large", "writes more than"),
    ],
    ids=["failed", "killed", "no wav", "nothing", "endless"],
)
def test_program__that_misbehaves__is_an_error_of_the_provider(tmp_path: Path, text: str, code: str, said: str) -> None:
    error = failure(EspeakProvider(EspeakConfig(program=script(tmp_path, text))).speak(MODEL, "hello " * 1000))
    assert (error.kind, error.code) == (AIErrorKind.UPSTREAM, code)
    assert said in str(error)


def test_program__that_is_no_program__says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.write_bytes(b"\x00\x01")
    path.chmod(0o755)
    assert failure(EspeakProvider(EspeakConfig(program=str(path))).speak(MODEL, "hello")).code == "not-installed"


def test_environment__of_the_hub__stays_with_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMINAI_SECRET_OF_THE_HUB", "not for others")
    seen = tmp_path / "seen"
    failure(EspeakProvider(EspeakConfig(program=script(tmp_path, f"env > {seen}"))).speak(MODEL, "hello"))
    assert "PATH=" in seen.read_text()
    assert "not for others" not in seen.read_text()


def ids_of(folder: Path) -> list[int]:
    """Return the ids of the program and its child, none before they stand in a file."""
    path = folder / "ids"
    return [int(one) for one in path.read_text().split()] if path.exists() else []


def runs(process: int) -> bool:
    """Tell whether a process runs; one that nobody waited for does not."""
    try:
        return ") Z" not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - nothing tells when a process of others is gone
            await asyncio.sleep(0.01)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
@pytest.mark.parametrize("way", ["cancelled", "late"])
def test_program__that_nobody_waits_for__is_killed_with_its_children(tmp_path: Path, way: str) -> None:
    async def main() -> None:
        hangs = script(tmp_path, f"sleep 600 & echo $$ $! > {tmp_path}/ids.new; mv {tmp_path}/ids.new {tmp_path}/ids; wait")
        one = EspeakProvider(EspeakConfig(program=hangs, processes=1))
        task = asyncio.create_task(one.speak(MODEL, "hello", timeout=30.0 if way == "cancelled" else 1.0))
        await until(lambda: ids_of(tmp_path))
        if way == "cancelled":
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            with pytest.raises(AIError) as late:
                await task
            assert late.value.kind is AIErrorKind.TIMEOUT
        await until(lambda: not any(map(runs, ids_of(tmp_path))))

    asyncio.run(main())


def test_places__are_bounded__and_waiting_counts(tmp_path: Path) -> None:
    async def main() -> None:
        hangs = script(tmp_path, f"sleep 600 & echo $$ $! > {tmp_path}/ids.new; mv {tmp_path}/ids.new {tmp_path}/ids; wait")
        one = EspeakProvider(EspeakConfig(program=hangs, processes=1))
        first = asyncio.create_task(one.speak(MODEL, "hello"))
        await until(lambda: ids_of(tmp_path))
        with pytest.raises(AIError) as late:
            await one.speak(MODEL, "hello", timeout=0.05)
        assert late.value.kind is AIErrorKind.TIMEOUT
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(main())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_sound__any_bytes__are_a_wav_or_refused(written: bytes) -> None:
    for one in (written, b"RIFF\x24\xf0\xff\x7fWAVEfmt " + bytes(20) + b"data\x00\xf0\xff\x7f" + written):
        try:
            made = sound(one)
        except AIError:
            assert len(one) <= 44 or not one.startswith(b"RIFF")
        else:
            assert int.from_bytes(made[40:44], "little") == len(made) - 44 == len(one) - 44
            assert int.from_bytes(made[4:8], "little") == len(made) - 8
