"""What a question is about: its stems without the words that only hold a sentence together."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from msgspec import Struct

from luminai_knowledge import Analyser

_PARTICLES: Final = re.compile(r"[\u3040-\u309f]+")
"""Hiragana alone: Japanese particles and endings."""


class _Words(Struct, frozen=True):
    greetings: frozenset[str]
    stopwords: dict[str, frozenset[str]]


@cache
def _words() -> _Words:
    table = tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))
    stopwords = {language: frozenset(words.split()) for language, words in table["stopwords"].items()}
    return _Words(frozenset(table["greetings"].split()), stopwords)


def subject(analyser: Analyser, languages: Sequence[str], text: str) -> dict[str, str]:
    """Return what ``text`` is about, each stem with its word, in order; single letters count only in scripts where they are words."""
    stopped = frozenset[str]().union(*(_words().stopwords[language] for language in languages))
    found: dict[str, str] = {}
    for word in analyser.words(text):
        if word in stopped or _PARTICLES.fullmatch(word) or (len(word) == 1 and word.isascii() and not word.isdigit()):
            continue
        stem = analyser.stem(word)
        if stem:
            found.setdefault(stem, word)
    return found


def is_small_talk(words: Sequence[str]) -> bool:
    """Tell whether nothing but greetings and thanks was said."""
    return all(word in _words().greetings for word in words)
