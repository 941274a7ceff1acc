"""Looking harder: negatives and pictures from the side are found and placed, what a plain search
verifies stays as it is, and every attempt is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bovw import ImageIndex, Match, ParameterError, SearchOptions, Vocabulary
from bovw.answers.answer import with_attempt
from bovw.answers.thorough import attempts, tilted
from bovw.geometry.transform import project
from bovw.search.query import extract_query
from tests.helpers.pictures import blobs, textured
from tests.promises.test_parts import told

Pixels = NDArray[np.uint8]
PLAIN = SearchOptions(k=5, crop=True)
UNSURE, ALWAYS = replace(PLAIN, thorough="unsure"), replace(PLAIN, thorough="always")


@pytest.fixture(scope="module")
def index() -> Iterator[ImageIndex]:
    with ImageIndex.in_memory(Vocabulary.shipped()) as opened:
        opened.add_images((f"{seed}", textured(seed), None) for seed in range(8))
        yield opened


def corners(picture: Pixels) -> NDArray[np.float64]:
    height, width = picture.shape[:2]
    right, bottom = width - 1, height - 1
    return np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]], np.float64)


def is_placed(match: Match, query: Pixels, truth: NDArray[np.float64]) -> bool:
    """Whether a match maps the corners of the query where the true transform (3, 3) does."""
    assert match.homography is not None
    found = project(match.homography, corners(query))
    return float(np.abs(found - project(truth, corners(query))).max()) < 14


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("thorough", [UNSURE, ALWAYS])
def test_a_negative_is_found_and_placed(
    index: ImageIndex, thorough: SearchOptions, mirrored: bool
) -> None:
    query = 255 - textured(3)[60:300, 80:400]
    truth = np.array([[1.0, 0, 80], [0, 1, 60], [0, 0, 1]])
    if mirrored:
        query = query[:, ::-1].copy()
        truth = truth @ np.array([[-1.0, 0, query.shape[1] - 1], [0, 1, 0], [0, 0, 1]])
    assert not any(match.verified for match in index.search(query, PLAIN).matches)
    first, *others = index.search(query, thorough).matches
    assert (first.id, first.verified, first.negative, first.mirrored) == ("3", True, True, mirrored)
    assert first.rotation == pytest.approx(0, abs=2) and first.scale == pytest.approx(1, abs=0.02)
    assert is_placed(first, query, truth)
    assert not any(match.verified for match in others)
    assert first.to_dict()["negative"] is True


@pytest.mark.parametrize("direction", [10.0, 100.0])
def test_a_picture_from_the_side_is_found_and_placed(index: ImageIndex, direction: float) -> None:
    gray = cv2.cvtColor(textured(5), cv2.COLOR_BGR2GRAY)
    squeezed, matrix = tilted(np.asarray(gray, np.uint8), 3.5, direction)
    low = (np.array(squeezed.shape) * 0.25).astype(int)
    query = squeezed[low[0] : 3 * low[0], low[1] : 3 * low[1]].copy()
    assert not any(match.verified for match in index.search(query, PLAIN).matches)
    first = index.search(query, UNSURE).matches[0]
    shift = np.array([[1.0, 0, low[1]], [0, 1, low[0]], [0, 0, 1]])
    assert (first.id, first.verified, first.negative) == ("5", True, False)
    assert is_placed(first, query, np.linalg.inv(matrix) @ shift)


@given(st.floats(1.1, 5.0), st.floats(0.0, 180.0))
def test_tilting_moves_pixels_as_it_says(tilt: float, direction: float) -> None:
    places = np.array([[60.0, 40.0], [150.0, 110.0], [90.0, 120.0]])
    picture, matrix = tilted(blobs(200, 160, places, 9.0), tilt, direction)
    assert np.linalg.det(matrix) == pytest.approx(1 / tilt)
    for x, y in project(matrix, places):
        row, column = round(float(y)), round(float(x))
        around = picture[row - 2 : row + 3, column - 1 : column + 2].astype(int)
        assert around.max() - picture[row, column] <= 6


@pytest.mark.parametrize("seed", [1, 4])
def test_what_is_certain_at_once_is_answered_as_ever(index: ImageIndex, seed: int) -> None:
    query = textured(seed)[40:260, 60:360]
    plain = index.search(query, PLAIN).matches
    assert plain[0].verified
    assert told(index.search(query, UNSURE).matches) == told(plain)
    always = index.search(query, ALWAYS).matches
    assert told(always[:1]) == told(plain[:1]) and len(always) == len(plain)


def test_strangers_and_blank_pictures_get_no_yes(index: ImageIndex) -> None:
    for query in (textured(99)[50:250, 50:300], np.full((80, 90), 128, np.uint8)):
        result = index.search(query, ALWAYS)
        assert not any(match.verified for match in result.matches)


def test_attempts_go_from_the_plain_query_on_and_leave_out_what_is_too_large(
    index: ImageIndex,
) -> None:
    def names(width: int, height: int) -> list[str]:
        query = extract_query(textured(1, width, height), index.spec)
        return [each.name for each in attempts(query, index.vocabulary, index.spec, PLAIN)]

    tilts = ["tilted 2", "tilted 4"]
    assert names(100, 80) == ["negative", "double size", *tilts]
    assert names(480, 360) == ["negative", "double size", "half size", *tilts]
    assert names(1000, 300) == ["negative", "deeper", "half size", *tilts]


def match_of(number: int, alarms: float, verified: bool) -> Match:
    return Match(str(number), 1.0, inliers=5, log_false_alarms=alarms, verified=verified)


def ranked(draws: list[tuple[int, float]]) -> list[Match]:
    """An answer: each image once, the verified ones first."""
    known = dict(draws)
    matches = [match_of(number, alarms, alarms < -2) for number, alarms in known.items()]
    return sorted(matches, key=lambda match: not match.verified)


DRAWS = st.lists(st.tuples(st.integers(0, 9), st.floats(-9, 4)), max_size=8).map(ranked)


@given(DRAWS, DRAWS, st.integers(2, 7), st.integers(1, 10))
def test_an_attempt_adds_what_it_is_sure_of_and_takes_nothing_away(
    before: list[Match], found: list[Match], tests: int, k: int
) -> None:
    answer = with_attempt(before, found, tests, k)
    ids = [match.id for match in answer]
    images = {match.id for match in (*before, *found)}
    assert len(ids) == len(set(ids)) == min(k, len(images))
    sure = [match for match in before if match.verified]
    assert answer[: len(sure)] == sure[:k]
    assert all(first.verified >= second.verified for first, second in pairwise(answer))
    counted = {match.id: match.log_false_alarms + np.log10(tests) for match in found}
    for match in answer:
        if match not in before:
            assert match.log_false_alarms == pytest.approx(counted[match.id])
    rest = [match.log_false_alarms for match in answer if not match.verified]
    likely = [alarms for alarms in rest if alarms < 0]
    assert rest[: len(likely)] == sorted(likely)


def test_how_thorough_is_one_of_three_words() -> None:
    with pytest.raises(ParameterError, match=r"thorough: 'often'.*never, unsure, always"):
        SearchOptions(thorough="often")  # type: ignore[arg-type]
