"""Words, stems and sentences: the one analysis that indexing, searching and quoting share, so that they agree on every database."""

from __future__ import annotations

import re
import threading
import unicodedata
from functools import lru_cache
from typing import Final

import snowballstemmer  # ships no types

MAX_STEM: Final = 64
_WORD: Final = re.compile(r"[^\W_]+")
_UNSPACED: Final = re.compile(r"[\u3040-\u309f]+|[\u30a0-\u30ff]+|[\u3400-\u4dbf\u4e00-\u9fff]+|[\uac00-\ud7af]+")
_SENTENCE_END: Final = re.compile(r"(?:[.!?…]+[\"'\u201d\u2019»)\]]*(?=\s)|[\u3002\uff01\uff1f]+[\u300d\u300f\u201d]*)")
_ABBREVIATION: Final = re.compile(r"(?:^|[\s(\[\"'«])(?:[A-Za-z]|e\.g|i\.e|etc|cf|vs|Dr|Mr|Mrs|Ms|Prof|St|No|Fig|approx|z\.B|d\.h|p\.ex)\.$")
_threads: Final = threading.local()


def _stemmer(language: str) -> snowballstemmer.stemmer:
    """Return this thread's stemmer: stemmer objects keep the word that they work on."""
    known: dict[str, snowballstemmer.stemmer] = _threads.__dict__.setdefault("stemmers", {})
    if language not in known:
        known[language] = snowballstemmer.stemmer(language)
    return known[language]


@lru_cache(maxsize=65_536)
def _stem(word: str, language: str) -> str:
    """Return the stem without accents, which questions often leave out. Pure-Python stemming takes most of an analysis, hence the cache."""
    if not word.isascii():
        word = "".join(part for part in unicodedata.normalize("NFKD", word) if not unicodedata.combining(part))
    stem: str = _stemmer(language).stemWord("".join(_WORD.findall(word)))
    return stem[:MAX_STEM]


class Analyser:
    """Turns text into stems.

    Args:
        language: Name of a Snowball algorithm, e.g. ``english`` (Porter, "Snowball", 2001).
    """

    def __init__(self, language: str = "english") -> None:
        self.language = language

    def words(self, text: str) -> list[str]:
        """Return the words in lower case; Chinese, Japanese and Korean give pairs of characters."""
        if text.isascii():
            return _WORD.findall(text.lower())
        words: list[str] = []
        for word in _WORD.findall(unicodedata.normalize("NFC", text).casefold()):
            if not _UNSPACED.search(word):
                words.append(word)
                continue
            rest = 0
            for run in _UNSPACED.finditer(word):
                words += [word[rest : run.start()]] if run.start() > rest else []
                words += [run[0][at : at + 2] for at in range(max(1, len(run[0]) - 1))]
                rest = run.end()
            words += [word[rest:]] if rest < len(word) else []
        return words

    def stem(self, word: str) -> str:
        """Return the stem of one of ``words``, without accents, at most 64 characters; may be empty for exotic signs."""
        return _stem(word[: 2 * MAX_STEM], self.language)

    def stems(self, text: str) -> list[str]:
        """Return the stems of all words in order."""
        return [stem for word in self.words(text) if (stem := self.stem(word))]


def sentences(text: str) -> list[str]:
    """Return the sentences of ``text``, each exactly as it stands there. A sentence never crosses an empty line."""
    found: list[str] = []
    for block in text.split("\n\n"):
        start = 0
        for end in _SENTENCE_END.finditer(block):
            piece = block[start : end.end()]
            following = block[end.end() :].lstrip()[:1]
            if _ABBREVIATION.search(piece[-12:]) or following.islower():
                continue
            found.append(piece.strip())
            start = end.end()
        found.append(block[start:].strip())
    return [sentence for sentence in found if sentence]
