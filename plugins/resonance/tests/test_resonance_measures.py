"""The published measures on texts whose answer is known."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luminai import PastMessage
from luminai_resonance.measures import entrainment, lexical_diversity, local_coherence, novelty, recency_similarity, style_matching

WORDS = st.sampled_from(["the", "and", "I", "was", "so", "of", "light", "river", "stone", "never", "all"])
texts = st.lists(WORDS, min_size=1, max_size=200).map(" ".join)
DISTINCT = " ".join(a + b for a in "abcdefghij" for b in "klmnopqrst")  # 100 words, none twice
OTHER = " ".join(a + b for a in "uvwxyzabcd" for b in "uvwxyzefgh")
PROSE = "I was there and you were here, so we did not know what it was that they had said to us about the river. " * 3


def test_lexical_diversity__all_words_differ__is_one():
    assert lexical_diversity(DISTINCT) == 1.0


def test_lexical_diversity__one_word_repeated__is_one_in_the_window():
    assert lexical_diversity("stone " * 80) == pytest.approx(1 / 50)


def test_lexical_diversity__window_moves__counts_each_window():
    first = " ".join(DISTINCT.split()[:50])

    assert lexical_diversity(f"{first} {first.split()[-1]}") == pytest.approx((50 / 50 + 49 / 50) / 2)


@given(texts)
def test_lexical_diversity__any_text__equals_the_plain_definition(text):
    found = [word.lower() for word in text.split()]
    windows = [found[start : start + 50] for start in range(len(found) - 49)]
    expected = sum(len(set(window)) / 50 for window in windows) / len(windows) if windows else None

    assert lexical_diversity(text) == (expected if expected is None else pytest.approx(expected))


def test_local_coherence__same_sentence_thrice__is_one():
    assert local_coherence("Rivers carve stone. Rivers carve stone. Rivers carve stone.") == pytest.approx(1.0)


def test_local_coherence__nothing_shared__is_zero():
    assert local_coherence("Rivers carve stone. Birds sing loudly. Engines need fuel.") == 0.0


def test_style_matching__same_style__is_one():
    assert style_matching(PROSE, PROSE) == pytest.approx(1.0)


@given(texts, texts)
def test_style_matching__either_way_round__is_the_same_and_in_range(one, other):
    value = style_matching(one, other)

    assert value == style_matching(other, one)
    assert value is None or 0 <= value <= 1


@pytest.mark.parametrize(("one", "other"), [(DISTINCT, DISTINCT), (PROSE, DISTINCT), (DISTINCT, PROSE)])
def test_style_matching__no_function_words__says_nothing(one, other):
    assert style_matching(one, other) is None


def test_recency_similarity__older_half__weighs_half():
    history = [PastMessage("user", "river stone", 600.0), PastMessage("assistant", "engines fuel", 0.0)]

    assert recency_similarity("river stone", history) == pytest.approx(0.5 / 1.5)


def test_recency_similarity__further_back_than_six__counts_nothing():
    history = [PastMessage("user", "river stone")] + [PastMessage("assistant", "engines fuel")] * 6

    assert recency_similarity("river stone", history) == 0.0


def test_entrainment__reply_takes_up_one_of_two__is_half():
    assert entrainment("The river and the stone", "A river!") == 0.5


def test_novelty__said_before__is_less_than_something_new():
    history = [PastMessage("user", DISTINCT)]

    assert novelty(DISTINCT, history) < 0.3 < novelty(OTHER, history)


@pytest.mark.parametrize(
    "measured",
    [
        lexical_diversity("stone " * 49),
        local_coherence("Rivers carve stone. Birds sing."),
        style_matching("I am " * 24, "I am " * 100),
        recency_similarity("river", []),
        recency_similarity("the and of", [PastMessage("user", "river")]),
        entrainment("the", "river"),
        entrainment("river", ""),
        novelty(DISTINCT, []),
        novelty("stone " * 49, [PastMessage("user", "river")]),
    ],
)
def test_measure__too_short_to_say__says_nothing(measured):
    assert measured is None


@settings(deadline=None)
@given(st.text(st.characters(), max_size=400), st.lists(st.builds(PastMessage, st.just("user"), st.text(st.characters()), st.floats()), max_size=4))
def test_measures__any_text__stay_in_range(text, history):
    values = [
        lexical_diversity(text),
        local_coherence(text),
        recency_similarity(text, history),
        entrainment(text, text[::-1]),
        novelty(text * 20, history),
    ]

    assert all(value is None or 0 <= value <= 1 + 1e-9 for value in values)
