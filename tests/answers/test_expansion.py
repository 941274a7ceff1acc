"""Query expansion: a picture that shares nothing with the query but with what a verified picture
shows beside it is found, and nothing that was verified changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bovw import ImageIndex, Match, SearchOptions, Vocabulary
from bovw.answers.expansion import expand
from bovw.answers.parts import LocalParts
from bovw.search.collection import Collection, Statistics
from bovw.search.query import Clock, encode_variants, extract_query
from bovw.search.ranking import answer_part, describe, merge_parts
from tests.helpers.pictures import textured
from tests.promises.test_parts import told

Pixels = NDArray[np.uint8]
PLAIN, EXPANDED = SearchOptions(k=20), SearchOptions(k=20, expand=True)


def beside(left: int, right: int) -> Pixels:
    """A picture of two textures, by their seeds."""
    return np.hstack([textured(left, 200, 240), textured(right, 200, 240)])


# What is seen from three places: the first shares the left half with the query, the second only the
# right half with the first, the third only the left half with the second.
QUERY = beside(100, 101)
VIEWS = {"near": beside(100, 102), "far": beside(103, 102), "farther": beside(103, 104)}
OTHERS = {f"other {seed}": beside(seed, seed + 50) for seed in range(8)}


def index_of(pictures: dict[str, Pixels], vocabulary: Vocabulary) -> ImageIndex:
    index = ImageIndex.in_memory(vocabulary, max_features=400, max_side=512)
    index.add_images((name, pixels, {"kind": name.split()[0]}) for name, pixels in pictures.items())
    return index


@pytest.fixture(scope="module")
def index(vocabulary: Vocabulary) -> Iterator[ImageIndex]:
    with index_of({**OTHERS, **VIEWS}, vocabulary) as opened:
        yield opened


def by_id(matches: list[Match]) -> dict[str, Match]:
    return {match.id: match for match in matches}


@pytest.mark.parametrize("mirrored", [False, True])
def test_what_a_verified_picture_shows_is_found(index: ImageIndex, mirrored: bool) -> None:
    query = QUERY[:, ::-1].copy() if mirrored else QUERY
    plain = by_id(index.search(query, PLAIN).matches)
    assert plain["near"].verified
    assert not any(name in plain and plain[name].verified for name in ("far", "farther"))
    matches = index.search(query, EXPANDED).matches
    assert [match.id for match in matches[:3]] == ["near", "far", "farther"]
    far, farther = matches[1:3]
    for match in (far, farther):
        assert match.expanded
        assert not match.verified
        assert match.mirrored == mirrored
        assert match.log_false_alarms <= -2
        assert match.outline is not None
        corners = [[399, 0], [0, 0], [0, 239], [399, 239]] if mirrored else None
        expected = corners or [[0, 0], [399, 0], [399, 239], [0, 239]]
        assert np.abs(match.outline - expected).max() < 4
    assert not any(match.expanded or match.verified for match in matches[3:])


def test_what_is_verified_stays_as_it_is(index: ImageIndex) -> None:
    for query in (QUERY, VIEWS["far"], OTHERS["other 3"]):
        plain = [match for match in index.search(query, PLAIN).matches if match.verified]
        matches = index.search(query, EXPANDED).matches
        assert told(matches[: len(plain)]) == told(plain)
        assert not any(match.verified for match in matches[len(plain) :])


def test_without_a_verified_match_nothing_changes(index: ImageIndex) -> None:
    query = beside(200, 201)
    plain = index.search(query, PLAIN).matches
    assert not any(match.verified for match in plain)
    assert told(index.search(query, EXPANDED).matches) == told(plain)


def test_a_crop_is_not_expanded(index: ImageIndex) -> None:
    plain, expanded = (
        index.search(QUERY, replace(options, crop=True)).matches for options in (PLAIN, EXPANDED)
    )
    assert told(plain) == told(expanded)


def test_fewer_answers_are_the_first_of_more(index: ImageIndex) -> None:
    all_of_them = index.search(QUERY, EXPANDED).matches
    for k in (1, 2, 3, 5):
        fewer = index.search(QUERY, replace(EXPANDED, k=k)).matches
        assert told(fewer) == told(all_of_them[:k])


def test_only_what_is_searched_expands(index: ImageIndex) -> None:
    plain, expanded = (
        index.search(QUERY, options, where={"kind": "far"}).matches for options in (PLAIN, EXPANDED)
    )
    assert told(expanded) == told(plain)


def test_several_places_of_an_image_stay_together(vocabulary: Vocabulary) -> None:
    twice = np.vstack([VIEWS["far"], VIEWS["far"]])
    with index_of({**OTHERS, "near": VIEWS["near"], "twice": twice}, vocabulary) as index:
        options = replace(EXPANDED, instances=2)
        matches = index.search(QUERY, options).matches
        assert [match.id for match in matches[:3]] == ["near", "twice", "twice"]


def test_parts_expand_as_one_index_does(vocabulary: Vocabulary) -> None:
    pictures = list({**OTHERS, **VIEWS}.items())
    halves = [dict(pictures[::2]), dict(pictures[1::2])]
    with (
        index_of(dict(pictures), vocabulary) as whole,
        index_of(halves[0], vocabulary) as one,
        index_of(halves[1], vocabulary) as other,
    ):
        snapshots = [part._snapshot for part in (one, other)]
        statistics = Statistics.of(snapshots)
        parts = [Collection(snapshot, statistics) for snapshot in snapshots]
        variants = encode_variants(extract_query(QUERY, whole.spec), vocabulary, EXPANDED)
        answers = [answer_part(part, variants, EXPANDED) for part in parts]
        first = describe(answers, merge_parts(answers, EXPANDED), variants, EXPANDED)
        found = expand(LocalParts(parts), variants, first, EXPANDED, str, Clock())
        assert told(found) == told(whole.search(QUERY, EXPANDED).matches)
        assert found[1].expanded
