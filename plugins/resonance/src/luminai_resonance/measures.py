"""Published measures of text, each with its source. None means: too short to say."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from luminai import PastMessage
from luminai_resonance.text import FUNCTION_WORDS, content_words, sentences, words

MIN_WORDS: Final = 50
MIN_FUNCTION_SHARE: Final = 0.25
"""English conversation has 0.4 to 0.6 of its words in these classes, Dutch about 0.2, German 0.1, other scripts none."""
WINDOW: Final = 50
HALF_LIFE_SECONDS: Final = 600.0
LOOK_BACK: Final = 6


def lexical_diversity(text: str) -> float | None:
    """Return the moving-average type-token ratio, 0..1, over windows of 50 words.

    MATTR: Covington & McFall 2010, Cutting the Gordian Knot.
    """
    found = words(text)
    if len(found) < MIN_WORDS:
        return None
    window, kinds, total = Counter(found[:WINDOW]), 0, 0.0
    kinds = len(window)
    total = kinds / WINDOW
    for position in range(WINDOW, len(found)):
        leaving, coming = found[position - WINDOW], found[position]
        window[leaving] -= 1
        kinds -= window[leaving] == 0
        kinds += window[coming] == 0
        window[coming] += 1
        total += kinds / WINDOW
    return total / (len(found) - WINDOW + 1)


def local_coherence(text: str) -> float | None:
    """Return the mean cosine of the content words of neighbouring sentences, 0..1; None below three sentences.

    Foltz, Kintsch & Landauer 1998, The measurement of textual coherence, on word vectors without reduction; Hearst 1997.
    """
    vectors = [Counter(content_words(sentence)) for sentence in sentences(text)]
    vectors = [vector for vector in vectors if vector]
    if len(vectors) < 3:
        return None
    pairs = [_cosine(left, right) for left, right in pairwise(vectors)]
    return sum(pairs) / len(pairs)


def style_matching(one: str, other: str) -> float | None:
    """Return language style matching, 0..1: the mean over function-word classes of 1 - |a - b| / (a + b + 0.0001).

    Gonzales, Hancock & Pennebaker 2010; Ireland & Pennebaker 2010. English word lists. None when either text has below 50 words, or
    below a quarter of words in these classes: it is then no English prose, and classes missing on both sides would pass for a perfect match.
    """
    first, second = words(one), words(other)
    if min(len(first), len(second)) < MIN_WORDS:
        return None
    if min(_function_share(first), _function_share(second)) < MIN_FUNCTION_SHARE:
        return None
    scores = []
    for kind in FUNCTION_WORDS.values():
        a = sum(word in kind for word in first) / len(first)
        b = sum(word in kind for word in second) / len(second)
        scores.append(1 - abs(a - b) / (a + b + 0.0001))
    return sum(scores) / len(scores)


def recency_similarity(message: str, history: Sequence[PastMessage]) -> float | None:
    """Return how much the message takes up the last six utterances, 0..1: cosine of content words, halved in weight every ten minutes of age.

    Recency times relevance: Park et al. 2023, Generative Agents. None without history or without content words.
    """
    asked = Counter(content_words(message))
    if not asked or not history:
        return None
    weights = total = 0.0
    for past in history[-LOOK_BACK:]:
        weight = 0.5 ** (max(0.0, past.age) / HALF_LIFE_SECONDS)
        weights += weight
        total += weight * _cosine(asked, Counter(content_words(past.text)))
    return total / weights if weights else 0.0


def entrainment(message: str, reply: str) -> float | None:
    """Return the share of the message's content words that the reply takes up, 0..1.

    Lexical entrainment: Brennan & Clark 1996; Nenkova, Gravano & Hirschberg 2008. None when either has no content words.
    """
    asked, answered = set(content_words(message)), set(content_words(reply))
    return len(asked & answered) / len(asked) if asked and answered else None


def novelty(message: str, history: Sequence[PastMessage]) -> float | None:
    """Return the normalised compression distance between the message and what was said before, 0..1 (1: nothing shared).

    NCD with zlib: Cilibrasi & Vitányi 2005, Clustering by compression. None when the message has below 50 words or there is no history.
    """
    before = " ".join(past.text for past in history[-LOOK_BACK:])[:20_000]
    if not before or len(words(message)) < MIN_WORDS:
        return None
    x, y = _compressed(message), _compressed(before)
    both = _compressed(f"{before} {message}")
    return min(1.0, max(0.0, (both - min(x, y)) / max(x, y)))


def _function_share(found: Sequence[str]) -> float:
    return sum(word in kind for word in found for kind in FUNCTION_WORDS.values()) / len(found)


def _compressed(text: str) -> int:
    return len(zlib.compress(text.encode(errors="surrogatepass")))  # half an emoji, cut by a client, is odd text and no error


def _cosine(left: Counter[str], right: Counter[str]) -> float:
    shared = sum(count * right[word] for word, count in left.items())
    if not shared:
        return 0.0
    return shared / math.sqrt(sum(count**2 for count in left.values()) * sum(count**2 for count in right.values()))
