"""How sure a mean is, and whether two means differ: resampling over groups of queries.

Queries made of one picture, or that seek the same, succeed and fail together; so groups are drawn,
not queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ParameterError

__all__ = [
    "LEVEL",
    "PERMUTATIONS",
    "Estimate",
    "PairedTest",
    "difference",
    "estimate",
    "holm",
    "paired_test",
    "permutation_p",
]

# All of them are in memory at a time.
MOST_RESAMPLES = 100_000

LEVEL = 0.95
# Fewer groups than this resemble one another by chance too often for a bootstrap.
FEW = 5
PERMUTATIONS = 9999
# Permutations that are drawn together: all at once would take gigabytes with many groups.
BLOCK = 500


@dataclass(frozen=True)
class Estimate:
    """A mean over queries with its 95 % interval; low and high are None where there are too few
    groups to tell.
    """

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class PairedTest:
    """Two means over the same queries.

    Attributes:
        first, second: the means.
        difference: second less first, with its 95 % interval.
        p: how often chance alone makes so large a difference (permutation test, two-sided).
        queries: how many.
    """

    first: float
    second: float
    difference: Estimate
    p: float
    queries: int


def estimate(
    values: Sequence[float],
    groups: Sequence[str],
    *,
    resamples: int = 1000,
    seed: int = 0,
    low: float = 0.0,
    high: float = 1.0,
) -> Estimate:
    """The mean of values with its interval: the percentile bootstrap over groups (Efron 1979;
    groups as clusters).

    Where all values are the same, every resample says the same, however few there are. Then what
    has not been seen yet is bounded as in as many trials as there are groups (Clopper and Pearson
    1934): other values, between `low` and `high`, may come in a share of up to 1 - 0.025^(1 /
    groups). Fewer than 5 groups with different values give no interval.

    Args:
        values: one a query.
        groups: the group of each.
        resamples: more make the interval steadier, not narrower.
        low, high: between which values may lie.

    Raises:
        ParameterError: there are no values, or fewer than 1 resample.
    """
    if not len(values):
        raise ParameterError("values: there are none; at least 1 is needed")
    if not 1 <= resamples <= MOST_RESAMPLES:
        raise ParameterError(
            f"resamples: {resamples} is outside 1..{MOST_RESAMPLES:,}: more would not fit in memory"
        )
    mean = float(np.mean(values))
    sums, counts = clusters(values, groups)
    if len(set(values)) == 1:
        unseen = 1 - ((1 - LEVEL) / 2) ** (1 / len(sums))
        return Estimate(
            mean, mean + float(unseen) * (low - mean), mean + float(unseen) * (high - mean)
        )
    if len(sums) < FEW:
        return Estimate(mean, None, None)
    draws = np.random.default_rng(seed).multinomial(
        len(sums), np.full(len(sums), 1 / len(sums)), size=resamples
    )
    means = (draws @ sums) / (draws @ counts)
    lowest, highest = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(mean, float(lowest), float(highest))


def paired_test(
    first: Sequence[float],
    second: Sequence[float],
    groups: Sequence[str],
    *,
    resamples: int = 1000,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> PairedTest:
    """Compare two systems on the same queries: which is better (see `difference`), and whether that
    means anything (see `permutation_p`).

    Args:
        first, second: values of the same queries.
        groups: the group of each query.

    Raises:
        ParameterError: there are no values, or not as many of each.
    """
    gap = difference(first, second, groups, resamples=resamples, seed=seed)
    p = permutation_p(first, second, groups, permutations=permutations, seed=seed)
    return PairedTest(float(np.mean(first)), float(np.mean(second)), gap, p, len(groups))


def difference(
    first: Sequence[float],
    second: Sequence[float],
    groups: Sequence[str],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """The mean difference, second less first, of two systems on the same queries, with its
    interval: a bootstrap of the differences.

    Where the two never differ, the interval is that of `estimate` for as many trials as there are
    queries: a change that hits one query of a group need not hit all of it. Raises ParameterError
    as `paired_test`.
    """
    differences = differences_of(first, second, groups)
    each = groups if any(differences) else [str(number) for number in range(len(groups))]
    return estimate(differences, each, resamples=resamples, seed=seed, low=-1.0, high=1.0)


def permutation_p(
    first: Sequence[float],
    second: Sequence[float],
    groups: Sequence[str],
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> float:
    """How often chance alone makes two systems differ so much on the same queries: the p value of a
    permutation test, two-sided.

    The sign of the differences of each group is flipped at random, since without a true difference
    either system might have had either value (Fisher's randomization; Smucker, Allan and
    Carterette, CIKM 2007). Raises ParameterError as `paired_test`.
    """
    sums, _ = clusters(differences_of(first, second, groups), groups)
    rng, as_large = np.random.default_rng(seed), 0
    for done in range(0, permutations, BLOCK):
        signs = rng.integers(0, 2, (min(BLOCK, permutations - done), len(sums))) * 2 - 1
        # a sum of the same numbers in another order may differ in its last bits
        as_large += int((np.abs(signs @ sums) >= abs(sums.sum()) - 1e-9).sum())
    return (1 + as_large) / (1 + permutations)


def differences_of(
    first: Sequence[float], second: Sequence[float], groups: Sequence[str]
) -> list[float]:
    """Second less first, query by query."""
    if not len(first) == len(second) == len(groups):
        raise ParameterError(f"values: {len(first)} and {len(second)} of {len(groups)} queries")
    return [float(other - one) for one, other in zip(first, second, strict=True)]


def holm(ps: Sequence[float]) -> list[float]:
    """What the smallest of several p values are worth, as many of them give chance many occasions
    (Holm 1979).
    """
    order = np.argsort(ps, kind="stable")
    raised = np.maximum.accumulate(np.array(ps)[order] * np.arange(len(ps), 0, -1)).clip(max=1.0)
    result = np.empty(len(ps))
    result[order] = raised
    return [float(p) for p in result]


def clusters(
    values: Sequence[float], groups: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The sum of the values of each group, and how many they are."""
    _, number = np.unique(np.asarray(groups, object).astype(str), return_inverse=True)
    return np.bincount(number, np.asarray(values, np.float64)).astype(np.float64), np.bincount(
        number
    ).astype(np.float64)
