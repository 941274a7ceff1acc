"""Whatever pictures are in which shard: a cluster on Ray answers as one index of all does, to the
last bit, in every way in which it can be asked. `ray_cluster.py` runs this on its machines.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from bovw import ClusterIndex, ImageIndex, SearchOptions
from bovw.cluster.building import create_cluster, entry_of
from bovw.cluster.config import ClusterConfig
from bovw.cluster.machines import RayReplicas
from bovw.cluster.manifest import publish, read_latest
from bovw.cluster.store import opened_store
from bovw.index.segment_writer import IndexedImage
from tests.promises.test_parts import COUNT, OPTIONS, images, made, queries, vocabulary

# All options of the parts, and what is done beyond a search.
WAYS = [
    *OPTIONS,
    SearchOptions(k=6, expand=True, false_alarms=1.0),
    SearchOptions(crop=True, thorough="unsure"),
    SearchOptions(crop=True, sisters=True, instances=2),
]
# A negative, as only a thorough search finds it.
QUERIES = [*queries()[:3], 255 - queries()[0]]


def answers_compared(config: ClusterConfig, folder: Path) -> int:
    """Put pictures into the shards in several ways, each a generation of the same cluster, and ask.
    Returns how many answers were equal; one that is not is an AssertionError.
    """
    config = replace(config, store=str(folder / "partitions"), replicas=1)
    create_cluster(config, vocabulary(), max_features=120, max_side=256)
    replicas = RayReplicas(config)
    cluster, equal, numbers = ClusterIndex(config, replicas), 0, itertools.count()

    @settings(max_examples=3, derandomize=True, deadline=None, database=None)
    @given(
        st.lists(st.integers(0, config.shards - 1), min_size=COUNT, max_size=COUNT),
        st.frozensets(st.integers(0, COUNT - 1), max_size=6),
        st.lists(st.sampled_from(WAYS), min_size=2, max_size=2, unique_by=id),
    )
    @example([number % config.shards for number in range(COUNT)], frozenset({1, 13}), WAYS)
    def compare(places: list[int], gone: frozenset[int], ways: list[SearchOptions]) -> None:
        nonlocal equal
        removed = frozenset(f"id {number}" for number in gone)
        parts = [
            [image for image, place in zip(images(), places, strict=True) if place == shard]
            for shard in range(config.shards)
        ]
        publish_parts(config, folder / f"parts {next(numbers)}", parts, removed)
        assert cluster.refresh() and len(cluster) == COUNT - len(gone)
        with made(images(), removed) as whole:
            for query, options in itertools.product(QUERIES, ways):
                found, expected = (each.search(query, options) for each in (cluster, whole))
                assert found.matches == expected.matches, options
                equal += 1

    compare()
    replicas.stop()
    return equal


def publish_parts(
    config: ClusterConfig, folder: Path, parts: list[list[IndexedImage]], removed: frozenset[str]
) -> None:
    """A generation whose shards have some images, of which some are removed again."""
    store, entries = opened_store(config.store), []
    before = read_latest(store)
    for shard, part in enumerate(parts):
        place = folder / str(shard)
        with ImageIndex.create(
            place, vocabulary(), max_features=120, max_side=256, picture_root=config.picture_root
        ) as index:
            with index._writer(False) as writer:
                for first in range(0, len(part), 7):
                    writer.commit(part[first : first + 7])
            index.remove_images(removed & {image.record.id for image in part})
            entries.append(entry_of(store, place, index, set()))
    facts = (before.features, before.vocabulary, before.picture_root)
    publish(store, before.generation + 1, entries, *facts)
