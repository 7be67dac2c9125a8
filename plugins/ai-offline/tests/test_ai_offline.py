"""The provider ``offline`` over a real knowledge base."""

from __future__ import annotations

import asyncio
import struct
import threading
import zlib
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luminai import AIError, AIErrorKind, ChatMessage, ChatRequest, EndState, SourceFound, TextDelta
from luminai.testing import MediaProviderContract, running_hub
from luminai.testing.ai_suite import AIProviderContract, events_of
from luminai_ai_offline.painting import INK, STRIP, paint
from luminai_ai_offline.quoting import pick_quotes
from luminai_knowledge import Analyser, Knowledge, Passage, sentences

PAGES = {
    "generations.md": """# Generations

A generation is an immutable snapshot of the running plugins with their apps, hook plans and schedules. Changing one plugin builds a new one.

## Failure

A failed build leaves the last good generation serving. It stays, because nothing was swapped.
""",
    "lifecycle.md": "# Lifecycle\n\nPlugins start in waves. A plugin that fails its migration is left out, and the hub serves without it.\n",
    "keys.md": "# API keys\n\n`luminai keys create` makes a key with **scopes**. A revoked key stops working within five seconds.\n\n"
    "- Keys expire after the days you name.\n",
    "fr.md": "# Résonance\n\nLa résonance mesure la cohérence d'une conversation. Elle se calcule après chaque réponse.\n",
    "ja.md": "# 世代\n\n世代は実行中のプラグインの不変のスナップショットです。失敗しても古い世代が残ります。\n",
    "copy.md": "# Copied\n\nA failed build leaves the last good generation serving.\n",
}


def write(folder: Path, pages: dict[str, str]) -> None:
    for name, text in pages.items():
        path = folder / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@asynccontextmanager
async def offline(folder: Path, pages: dict[str, str] = PAGES, **config):
    write(folder, pages)
    async with running_hub("knowledge", "ai-offline", config={"ai-offline": config}, folder=folder) as hub:
        assert hub.state("ai-offline") == "enabled"
        yield hub.hub.generation.wiring.providers.ai_providers["offline"]


def ask(*said: str, **more) -> ChatRequest:
    """User messages with an answer between each two."""
    messages = [message for text in said for message in (ChatMessage("user", text), ChatMessage("assistant", "…"))][:-1]
    return ChatRequest(model="quote", messages=tuple(messages), **more)


class TestContract(AIProviderContract):
    def provider(self, folder: Path):
        return offline(folder)

    def request(self) -> ChatRequest:
        return ask("What is a generation?")


class TestPictures(MediaProviderContract):
    def provider(self, folder: Path):
        return offline(folder)


@pytest.mark.parametrize(
    ("question", "document", "words"),
    [
        ("What is a generation?", "docs:generations", "immutable snapshot"),
        ("What happens when a build fails?", "docs:", "last good generation"),
        ("How long until a revoked key stops working?", "docs:keys", "five seconds"),
        ("How do I create API keys?", "docs:keys", "luminai keys create"),
        ("How is it when a plugin's migration fails?", "docs:lifecycle", "left out"),
        ("Que mesure la résonance ?", "docs:fr", "cohérence"),
        ("QUE MESURE LA RESONANCE", "docs:fr", "cohérence"),
        ("世代とは何ですか", "docs:ja", "スナップショット"),
    ],
)
def test_quote__question_that_the_pages_answer__right_passage_comes_first(tmp_path, question, document, words):
    async def main():
        async with offline(tmp_path, **({"min-coverage": 0.4} if document == "docs:ja" else {})) as provider:
            reply = await provider.chat(ask(question))
            assert reply.covered, reply.text
            assert reply.sources[0].id.startswith(document)
            assert words in reply.sources[0].quote
            assert "not the words of a language model" in reply.text
            assert len(reply.sources) <= 3
            for source in reply.sources:
                assert f"> {source.quote}\n" in reply.text
                assert f"]({source.url})" in reply.text

    asyncio.run(main())


@pytest.mark.parametrize("question", ["What is the capital of Mongolia?", "Who won the world cup of 1998?", "quantum chromodynamics", "zxqv"])
def test_quote__question_that_nothing_covers__is_refused_with_what_was_searched(tmp_path, question):
    async def main():
        async with offline(tmp_path) as provider:
            reply = await provider.chat(ask(question))
            assert (reply.covered, reply.end, reply.sources) == (False, EndState.FINISHED, ())
            assert "Nothing here covers that" in reply.text
            assert f"{len(PAGES)} documents" in reply.text
            assert "“docs”" in reply.text

    asyncio.run(main())


@pytest.mark.parametrize("said", ["hello", "Good morning!", "Merci", "", "   ", "?!", "\x00"])
def test_quote__greeting_or_nothing__says_what_it_can_do(tmp_path, said):
    async def main():
        async with offline(tmp_path) as provider:
            reply = await provider.chat(ask(said))
            assert "no language model" in reply.text
            assert f"{len(PAGES)} documents" in reply.text
            assert reply.sources == ()

    asyncio.run(main())


def test_quote__any_question__every_quotation_stands_word_for_word(tmp_path):
    async def main():
        odd = "# Odd\n\nA *marked* [link](x.md) and\nwrapped `code` line, e.g. this one.\n\n| key | value |\n|-|-|\n| plugin | fails |\n"
        pages = {**PAGES, "odd.md": odd}
        write(tmp_path, pages)
        async with running_hub("knowledge", "ai-offline", config={"ai-offline": {"min-coverage": 0.0}}, folder=tmp_path) as hub:
            provider = hub.hub.generation.wiring.providers.ai_providers["offline"]
            knowledge = hub.hub.generation.wiring.services.find("knowledge", Knowledge)
            quoted = 0
            for question in ("plugin", "generation build", "marked link wrapped line", "keys expire", "plugin fails key value", "world of plugins"):
                for source in (await provider.chat(ask(question))).sources:
                    assert source.quote in (await knowledge.document(source.id)).text
                    quoted += 1
            assert quoted > 6

    asyncio.run(main())


def test_quote__sentence_on_two_pages__is_quoted_once(tmp_path):
    async def main():
        async with offline(tmp_path) as provider:
            reply = await provider.chat(ask("failed build last good generation serving"))
            quotes = [source.quote for source in reply.sources]
            assert len(quotes) == len(set(quotes))

    asyncio.run(main())


def test_quote__same_question_twice__same_events(tmp_path):
    async def main():
        async with offline(tmp_path) as provider:
            assert await events_of(provider, ask("What is a generation?")) == await events_of(provider, ask("What is a generation?"))

    asyncio.run(main())


def test_quote__source__comes_before_its_quotation(tmp_path):
    async def main():
        async with offline(tmp_path) as provider:
            events = await events_of(provider, ask("What is a generation?"))
            assert isinstance(events[0], SourceFound)
            assert isinstance(events[1], TextDelta)
            assert events[0].source.quote in events[1].text

    asyncio.run(main())


def test_quote__and_why__takes_the_question_before_along(tmp_path):
    async def main():
        async with offline(tmp_path) as provider:
            reply = await provider.chat(ask("What is a generation?", "And why?"))
            assert reply.sources[0].id == "docs:generations"
            assert (await provider.chat(ask("What is a generation?", "Thanks!"))).sources == ()

    asyncio.run(main())


def test_quote__sixteen_kilobytes__are_answered(tmp_path):
    async def main():
        async with offline(tmp_path) as provider:
            long = await provider.chat(ask("What is a generation? " * 750, timeout=5))
            assert long.sources[0].id == "docs:generations"
            noise = " ".join(f"word{number}" for number in range(2000))
            assert not (await provider.chat(ask(noise, timeout=5))).covered

    asyncio.run(main())


@pytest.mark.parametrize("query", ['" OR heading:x', "NEAR(a b)", "a* AND NOT b", "') ; DROP TABLE x --", "{heading}: plugin", "^plugin", "\ud800"])
def test_quote__query_syntax_or_odd_text__is_only_words(tmp_path, query):
    async def main():
        async with offline(tmp_path) as provider:
            assert (await provider.chat(ask(query))).end is EndState.FINISHED

    asyncio.run(main())


def test_quote__little_room__ends_by_length(tmp_path):
    async def main():
        async with offline(tmp_path) as provider:
            reply = await provider.chat(ask("What is a generation?", max_output_tokens=10))
            assert (reply.end, reply.sources, reply.usage.output_tokens) == (EndState.LENGTH, (), 0)

    asyncio.run(main())


def test_quote__no_user_message__is_invalid(tmp_path):
    async def main():
        async with offline(tmp_path) as provider:
            with pytest.raises(AIError) as refused:
                await provider.chat(ChatRequest(model="quote", messages=(ChatMessage("system", "hi"),)))
            assert refused.value.kind is AIErrorKind.INVALID

    asyncio.run(main())


def test_quote__no_documents__refuses(tmp_path):
    async def main():
        async with offline(tmp_path, {}) as provider:
            reply = await provider.chat(ask("What is a generation?"))
            assert not reply.covered
            assert "0 documents" in reply.text

    asyncio.run(main())


WORDS = ("plugin", "generation", "build", "fails", "is", "a", "key", "swap", "serving", "hub")


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(lambda words: f"{' '.join(words).capitalize()}."), max_size=12),
    asked=st.lists(st.sampled_from(WORDS), unique=True, max_size=5),
    most=st.integers(1, 5),
)
def test_pick_quotes__any_passages__quotes_are_distinct_sentences_and_coverage_is_their_share(texts, asked, most):
    analyser = Analyser()
    passages = [
        Passage(document_id=f"d:{n}", title="T", headings=("H",), anchor="h", url="/docs/x#h", text=text, code="", snippet="", score=1.0)
        for n, text in enumerate(texts)
    ]
    stems = [analyser.stem(word) for word in asked]
    finding = pick_quotes(stems, passages, dict.fromkeys(stems, 1.0), analyser, most=most)
    quotes = [quote.text for quote in finding.quotes]
    held = {stem for quote in quotes for stem in analyser.stems(quote)} & set(stems)
    assert len(quotes) == len(set(quotes)) <= most
    assert all(quote in sentences(text) for quote, text in ((quote.text, quote.passage.text) for quote in finding.quotes))
    assert finding.coverage == pytest.approx(len(held) / len(stems) if stems else 0.0)


def test_quote__own_documentation__answers_word_for_word_and_refuses_the_rest(tmp_path):
    (tmp_path / "docs").symlink_to(Path(__file__).parents[3] / "docs")

    async def main():
        async with running_hub("knowledge", "ai-offline", folder=tmp_path) as hub:
            provider = hub.hub.generation.wiring.providers.ai_providers["offline"]
            knowledge = hub.hub.generation.wiring.services.find("knowledge", Knowledge)
            reply = await provider.chat(ask("What is a generation?"))
            assert "immutable snapshot" in reply.sources[0].quote
            for question in ("What is a generation?", "How do I enable a plugin?", "What does a persona do?"):
                for source in (await provider.chat(ask(question))).sources:
                    assert source.quote in (await knowledge.document(source.id)).text
            assert not (await provider.chat(ask("What is the capital of Mongolia?"))).covered

    asyncio.run(main())


def read_png(content: bytes) -> tuple[int, int, dict[str, str], list[bytes], bytes]:
    """Return width, height, texts, rows and palette, after every checksum was checked."""
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    at, texts, packed, palette, size = 8, {}, b"", b"", (0, 0)
    while at < len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        data = content[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", content, at + 8 + length)[0] == zlib.crc32(kind + data)
        if kind == b"IHDR":
            *size, depth, colours, _, _, interlaced = struct.unpack(">IIBBBBB", data)
            assert (depth, colours, interlaced) == (8, 3, 0)
        elif kind == b"tEXt":
            name, _, text = data.decode("latin-1").partition("\0")
            texts[name] = text
        elif kind == b"PLTE":
            palette = data
        elif kind == b"IDAT":
            packed += data
        at += 12 + length
    width, height = size
    pixels = zlib.decompress(packed)
    assert len(pixels) == height * (width + 1)
    rows = [pixels[line * (width + 1) : (line + 1) * (width + 1)] for line in range(height)]
    assert {row[0] for row in rows} == {0}
    return width, height, texts, [row[1:] for row in rows], palette


@settings(max_examples=40, deadline=None)
@given(prompt=st.text(min_size=1, max_size=200), width=st.integers(16, 300), height=st.integers(16, 300))
def test_pattern__any_prompt_and_size__is_a_sound_png_with_its_label(prompt, width, height):
    content = paint(prompt, width, height)
    found_width, found_height, texts, rows, palette = read_png(content)
    assert (found_width, found_height) == (width, height)
    assert max(max(row) for row in rows) < len(palette) // 3
    assert "computed" in texts["Comment"]
    assert texts["DigitalSourceType"].endswith("algorithmicMedia")
    written = [row for row in rows if set(row) == {INK, STRIP}]
    assert len(written) >= 5, "letters stand on a strip of their own"
    assert content == paint(prompt, width, height)


def test_pattern__other_words_or_size__is_another_picture(tmp_path):
    async def main():
        async with offline(tmp_path) as provider:
            made = [await provider.image("pattern", prompt, width=256, height=128) for prompt in ("a cat", "a cat", "a dog")]
            assert made[0].content == made[1].content != made[2].content
            assert made[0].synthetic.startswith("a pattern computed")
            assert read_png(made[0].content)[:2] == (256, 128)
            assert len((await provider.image("pattern", "big", width=2048, height=2048)).content) < 2_000_000
            for prompt, width, height in (("a", 15, 64), ("a", 64, 2049), (" ", 64, 64), ("a", 0, -1)):
                with pytest.raises(AIError) as refused:
                    await provider.image("pattern", prompt, width=width, height=height)
                assert refused.value.kind is AIErrorKind.INVALID

    asyncio.run(main())


def test_pattern__is_painted_beside_the_loop(tmp_path, monkeypatch):
    painters = []
    monkeypatch.setattr("luminai_ai_offline.provider.paint", lambda *given: (painters.append(threading.current_thread()), paint(*given))[1])

    async def main():
        async with offline(tmp_path) as provider:
            await provider.image("pattern", "a", width=64, height=64)
        assert painters
        assert painters[0] is not threading.current_thread()

    asyncio.run(main())
