"""Intervals and comparisons: against SciPy, against full enumeration, and by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from bovw.errors import ParameterError
from bovw.evaluation.bootstrap import estimate, holm, paired_test


def test_the_interval_is_that_of_scipy() -> None:
    values = np.random.default_rng(3).random(60)
    ours = estimate(values.tolist(), [str(number) for number in range(60)], resamples=20_000)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", vectorized=True
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.004)
    assert ours.mean == pytest.approx(values.mean())


def test_queries_of_one_group_count_as_one() -> None:
    rng = np.random.default_rng(1)
    single = (rng.random(30) < 0.8).astype(float).tolist()
    groups = [str(number) for number in range(30)]
    repeated = estimate(
        [value for value in single for _ in range(10)],
        [group for group in groups for _ in range(10)],
    )
    assert (repeated.low, repeated.high) == pytest.approx(
        (estimate(single, groups).low, estimate(single, groups).high)
    )
    naive = estimate(
        [value for value in single for _ in range(10)], [str(number) for number in range(300)]
    )
    assert naive.low is not None and repeated.low is not None and naive.low > repeated.low + 0.05


def test_what_never_failed_is_not_sure() -> None:
    # Clopper-Pearson for 10 of 10: 0.025^(1/10) to 1
    low = scipy.stats.binomtest(10, 10).proportion_ci().low
    groups = [str(number) for number in range(10)]
    sure = estimate([1.0] * 10, groups)
    assert (sure.mean, sure.high) == (1, 1) and sure.low == pytest.approx(low)
    never = estimate([0.0] * 10, groups)
    assert (never.mean, never.low) == (0, 0) and never.high == pytest.approx(1 - low)
    fixed = estimate([0.5] * 10, groups)
    assert fixed.low == pytest.approx(0.5 * low) and fixed.high == pytest.approx(1 - 0.5 * low)


def test_a_few_groups_say_nothing() -> None:
    few = estimate([0.0, 1.0, 0.0, 1.0], ["a", "a", "b", "b"])
    assert (few.mean, few.low, few.high) == (0.5, None, None)
    alone = estimate([0.0, 1.0], ["a", "a"])
    assert (alone.mean, alone.low, alone.high) == (0.5, None, None)


def test_seeds_repeat() -> None:
    values, groups = (
        np.random.default_rng(0).random(30).tolist(),
        [str(number) for number in range(30)],
    )
    assert (
        estimate(values, groups, seed=1)
        == estimate(values, groups, seed=1)
        != estimate(values, groups, seed=2)
    )


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])),
        min_size=1,
        max_size=8,
    )
)
def test_p_is_that_of_all_permutations(values: list[tuple[float, float]]) -> None:
    first, second = zip(*values, strict=True)
    differences = np.subtract(second, first)
    sums = [abs(np.dot(signs, differences)) for signs in product((-1, 1), repeat=len(differences))]
    exact = float(np.mean(np.array(sums) >= abs(differences.sum()) - 1e-9))
    ours = paired_test(
        first, second, [str(number) for number in range(len(first))], permutations=4000
    )
    assert ours.p == pytest.approx(exact, abs=0.04)
    assert ours.difference.mean == pytest.approx(differences.mean())


def test_a_difference_within_one_group_means_nothing() -> None:
    many = [str(number) for number in range(40)]
    assert paired_test([0.0] * 40, [1.0] * 40, many).p < 0.001
    assert paired_test([0.0] * 40, [1.0] * 40, ["a"] * 40).p == 1
    alike = paired_test([1.0] * 40, [1.0] * 40, many)
    assert alike.p == 1 and alike.difference.mean == 0
    unseen = 1 - 0.025 ** (1 / 40)
    assert (alike.difference.low, alike.difference.high) == pytest.approx((-unseen, unseen))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_bad_input() -> None:
    with pytest.raises(ParameterError):
        estimate([], [])
    with pytest.raises(ParameterError):
        estimate([1.0], ["a"], resamples=0)
    with pytest.raises(ParameterError):
        paired_test([1.0], [1.0, 0.0], ["a", "b"])
