"""Words and sentences, the same way for every measure."""

from __future__ import annotations

import re
from typing import Final

_WORD: Final = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_SENTENCE: Final = re.compile(r"[^.!?。！？\n]+[.!?。！？]*")
MAX_CHARACTERS: Final = 20_000
"""Longer text is measured by its beginning: a bound on work, far above a chat message."""

FUNCTION_WORDS: Final[dict[str, frozenset[str]]] = {
    "pronouns": frozenset(
        [
            "i",
            "me",
            "my",
            "mine",
            "you",
            "your",
            "yours",
            "he",
            "him",
            "his",
            "she",
            "her",
            "hers",
            "it",
            "its",
            "we",
            "us",
            "our",
            "ours",
            "they",
            "them",
            "their",
            "theirs",
        ]
    ),
    "articles": frozenset(["a", "an", "the"]),
    "prepositions": frozenset(
        [
            "of",
            "in",
            "to",
            "for",
            "with",
            "on",
            "at",
            "from",
            "by",
            "about",
            "as",
            "into",
            "like",
            "through",
            "after",
            "over",
            "between",
            "out",
            "against",
            "during",
            "without",
        ]
    ),
    "auxiliaries": frozenset(
        [
            "am",
            "is",
            "are",
            "was",
            "were",
            "be",
            "been",
            "being",
            "have",
            "has",
            "had",
            "do",
            "does",
            "did",
            "will",
            "would",
            "shall",
            "should",
            "can",
            "could",
            "may",
            "might",
            "must",
        ]
    ),
    "adverbs": frozenset(["very", "really", "just", "so", "too", "also", "only", "even", "still", "here", "there", "now", "then", "when", "how"]),
    "conjunctions": frozenset(["and", "but", "or", "nor", "yet", "because", "although", "while", "if", "unless", "since", "whereas", "whether"]),
    "negations": frozenset(
        ["no", "not", "never", "none", "nobody", "nothing", "neither", "nowhere", "cannot", "don't", "doesn't", "didn't", "isn't", "aren't", "won't"]
    ),
    "quantifiers": frozenset(["all", "some", "any", "many", "much", "few", "more", "most", "less", "least", "several", "every", "each", "both"]),
}
"""Function-word classes of language style matching (Ireland & Pennebaker 2010), English."""

STOPWORDS: Final = frozenset().union(*FUNCTION_WORDS.values()) | frozenset(
    ["that", "this", "these", "those", "what", "which", "who", "whom", "whose", "why", "where"]
)


def words(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return [word.lower() for word in _WORD.findall(text[:MAX_CHARACTERS])]


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, without empty ones."""
    return [found.strip() for found in _SENTENCE.findall(text[:MAX_CHARACTERS]) if _WORD.search(found)]


def content_words(text: str) -> list[str]:
    """Return the words that carry meaning."""
    return [word for word in words(text) if word not in STOPWORDS]
