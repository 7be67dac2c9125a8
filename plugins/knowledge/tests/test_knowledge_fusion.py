"""One ranking of several, by its definition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luminai_knowledge.fusion import reciprocal_ranks

rankings = st.lists(st.lists(st.integers(0, 20), unique=True, max_size=12), max_size=4)


@given(rankings)
def test_reciprocal_ranks__any_rankings__sums_of_their_definition_best_first(given_rankings):
    fused = reciprocal_ranks(given_rankings)
    assert {one for one, _ in fused} == {one for ranking in given_rankings for one in ranking}
    for one, score in fused:
        assert score == pytest.approx(sum(1 / (60 + ranking.index(one) + 1) for ranking in given_rankings if one in ranking))
    assert [score for _, score in fused] == sorted((score for _, score in fused), reverse=True)


@given(st.lists(st.integers(), unique=True, max_size=12))
def test_reciprocal_ranks__one_ranking_or_two_alike__keep_its_order(ranking):
    assert [one for one, _ in reciprocal_ranks([ranking])] == ranking
    assert [one for one, _ in reciprocal_ranks([ranking, ranking])] == ranking


def test_reciprocal_ranks__second_in_both__goes_before_first_in_one():
    assert [one for one, _ in reciprocal_ranks([["a", "b"], ["c", "b"]])] == ["b", "a", "c"]
