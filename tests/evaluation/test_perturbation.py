"""Perturbations: what is said to lie somewhere in the picture does lie there."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bovw.evaluation.perturbation import PERTURBATIONS, Perturbation, outline_of, perturbed
from bovw.geometry.transform import project
from tests.helpers.pictures import textured

PICTURE = cv2.GaussianBlur(textured(5, 400, 300), (0, 0), 1.5).astype(np.uint8)
GEOMETRIC = {
    name: one
    for name, one in PERTURBATIONS.items()
    if not (one.covered or one.pasted) and name != "all of it"
}


def sampled(pixels: NDArray[np.uint8], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Grey values at points, between pixels too."""
    gray = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).astype(np.float32)
    places = points.astype(np.float32)
    return np.asarray(
        cv2.remap(gray, places[:, :1], places[:, 1:], cv2.INTER_LINEAR), np.float64
    ).ravel()


@pytest.mark.parametrize("name", sorted(GEOMETRIC))
def test_the_homography_is_true(name: str) -> None:
    perturbation = replace(GEOMETRIC[name], blur=0.0, noise=0.0, gain=1.0, offset=0.0, quality=None)
    query, homography = perturbed(PICTURE, perturbation, np.random.default_rng(2))
    height, width = query.shape[:2]
    inside = np.random.default_rng(3).uniform((2, 2), (width - 3, height - 3), (300, 2))
    there = project(homography, inside)
    seen = ((there > 1) & (there < (398, 298))).all(axis=1)
    assert seen.sum() > 100
    difference = np.abs(sampled(query, inside) - sampled(PICTURE, there))[seen]
    # a query of half the size is blurred before it is sampled
    assert np.median(difference) < (4.0 if perturbation.scale < 1 else 1.5)


def test_shares_and_sizes() -> None:
    for name, share in (("crop 50 %", 0.5), ("crop 10 %", 0.1), ("crop 2 %", 0.02)):
        query, homography = perturbed(PICTURE, PERTURBATIONS[name], np.random.default_rng(0))
        assert query.shape[0] * query.shape[1] == pytest.approx(share * 400 * 300, rel=0.03)
        outline = outline_of((query.shape[1], query.shape[0]), homography)
        assert (outline > -1e-6).all() and (outline < (400, 300)).all()
    assert perturbed(PICTURE, PERTURBATIONS["quarter size"], np.random.default_rng(0))[0].shape == (
        75,
        100,
        3,
    )


def test_what_is_pasted_lies_in_the_middle_of_the_other_picture() -> None:
    other = np.full((80, 90, 3), 7, np.uint8)
    query, homography = perturbed(
        PICTURE, replace(PERTURBATIONS["pasted"], quality=None), np.random.default_rng(0), other
    )
    height, width = query.shape[:2]
    assert (query[0, 0] == 7).all() and (query[height // 4 - 1, width // 4 - 1] == 7).all()
    middle = np.array([[width / 2, height / 2]])
    assert abs(sampled(query, middle) - sampled(PICTURE, project(homography, middle)))[0] < 6


def test_light_noise_and_covers() -> None:
    plain, _ = perturbed(PICTURE, Perturbation(quality=None), np.random.default_rng(0))
    dark, _ = perturbed(PICTURE, Perturbation(gain=0.5, quality=None), np.random.default_rng(0))
    assert np.abs(dark - plain / 2).max() <= 0.5
    noisy, _ = perturbed(PICTURE, Perturbation(noise=20.0, quality=None), np.random.default_rng(0))
    assert (noisy.astype(float) - plain).std() == pytest.approx(20, rel=0.1)
    covered, _ = perturbed(
        PICTURE, Perturbation(covered=0.6, quality=None), np.random.default_rng(0)
    )
    assert (covered != plain).any(axis=2).mean() == pytest.approx(0.36, abs=0.03)


def test_a_seed_repeats_and_tiny_pictures_work() -> None:
    tiny = textured(1, 12, 9)
    for perturbation in PERTURBATIONS.values():
        first, second = (
            perturbed(tiny, perturbation, np.random.default_rng(4), tiny) for _ in range(2)
        )
        assert (first[0] == second[0]).all() and (first[1] == second[1]).all()
        assert min(first[0].shape[:2]) >= 8 and np.isfinite(first[1]).all()
