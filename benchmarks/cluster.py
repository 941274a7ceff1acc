"""What a cluster costs beside one index of the same pictures.

Builds both, and prints the processor time of each; asks the same crop queries of one index in this
process, of shards in this process, and of replicas on Ray (one machine: three shards, two replicas
each), and prints the time of a search without reading and extraction, the bytes that a query and
the answers take, and how often the answers were equal; kills a replica, and prints how long the
slowest query then took.
"""

from __future__ import annotations

import argparse
import os
import pickle
import resource
import shutil
import signal
import statistics
import time
from dataclasses import replace
from typing import Any

from collection import Collection

from bovw import ClusterIndex, ImageIndex, SearchOptions
from bovw.cluster.building import create_cluster
from bovw.cluster.config import ClusterConfig
from bovw.cluster.machines import HERE, RayReplicas, change_cluster
from bovw.cluster.routing import LocalReplicas
from bovw.search.query import Clock, QueryFeatures, encode_variants, extract_query

OPTIONS = SearchOptions(crop=True)
SHARDS, REPLICAS = 3, 2
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


def asked(searcher: Searching, queries: list[QueryFeatures]) -> tuple[list[float], list[Any]]:
    """Seconds of each search, and what was answered: ids, scores, homographies."""
    seconds, answers = [], []
    for query in queries:
        begun = time.perf_counter()
        matches = searcher.search_features(query, OPTIONS, clock=Clock()).matches
        seconds.append(time.perf_counter() - begun)
        answers.append(
            [
                (match.id, match.score, match.homography is not None and match.homography.tobytes())
                for match in matches
            ]
        )
    return seconds, answers


def line(name: str, seconds: list[float], equal: int) -> dict[str, Any]:
    """A row of the table, printed."""
    ordered = sorted(seconds)
    row = {
        "searcher": name,
        "median_ms": round(1e3 * statistics.median(ordered), 1),
        "p95_ms": round(1e3 * ordered[int(0.95 * (len(ordered) - 1))], 1),
        "equal": equal,
        "queries": len(seconds),
    }
    print(
        f"{name:34s} {row['median_ms']:9.1f} {row['p95_ms']:9.1f} {equal:6d} of {len(seconds)}",
        flush=True,
    )
    return row


def run(collection: Collection, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure."""
    few = 12 if arguments.small else arguments.images
    count = 4 if arguments.small else arguments.queries
    images = sorted({*collection.images, *collection.training})[:few]
    folder = collection.work / "cluster"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    root = os.path.commonpath(images)
    begun = processor_seconds()
    index = ImageIndex.create(folder / "one", picture_root=root, max_features=arguments.features)
    index.add(images, jobs=2)
    build = {"index": processor_seconds() - begun}
    config = ClusterConfig(
        store=str(folder / "store"),
        shards=SHARDS,
        picture_root=root,
        cache=str(folder / "cache"),
        replicas=REPLICAS,
        hedge_seconds=0.5,
        address=HERE,
    )
    create_cluster(config, index.vocabulary, max_features=arguments.features)
    begun = processor_seconds()
    change_cluster(config, images, jobs=2)
    build["cluster"] = processor_seconds() - begun
    print(
        f"build of {few} images: index {build['index']:.1f} s of processor time, "
        f"cluster {build['cluster']:.1f} s: {build['cluster'] / build['index']:.2f} times"
    )
    crops = [query.path for query in collection.crops[:: max(1, len(collection.crops) // count)]]
    queries = [extract_query(path, index.spec) for path in crops[:count]]
    sizes = sorted(
        len(pickle.dumps(encode_variants(q, index.vocabulary, OPTIONS))) for q in queries
    )
    print(f"bytes of a query: median {statistics.median(sizes):,.0f}, most {sizes[-1]:,}")
    print(f"{'searcher':34s} {'median ms':>9s} {'p95 ms':>9s}  equal")
    _, expected = asked(index, queries)  # warm
    rows = [line("index", asked(index, queries)[0], len(queries))]

    def compared(name: str, cluster: ClusterIndex) -> None:
        asked(cluster, queries[: len(queries) // 2])
        seconds, answers = asked(cluster, queries)
        equal = sum(one == other for one, other in zip(answers, expected, strict=True))
        rows.append(line(name, seconds, equal))

    compared(f"{SHARDS} shards, threads", ClusterIndex(config, LocalReplicas(config)))
    distributed = replace(config, address="")
    replicas = RayReplicas(distributed)
    cluster = ClusterIndex(distributed, replicas)
    compared(f"{SHARDS} shards x {REPLICAS}, Ray", cluster)
    ask = replicas.actors[0][0].__ray_call__.remote(lambda _: os.getpid())
    os.kill(replicas.ray.get(ask), signal.SIGKILL)
    compared("the same, one replica killed", cluster)
    replicas.ray.shutdown()
    index.close()
    return {"build_cpu_seconds": build, "query_bytes": sizes, "searches": rows}
