"""A cluster in this process: what it holds, and that it answers as one index does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest

from bovw import (
    ClusterError,
    ClusterIndex,
    ImageIndex,
    IndexClosedError,
    ParameterError,
    SearchOptions,
    ShardMissingError,
    Vocabulary,
)
from bovw.cluster import building
from bovw.cluster.building import create_cluster
from bovw.cluster.config import ClusterConfig, read_config, write_config
from bovw.cluster.machines import HERE, change_cluster, require_private, require_token
from bovw.cluster.manifest import publish, read_latest
from bovw.cluster.objects import pull_index, put_object
from bovw.cluster.routing import LocalReplicas, ask_all
from bovw.cluster.store import FolderStore, opened_store
from bovw.searcher import SearchRequest
from tests.helpers.pictures import textured
from tests.promises.test_parts import told

OPTIONS = [
    SearchOptions(crop=True),
    SearchOptions(k=3),
    SearchOptions(k=20, verify_top=3),
    SearchOptions(expand=True),
    SearchOptions(scoring="tfidf"),
    SearchOptions(crop=True, thorough="unsure"),
]


class Place:
    """Pictures, a cluster of them, and one index of the same."""

    def __init__(self, folder: Path, vocabulary: Vocabulary) -> None:
        self.folder, self.photos, self.vocabulary = folder, folder / "photos", vocabulary
        self.photos.mkdir()
        for number in range(14):
            self.put(number, number)
        self.config = ClusterConfig(
            store=str(folder / "store"),
            shards=3,
            picture_root=str(folder),
            cache=str(folder / "cache"),
            address=HERE,
        )
        create_cluster(self.config, vocabulary)
        change_cluster(self.config, [str(self.photos)], jobs=0)

    def put(self, number: int, seed: int) -> Path:
        path = self.photos / f"{number}.png"
        cv2.imwrite(str(path), textured(seed, 160, 120))
        return path

    def one(self) -> ImageIndex:
        index = ImageIndex.create(
            self.folder / f"{len(list(self.folder.iterdir()))}.bovw",
            self.vocabulary,
            picture_root=self.folder,
        )
        index.add(self.photos)
        return index


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, vocabulary: Vocabulary) -> Place:
    return Place(tmp_path_factory.mktemp("cluster"), vocabulary)


@pytest.fixture
def own(tmp_path: Path, vocabulary: Vocabulary) -> Place:
    return Place(tmp_path, vocabulary)


@pytest.fixture
def cluster(place: Place) -> Iterator[ClusterIndex]:
    with ClusterIndex(place.config, LocalReplicas(place.config)) as opened:
        yield opened


def require_equal(cluster: ClusterIndex, index: ImageIndex, seeds: range) -> None:
    """Both answer alike, to the last bit."""
    assert len(cluster) == len(index)
    for seed in seeds:
        query = textured(seed, 160, 120)[10:100, 20:140]
        for options in OPTIONS:
            assert told(cluster.search(query, options).matches) == told(
                index.search(query, options).matches
            )


@pytest.mark.slow
def test_a_cluster_answers_as_one_index_does(place: Place, cluster: ClusterIndex) -> None:
    with place.one() as index:
        require_equal(cluster, index, range(0, 14, 5))
        assert sorted(r.id for r in cluster.records()) == sorted(r.id for r in index.records())
        assert cluster.record("photos/3.png") == index.record("photos/3.png")
        assert cluster.record("photos/absent.png") is None
        paths = [str(place.photos / f"{number}.png") for number in (2, 5)]
        requests = [SearchRequest(path, SearchOptions(k=2)) for path in [*paths, "absent.png"]]
        found, expected = (
            list(each.search_many(requests, jobs=2 if each is cluster else 0))
            for each in (cluster, index)
        )
        assert [str(each)[:20] for each in found[2:]] == [str(each)[:20] for each in expected[2:]]
        for one, other in zip(found[:2], expected[:2], strict=True):
            assert told(one.matches) == told(other.matches)  # type: ignore[union-attr]


def test_pictures_change_and_go_in_one_generation(own: Place) -> None:
    with ClusterIndex(own.config, LocalReplicas(own.config)) as cluster:
        before = told(cluster.search(textured(3, 160, 120)).matches)
        own.put(3, 103)
        (own.photos / "5.png").unlink()
        added = own.put(20, 20)
        manifest, reports, problems = change_cluster(
            own.config, [str(own.photos)], [str(own.photos / "5.png")], jobs=0
        )
        assert (sum(r.added for r in reports), sum(r.changed for r in reports)) == (1, 1)
        assert (sum(r.removed for r in reports), problems) == (1, [])
        assert told(cluster.search(textured(3, 160, 120)).matches) == before  # of its generation
        assert cluster.refresh() and not cluster.refresh()
        assert cluster.manifest == manifest and manifest.generation == 3
        assert cluster.search(added).matches[0].path == str(added)
        with own.one() as index:
            require_equal(cluster, index, range(3, 4))
        assert change_cluster(own.config, [str(own.photos)], jobs=0)[0] == manifest


def test_what_was_cut_off_goes_on(own: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is lost after some parts of a shard were stored."""
    for number in range(30, 42):
        own.put(number, number)
    monkeypatch.setattr(building, "STORED_AFTER", 2)
    put, stored = FolderStore.put, list[str]()

    def lost(self: FolderStore, key: str, content: bytes) -> None:
        if len(stored) == 3 and key.startswith("progress/"):
            raise ClusterError("the machine is lost")
        put(self, key, content)
        stored.extend([key] if key.startswith("progress/") else [])

    with monkeypatch.context() as patch:
        patch.setattr(FolderStore, "put", lost)
        with pytest.raises(ClusterError, match="lost"):
            change_cluster(own.config, [str(own.photos)], jobs=0)
    elsewhere = replace(own.config, cache=str(own.folder / "another machine"))
    manifest, reports, _ = change_cluster(elsewhere, [str(own.photos)], jobs=0)
    assert manifest.generation == 3 and manifest.image_count == 26
    # what was stored before is not read again
    assert sum(report.added for report in reports) < 12
    assert not opened_store(own.config.store).keys("progress/")


def test_of_two_writers_one_is_told(own: Place) -> None:
    store, manifest = opened_store(own.config.store), read_latest(opened_store(own.config.store))
    facts = (manifest.features, manifest.vocabulary, manifest.picture_root)
    publish(store, 3, manifest.shards, *facts)
    with pytest.raises(ClusterError, match="somebody else has committed generation 3"):
        publish(store, 3, manifest.shards, *facts)
    with pytest.raises(ClusterError, match="somebody else has changed"):
        building.publish_reports(own.config, manifest, [])


def test_of_many_who_put_a_new_object_one_wins(tmp_path: Path) -> None:
    barrier = threading.Barrier(8)

    def put(number: int) -> bool:
        barrier.wait()
        return FolderStore(str(tmp_path)).put_new("a/manifest", b"%d" % number)

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(put, range(8)))
    assert won.count(True) == 1
    assert FolderStore(str(tmp_path)).get("a/manifest") == b"%d" % won.index(True)
    assert FolderStore(str(tmp_path)).keys("a/") == ["a/manifest"]


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_what_the_store_has_lost_is_named(own: Place, damage: str) -> None:
    entry = read_latest(opened_store(own.config.store)).shards[1]
    path = Path(own.config.store) / "objects" / entry.listing[:2] / entry.listing
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"{}")
    fresh = replace(own.config, cache=str(own.folder / "fresh"))
    with ClusterIndex(fresh, LocalReplicas(fresh)) as cluster:
        with pytest.raises(ShardMissingError, match=rf"shard 1: .*{entry.listing}") as caught:
            cluster.search(textured(1, 160, 120))
        assert caught.value.shard == 1


@pytest.mark.parametrize("name", ["../escaped", "segments/../../escaped", "/tmp/bovw-escaped"])
def test_a_store_cannot_make_a_replica_write_beside_its_folder(tmp_path: Path, name: str) -> None:
    store = FolderStore(str(tmp_path / "store"))
    listing = put_object(store, json.dumps({name: put_object(store, b"content")}).encode())
    with pytest.raises(ClusterError, match="escaped"):
        pull_index(store, listing, tmp_path / "shards" / "one", tmp_path / "cache")
    assert not (tmp_path / "shards" / "escaped").exists() and not Path(name).exists()


class Broken(LocalReplicas):
    """Two replicas of each shard, of which some say nothing, or fail."""

    def __init__(self, config: ClusterConfig, silent: set[tuple[int, int]]) -> None:
        super().__init__(config)
        self.silent, self.asked = silent, list[tuple[int, int]]()

    def count(self, shard: int) -> int:  # noqa: ARG002
        return 2

    def call(self, shard: int, replica: int, method: str, *arguments: Any) -> Future[Any]:
        self.asked.append((shard, replica))
        if (shard, replica) in self.silent:
            return Future()
        return super().call(shard, replica, method, *arguments)


def test_a_replica_that_is_silent_is_passed_over(place: Place) -> None:
    config = replace(place.config, hedge_seconds=0.05, timeout_seconds=20)
    replicas = Broken(config, {(0, 0), (1, 1)})
    with (
        ClusterIndex(config, replicas) as broken,
        ClusterIndex(place.config, LocalReplicas(place.config)) as sound,
    ):
        query = textured(4, 160, 120)
        for _ in range(2):  # each replica is asked first in turn
            assert told(broken.search(query).matches) == told(sound.search(query).matches)
    assert {(0, 0), (0, 1), (1, 0), (1, 1)} <= set(replicas.asked)


def test_a_shard_without_replicas_is_named_or_left_out_on_request(place: Place) -> None:
    config = replace(place.config, hedge_seconds=0.01, timeout_seconds=0.5)
    gone = {(2, 0), (2, 1)}
    query = textured(4, 160, 120)
    with (
        ClusterIndex(config, Broken(config, gone)) as broken,
        pytest.raises(ShardMissingError, match="shard 2: no replica answers: it takes too long"),
    ):
        broken.search(query)
    partial = replace(config, partial=True)
    with ClusterIndex(partial, Broken(partial, gone)) as broken:
        result = broken.search(query)
        share = 1 - broken.manifest.shards[2].image_count / 14
        assert result.note == f"shards 2 are missing: {share:.0%} of the images were asked"
        with pytest.raises(ShardMissingError):
            list(broken.records())
    all_gone = {(shard, replica) for shard in range(3) for replica in range(2)}
    with (
        ClusterIndex(partial, Broken(partial, all_gone)) as broken,
        pytest.raises(ClusterError, match="no shard answers"),
    ):
        broken.search(query)


def test_what_a_replica_raises_is_told(place: Place) -> None:
    replicas = LocalReplicas(place.config)
    answers, missing = ask_all(replicas, place.config, [0, 1, 2], 0, "open", 77)
    assert not answers and set(missing) == {0, 1, 2}
    assert "generation 77 is not there" in str(missing[1])


def test_a_closed_cluster_and_wrong_parameters_say_so(cluster: ClusterIndex) -> None:
    with pytest.raises(ParameterError, match="where"):
        cluster.search(textured(1, 160, 120), where=3)  # type: ignore[arg-type]
    assert cluster.search(textured(1, 160, 120), where={"no": "such"}).matches == []
    cluster.close()
    with pytest.raises(IndexClosedError, match="closed"):
        cluster.search(textured(1, 160, 120))
    with pytest.raises(IndexClosedError):
        len(cluster)


def test_a_config_is_read_as_it_was_written(tmp_path: Path, place: Place) -> None:
    odd = replace(place.config, store='s3://bucket/a "b"', partial=True, hedge_seconds=0.25)
    write_config(tmp_path / "c.toml", odd)
    assert read_config(tmp_path / "c.toml") == odd
    with pytest.raises(ClusterError, match="is there already"):
        write_config(tmp_path / "c.toml", odd)
    for text, named in (
        ("shards = ", "cannot be read"),
        ("colour = 3", "colour is unknown"),
        ('store = "x"', "missing"),
        ('store="x"\nshards=0\npicture_root="/"\ncache="/"', "shards: 0"),
        ('store="x"\nshards=1\npicture_root="here"\ncache="/"', "picture_root"),
    ):
        (tmp_path / "d.toml").write_text(text)
        with pytest.raises(ClusterError, match=named):
            read_config(tmp_path / "d.toml")
    with pytest.raises(ClusterError, match="no cluster here"):
        ClusterIndex.open(tmp_path / "absent.toml")


def test_a_manifest_that_is_damaged_is_named(own: Place) -> None:
    path = Path(own.config.store) / "manifest-00000002.json"
    facts = json.loads(path.read_bytes())
    for content, named in (
        (b"{", "damaged"),
        (json.dumps({**facts, "version": 2}).encode(), "another version"),
        (json.dumps({**facts, "shards": [{}]}).encode(), "damaged"),
    ):
        path.write_bytes(content)
        with pytest.raises(ClusterError, match=named):
            ClusterIndex(own.config, LocalReplicas(own.config))


def test_nothing_starts_without_a_token_or_in_public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    with pytest.raises(ClusterError, match="token authentication is off"):
        require_token()
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    require_token()
    require_private("127.0.0.1:6379")
    require_private("10.1.2.3:6379")
    for address in ("8.8.8.8:6379", "[2001:4860:4860::8888]:6379"):
        with pytest.raises(ClusterError, match="private network"):
            require_private(address)
