"""Re-matching at the pixels: what an index of few features leaves uncertain is certain in the
pictures themselves; strangers stay strangers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bovw import ImageIndex, Match, SearchOptions, Vocabulary
from bovw.answers.rematching import Rematching, nearest, rematch
from bovw.search.query import QueryFeatures, extract_query
from tests.helpers.pictures import textured
from tests.promises.test_parts import told

COUNT = 8
OPTIONS = SearchOptions(crop=True, k=COUNT)
# x, y, width, height of what is asked for, in picture 3.
PLACE = (210, 130, 110, 80)


@pytest.fixture(scope="module")
def index(vocabulary: Vocabulary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageIndex]:
    """Eight pictures of 480 x 360, with 60 features each."""
    folder = tmp_path_factory.mktemp("pictures")
    with ImageIndex.in_memory(vocabulary, max_features=60, max_side=512) as opened:
        for seed in range(COUNT):
            assert cv2.imwrite(str(folder / f"{seed}.png"), textured(seed))
            opened.add_images([(f"picture {seed}", folder / f"{seed}.png", None)])
        yield opened


def crop_of(seed: int) -> NDArray[np.uint8]:
    x, y, width, height = PLACE
    return textured(seed)[y : y + height, x : x + width].copy()


def search_of(index: ImageIndex, tests: int = 2) -> Rematching:
    return Rematching(OPTIONS, index.spec, len(index), tests)


def asked(index: ImageIndex, pixels: NDArray[np.uint8]) -> tuple[QueryFeatures, list[Match]]:
    """A query, and what the index says of it."""
    query = extract_query(pixels, index.spec)
    return query, index.search_features(query, OPTIONS).matches


def unknown(matches: list[Match]) -> list[Match]:
    """The same images, of which nothing is known."""
    return [
        Match(match.id, match.score, match.path, size=match.size)
        for match in sorted(matches, key=lambda match: match.id != "picture 3")
    ]


def error_of(match: Match, mirrored: bool = False) -> float:
    """How far the corners are from the true ones, in pixels."""
    x, y, width, height = PLACE
    corners = np.array([[x, y], [x + width - 1, y], [x + width - 1, y + height - 1]])
    corners = np.vstack([corners, [x, y + height - 1]])
    assert match.outline is not None
    return float(np.abs(match.outline - corners[[1, 0, 3, 2] if mirrored else slice(None)]).max())


def test_pixels_verify_what_nothing_was_known_of(index: ImageIndex) -> None:
    query, matches = asked(index, crop_of(3))
    first, *rest = rematch(query, unknown(matches), search_of(index))
    assert (first.id, first.verified) == ("picture 3", True)
    assert error_of(first) < 1
    assert not any(match.verified for match in rest)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_a_wrong_guess_of_the_place_is_made_right(
    index: ImageIndex, scale: float, mirrored: bool
) -> None:
    """The query smaller and larger than its place, with a guess that is off by 12 pixels."""
    pixels = np.asarray(cv2.resize(crop_of(3), None, fx=scale, fy=scale), np.uint8)
    query, matches = asked(index, pixels[:, ::-1].copy() if mirrored else pixels)
    x, y, width, height = PLACE
    corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]]) + 12.0
    guess = next(match for match in unknown(matches) if match.id == "picture 3")
    guess = replace(guess, inliers=3, scale=1 / scale, outline=corners, mirrored=mirrored)
    (found,) = rematch(query, [guess], search_of(index))
    assert found.verified
    assert found.mirrored == mirrored
    assert found.scale == pytest.approx(1 / scale, rel=0.02)
    assert error_of(found, mirrored) < 2


def test_strangers_are_not_verified(index: ImageIndex) -> None:
    for seed in range(40, 46):
        query, matches = asked(index, crop_of(seed))
        assert not any(match.verified for match in matches)
        assert told(rematch(query, matches, search_of(index))) == told(matches)


def test_every_test_is_counted(index: ImageIndex) -> None:
    query, matches = asked(index, crop_of(3))
    few, many = (
        rematch(query, unknown(matches), search_of(index, tests))[0] for tests in (1, 1000)
    )
    assert many.log_false_alarms == pytest.approx(few.log_false_alarms + 3)


def test_what_is_verified_is_not_looked_at(index: ImageIndex) -> None:
    query, matches = asked(index, textured(3))
    assert matches[0].verified
    assert told(rematch(query, matches[:1], search_of(index))) == told(matches[:1])


def test_files_that_are_gone_or_others_are_left_out(index: ImageIndex, tmp_path: Path) -> None:
    query, matches = asked(index, crop_of(3))
    first = unknown(matches)[0]
    other = tmp_path / "other.png"
    assert cv2.imwrite(str(other), textured(3)[:300])
    (tmp_path / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for path in ("", str(tmp_path / "gone.png"), str(other), str(tmp_path / "damaged.png")):
        match = replace(first, path=path)
        assert told(rematch(query, [match], search_of(index))) == told([match])


def test_the_second_best_partner_is_one_at_another_place() -> None:
    """Angles on a circle: the first row's partners at 1, 2 and 6 degrees, of which the first two
    are at one place.
    """
    angles = np.deg2rad([1.0, 2, 6, 90])
    vectors = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    row = np.array([[1.0, 0]], np.float32)
    xy = np.array([[0, 0], [1, 0], [50, 0], [90, 0]], np.float32)
    partner, ratio = nearest(row @ vectors.T, xy, 4.0)
    assert partner.tolist() == [0]
    assert ratio[0] == pytest.approx(1 / 6, rel=0.02)
    assert nearest(row @ vectors.T, xy, 0.5)[1][0] == pytest.approx(1 / 2, rel=0.02)
