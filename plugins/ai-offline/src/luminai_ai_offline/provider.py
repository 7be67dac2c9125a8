"""The provider: quotations from the knowledge base, and patterns for pictures, told as such."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final

from msgspec import Struct

from luminai import (
    AIError,
    AIErrorKind,
    ChatReply,
    ChatRequest,
    EmbeddingReply,
    End,
    EndState,
    HubError,
    MediaReply,
    Model,
    Source,
    SourceFound,
    StreamEvent,
    TextDelta,
    Usage,
)
from luminai_ai_offline.config import OfflineConfig
from luminai_ai_offline.painting import SIDES, paint
from luminai_ai_offline.quoting import Finding, Quote, pick_quotes
from luminai_ai_offline.words import is_small_talk, subject
from luminai_knowledge import Description, Knowledge

MODEL: Final = "quote"
PATTERN: Final = "pattern"
METHOD: Final = "These are quotations found by search in the knowledge base, not the words of a language model."
SHORT_QUESTION: Final = 2
MAX_QUESTION: Final = 16_384
Piece = str | Source


class _Asked(Struct, frozen=True):
    """A question taken apart: its stems with their words, and the stems of the question before when this one is very short."""

    stems: dict[str, str]
    context: tuple[str, ...]
    query: str
    tokens: int


class _Answer(Struct, frozen=True):
    pieces: list[Piece]
    covered: bool


class OfflineProvider:
    """Implements ``AIProvider`` without a model and without the network.

    Args:
        run_sync: Runs a blocking function in a thread.
    """

    name = "offline"
    title = "Offline (quotations and patterns)"

    def __init__(self, knowledge: Knowledge, config: OfflineConfig, run_sync: Callable[..., Awaitable[Any]]) -> None:
        self._knowledge = knowledge
        self._config = config
        self._run_sync = run_sync

    def models(self) -> Sequence[Model]:
        """Return the one that quotes and the one that paints."""
        return [
            Model(id=MODEL, kinds=frozenset({"chat"}), title="Quotations from the knowledge base", follows_instructions=False),
            Model(id=PATTERN, kinds=frozenset({"image"}), title="Generated patterns, labelled as such", follows_instructions=False),
        ]

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Return the whole reply. Raises as ``stream``."""
        text, sources = "", []
        async for event in self.stream(request):
            match event:
                case TextDelta(piece):
                    text += piece
                case SourceFound(source):
                    sources.append(source)
                case End(state=state, usage=Usage() as usage, covered=covered):
                    return ChatReply(text=text, end=state, usage=usage, sources=tuple(sources), covered=covered)
        raise AIError(AIErrorKind.UPSTREAM, "the reply has no end")

    async def stream(self, request: ChatRequest) -> AsyncIterator[StreamEvent]:
        """Yield the reply piece by piece, each source before its quotation.

        Raises:
            AIError: unknown model or no question (INVALID), the search took too long (TIMEOUT), or the knowledge base failed (UPSTREAM).
        """
        if request.model != MODEL:
            raise AIError(AIErrorKind.INVALID, f"there is no model {request.model[:80]!r}")
        questions = [message.content for message in request.messages if message.role == "user"]
        if not questions:
            raise AIError(AIErrorKind.INVALID, "there is no question")
        try:
            async with asyncio.timeout(request.timeout):
                asked = await self._run_sync(self._take_apart, request, questions)
                answer = await self._answer(asked)
        except TimeoutError as error:
            raise AIError(AIErrorKind.TIMEOUT, "the search took too long") from error
        except HubError as error:
            raise AIError(AIErrorKind.UPSTREAM, f"the knowledge base failed ({error.code})", retry_after=error.retry_after) from error
        written, state = 0, EndState.FINISHED
        for piece in answer.pieces:
            if isinstance(piece, Source):
                size = _tokens(piece.quote)
                if request.max_output_tokens is not None and written + size > request.max_output_tokens:
                    state = EndState.LENGTH
                    break
                yield SourceFound(piece)
                continue
            written += _tokens(piece)
            yield TextDelta(piece)
            await asyncio.sleep(0)  # let the reader see each sentence as it comes
        usage = Usage(input_tokens=asked.tokens, output_tokens=written, origin="estimated")
        yield End(state=state, usage=usage, covered=answer.covered)

    async def embed(self, model: str, texts: Sequence[str], *, timeout: float = 30.0) -> EmbeddingReply:  # noqa: ARG002 - the contract's shape
        """Refuse: there is no embedding model."""
        raise AIError(AIErrorKind.INVALID, f"{self.name} makes no embeddings")

    async def image(self, model: str, prompt: str, *, width: int, height: int, timeout: float = 120.0) -> MediaReply:
        """Return a pattern as PNG, the same for the same prompt and size.

        Raises:
            AIError: another model, no prompt, or a side outside of 16 to 2,048 pixels (INVALID); not done in time (TIMEOUT).
        """
        if model != PATTERN:
            raise AIError(AIErrorKind.INVALID, f"there is no model {model[:80]!r} for pictures")
        least, most = SIDES
        if not prompt.strip() or not (least <= width <= most and least <= height <= most):
            raise AIError(AIErrorKind.INVALID, f"patterns need a prompt, and sides of {least} to {most} pixels")
        try:
            async with asyncio.timeout(timeout):
                content = await self._run_sync(paint, prompt, width, height)
        except TimeoutError as error:
            raise AIError(AIErrorKind.TIMEOUT, "the pattern was not painted in time") from error
        return MediaReply(content=content, content_type="image/png", synthetic="a pattern computed from the prompt's words; no model made it")

    async def speak(self, model: str, text: str, *, voice: str = "", timeout: float = 120.0) -> MediaReply:  # noqa: ARG002 - the contract's shape
        """Refuse: there is no voice."""
        raise AIError(AIErrorKind.INVALID, f"{self.name} does not speak")

    def _take_apart(self, request: ChatRequest, questions: Sequence[str]) -> _Asked:
        question = _bounded(questions[-1])
        before = _bounded(questions[-2]) if len(questions) > 1 else ""
        stems = self._subject(question)
        tokens = sum(_tokens(message.content) for message in request.messages)
        if len(stems) >= SHORT_QUESTION or not before or (stems and is_small_talk(list(stems.values()))):
            return _Asked(stems, (), question, tokens)
        earlier = self._subject(before)
        if not stems:  # "and why?" asks about what was asked before
            return _Asked(earlier, (), before, tokens)
        return _Asked(stems, tuple(earlier), f"{question} {before}", tokens)

    def _subject(self, text: str) -> dict[str, str]:
        return subject(self._knowledge.analyser, self._config.languages, text)

    async def _answer(self, asked: _Asked) -> _Answer:
        if is_small_talk(list(asked.stems.values())):
            return _Answer([_introduction(await self._knowledge.describe())], covered=True)
        passages = await self._knowledge.search(asked.query, self._config.passages)
        weights = await self._knowledge.weights([*asked.stems, *asked.context])
        finding: Finding = await self._run_sync(
            lambda: pick_quotes(list(asked.stems), passages, weights, self._knowledge.analyser, most=self._config.max_quotes, context=asked.context)
        )
        if not finding.quotes or finding.coverage < self._config.min_coverage:
            return _Answer([_refusal(await self._knowledge.describe())], covered=False)
        pieces: list[Piece] = []
        for quote in finding.quotes:
            pieces += [_source(quote), _block(quote)]
        return _Answer([*pieces, METHOD], covered=True)


def _bounded(question: str) -> str:
    """Return the question, cut behind a word when it is very long: half a word would count as one that nothing covers."""
    return question if len(question) <= MAX_QUESTION else question[:MAX_QUESTION].rpartition(" ")[0] or question[:MAX_QUESTION]


def _source(quote: Quote) -> Source:
    passage = quote.passage
    return Source(id=passage.document_id, title=passage.title, url=passage.url, quote=quote.text)


def _block(quote: Quote) -> str:
    """Return the quotation as a Markdown blockquote with the link to its place."""
    passage = quote.passage
    label = " / ".join(passage.headings) or passage.title
    return f"> {quote.text}\n>\n> — [{label.replace('[', '(').replace(']', ')')}]({passage.url})\n\n"


def _introduction(found: Description) -> str:
    return (
        f"Ask me about what is written in {_folders(found)} ({found.documents} documents). I search there and quote the sentences that answer. "
        "I am no language model: I cannot chat freely, and I do not make anything up."
    )


def _refusal(found: Description) -> str:
    searched = f"I searched {found.documents} documents ({found.passages} sections) in {_folders(found)}."
    return f"Nothing here covers that. {searched} I only quote what is written there; I am no language model."


def _folders(found: Description) -> str:
    return ", ".join(f"“{folder.name}”" for folder in found.folders if not folder.problem) or "no folder"


def _tokens(text: str) -> int:
    """Estimate tokens: four bytes each, a common rule of thumb for English."""
    return (len(text.encode(errors="replace")) + 3) // 4
