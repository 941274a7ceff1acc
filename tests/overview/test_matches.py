"""Communities of images that verify one another."""

from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np
import pytest

from bovw import ImageIndex, ParameterError, Vocabulary, cluster_images
from bovw.overview.matches import communities
from tests.helpers.pictures import textured


def test_a_chain_is_cut_and_what_agrees_stays_together() -> None:
    whole = list(combinations(range(5), 2))
    bridge = [(4, 5)]
    other = list(combinations(range(5, 9), 2))
    chain = [(10, 11), (11, 12), (12, 13)]
    labels = communities(np.array(whole + bridge + other + chain), 15)
    groups = {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist())}
    assert groups == {
        frozenset(range(5)),
        frozenset(range(5, 9)),
        frozenset([10, 11]),
        frozenset([12, 13]),
        frozenset([9]),
        frozenset([14]),
    }


def test_images_of_one_thing_are_one_cluster(vocabulary: Vocabulary) -> None:
    with ImageIndex.in_memory(vocabulary, max_features=300) as index:
        blank = np.full((60, 80), 9, np.uint8)
        for seed in range(3):
            pixels = textured(seed, 240, 180)
            views = [pixels, cv2.resize(pixels, (180, 135)), cv2.rotate(pixels, 0)][: 3 - seed]
            index.add_images([(f"{seed} {view}", each, None) for view, each in enumerate(views)])
        index.add_images([("blank", blank, None)])
        found = cluster_images(index, by="matches")
        with pytest.raises(ParameterError, match="matches"):
            cluster_images(index, by="matches", count=3)
    groups = [{record.id[0] for record in each.records} for each in found.clusters]
    assert groups == [{"0"}, {"1"}]
    assert [len(each.records) for each in found.clusters] == [3, 2]
    assert [each.id for each in found.alone] == ["2 0"]
    assert [each.id for each in found.missing] == ["blank"]
