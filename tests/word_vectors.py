"""A plugin with texts of owners to be embedded, and a model that counts six words in them."""

from __future__ import annotations

from luminai import AIError, AIErrorKind, EmbeddingReply, Model, Usage
from luminai.testing import ScriptedProvider

NOTES = """
from luminai import Extension, hookimpl
from luminai_vectors import SOURCE_POINT, Text

KEPT = {}


class Notes:
    collection = "notes"

    async def texts(self):
        for (owner, one), text in sorted(KEPT.items()):
            yield Text(owner=owner, id=one, text=text)

    async def held(self, owner, ids):
        return {one for one in ids if (owner, one) in KEPT}


class Plugin:
    @hookimpl
    def extensions(self, ctx):
        return [Extension(SOURCE_POINT, Notes())]
"""
WORDS = ("cat", "dog", "ship", "moon", "bread", "rain")


class WordModel(ScriptedProvider):
    """Embeds a text as how often it has each of six words: small, and each number means something."""

    def __init__(self, name: str, extra: int = 0) -> None:
        super().__init__(name=name)
        self.embedded: list[str] = []
        self.failure: AIError | None = None
        self._extra = extra

    def models(self):
        return [Model(id="words", kinds=frozenset({"embedding"}))]

    async def embed(self, model, texts, *, timeout=30.0):
        if self.failure is not None:
            raise self.failure
        if model != "words":
            raise AIError(AIErrorKind.INVALID, "no such model")
        self.embedded += texts
        vectors = tuple((0.1, *(float(text.count(word)) for word in WORDS), *([0.1] * self._extra)) for text in texts)
        return EmbeddingReply(vectors, Usage(input_tokens=len(texts), output_tokens=0, origin="estimated"))
