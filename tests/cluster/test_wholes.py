"""A cluster that is asked what looks alike: it answers as one index does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bovw import (
    ClusterIndex,
    ImageIndex,
    ParameterError,
    ShardMissingError,
    SimilarResult,
    Vocabulary,
    find_similar,
)
from bovw.cluster.routing import LocalReplicas
from tests.similarity.test_similar import MODES, pixels_of

from .test_cluster import Broken, Place


def told(result: SimilarResult) -> dict[str, Any]:
    """An answer without its times."""
    return vars(replace(result, timings={}, cpu_seconds=0.0))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, vocabulary: Vocabulary) -> Place:
    """Coloured pictures, of which some are equal, in three shards; a blank one has no features."""

    class Coloured(Place):
        def put(self, number: int, seed: int) -> Path:
            path = self.photos / f"{number}.png"
            pixels = np.full((60, 90, 3), 90, np.uint8) if seed == 13 else pixels_of(seed % 9)
            cv2.imwrite(str(path), pixels)
            return path

    return Coloured(tmp_path_factory.mktemp("wholes"), vocabulary)


@pytest.fixture(scope="module")
def index(place: Place) -> Iterator[ImageIndex]:
    with place.one() as index:
        yield index


@pytest.mark.parametrize("by", MODES)
def test_similar_images_are_those_of_one_index_to_the_last_bit(
    place: Place, index: ImageIndex, by: str
) -> None:
    with ClusterIndex(place.config, LocalReplicas(place.config)) as cluster:
        queries: dict[str, Any] = {
            "picture": place.photos / "4.png",
            "blank": place.photos / "13.png",
            "id": "photos/2.png",
            "pixels": pixels_of(6)[20:150, 30:200],
        }
        for name, query in queries.items():
            for k in (1, 4, 30):
                found, expected = (find_similar(each, query, by, k=k) for each in (cluster, index))
                assert told(found) == told(expected)
                assert found.matches or name == "blank"


def test_what_cannot_be_asked_is_said_as_by_one_index(place: Place, index: ImageIndex) -> None:
    picture = place.photos / "4.png"
    with ClusterIndex(place.config, LocalReplicas(place.config)) as cluster:
        for by in ("taste", "clip"):
            with pytest.raises(ParameterError) as expected:
                find_similar(index, picture, by)
            with pytest.raises(ParameterError) as caught:
                find_similar(cluster, picture, by)
            assert str(caught.value) == str(expected.value)
        assert find_similar(cluster, picture, where={"no": "such"}).matches == []
        with pytest.raises(ParameterError, match="where"):
            find_similar(cluster, picture, where=3)  # type: ignore[arg-type]


def test_a_shard_that_is_missing_is_named_or_left_out_on_request(place: Place) -> None:
    config = replace(place.config, hedge_seconds=0.01, timeout_seconds=0.3)
    gone, picture = {(2, 0), (2, 1)}, place.photos / "4.png"
    with (
        ClusterIndex(config, Broken(config, gone)) as broken,
        pytest.raises(ShardMissingError, match="shard 2"),
    ):
        find_similar(broken, picture)
    partial = replace(config, partial=True)
    with ClusterIndex(partial, Broken(partial, gone)) as broken:
        found = find_similar(broken, picture, k=30)
        assert "shards 2 are missing" in found.note
        assert len(found.matches) == 14 - broken.manifest.shards[2].image_count
