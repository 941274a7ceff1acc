"""A cluster as one index on this machine: duplicates, and whatever else compares all with all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2

from bovw import DuplicateReport, ImageIndex, Vocabulary, find_duplicates
from bovw.cluster.cluster_index import ClusterIndex
from bovw.cluster.machines import change_cluster
from bovw.cluster.routing import LocalReplicas
from bovw.index.check import check_index
from tests.helpers.pictures import textured
from tests.promises.test_parts import told

from .test_cluster import Place


class Copied(Place):
    """Pictures of which some are copies of others, in three shards."""

    def put(self, number: int, seed: int) -> Path:
        path = self.photos / f"{number}.png"
        pixels = textured(seed % 8, 320, 240)
        cv2.imwrite(str(path), pixels if seed < 12 else pixels[20:220, 30:290])
        return path


def facts(report: DuplicateReport) -> dict[str, Any]:
    """What a report says, without how many were compared for it now."""
    return {name: value for name, value in report.to_dict().items() if name != "compared"}


def require_equal(place: Place) -> DuplicateReport:
    """The cluster as one index is one to which its images were added in its order."""
    one = place.folder / f"{len(list(place.folder.iterdir()))}.bovw"
    with (
        ClusterIndex(place.config, LocalReplicas(place.config)) as cluster,
        ImageIndex.create(one, place.vocabulary, picture_root=place.folder) as one_index,
        cluster.gathered() as gathered,
    ):
        for record in cluster.records():
            one_index.add([record.path])
        assert list(gathered.records()) == list(one_index.records())
        found = find_duplicates(gathered)
        assert facts(found) == facts(find_duplicates(one_index))
        query = textured(3, 320, 240)[30:200, 20:220]
        assert told(gathered.search(query).matches) == told(cluster.search(query).matches)
        assert not check_index(gathered._storage.path).damages
        return found


def test_duplicates_are_those_of_an_index_of_the_same_order(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    place = Copied(tmp_path, vocabulary)
    assert require_equal(place).duplicate_count > 4
    place.put(30, 2)
    place.put(1, 40)
    (place.photos / "5.png").unlink()
    change_cluster(place.config, [str(place.photos)], [str(place.photos / "5.png")], jobs=0)
    assert require_equal(place).image_count == 14
    replicas = LocalReplicas(place.config)
    with ClusterIndex(place.config, replicas) as cluster, cluster.gathered() as gathered:
        assert find_duplicates(gathered).compared == 0  # that is known already
    assert len(list(gathered._storage.path.parent.iterdir())) == 1
