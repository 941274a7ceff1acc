"""How certain an agreement is: true ones are, random ones and patterns are not, and the number is
what its definition says.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp
from scipy.stats import binom

from bovw.geometry.certainty import CELL, FITTING, NEIGHBOUR, RADII, log_bound, log_false_alarms
from bovw.geometry.verification import GeometricFit, Matches, Tolerances, verify_candidates
from tests.helpers.matching import SIZE, complex_of, joined, matches_through, similarity
from tests.helpers.pictures import Matrix

AREA = SIZE * SIZE
TRUE = similarity(1.0, 0.4)


def bound(cells: int, matches: int, chance: float) -> float:
    return float(log_bound(np.array([cells]), np.array([matches]), np.array([chance]))[0])


@given(st.integers(3, 400), st.data(), st.floats(1e-4, 0.5))
def test_the_bound_is_above_the_exact_tail(
    matches: int, data: st.DataObject, chance: float
) -> None:
    cells = data.draw(st.integers(3, matches))
    tail = float(logsumexp(binom.logpmf(np.arange(cells - 2, matches - 1), matches - 2, chance)))
    choices = float(gammaln(matches + 1) - gammaln(3) - gammaln(matches - 1))
    assert min(0.0, tail + choices) - 1e-6 <= bound(cells, matches, chance) <= 0


@pytest.mark.slow
@given(st.integers(3, 300), st.floats(1e-4, 0.5))
def test_more_places_are_never_more_likely_by_chance(matches: int, chance: float) -> None:
    values = [bound(cells, matches, chance) for cells in range(matches + 1)]
    assert values[:3] == [0, 0, 0]
    assert all(later <= earlier for earlier, later in pairwise(values))


@pytest.mark.slow
@given(st.integers(3, 60), st.floats(1e-3, 0.2))
def test_the_same_places_among_more_matches_or_chance_tell_less(cells: int, chance: float) -> None:
    values = [bound(cells, matches, chance) for matches in range(cells, 4 * cells)]
    assert all(later >= earlier for earlier, later in pairwise(values))
    assert bound(cells, 2 * cells, chance) <= bound(cells, 2 * cells, 2 * chance)


def test_the_bound_by_hand() -> None:
    # five of five: two fix the transform in C(5, 2) = 10 ways, three agree by chance
    assert bound(5, 5, 0.01) == pytest.approx(np.log(10 * 0.01**3))
    assert bound(2, 2, 0.01) == 0


def places_of(points: NDArray[np.complex128]) -> int:
    return len({(z.real // CELL, z.imag // CELL) for z in points})


def plain(matches: Matches, number: int, fit: GeometricFit, area: float, images: int) -> float:
    """The definition, one candidate and one pair of matches at a time."""
    rows = [row for row in range(len(matches.query)) if matches.candidate[row] == number][
        : Tolerances().matches
    ]
    a, b = complex(fit.matrix[0, 0], fit.matrix[1, 0]), complex(fit.matrix[0, 1], fit.matrix[1, 1])
    reach = max(1.0, abs((a * b.conjugate()).imag) ** 0.5)

    def missed(row: int, partner: int) -> float:
        z = matches.query[row]
        put = a * z.real + b * z.imag + complex(fit.matrix[0, 2], fit.matrix[1, 2])
        return float(abs(put - matches.image[partner]) / reach)

    def counted(shuffled: bool) -> float:
        tail = min(map(partial(value, shuffled), RADII)) + np.log(len(RADII))
        return float((min(0.0, tail) + np.log(images)) / np.log(10))

    def value(shuffled: bool, radius: float) -> float:
        near = [row for row in fit.inliers if radius == RADII[-1] or missed(row, row) <= radius]
        cells = min(places_of(matches.query[near]), places_of(matches.image[near]))
        hits = 0
        for row in rows:
            for partner in rows:
                apart = abs(matches.query[row] - matches.query[partner]) >= NEIGHBOUR
                if apart and matches.query_feature[row] != matches.query_feature[partner]:
                    hits += missed(row, partner) < radius
        fall = np.pi * (radius * reach) ** 2 / area + shuffled * hits / (
            len(rows) * (len(rows) - 1)
        )
        return bound(cells, len(rows), fall * FITTING)

    found = counted(False)
    return counted(True) if found < 0 else found


def agreements_of(matches: Matches) -> list[GeometricFit | None]:
    return list(verify_candidates(matches, Tolerances()))


def test_the_number_is_its_definition() -> None:
    scales = [1.0, 0.5, 2.0, 1.3]
    parts = [
        matches_through(similarity(scale, 0.3), seed, 8 + 2 * seed, 20, 0.5)
        for seed, scale in enumerate(scales)
    ]
    parts.insert(2, matches_through(TRUE, 9, 0, 2))  # too few for any agreement
    matches = joined(parts)
    fits = agreements_of(matches)
    assert fits[2] is None and sum(fit is not None for fit in fits) == 4
    areas = np.linspace(0.5, 2, 5) * AREA
    found = log_false_alarms(matches, fits, areas, 100)
    for number, fit in enumerate(fits):
        expected = plain(matches, number, fit, areas[number], 100) if fit else 2.0
        assert found[number] == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
@given(st.integers(0, 10**6), st.integers(1, 10**7))
def test_false_alarms_grow_with_the_index_and_a_true_picture_stands_out(
    seed: int, images: int
) -> None:
    matches = matches_through(TRUE, seed, 12, 30, 0.5)
    fits = agreements_of(matches)
    one, many = (
        log_false_alarms(matches, fits, np.array([AREA]), count)[0] for count in (1, images)
    )
    assert many == pytest.approx(one + np.log10(images))
    assert many < -2


@pytest.mark.slow
def test_random_matches_are_hardly_ever_certain() -> None:
    parts = [matches_through(TRUE, seed, 0, 400) for seed in range(200)]
    matches = joined(parts)
    fits = agreements_of(matches)
    assert sum(fit is not None for fit in fits) > 40
    alarms = log_false_alarms(matches, fits, np.full(200, AREA), 1)
    assert np.mean(alarms <= -1) <= 0.1 and np.mean(alarms <= -2) <= 0.01


def lattice(pitch: float, side: int) -> Matrix:
    """side x side places on a grid."""
    steps = np.arange(side) * pitch
    return np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2) + 40.0


def between(query: Matrix, image: Matrix, seed: int) -> Matches:
    """Matches of places, with the same scale and orientation all."""
    count = len(query)
    rng = np.random.default_rng(seed)
    return Matches(
        candidate=np.zeros(count, np.int64),
        count=1,
        query=complex_of(query),
        image=complex_of(image + rng.normal(size=image.shape) * 0.3),
        log_scale=np.zeros(count),
        turn=np.zeros(count),
        weight=rng.uniform(0.5, 1.5, count),
        query_feature=np.arange(count, dtype=np.int64),
        image_feature=np.arange(count, dtype=np.int64),
    )


@pytest.mark.parametrize("seed", range(5))
def test_two_grids_agree_by_chance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    grid = lattice(80.0, 4)
    query, image = grid[rng.integers(0, 16, 200)], grid[rng.integers(0, 16, 200)]
    patterned = between(query, image, seed)
    (fit,) = agreements_of(patterned)
    assert fit is not None
    inside = len(fit.inliers)
    # as many inliers among as many matches, but of things that lie anywhere
    scattered = matches_through(similarity(1.0, 0.0), seed, inside, 200 - inside, 0.5)
    chance, proof = (
        log_false_alarms(matches, agreements_of(matches), np.array([AREA]), 1000)[0]
        for matches in (patterned, scattered)
    )
    assert chance > 0 and proof < -2


def test_many_matches_of_one_spot_count_once() -> None:
    rng = np.random.default_rng(0)
    spot = np.full((30, 2), 100.0) + rng.uniform(0, 3, (30, 2))
    matches = between(spot, spot, 0)
    (alarms,) = log_false_alarms(matches, agreements_of(matches), np.array([AREA]), 1000)
    assert alarms == pytest.approx(3)
