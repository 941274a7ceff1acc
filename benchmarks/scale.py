"""What an index costs and finds as it grows: 1,000 to 1,000,000 images, the real ones among
distractors (distractors.py).

For each size: images added a second without extraction; bytes an image; seconds to open; the most
memory beside the page cache that a process needs which answers the crop queries; milliseconds of
the steps of a search (median, 95th and 99th percentile) and recall@1: warm, when the process has
answered these queries before; "first", when it has not, but the index is in the page cache; cold,
when nothing of it is. Queries a second by one and by two threads; `bovw search --crop` from the
shell, with the index cold and warm; how fast a search scans signatures, and how fast a plain sum
goes through the same. The index stays in --work and grows from run to run. A million images take 19
GB of disk and of memory for the page cache.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from collection import Collection
from distractors import Donors

from bovw import ImageIndex, SearchOptions
from bovw.evaluation.truth import Query
from bovw.features.encoding import encode
from bovw.features.local import QUERY_SHARE
from bovw.search.query import Clock, QueryFeatures, Variant, extract_query
from bovw.search.ranking import propose

BATCH = 16_384
# Run on its own: what it needs is not mixed with what the benchmark itself needs.
WATCHED = """
import sys, threading
from pathlib import Path
from bovw import ImageIndex, SearchOptions

most, done = 0, threading.Event()
def watch():
    global most
    while not done.wait(0.002):
        lines = Path("/proc/self/status").read_text().splitlines()
        most = max(most, next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")))
watcher = threading.Thread(target=watch)
watcher.start()
with ImageIndex.open(sys.argv[1]) as index:
    for query in sys.argv[2:]:
        index.search(query, SearchOptions(crop=True))
done.set()
watcher.join()
print(most / 1024)
"""
STEPS = ("quantise", "scan", "rank", "verify", "describe")


@dataclass(frozen=True)
class ReadyQuery:
    """A query, ready to be encoded, and what it should find."""

    path: str
    features: QueryFeatures
    relevant: frozenset[str]


def grow(index: ImageIndex, donors: Donors, images: int) -> float:
    """Add real images, then distractors, until the index has so many; seconds that adding and
    merging took.
    """
    seconds = 0.0
    while len(index) < images:
        have, real = len(index), donors.segment.image_count
        count = min(images - have, BATCH if have >= real else real - have)
        batch = (
            [donors.real(number) for number in range(have, have + count)]
            if have < real
            else list(donors.distractors(have, count))
        )
        clock = time.perf_counter()
        with index._writer(wait=False) as writer:
            writer.commit(batch)
        seconds += time.perf_counter() - clock
        print(f"  {len(index):,} images", end="\r", file=sys.stderr)
    return seconds


def ready(index: ImageIndex, queries: list[Query], count: int) -> list[ReadyQuery]:
    """Some of the crop queries, evenly chosen."""
    chosen = []
    for query in queries[:: max(1, len(queries) // count)]:
        found = extract_query(query.path, index.spec)
        if len(found.features):
            chosen.append(ReadyQuery(query.path, found, query.relevant))
    return chosen


def sized(index: ImageIndex, images: list[str], features: int, count: int) -> list[ReadyQuery]:
    """Queries of a given number of features: the strongest of real pictures that have as many."""
    chosen: list[ReadyQuery] = []
    # what a query has more than an image is counted in
    spec = index.spec.limited(max_features=features // QUERY_SHARE)
    for path in images[:: max(1, len(images) // (4 * count))]:
        if len(chosen) == count:
            break
        found = extract_query(path, spec)
        if len(found.features) == features:
            chosen.append(ReadyQuery(path, found, frozenset([path])))
    return chosen


def search(
    index: ImageIndex, query: ReadyQuery, options: SearchOptions
) -> tuple[dict[str, float], bool]:
    """The seconds of each step, and whether the right image is first."""
    result = index._answer(index._open_collection, query.features, options, None, Clock())
    matches = result.matches
    return result.timings, bool(matches) and matches[0].path in query.relevant


def timed(
    index: ImageIndex,
    chosen: list[ReadyQuery],
    options: SearchOptions,
    before: Callable[[], object] = int,
) -> dict[str, Any]:
    """Milliseconds of each step and in all over some queries, and recall@1; `before` runs before
    each query.
    """
    times: dict[str, list[float]] = {step: [] for step in (*STEPS, "all")}
    right = 0
    for query in chosen:
        before()
        seconds, found = search(index, query, options)
        right += found
        for step in STEPS:
            times[step].append(seconds[step] * 1e3)
        times["all"].append(sum(seconds.values()) * 1e3)
    select_by_grid = {
        step: [round(float(value), 2) for value in np.percentile(values, (50, 95, 99))]
        for step, values in times.items()
    }
    return {"queries": len(chosen), "recall": right / len(chosen), **select_by_grid}


def forget(path: Path) -> None:
    """Make the system forget the pages of an index, as far as it can."""
    for file in path.rglob("*.npy"):
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def memory(path: Path, chosen: list[ReadyQuery]) -> float:
    """The most MB beside the page cache of a process that answers some queries."""
    command = [sys.executable, "-c", WATCHED, str(path), *(query.path for query in chosen)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measured(
    path: Path, sets: dict[str, tuple[list[ReadyQuery], SearchOptions]], cold: int
) -> dict[str, Any]:
    """The figures of the index as it is."""
    clock = time.perf_counter()
    with ImageIndex.open(path) as index:
        row: dict[str, Any] = {"open": round(time.perf_counter() - clock, 3)}
        info = index.info()
        row |= {
            "images": info.image_count,
            "features": info.feature_count,
            "segments": info.segment_count,
            "bytes": info.size_bytes,
        }
        for name, (chosen, options) in sets.items():
            row[f"{name}, first"] = timed(index, chosen, options)
            row[name] = timed(index, chosen, options)
        chosen, options = next(iter(sets.values()))
        row["limit"] = limits(index, chosen[:10], options)
        row["throughput"] = throughput(index, chosen[:20], options)
    row["memory"] = memory(path, chosen[:10])
    row["shell warm"] = [shell(path, query) for query in chosen[:cold]]
    row["shell cold"] = []
    with ImageIndex.open(path) as index:
        for query in chosen[:cold]:
            forget(path)
            row["shell cold"].append(shell(path, query))
        row["cold"] = timed(index, chosen[:cold], options, lambda: forget(path))
    return row


def throughput(
    index: ImageIndex, chosen: list[ReadyQuery], options: SearchOptions
) -> dict[str, list[float]]:
    """Queries a second by one thread and by two: beside extraction, as Python is and when threads
    change places at once; from the picture file, where OpenCV uses all cores anyway."""
    usual = sys.getswitchinterval()
    ways: list[tuple[str, Callable[[ReadyQuery], object], float]] = [
        ("beside extraction", lambda query: search(index, query, options), usual),
        (
            "the same with sys.setswitchinterval(5e-5)",
            lambda query: search(index, query, options),
            5e-5,
        ),
        ("from file", lambda query: index.search(query.path, options), usual),
    ]
    rates: dict[str, list[float]] = {}
    for name, ask, interval in ways:
        sys.setswitchinterval(interval)
        for threads in (1, 2):
            with ThreadPoolExecutor(threads) as pool:
                clock = time.perf_counter()
                list(pool.map(ask, chosen))
                rates.setdefault(name, []).append(
                    round(len(chosen) / (time.perf_counter() - clock), 2)
                )
        sys.setswitchinterval(usual)
    return rates


def shell(path: Path, query: ReadyQuery) -> float:
    """Seconds that the command takes for a crop query."""
    command = [sys.executable, "-m", "bovw", "search", "--index", str(path), "--crop", query.path]
    clock = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return round(time.perf_counter() - clock, 3)


def limits(index: ImageIndex, chosen: list[ReadyQuery], options: SearchOptions) -> dict[str, float]:
    """How fast the scan goes through signatures, and how fast a plain sum goes through the same:
    GB/s.
    """
    scanned = summed = 0.0
    postings = 0
    for query in chosen:
        encoded = encode(query.features.features, index.vocabulary, options.words_per_feature)
        for segment in index._snapshot.segments:
            starts, counts = segment.word_starts, segment.word_counts
            lists = [
                segment.posting_signatures[starts[word] : starts[word + 1]]
                for word in encoded.words.ravel().tolist()
            ]
            for signatures in lists:
                signatures.sum()
            clock = time.perf_counter()
            for signatures in lists:
                signatures.sum()
            summed += time.perf_counter() - clock
            postings += int(counts[encoded.words.ravel()].sum())
        steps = Clock()
        asked = replace(options, verify_top=0, k=1)
        propose(index._open_collection, [Variant(encoded, encoded.box, np.eye(3))], asked, steps)
        scanned += steps.timings["scan"]
    return {
        "scan": round(postings * 8 / scanned / 1e9, 2),
        "sum": round(postings * 8 / summed / 1e9, 2),
    }


def show(row: dict[str, Any], names: list[str]) -> None:
    """Print the figures of one size."""
    rates = ", ".join(
        f"{name} {one} and {two} ({two / one:.2f} x)"
        for name, (one, two) in row["throughput"].items()
    )
    cold, warm = (statistics.median(row[f"shell {state}"]) for state in ("cold", "warm"))
    print(
        f"{row['images']:,} images, {row['features']:,} features, {row['segments']} segments, "
        f"added at {row['rate']:,} images/s: {row['bytes'] / row['images']:,.0f} bytes an image; "
        f"opens in {row['open']:.2f} s; {row['memory']:.0f} MB beside the page cache\n"
        f"  queries/s by one thread and two: {rates}\n"
        f"  `bovw search --crop`: {cold:.2f} s cold, {warm:.2f} s warm; "
        f"scan {row['limit']['scan']} GB/s, plain sum {row['limit']['sum']} GB/s "
        f"({row['limit']['sum'] / row['limit']['scan']:.1f} x)\n"
        f"  {'':40s} {'recall@1':>8s} "
        + " ".join(f"{step:>8s}" for step in (*STEPS, "all", "95 %", "99 %"))
        + "   ms"
    )
    for line in [*(asked for each in names for asked in (each, f"{each}, first")), "cold"]:
        figures = row[line]
        medians = [figures[step][0] for step in (*STEPS, "all")] + figures["all"][1:]
        print(
            f"  {line:40s} {figures['recall']:8.3f} "
            + " ".join(f"{value:8.1f}" for value in medians),
            flush=True,
        )
    if "merge" in row:
        before = row["before merging"]
        medians = ", ".join(f"{name} {before[name]['all'][0]:.1f}" for name in names)
        print(
            f"  merged in {row['merge']:,} s; with the {before['segments']} segments before, "
            f"ms in all: {medians}"
        )


def plot(rows: list[dict[str, Any]], names: list[str], file: Path) -> None:
    """Draw cost against size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.5))
    sizes = [row["images"] for row in rows]
    for name in [*names, "cold"]:
        left.plot(
            sizes,
            [row[name]["all"][0] for row in rows],
            "o-",
            label="crop queries, cold" if name == "cold" else name,
        )
    left.set(
        xscale="log", yscale="log", xlabel="images", ylabel="ms a search beside extraction (median)"
    )
    left.legend(fontsize=8)
    right.plot(sizes, [row["bytes"] / 1e9 for row in rows], "o-", label="GB on disk")
    right.plot(
        sizes,
        [row["memory"] / 1e3 for row in rows],
        "o-",
        label="GB of memory beside the page cache",
    )
    right.plot(sizes, [row["open"] for row in rows], "o-", label="s to open")
    right.set(xscale="log", yscale="log", xlabel="images")
    right.legend(fontsize=8)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(file)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this part."""
    parser.add_argument(
        "--sizes", help="numbers of images (default: 1000,10000,100000; with --small 60,200)"
    )
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--cold", type=int, default=5, help="queries of the cold runs")
    parser.add_argument(
        "--merge", action="store_true", help="merge the index at each size before it is measured"
    )
    parser.add_argument("--plot", type=Path, help="draw cost against size, with matplotlib")


def run(collection: Collection, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Run the benchmark, print its tables and return them."""
    sizes = arguments.sizes or ("60,200" if arguments.small else "1000,10000,100000")
    queries, cold = (4, 1) if arguments.small else (arguments.queries, arguments.cold)
    path = collection.work / "scale.bovw"
    with ImageIndex.open(collection.index()) as real:
        real.merge()
        sets = query_sets(real, collection, queries)
        donors = Donors(
            real,
            {image for chosen, _ in sets.values() for query in chosen for image in query.relevant},
        )
        if not path.exists():
            ImageIndex.create(path, real.vocabulary, picture_root=real.picture_root).close()
    rows = []
    for size in sorted(int(part) for part in sizes.split(",")):
        with ImageIndex.open(path) as index:
            have = len(index)
            if have > size:
                sys.exit(
                    f"benchmark: {path} has {have:,} images already: remove it to measure {size:,}"
                )
            seconds = grow(index, donors, size)
        growth = {"rate": round((size - have) / seconds) if seconds else 0}
        if arguments.merge:
            growth |= merged(path, sets)
        rows.append(growth | measured(path, sets, cold))
        show(rows[-1], list(sets))
    if arguments.plot:
        plot(rows, list(sets), arguments.plot)
    return rows


def merged(path: Path, sets: dict[str, tuple[list[ReadyQuery], SearchOptions]]) -> dict[str, Any]:
    """Merge the index; says how long that took, and how long searches took before."""
    with ImageIndex.open(path) as index:
        before: dict[str, Any] = {"segments": index.info().segment_count}
        for name, (chosen, options) in sets.items():
            timed(index, chosen[:10], options)
            before[name] = timed(index, chosen[:10], options)
        clock = time.perf_counter()
        index.merge()
        return {"before merging": before, "merge": round(time.perf_counter() - clock, 1)}


def query_sets(
    index: ImageIndex, collection: Collection, queries: int
) -> dict[str, tuple[list[ReadyQuery], SearchOptions]]:
    """Which queries are asked with which options."""
    plain = SearchOptions(crop=True, words_per_feature=3, mirror=False)
    crops = ready(index, collection.crops, queries)
    small, large = (
        sized(index, collection.images, 500, queries // 2),
        sized(index, collection.images, 2000, queries // 4),
    )
    sets = {
        "crop queries, as by default": (crops, SearchOptions(crop=True)),
        "500 features, 3 words, no mirror": (small, plain),
        "500 features, as by default": (small, SearchOptions(crop=True)),
        "2000 features, 3 words, no mirror": (large, plain),
    }
    return {name: (chosen, options) for name, (chosen, options) in sets.items() if chosen}
