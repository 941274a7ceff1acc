"""What nobody needs goes from the store, and nothing else, even while somebody builds."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from bovw import ClusterError, ClusterIndex, Vocabulary
from bovw.cluster.building import check_cluster, create_cluster
from bovw.cluster.config import ClusterConfig
from bovw.cluster.garbage import clean_cluster, find_garbage
from bovw.cluster.machines import HERE, change_cluster
from bovw.cluster.manifest import generations
from bovw.cluster.objects import key_of, put_object
from bovw.cluster.routing import LocalReplicas
from bovw.cluster.shard import Shard
from bovw.cluster.store import FolderStore, opened_store
from tests.helpers.pictures import textured

DAY, HOUR = 86_400.0, 3_600.0


def photograph(folder: Path, numbers: range) -> None:
    """Pictures to index."""
    (folder / "photos").mkdir(exist_ok=True)
    for number in numbers:
        cv2.imwrite(str(folder / "photos" / f"{number}.png"), textured(number, 160, 120))


def made(folder: Path, store: str, vocabulary: Vocabulary) -> ClusterConfig:
    """A cluster of four pictures, of generation 2."""
    photograph(folder, range(4))
    cache = str(folder / "cache")
    config = ClusterConfig(store, 2, str(folder), cache, address=HERE)
    create_cluster(config, vocabulary)
    change_cluster(config, [str(folder / "photos")], jobs=0)
    return config


def grow_old(store: str, seconds: float = DAY) -> None:
    """Let all that is in a folder have been there for a while."""
    for path in Path(store).rglob("*"):
        os.utime(path, (time.time() - seconds,) * 2)


def require_sound(config: ClusterConfig, count: int) -> None:
    """All is there for somebody who has nothing of it yet."""
    assert check_cluster(config) == []
    fresh = replace(config, cache=config.cache + "-fresh")
    with ClusterIndex(fresh, LocalReplicas(fresh)) as cluster:
        assert len(list(cluster.records())) == len(cluster) == count
        assert cluster.search(textured(2, 160, 120)).matches[0].id == "photos/2.png"
    shutil.rmtree(fresh.cache)


def require_garbage_goes(config: ClusterConfig) -> None:
    """What attempts left behind goes; what is needed, and what is of others, stays."""
    store = opened_store(config.store)
    assert find_garbage(store, 0.0).keys == ()
    left = key_of(put_object(store, b"of an attempt that was cut off"))
    progress = "progress/00000001/0001.json"
    store.put(progress, b"{}")
    store.put("of somebody else", b"")
    assert clean_cluster(config, DAY).keys == ()
    found = clean_cluster(config, 0.0)
    assert set(found.keys) == {left, progress} and found.size_bytes == 32
    assert not store.has(left) and store.has("of somebody else")
    require_sound(config, 4)


def test_what_was_cut_off_goes_once_it_is_old(tmp_path: Path, vocabulary: Vocabulary) -> None:
    config = made(tmp_path, str(tmp_path / "store"), vocabulary)
    require_garbage_goes(config)
    killed = Path(config.store) / "objects" / "00" / ".tmp-killed"
    killed.parent.mkdir(exist_ok=True)
    killed.write_bytes(b"half")
    put_object(opened_store(config.store), b"young")
    os.utime(killed, (time.time() - HOUR,) * 2)
    assert clean_cluster(config, HOUR / 2).keys == ("objects/00/.tmp-killed",)


@pytest.mark.slow
def test_generations_go_once_nobody_asks_them(tmp_path: Path, vocabulary: Vocabulary) -> None:
    config = made(tmp_path, str(tmp_path / "store"), vocabulary)
    store = opened_store(config.store)
    for number in range(4, 8):
        photograph(tmp_path, range(number, number + 1))
        change_cluster(config, [str(tmp_path / "photos")], jobs=0)
        if number == 5:
            grow_old(config.store)
    assert generations(store) == [1, 2, 3, 4, 5, 6]
    clean_cluster(config, HOUR)
    # generation 4 is old, but was the newest until a moment ago; so it would stay without being
    # one of the last three
    assert generations(store) == [4, 5, 6]
    grow_old(config.store)
    photograph(tmp_path, range(8, 9))
    change_cluster(config, [str(tmp_path / "photos")], jobs=0)
    clean_cluster(config, HOUR)
    assert generations(store) == [5, 6, 7]
    for generation, images in ((5, 7), (6, 8), (7, 9)):
        shards = [Shard(config.store, str(tmp_path / "elsewhere"), number) for number in range(2)]
        assert sum(shard.open(generation) for shard in shards) == images
    with pytest.raises(ClusterError, match="generation 4 is not there"):
        Shard(config.store, config.cache, 0).open(4)
    require_sound(config, 9)
    assert find_garbage(store, 0.0).keys == ()


@pytest.mark.slow
def test_a_build_under_way_loses_nothing(
    tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody cleans at the worst moments: before its progress is marked, when an earlier attempt
    has left behind the very same bytes long ago, and before it is published, long after that mark.
    """
    config = made(tmp_path, str(tmp_path / "store"), vocabulary)
    store = opened_store(config.store)
    photograph(tmp_path, range(4, 10))
    with monkeypatch.context() as patch:
        patch.setattr("bovw.cluster.machines.publish_reports", lambda *_: None)
        change_cluster(config, [str(tmp_path / "photos")], jobs=0)
    for key in store.keys("progress/"):
        store.delete(key)
    shutil.rmtree(tmp_path / "cache" / "work")
    grow_old(config.store)
    left = set(find_garbage(store, HOUR).keys)
    assert left
    put, put_new, cleaned = FolderStore.put, FolderStore.put_new, set[str]()

    def put_and_wait(self: FolderStore, key: str, content: bytes) -> None:
        if key.startswith("progress/"):
            cleaned.update(clean_cluster(config, HOUR).keys)
        put(self, key, content)
        if key.startswith("progress/"):
            grow_old(config.store)

    def clean_and_put(self: FolderStore, key: str, content: bytes) -> bool:
        cleaned.update(clean_cluster(config, HOUR).keys)
        return put_new(self, key, content)

    with monkeypatch.context() as patch:
        patch.setattr(FolderStore, "put", put_and_wait)
        patch.setattr(FolderStore, "put_new", clean_and_put)
        manifest, _, _ = change_cluster(config, [str(tmp_path / "photos")], jobs=0)
    named = {key_of(shard.listing) for shard in manifest.shards}
    assert named <= left and cleaned < left
    require_sound(config, 10)
