"""Which sentences of which passages answer a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from luminai_knowledge import Analyser, Passage, sentences

MAX_QUOTE: Final = 600
HEADING_SHARE: Final = 0.5
ASKING_SHARE: Final = 0.3
"""A sentence that asks does not answer, however well its words fit."""
SUBJECT_BONUS: Final = 1.5
"""A page whose whole title is asked about is the place to quote from."""
_DEFINING: Final = frozenset({"is", "are", "mean"})


class Quote(Struct, frozen=True):
    """A sentence, word for word, with the passage it stands in."""

    text: str
    passage: Passage


class Finding(Struct, frozen=True):
    """What was found: quotations, and the share of the question's stems that they and their headings hold."""

    quotes: tuple[Quote, ...] = ()
    coverage: float = 0.0


class _Candidate(Struct, frozen=True):
    quote: Quote
    own: frozenset[str]
    above: frozenset[str]
    subject: frozenset[str]
    shape: float


def pick_quotes(
    asked: Sequence[str], passages: Sequence[Passage], weights: Mapping[str, float], analyser: Analyser, *, most: int, context: Sequence[str] = ()
) -> Finding:
    """Return the sentences that hold most of the question's weight.

    A stem weighs by its rarity in the knowledge base (inverse document frequency, Spärck Jones 1972); one that is covered already counts half for
    the next quotation (after maximal marginal relevance, Carbonell & Goldstein 1998), so that one thing is not said twice.

    Args:
        asked: Stems that the answer must cover.
        weights: Inverse document frequency of stems; those that occur nowhere are missing.
        most: Quotations at most.
        context: Stems of the question before, which only steer: they count a quarter and not for the coverage.
    """
    wanted = {stem: weights.get(stem, 0.0) for stem in asked}
    steering = {stem: weights.get(stem, 0.0) / 4 for stem in context if stem not in wanted}
    rest = _candidates(passages, analyser)
    chosen: list[Quote] = []
    covered: set[str] = set()
    while rest and len(chosen) < most:
        best = max(rest, key=lambda one: _score(one, wanted | steering, covered))
        if _score(best, wanted | steering, covered) <= 0 or (chosen and not (best.own & wanted.keys()) - covered and not _strong(best, wanted)):
            break
        chosen.append(best.quote)
        covered |= (best.own | best.above) & wanted.keys()
        rest.remove(best)
    return Finding(tuple(chosen), len(covered) / len(wanted) if wanted else 0.0)


def _candidates(passages: Sequence[Passage], analyser: Analyser) -> list[_Candidate]:
    """Return each sentence once, whatever the number of pages that repeat it."""
    found: dict[str, _Candidate] = {}
    for passage in passages:
        subject = frozenset(analyser.stems(passage.title))
        above = subject | frozenset(analyser.stems(" ".join(passage.headings)))
        for sentence in sentences(passage.text):
            same = " ".join(analyser.words(sentence))
            if not same or same in found:
                continue
            text = sentence if len(sentence) <= MAX_QUOTE else sentence[:MAX_QUOTE].rpartition(" ")[0] or sentence[:MAX_QUOTE]
            own = frozenset(analyser.stems(text))
            shape = (1.0 if len(own) >= 5 else 0.5) * (1.35 if len(own) >= 6 and own & _DEFINING else 1.0)
            shape *= ASKING_SHARE if "?" in text else 1.0
            found[same] = _Candidate(Quote(text, passage), own, above - own, subject, shape)
    return list(found.values())


def _score(candidate: _Candidate, wanted: Mapping[str, float], covered: set[str]) -> float:
    """Return the weight of the wanted stems in the sentence, those in its headings at half; fragments count half, defining
    sentences a third more, sentences on a page about just that half more."""

    def weight(stems: frozenset[str]) -> float:
        return sum(wanted[stem] * (0.5 if stem in covered else 1.0) for stem in sorted(stems & wanted.keys()))

    own = weight(candidate.own)
    bonus = SUBJECT_BONUS if candidate.subject and candidate.subject <= wanted.keys() else 1.0
    return (own + HEADING_SHARE * weight(candidate.above)) * candidate.shape * bonus if own else 0.0


def _strong(candidate: _Candidate, wanted: Mapping[str, float]) -> bool:
    """Tell whether a sentence that adds no new stem still holds at least half of the question's weight."""
    return 2 * sum(wanted[stem] for stem in candidate.own & wanted.keys()) >= sum(wanted.values())
