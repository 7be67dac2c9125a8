# ruff: noqa: S101 - assertions are what a conformance suite is made of
"""What a provider of pictures, speech or vectors must do. A plugin's tests subclass ``MediaProviderContract`` as ``Test…`` and give it a provider."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from luminai.contracts.ai import AIError, AIErrorKind, AIProvider, EmbeddingReply, MediaReply, Voices
from luminai.testing.ai_suite import AnyProviderContract

SAID = "What is a generation?"
KINDS = {"image": "image/", "speech": "audio/"}
Made = MediaReply | EmbeddingReply


class MediaProviderContract(AnyProviderContract):
    """The conformance suite. A provider that says ``not-installed`` is skipped: what it runs is not on this machine."""

    def test_models__each_has_a_kind__and_the_provider_a_name(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.provider(tmp_path) as provider:
                assert provider.name
                assert provider.title
                assert list(_calls(provider)), "no model makes pictures, speech or vectors"

        asyncio.run(main())

    def test_call__of_each_model__gives_what_its_kind_says(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.provider(tmp_path) as provider:
                for kind, call in _calls(provider):
                    made = await _made(call)
                    if isinstance(made, MediaReply):
                        assert made.content
                        assert made.content_type.startswith(KINDS[kind])
                        assert made.synthetic, "nothing tells that it was made by a machine"
                    else:
                        assert [len(one) > 0 for one in made.vectors] == [True, True]
                        assert len({len(one) for one in made.vectors}) == 1

        asyncio.run(main())

    def test_call__no_time__is_a_timeout(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.provider(tmp_path) as provider:
                for _, call in _calls(provider, timeout=0.0):
                    with pytest.raises(AIError) as late:
                        await _made(call)
                    assert late.value.kind is AIErrorKind.TIMEOUT

        asyncio.run(main())

    def test_call__task_cancelled__passes_it_on_and_the_next_one_goes_well(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.provider(tmp_path) as provider:
                for _, call in _calls(provider):
                    await _made(call)  # or it is not installed
                    task = asyncio.ensure_future(call())
                    await asyncio.sleep(0)
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                    await _made(call)

        asyncio.run(main())

    def test_voices__where_they_are_listed__have_ids_that_can_be_spoken_with(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.provider(tmp_path) as provider:
                model = next((model.id for model in provider.models() if "speech" in model.kinds), None)
                if model is None or not isinstance(provider, Voices):
                    return
                try:
                    found = await provider.voices()
                except AIError as error:
                    _skip_absent(error)
                    raise
                assert 0 < len(found) <= 1_000
                assert len({one.id for one in found}) == len(found)
                assert (await provider.speak(model, SAID, voice=found[-1].id)).content

        asyncio.run(main())


def _calls(provider: AIProvider, timeout: float = 30.0) -> Iterator[tuple[str, Callable[[], Awaitable[Made]]]]:
    """Yield a call of each kind of each model, with the kind."""
    for model in provider.models():
        name = model.id
        made: dict[str, Callable[[], Awaitable[Made]]] = {
            "image": lambda name=name: provider.image(name, SAID, width=64, height=64, timeout=timeout),  # type: ignore[misc]
            "speech": lambda name=name: provider.speak(name, SAID, timeout=timeout),  # type: ignore[misc]
            "embedding": lambda name=name: provider.embed(name, [SAID, "another"], timeout=timeout),  # type: ignore[misc]
        }
        for kind in sorted(model.kinds & made.keys()):
            yield kind, made[kind]


async def _made(call: Callable[[], Awaitable[Made]]) -> Made:
    try:
        return await call()
    except AIError as error:
        _skip_absent(error)
        raise


def _skip_absent(error: AIError) -> None:
    if error.code == "not-installed":
        pytest.skip(str(error))
