"""What a cluster costs beside one index of the same pictures.

Builds both, and prints the processor time of each; asks the same crop queries of one index in this
process, of shards in this process, and of replicas on Ray (one machine: three shards, two replicas
each), and prints the time of a search without reading and extraction, its processor time in all
processes, the bytes that a query and the answers take, and how often the answers were equal; kills
a replica, and asks again. Then it asks with several clients at a time a cluster of one, two and
three nodes, all on this machine, and prints how many queries are answered in a second.
"""

from __future__ import annotations

import argparse
import itertools
import os
import pickle
import resource
import secrets
import shutil
import signal
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from collection import Collection

from bovw import ClusterIndex, ImageIndex, SearchOptions
from bovw.cluster.building import create_cluster
from bovw.cluster.config import ClusterConfig
from bovw.cluster.machines import HERE, RayReplicas, change_cluster
from bovw.cluster.packing import pack
from bovw.cluster.routing import LocalReplicas
from bovw.search.query import Clock, QueryFeatures, encode_variants, extract_query

OPTIONS = SearchOptions(crop=True)
SHARDS, REPLICAS = 3, 2
NODES, CLIENTS = (1, 2, 3), 4
Searching = ImageIndex | ClusterIndex


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this part."""
    parser.add_argument("--images", type=int, default=1000, help="pictures to index")
    parser.add_argument("--queries", type=int, default=60, help="crops to ask")
    parser.add_argument(
        "--features", type=int, default=500, help="features of a picture; a query has twice these"
    )


def processor_seconds() -> float:
    """Processor time of this process and its ended children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def seconds_of_all() -> float:
    """Processor time of this process and of all that it has started, as far as they run."""
    ticks, parents = dict[int, int](), dict[int, int]()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        number = int(path.parent.name)
        parents[number], ticks[number] = int(fields[1]), int(fields[11]) + int(fields[12])

    def is_ours(number: int) -> bool:
        while number > 1 and number != os.getpid():
            number = parents.get(number, 0)
        return number == os.getpid()

    used = sum(count for number, count in ticks.items() if is_ours(number))
    return used / os.sysconf("SC_CLK_TCK")


def asked(searcher: Searching, query: QueryFeatures) -> tuple[float, Any]:
    """Seconds of a search, and what was answered: ids, scores, homographies."""
    begun = time.perf_counter()
    matches = searcher.search_features(query, OPTIONS, clock=Clock()).matches
    seconds = time.perf_counter() - begun
    return seconds, [
        (match.id, match.score, match.homography is not None and match.homography.tobytes())
        for match in matches
    ]


class Table:
    """What searchers take for the same queries, and whether they answer alike.

    Attributes:
        rows: printed so far.
    """

    def __init__(self, queries: Sequence[QueryFeatures], index: ImageIndex) -> None:
        self.queries, self.rows = queries, list[dict[str, Any]]()
        self.expected = [asked(index, query)[1] for query in queries]
        print(f"{'searcher':32s} {'median ms':>9s} {'p95 ms':>8s} {'cpu ms':>8s}  equal")
        self.add("index", index)

    def add(self, name: str, searcher: Searching) -> None:
        """Ask a searcher, first some queries in vain; print its row."""
        for query in self.queries[: len(self.queries) // 2]:
            asked(searcher, query)
        begun = seconds_of_all()
        answers = [asked(searcher, query) for query in self.queries]
        cpu = (seconds_of_all() - begun) / len(answers)
        ordered = sorted(seconds for seconds, _ in answers)
        row = {
            "searcher": name,
            "median_ms": round(1e3 * statistics.median(ordered), 1),
            "p95_ms": round(1e3 * ordered[int(0.95 * (len(ordered) - 1))], 1),
            "cpu_ms": round(1e3 * cpu, 1),
            "equal": sum(
                answer == other for (_, answer), other in zip(answers, self.expected, strict=True)
            ),
            "queries": len(answers),
        }
        self.rows.append(row)
        print(
            f"{name:32s} {row['median_ms']:9.1f} {row['p95_ms']:8.1f} {row['cpu_ms']:8.1f} "
            f"{row['equal']:6d} of {len(answers)}",
            flush=True,
        )


def bytes_of(
    cluster: ClusterIndex, replicas: LocalReplicas, queries: Sequence[QueryFeatures]
) -> dict[str, list[int]]:
    """What travels: the bytes of each query to a shard, and of all its answers together."""
    sizes: dict[str, list[int]] = {"query": [], "its answers": []}
    for query in queries:
        variants = encode_variants(query, cluster.vocabulary, OPTIONS)
        outlines, pieces = pack(variants, len(cluster.vocabulary))
        sizes["query"].append(len(pickle.dumps((OPTIONS, None, outlines, *pieces))))
        generation = cluster.manifest.generation
        answers = [
            shard.answer(generation, OPTIONS, None, outlines, *pieces) for shard in replicas.shards
        ]
        sizes["its answers"].append(sum(len(pickle.dumps(answer)) for answer in answers))
    for name, each in sizes.items():
        print(f"bytes, {name}: median {statistics.median(each):,.0f}, most {max(each):,}")
    return sizes


def build(
    images: list[str], folder: Path, features: int
) -> tuple[ImageIndex, ClusterConfig, dict[str, float]]:
    """One index and a cluster of the same pictures, and the processor time that each took."""
    root = os.path.commonpath(images)
    begun = processor_seconds()
    index = ImageIndex.create(folder / "one", picture_root=root, max_features=features)
    index.add(images, jobs=2)
    seconds = {"index": processor_seconds() - begun}
    config = ClusterConfig(
        store=str(folder / "store"),
        shards=SHARDS,
        picture_root=root,
        cache=str(folder / "cache"),
        replicas=REPLICAS,
        hedge_seconds=0.5,
        address=HERE,
    )
    create_cluster(config, index.vocabulary, max_features=features)
    begun = processor_seconds()
    change_cluster(config, images, jobs=2)
    seconds["cluster"] = processor_seconds() - begun
    print(
        f"build of {len(images)} images: index {seconds['index']:.1f} s of processor time, "
        f"cluster {seconds['cluster']:.1f} s: {seconds['cluster'] / seconds['index']:.2f} times"
    )
    return index, config, seconds


def with_nodes(config: ClusterConfig, queries: Sequence[QueryFeatures]) -> list[dict[str, float]]:
    """Queries a second of several clients, by the number of nodes that hold the replicas."""
    from ray.cluster_utils import Cluster

    rows = []
    print(f"{'nodes':>5s} {'clients':>8s} {'queries/s':>10s} {'cpu ms':>8s}")
    for nodes in NODES:
        node: dict[str, Any] = {"num_cpus": SHARDS * REPLICAS, "object_store_memory": 80_000_000}
        machines = Cluster(
            initialize_head=True, head_node_args={**node, "include_dashboard": False}
        )
        for _ in range(nodes - 1):
            machines.add_node(**node)
        placed = replace(config, address=machines.address)
        replicas = RayReplicas(placed)
        cluster = ClusterIndex(placed, replicas)
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(asked, itertools.repeat(cluster), queries))
            used, begun = seconds_of_all(), time.perf_counter()
            list(pool.map(asked, itertools.repeat(cluster), queries))
            seconds = time.perf_counter() - begun
            used = seconds_of_all() - used
        row = {
            "nodes": nodes,
            "clients": CLIENTS,
            "queries_per_second": round(len(queries) / seconds, 1),
            "cpu_ms": round(1e3 * used / len(queries), 1),
        }
        rows.append(row)
        print(
            f"{nodes:5d} {CLIENTS:8d} {row['queries_per_second']:10.1f} {row['cpu_ms']:8.1f}",
            flush=True,
        )
        replicas.ray.shutdown()
        machines.shutdown()  # type: ignore[no-untyped-call]
    return rows


def run(collection: Collection, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure."""
    token = secrets.token_hex(32)  # before Ray is imported, which looks for it then
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token, RAY_USAGE_STATS_ENABLED="0")
    few = 12 if arguments.small else arguments.images
    count = 4 if arguments.small else arguments.queries
    folder = collection.work / "cluster"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    images = sorted({*collection.images, *collection.training})[:few]
    index, config, seconds = build(images, folder, arguments.features)
    crops = [query.path for query in collection.crops[:: max(1, len(collection.crops) // count)]]
    queries = [extract_query(path, index.spec) for path in crops[:count]]
    here = LocalReplicas(config)
    threads = ClusterIndex(config, here)
    sizes = bytes_of(threads, here, queries)
    table = Table(queries, index)
    table.add(f"{SHARDS} shards, threads", threads)
    distributed = replace(config, address="")
    replicas = RayReplicas(distributed)
    cluster = ClusterIndex(distributed, replicas)
    table.add(f"{SHARDS} shards x {REPLICAS}, Ray", cluster)
    ask = replicas.actors[0][0].__ray_call__.remote(lambda _: os.getpid())
    os.kill(replicas.ray.get(ask), signal.SIGKILL)
    table.add("the same, one replica killed", cluster)
    replicas.ray.shutdown()
    index.close()
    rows = with_nodes(config, queries)
    return {
        "build_cpu_seconds": seconds,
        "bytes": sizes,
        "searches": table.rows,
        "nodes": rows,
    }
