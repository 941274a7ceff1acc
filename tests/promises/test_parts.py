"""A collection in parts, each searched by itself with the statistics of the whole, answers as one
index does: to the last bit. A cluster stands on this.
"""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bovw import FeatureSpec, ImageIndex, Match, SearchOptions, Vocabulary
from bovw.cluster.shard import portable
from bovw.features.local import extract
from bovw.features.training import build
from bovw.index.extraction import Task, encode_pictures
from bovw.index.segment_writer import IndexedImage
from bovw.pictures.reading import LIMITS, picture_from_array
from bovw.search.collection import Collection, Statistics
from bovw.search.query import QueryFeatures, encode_variants, extract_query
from bovw.search.ranking import answer_part, describe, merge_parts
from tests.helpers.pictures import textured

SPEC = FeatureSpec("rootsift", 120, 256)
CONTENTS, COUNT = 12, 20
OPTIONS = [
    SearchOptions(crop=True),
    SearchOptions(k=4),
    SearchOptions(k=3, verify_top=2, false_alarms=1.0),
    SearchOptions(crop=True, k=30, verify_top=5, words_per_feature=2, mirror=False),
    SearchOptions(crop=True, k=2, verify_top=1),
    SearchOptions(k=6, verify_top=0),
    SearchOptions(crop=True, instances=3, false_alarms=1.0),
    SearchOptions(scoring="tfidf", k=5),
    SearchOptions(scoring="tfidf", k=20, verify_top=0, mirror=False),
    SearchOptions(scoring="tfidf", crop=True, verify_top=3),
]


def twice(seed: int) -> NDArray[np.uint8]:
    """A picture that shows something twice."""
    detail = textured(seed, 160, 120)[20:100, 20:120]
    picture = textured(seed + 50, 240, 120)
    picture[20:100, 10:110] = picture[20:100, 130:230] = detail
    return picture


@cache
def pictures() -> list[NDArray[np.uint8]]:
    return [twice(seed) if seed % 4 == 3 else textured(seed, 160, 120) for seed in range(CONTENTS)]


@cache
def vocabulary() -> Vocabulary:
    found = [extract(picture_from_array(each, 256), SPEC).descriptors for each in pictures()]
    return build(np.concatenate(found).astype(np.float16), 64, SPEC, 0)[0]


@cache
def images() -> list[IndexedImage]:
    """Several images have the same content, so that scores tie and only the id decides."""
    order = np.random.default_rng(3).permutation(COUNT)
    tasks = [Task(f"id {number}", pictures()[number % CONTENTS], "") for number in order.tolist()]
    encoded = list(encode_pictures(tasks, vocabulary(), SPEC, 0, LIMITS))
    assert all(isinstance(image, IndexedImage) for image in encoded)
    return [image for image in encoded if isinstance(image, IndexedImage)]


@cache
def query_features() -> list[QueryFeatures]:
    return [extract_query(query, SPEC) for query in queries()]


@cache
def queries() -> list[NDArray[np.uint8]]:
    return [
        pictures()[2][10:110, 20:130],
        pictures()[3][:, ::-1].copy(),
        pictures()[7][15:105, 5:115],
        np.asarray(cv2.resize(pictures()[5], None, fx=0.7, fy=0.7), np.uint8),
        textured(400, 160, 120),
    ]


def made(held: list[IndexedImage], removed: frozenset[str]) -> ImageIndex:
    """An index in memory of some images, of which some are removed again."""
    index = ImageIndex.in_memory(vocabulary(), max_features=120, max_side=256)
    with index._writer(False) as writer:
        for first in range(0, len(held), 7):
            writer.commit(held[first : first + 7])
    index.remove_images(removed & {image.record.id for image in held})
    return index


def told(matches: list[Match]) -> list[tuple[Any, ...]]:
    """All that matches say, to the last bit."""
    return [
        (
            *(match.id, match.score, match.inliers, match.verified, match.mirrored, match.model),
            *(match.log_false_alarms, match.rotation, match.scale, match.size),
            b"" if match.homography is None else match.homography.tobytes(),
            b"" if match.outline is None else match.outline.tobytes(),
            match.correspondences.tobytes(),
        )
        for match in matches
    ]


def answered(
    parts: list[Collection], features: QueryFeatures, options: SearchOptions
) -> list[Match]:
    """What some parts of a collection say together."""
    variants = encode_variants(features, vocabulary(), options)
    answers = [answer_part(part, variants, options) for part in parts]
    sent = [pickle.loads(pickle.dumps(portable(answer, options))) for answer in answers]
    found = describe(sent, merge_parts(sent, options), variants, options)
    here = describe(answers, merge_parts(answers, options), variants, options)
    assert told(found) == told(here)
    return found


@pytest.mark.slow
@settings(max_examples=6)
@given(
    st.lists(st.integers(0, 4), min_size=COUNT, max_size=COUNT),
    st.frozensets(st.integers(0, COUNT - 1), max_size=6),
    st.lists(st.sampled_from(OPTIONS), min_size=2, max_size=2, unique_by=id),
)
@example([0] * COUNT, frozenset(), OPTIONS)
@example([number % 5 for number in range(COUNT)], frozenset({1, 13}), OPTIONS)
def test_parts_answer_as_one_index(
    places: list[int], gone: frozenset[int], chosen: list[SearchOptions]
) -> None:
    removed = frozenset(f"id {number}" for number in gone)
    with made(images(), removed) as whole:
        parts = [
            made([image for image, at in zip(images(), places, strict=True) if at == part], removed)
            for part in sorted(set(places))
        ]
        statistics = Statistics.of([part._snapshot for part in parts])
        expected = Statistics.of([whole._snapshot])
        assert statistics.image_count == expected.image_count == COUNT - len(gone)
        np.testing.assert_array_equal(
            statistics.document_frequencies, expected.document_frequencies
        )
        collections = [Collection(part._snapshot, statistics) for part in parts]
        for query, features in zip(queries(), query_features(), strict=True):
            for options in chosen:
                found = answered(collections, features, options)
                expected_matches = answered([whole._open_collection], features, options)
                assert told(found) == told(expected_matches)
            assert told(found) == told(whole.search(query, options).matches)
        for part in parts:
            part.close()


@pytest.mark.slow
def test_the_statistics_of_a_part_alone_would_not_do() -> None:
    half = images()[: COUNT // 2]
    with made(images(), frozenset()) as whole, made(half, frozenset()) as part:
        options = replace(OPTIONS[1], k=COUNT)
        ids = {image.record.id for image in half}
        in_whole = [
            match for match in whole.search(queries()[0], options).matches if match.id in ids
        ]
        assert told(in_whole) != told(part.search(queries()[0], options).matches)


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS)
def test_images_with_metadata_are_searched_as_if_they_were_alone(options: SearchOptions) -> None:
    """`where` gives what a search among these images alone gives, with the weights of all."""
    described = [
        replace(image, record=replace(image.record, metadata={"line": number % 3, "side": "left"}))
        for number, image in enumerate(images())
    ]
    chosen = [image for image in described if image.record.metadata["line"] == 1]
    with made(described, frozenset({"id 4"})) as whole, made(chosen, frozenset({"id 4"})) as alone:
        statistics = Statistics.of([whole._snapshot])
        for query in queries():
            part = Collection(alone._snapshot, statistics)
            expected = answered([part], extract_query(query, SPEC), options)
            found = whole.search(query, options, where={"line": "1", "side": "left"}).matches
            assert told(found) == told(expected)
            assert all(match.metadata == {"line": 1, "side": "left"} for match in found)
        assert not whole.search(queries()[0], options, where={"line": 1, "side": "right"}).matches
