"""One ranking of several."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Final, TypeVar

T = TypeVar("T", bound=Hashable)
K: Final = 60
"""Softens the lead of the first places; 60 is the authors' own choice."""


def reciprocal_ranks(rankings: Iterable[Sequence[T]]) -> list[tuple[T, float]]:
    """Return everything that stands in one of the rankings with the sum of 1 / (60 + its place) over them, best first; equal sums in the order of the
    rankings (Cormack, Clarke & Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods", SIGIR 2009).
    """
    scores: dict[T, float] = {}
    for ranking in rankings:
        for place, one in enumerate(dict.fromkeys(ranking), start=1):
            scores[one] = scores.get(one, 0.0) + 1 / (K + place)
    return sorted(scores.items(), key=lambda item: -item[1])
