"""Training: same seed, same words; every picture counts the same; a bad one ends nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bovw.errors import ParameterError, VocabularyError
from bovw.features.local import FEATURE_NAMES, FeatureSpec, as_unit_vectors, extract
from bovw.features.training import apportioned, sample_descriptors, train_vocabulary
from bovw.features.vocabulary import Vocabulary
from bovw.pictures.reading import LIMITS, read_picture
from tests.helpers.pictures import textured

ALL_NAMES = pytest.mark.parametrize("name", FEATURE_NAMES)
SPECS = {name: FeatureSpec(name, max_features=300, max_side=256) for name in FEATURE_NAMES}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    paths = [folder / f"{number:02}.png" for number in range(12)]
    for number, path in enumerate(paths):
        assert cv2.imwrite(str(path), textured(number, 240, 180))
    return paths


def train(photos: Sequence[Path], name: str, seed: int = 0) -> Vocabulary:
    return train_vocabulary(photos, 64, SPECS[name], max_descriptors=1500, seed=seed)[0]


@pytest.mark.slow
@ALL_NAMES
def test_trained_words_describe_the_pictures(photos: list[Path], name: str, tmp_path: Path) -> None:
    vocabulary, report = train_vocabulary(photos, 64, SPECS[name], max_descriptors=1500)
    assert len(vocabulary) == 64
    assert vocabulary.spec == SPECS[name]
    assert report.image_count == 12
    assert 64 * 4 <= report.descriptor_count <= 1500
    assert report.failed == []
    assert 0 <= report.unused_words < 20
    assert 1 <= report.imbalance < 5
    descriptors = extract(read_picture(photos[0], 256), SPECS[name]).descriptors
    nearest = vocabulary.nearest(descriptors, 1, len(vocabulary.cells))[:, 0]
    assert len(set(nearest.tolist())) > 20
    points = as_unit_vectors(descriptors)
    to_word = ((points - vocabulary.centres(nearest)) ** 2).sum(axis=1).mean()
    to_mean = ((points - points.mean(axis=0)) ** 2).sum(axis=1).mean()
    to_others = ((points - vocabulary.centres(np.roll(nearest, 1))) ** 2).sum(axis=1).mean()
    assert to_word < 0.75 * to_others
    assert name == "orb" or to_word < 0.9 * to_mean  # a word of ORB is rounded to bits
    vocabulary.save(tmp_path)
    assert Vocabulary.load(tmp_path).fingerprint == vocabulary.fingerprint


@pytest.mark.slow
@ALL_NAMES
def test_same_seed_same_vocabulary_other_seed_another(photos: list[Path], name: str) -> None:
    first = train(photos, name)
    assert train(photos, name).fingerprint == first.fingerprint
    assert train(photos, name, seed=1).fingerprint != first.fingerprint


def test_too_few_descriptors_are_counted_in_the_message(photos: list[Path]) -> None:
    found = len(extract(read_picture(photos[0], 256), SPECS["rootsift"]))
    with pytest.raises(
        VocabularyError,
        match=rf"^{found} descriptors from 1 images.* at most {found // 8 * 2} words",
    ):
        train_vocabulary(photos[:1], 1000, SPECS["rootsift"])
    vocabulary, _ = train_vocabulary(photos[:1], found // 8 * 2, SPECS["rootsift"])
    assert len(vocabulary) == found // 8 * 2


def test_no_pictures_are_too_few() -> None:
    with pytest.raises(VocabularyError, match=r"^0 descriptors from 0 images"):
        train_vocabulary([], 16)


def test_pictures_that_are_all_the_same_still_train(photos: list[Path]) -> None:
    vocabulary, report = train_vocabulary([photos[0]] * 8, 32, SPECS["rootsift"])
    assert len(vocabulary) == 32
    assert report.image_count == 8


@pytest.mark.slow
def test_bad_pictures_are_reported_and_the_rest_goes_on(photos: list[Path], tmp_path: Path) -> None:
    bad, blank = tmp_path / "bad.jpg", tmp_path / "blank.png"
    bad.write_bytes(b"no picture")
    assert cv2.imwrite(str(blank), np.full((50, 50), 9, np.uint8))
    paths = [*photos[:4], bad, blank, tmp_path / "absent.jpg", *photos[4:]]
    vocabulary, report = train_vocabulary(paths, 16, SPECS["rootsift"])
    assert [error.name for error in report.failed] == [str(bad), str(tmp_path / "absent.jpg")]
    assert report.image_count == 12
    assert len(vocabulary) == 16


def test_progress_tells_each_stage_from_start_to_end(photos: list[Path]) -> None:
    seen: list[tuple[str, int, int]] = []
    train_vocabulary(
        photos[:3],
        64,
        SPECS["rootsift"],
        progress=lambda stage, done, total: seen.append((stage, done, total)),
    )
    assert [call for call in seen if call[0] == "extract"] == [
        ("extract", done, 3) for done in (1, 2, 3)
    ]
    clustering = [call for call in seen if call[0] == "cluster"]
    assert clustering == [
        ("cluster", done, len(clustering)) for done in range(1, len(clustering) + 1)
    ]
    assert seen == [*seen[:3], *clustering]


@pytest.mark.parametrize(
    ("words", "max_descriptors", "text"),
    [
        (1, 100, "words: 1 is not an even number"),
        (7, 100, "words: 7 is not an even number"),
        (50, 49, "max_descriptors: 49"),
    ],
)
def test_arguments_outside_their_range_are_refused(
    photos: list[Path], words: int, max_descriptors: int, text: str
) -> None:
    with pytest.raises(ParameterError, match=text):
        train_vocabulary(photos, words, max_descriptors=max_descriptors)


# --- sampling


@pytest.mark.slow
@ALL_NAMES
def test_sampling_takes_the_same_from_every_picture(photos: list[Path], name: str) -> None:
    sample, used, failed = sample_descriptors(photos, SPECS[name], 605, 0, 0, LIMITS, None)
    assert (len(sample), used, failed) == (12 * 50, 12, [])
    points = as_unit_vectors(sample)
    for number, path in enumerate(photos):
        own = as_unit_vectors(extract(read_picture(path, 256), SPECS[name]).descriptors)
        # each picture's fifty are among its own descriptors, once each
        similarity = points[50 * number : 50 * (number + 1)] @ own.T
        assert (similarity.max(axis=1) > 0.999).all()
        assert len(set(similarity.argmax(axis=1).tolist())) >= 48


@pytest.mark.parametrize(("limit", "expected"), [(1, 1), (5, 5), (12, 12), (30, 24)])
def test_sampling_never_exceeds_its_cap(photos: list[Path], limit: int, expected: int) -> None:
    assert len(sample_descriptors(photos, SPECS["orb"], limit, 0, 0, LIMITS, None)[0]) == expected


# --- apportioning

vote_lists = st.lists(st.integers(0, 5000), min_size=1, max_size=30).filter(any)


@given(vote_lists, st.floats(0, 1))
def test_seats_are_shared_out_in_proportion(votes: list[int], share: float) -> None:
    total = sum(votes)
    seats = round(share * total)
    given_seats = apportioned(seats, np.array(votes))
    assert given_seats.sum() == seats
    assert (given_seats >= 0).all()
    assert (given_seats <= votes).all()
    assert np.abs(given_seats - seats * np.array(votes) / total).max() < 1


def test_largest_remainders_get_the_rest_and_ties_go_to_the_first() -> None:
    assert apportioned(10, np.array([47, 16, 15, 12, 10])).tolist() == [5, 2, 1, 1, 1]
    assert apportioned(2, np.array([5, 5, 5])).tolist() == [1, 1, 0]
    assert apportioned(3, np.array([0, 3, 0])).tolist() == [0, 3, 0]
