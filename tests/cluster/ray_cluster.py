"""A Ray cluster of three nodes on this machine, and what happens to it. Prints what was seen, as
JSON. `test_machines.py` runs it in a process of its own, since Ray stays in one for good.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

TOKEN = "0123456789abcdef" * 4
os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN, RAY_USAGE_STATS_ENABLED="0")

import cv2  # noqa: E402
import ray  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

from bovw import ClusterIndex, ImageIndex, SearchOptions, ShardMissingError, Vocabulary  # noqa: E402
from bovw.cluster.building import create_cluster  # noqa: E402
from bovw.cluster.config import ClusterConfig  # noqa: E402
from bovw.cluster.machines import RayReplicas, change_cluster  # noqa: E402
from bovw.pictures.limits import LIMITS  # noqa: E402
from tests.cluster.partitions import answers_compared  # noqa: E402
from tests.helpers.pictures import endless_jpeg, textured  # noqa: E402
from tests.promises.test_parts import told  # noqa: E402

SHARDS, REPLICAS = 3, 2
# A query is small, so that what is measured is the way.
QUERIES = [textured(seed, 160, 120)[10:100, 20:140] for seed in range(0, 20, 2)]
CROP = SearchOptions(crop=True)
# The decoder of one hangs; that of the other would, but dies.
BAD = ("hangs.jpg", "crashes.jpg")


def main(folder: Path, vocabulary_folder: Path) -> dict[str, Any]:
    """Build a cluster, ask it, harm it."""
    vocabulary = Vocabulary.load(vocabulary_folder)
    photos = folder / "photos"
    photos.mkdir()
    for number in range(20):
        cv2.imwrite(str(photos / f"{number}.png"), textured(number, 160, 120))
    for name in BAD:
        (photos / name).write_bytes(endless_jpeg())
    node: dict[str, Any] = {"num_cpus": 2, "object_store_memory": 80_000_000}
    machines = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    nodes = [machines.add_node(**node) for _ in range(2)]
    config = ClusterConfig(
        store=str(folder / "store"),
        shards=SHARDS,
        picture_root=str(folder),
        cache=str(folder / "cache"),
        replicas=REPLICAS,
        hedge_seconds=0.5,
        timeout_seconds=20,
        address=machines.address,
    )
    seen: dict[str, Any] = {}
    create_cluster(config, vocabulary)
    limits = replace(LIMITS, seconds=3)
    with crashing(photos / "crashes.jpg"):
        _, reports, _ = change_cluster(config, [str(photos)], jobs=1, limits=limits)
    seen["added"] = sum(report.added for report in reports)
    seen["failed"] = {
        Path(failure.name).name: failure.reason for report in reports for failure in report.failed
    }
    seen["answers compared"] = answers_compared(config, folder)
    index = ImageIndex.create(folder / "one.bovw", vocabulary, picture_root=folder)
    index.add([photos / f"{number}.png" for number in range(20)])
    replicas = RayReplicas(config)
    cluster = ClusterIndex(config, replicas)
    expected = [told(index.search(query, CROP).matches) for query in QUERIES]

    def equal() -> int:
        """How many queries are answered as the one index does."""
        return sum(
            told(cluster.search(query, CROP).matches) == answer
            for query, answer in zip(QUERIES, expected, strict=True)
        )

    seen["equal"] = equal()
    actor = replicas.actors[0][0]
    pid = ray.get(actor.__ray_call__.remote(lambda _: os.getpid()))
    os.kill(pid, signal.SIGKILL)
    seen["equal without a replica"] = equal()
    machines.remove_node(nodes[0], allow_graceful=False)
    seen["equal without a node"] = equal()
    seen["equal while it changes"], seen["errors"] = while_changing(config, photos, equal)
    cluster.refresh()
    seen["images after the change"] = len(cluster)
    seen["found after the change"] = cluster.search(textured(30, 160, 120)).matches[0].id
    seen["wrong token"] = with_wrong_token(machines.address)
    for each in replicas.actors[1]:
        ray.kill(each)
    begun = time.monotonic()
    try:
        cluster.search(QUERIES[0], CROP)
    except ShardMissingError as error:
        seen["missing shard"] = error.shard
    seen["seconds until it is said"] = time.monotonic() - begun
    index.close()
    ray.shutdown()
    machines.shutdown()  # type: ignore[no-untyped-call]
    return seen


@contextmanager
def crashing(path: Path) -> Iterator[None]:
    """Whoever decodes a picture meanwhile dies of a memory fault."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            for process in readers(path):
                os.kill(process, signal.SIGSEGV)

    watching = threading.Thread(target=watch)
    watching.start()
    yield
    done.set()
    watching.join()


def readers(path: Path) -> set[int]:
    """The worker processes of bovw that have a file open."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if b"bovw.workers" in (process / "cmdline").read_bytes():
                opened = {os.readlink(each) for each in (process / "fd").iterdir()}
                found |= {int(process.name)} if str(path) in opened else set()
    return found


def while_changing(
    config: ClusterConfig, photos: Path, equal: Callable[[], int]
) -> tuple[list[int], list[str]]:
    """Add a picture while another thread asks; what it saw, and what went wrong."""
    counts: list[int] = []
    errors: list[str] = []
    done = threading.Event()

    def ask() -> None:
        try:
            while not done.is_set() or not counts:
                counts.append(equal())
        except Exception as error:  # goes into what was seen
            errors.append(repr(error))

    asking = threading.Thread(target=ask)
    asking.start()
    cv2.imwrite(str(photos / "new.png"), textured(30, 160, 120))
    for name in BAD:
        (photos / name).unlink()
    change_cluster(config, [str(photos)], jobs=0)
    done.set()
    asking.join()
    return counts, errors


def with_wrong_token(address: str) -> str:
    """What somebody is told who has another token."""
    script = (
        "from bovw.cluster.machines import connect\n"
        "from bovw.cluster.config import ClusterConfig\n"
        f"connect(ClusterConfig('s', 1, '/', '/', address={address!r}))\n"
    )
    environment = {**os.environ, "RAY_AUTH_TOKEN": "f" * 64}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60
    )
    return done.stderr.strip().splitlines()[-1] if done.returncode else "let in"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))) + "\n")
