"""The measures: values worked by hand, and those of trec_eval from rankings with names."""

from __future__ import annotations

import ir_measures
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import AP, RR, P, R, Success

from bovw.evaluation.metrics import (
    attainable,
    f1,
    measured,
    ns_score,
    ranks_of,
    revisitop_ap,
    revisitop_precision,
)


def values(ranking: list[str], relevant: set[str]) -> dict[str, float]:
    return measured({"q": ranking}, {"q": relevant})["q"]


def test_values_worked_by_hand() -> None:
    # relevant a, b, c; found at ranks 1 and 4, c not at all
    found = values(["a", "x", "y", "b", "z"], {"a", "b", "c"})
    assert found["AP"] == pytest.approx((1 / 1 + 2 / 4) / 3)
    assert found["RR"] == 1 and found["Success@1"] == 1
    assert [found[f"R@{k}"] for k in (1, 3, 5, 10, 100)] == pytest.approx(
        [1 / 3, 1 / 3, 2 / 3, 2 / 3, 2 / 3]
    )
    assert [found[f"P@{k}"] for k in (1, 3, 5, 10)] == pytest.approx([1, 1 / 3, 2 / 5, 2 / 10])
    assert [found[f"F1@{k}"] for k in (1, 3, 5)] == pytest.approx(
        [1 / 2, 1 / 3, 2 * (2 / 5) * (2 / 3) / (2 / 5 + 2 / 3)]
    )


@pytest.mark.parametrize("relevant", [1, 2, 4, 150])
def test_what_a_perfect_ranking_has_is_what_can_be_had(relevant: int) -> None:
    right = [f"r{number}" for number in range(relevant)]
    found = values([*right, *(f"x{number}" for number in range(200))], set(right))
    perfect = {name: value for name, value in found.items() if "(revisitop)" not in name}
    assert perfect == pytest.approx({name: attainable(name, relevant) for name in perfect})
    assert attainable("P@3", 1) == pytest.approx(1 / 3)


def test_average_precision_at_100_is_over_all_relevant_images() -> None:
    relevant = {f"r{number}" for number in range(150)}
    ranking = ["x", *sorted(relevant)]
    precisions = [found / (found + 1) for found in range(1, 151)]
    found = values(ranking, relevant)
    assert found["AP@100"] == pytest.approx(sum(precisions[:99]) / 150)
    assert found["AP"] == pytest.approx(sum(precisions) / 150)


def test_the_two_average_precisions_differ() -> None:
    found = values(["x", "a"], {"a"})
    assert (found["AP"], found["AP(revisitop)"]) == (0.5, 0.25)
    assert values(["a", "b"], {"a", "b"})["AP(revisitop)"] == 1


def test_revisitop_by_hand() -> None:
    # hits at ranks 2 and 3 of 2: trapezia (0/1 + 1/2) / 2 and (1/2 + 2/3) / 2, each half as wide as
    # the whole
    assert revisitop_ap([2, 3], 2) == pytest.approx(((0 + 1 / 2) / 2 + (1 / 2 + 2 / 3) / 2) / 2)
    # precision among the first 10, but no further than the last hit at rank 3
    assert revisitop_precision([2, 3], 10) == pytest.approx(2 / 3)
    assert revisitop_precision([2, 3], 1) == 0
    assert revisitop_precision([], 5) == 0 and revisitop_ap([], 3) == 0


def test_ns_score_counts_the_query_among_the_first_four() -> None:
    views = {"a", "b", "c", "query"}
    assert ns_score(["query", "a", "x", "b", "c"], views) == 3
    assert ns_score(["query", "a", "b", "c"], views) == 4
    assert ns_score([], views) == 0


def test_f1_of_nothing_is_nothing() -> None:
    assert f1(0, 0) == 0 and f1(1, 0.5) == pytest.approx(2 / 3)


def test_queries_without_answers_and_without_rankings() -> None:
    found = measured({"negative": ["x"]}, {"negative": set(), "silent": {"a"}})
    assert set(found) == {"silent"}
    assert set(found["silent"].values()) == {0.0}


@pytest.mark.slow
@given(
    st.permutations([f"image {number}" for number in range(12)]),
    st.sets(st.integers(0, 14), min_size=1),
)
def test_the_same_as_trec_eval_and_as_the_definition(ranking: list[str], numbers: set[int]) -> None:
    relevant = {f"image {number}" for number in numbers}
    found = values(list(ranking), relevant)
    run = {"q": {image: 100.0 - rank for rank, image in enumerate(ranking)}}
    qrels = {"q": dict.fromkeys(relevant, 1)}
    for metric in ir_measures.iter_calc([AP, AP @ 100, RR, Success @ 1, R @ 3, P @ 5], qrels, run):
        assert found[str(metric.measure)] == pytest.approx(metric.value)
    hits = ranks_of(ranking, relevant)
    assert found["AP"] == pytest.approx(
        sum(n / rank for n, rank in enumerate(hits, 1)) / len(relevant)
    )
    assert 0 <= found["AP(revisitop)"] <= found["AP"] + 1e-12
