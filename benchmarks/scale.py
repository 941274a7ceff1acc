"""What an index costs and finds as it grows: 1,000 to 1,000,000 images, the real ones among distractors.

    python benchmarks/scale.py [--sizes 1000,10000,100000,1000000] [--queries 60] [--json FILE] [--plot FILE]

The real pictures are those of development.py. A distractor has the statistics of real images and shows nothing: its words
are drawn from four real images (a quarter from each), its geometry from a fifth, its signatures from random real features.
So words have their real frequencies and come in bursts, signatures have their real correlations, and no distractor
repeats a feature of a real image. A million images take 19 GB of disk and memory for the page cache.

For each size: images added a second without extraction; bytes an image; seconds to open; memory beside the page cache;
milliseconds of the steps of a search (median, 95th and 99th percentile), warm, and the whole search cold, when nothing of
the index is in memory; recall@1 of the real crop queries.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from development import database, make_crops, make_index, prepared, read_queries
from numpy.typing import NDArray

from bovw import ImageIndex, SearchOptions, Vocabulary
from bovw.encoding import EncodedImage, encode, encode_mirrored, load_picture
from bovw.features import Features, extract, mirror
from bovw.search import Clock, describe, rank
from bovw.segment import ImageRecord, starts_of

BATCH = 16_384
PARENTS = 4
STEPS = ("quantise", "scan", "rank", "verify", "describe")


class Donors:
    """The features of real images, image by image, as flat arrays."""

    def __init__(self, index: ImageIndex, sought: set[str]) -> None:
        """Args: `index` with one segment; `sought`, the images that come first."""
        (segment,) = index.snapshot.segments
        wanted = [index.root.full(segment.record(ordinal).path) in sought for ordinal in range(segment.images)]
        self.order = np.argsort(~np.array(wanted), kind="stable")
        self.segment, self.starts = segment, segment.feature_starts
        self.words = np.empty(segment.features, np.int32)
        self.signatures = np.empty(segment.features, np.uint64)
        self.words[segment.posting_features] = np.repeat(np.arange(len(segment.word_counts)), segment.word_counts)
        self.signatures[segment.posting_features] = segment.posting_signatures
        ordinals = segment.image_of(np.arange(segment.features))
        place, scale, angle = segment.geometry(np.arange(segment.features), ordinals)
        self.xy = np.column_stack([place.real, place.imag]).astype(np.float32)
        self.scale, self.angle = scale.astype(np.float32), angle.astype(np.float32)

    def real(self, number: int) -> tuple[ImageRecord, EncodedImage]:
        """A real image as it is; those that the queries seek come first."""
        ordinal = int(self.order[number])
        rows = np.arange(self.starts[ordinal], self.starts[ordinal + 1])
        size = (int(self.segment.sizes[ordinal, 0]), int(self.segment.sizes[ordinal, 1]))
        return self.segment.record(ordinal), self.encoded(rows, rows, rows, size)

    def encoded(
        self, words: NDArray[np.int64], signatures: NDArray[np.int64], geometry: NDArray[np.int64], size: tuple[int, int]
    ) -> EncodedImage:
        """An image put together from features: of which the words, the signatures and the geometry are."""
        return EncodedImage(
            words=self.words[words, None],
            signatures=self.signatures[signatures, None],
            xy=self.xy[geometry],
            scale=self.scale[geometry],
            angle=self.angle[geometry],
            size=size,
            box=(0, 0, *size),
        )

    def distractors(self, first: int, count: int) -> Iterator[tuple[ImageRecord, EncodedImage]]:
        """Distractors number first .. first + count - 1."""
        rng = np.random.default_rng((1, first))
        sizes = np.diff(self.starts)
        parents = rng.integers(0, len(sizes), (count, PARENTS))
        shapes = rng.integers(0, len(sizes), count)
        features = sizes[parents[:, 0]]
        owner = np.repeat(np.arange(count), features)
        parent = parents[owner, rng.integers(0, PARENTS, len(owner))]
        words = self.starts[parent] + (rng.random(len(owner)) * sizes[parent]).astype(np.int64)
        geometry = self.starts[shapes[owner]] + (rng.random(len(owner)) * sizes[shapes[owner]]).astype(np.int64)
        signatures = rng.integers(0, len(self.signatures), len(owner))
        bounds = starts_of(features).tolist()
        for number, shape in enumerate(shapes.tolist()):
            rows = slice(bounds[number], bounds[number + 1])
            size = (int(self.segment.sizes[shape, 0]), int(self.segment.sizes[shape, 1]))
            record = ImageRecord(f"/distractors/{(first + number) // 1000:04d}/{first + number:07d}.jpg", 1, 1, "0" * 64, *size)
            yield record, self.encoded(words[rows], signatures[rows], geometry[rows], size)


@dataclass(frozen=True)
class Probe:
    """A query ready to be encoded, and what it should find."""

    features: Features
    mirrored: Features
    relevant: frozenset[str]


def grow(index: ImageIndex, donors: Donors, images: int) -> float:
    """Add real images, then distractors, until the index has so many; seconds that adding and folding took."""
    seconds = 0.0
    while len(index) < images:
        have, real = len(index), donors.segment.images
        count = min(images - have, BATCH if have >= real else real - have)
        batch = [donors.real(number) for number in range(have, have + count)] if have < real else list(donors.distractors(have, count))
        clock = time.perf_counter()
        with index.writer(wait=False) as writer:
            writer.commit(batch)
        seconds += time.perf_counter() - clock
        print(f"  {len(index):,} images", end="\r", file=sys.stderr)
    return seconds


def probes(index: ImageIndex, table: Path, images: Path, count: int) -> list[Probe]:
    """Some of the real crop queries, evenly chosen."""
    queries = [query for query in read_queries(table, images) if query.outline]
    chosen = []
    for query in queries[:: max(1, len(queries) // count)]:
        picture = load_picture(query.path, index.spec)
        features = extract(picture, index.spec)
        if len(features):
            chosen.append(Probe(features, mirror(features, picture, index.spec), query.relevant))
    return chosen


def sized(images: list[str], index: ImageIndex, features: int, count: int) -> list[Probe]:
    """Queries of a given number of features: the strongest of real pictures that have as many."""
    chosen: list[Probe] = []
    spec = index.spec.limited(max_features=features)
    for path in images[:: max(1, len(images) // (4 * count))]:
        picture = load_picture(path, spec)
        found = extract(picture, spec)
        if len(found) == features and len(chosen) < count:
            chosen.append(Probe(found, mirror(found, picture, spec), frozenset([path])))
    return chosen


def search(index: ImageIndex, probe: Probe, options: SearchOptions) -> tuple[dict[str, float], bool]:
    """The seconds of each step, and whether the right image is first."""
    clock = Clock()
    queries = [encode(probe.features, index.vocabulary, options.words)]
    if options.mirror:
        queries.append(encode_mirrored(probe.mirrored, queries[0], index.vocabulary))
    clock.lap("quantise")
    ranking = rank(index.snapshot, queries, options, clock)
    matches = describe(index.snapshot, queries, ranking)
    clock.lap("describe")
    return clock.seconds, bool(matches) and index.root.full(matches[0].image) in probe.relevant


def timed(index: ImageIndex, chosen: list[Probe], options: SearchOptions, before: Callable[[], object] = int) -> dict[str, Any]:
    """Milliseconds of each step and in all over some queries, and recall@1; `before` runs before each query."""
    search(index, chosen[0], options)
    times: dict[str, list[float]] = {step: [] for step in (*STEPS, "all")}
    right = 0
    for probe in chosen:
        before()
        seconds, found = search(index, probe, options)
        right += found
        for step in STEPS:
            times[step].append(seconds[step] * 1e3)
        times["all"].append(sum(seconds.values()) * 1e3)
    spread = {step: [round(float(value), 2) for value in np.percentile(values, (50, 95, 99))] for step, values in times.items()}
    return {"queries": len(chosen), "recall": right / len(chosen), **spread}


def forget(index: ImageIndex) -> None:
    """Make the system forget the pages of an index, as far as it can."""
    for path in index.directory.root.rglob("*.npy"):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def memory() -> float:
    """MB of this process beside the page cache."""
    return next(int(line.split()[1]) / 1024 for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))


def measured(path: Path, sets: dict[str, tuple[list[Probe], SearchOptions]], cold: int) -> dict[str, Any]:
    """The figures of the index as it is."""
    clock = time.perf_counter()
    with ImageIndex.open(path) as index:
        row: dict[str, Any] = {"open": round(time.perf_counter() - clock, 3)}
        info = index.info()
        row |= {"images": info.images, "features": info.features, "segments": info.segments, "bytes": info.bytes}
        before = memory()
        for name, (chosen, options) in sets.items():
            row[name] = timed(index, chosen, options)
        row["memory"] = round(memory() - before + 1, 1)
        chosen, options = next(iter(sets.values()))
    with ImageIndex.open(path) as index:
        row["cold"] = timed(index, chosen[:cold], options, lambda: forget(index))
        row["limit"] = limits(index, chosen, options)
    return row


def limits(index: ImageIndex, chosen: list[Probe], options: SearchOptions) -> dict[str, float]:
    """How fast the scan goes through signatures, and how fast a plain sum goes through the same: GB/s."""
    scanned = summed = 0.0
    postings = 0
    for probe in chosen[:20]:
        encoded = encode(probe.features, index.vocabulary, options.words)
        for segment in index.snapshot.segments:
            starts, counts = segment.word_starts, segment.word_counts
            lists = [segment.posting_signatures[starts[word] : starts[word + 1]] for word in encoded.words.ravel().tolist()]
            for signatures in lists:
                signatures.sum()
            clock = time.perf_counter()
            for signatures in lists:
                signatures.sum()
            summed += time.perf_counter() - clock
            postings += int(counts[encoded.words.ravel()].sum())
        steps = Clock()
        rank(index.snapshot, [encoded], replace(options, verify=0, k=1), steps)
        scanned += steps.seconds["scan"]
    return {"scan": round(postings * 8 / scanned / 1e9, 2), "sum": round(postings * 8 / summed / 1e9, 2)}


def show(row: dict[str, Any], names: list[str]) -> None:
    """Print the figures of one size."""
    print(
        f"{row['images']:,} images, {row['features']:,} features, {row['segments']} segments: {row['bytes'] / row['images']:,.0f} "
        f"bytes an image; added at {row['rate']:,.0f} images/s; opens in {row['open']:.2f} s; {row['memory']:.0f} MB beside the "
        f"page cache; scan {row['limit']['scan']} GB/s, plain sum {row['limit']['sum']} GB/s"
    )
    print(f"  {'':34s} {'recall@1':>8s} " + " ".join(f"{step:>8s}" for step in (*STEPS, "all", "95 %", "99 %")) + "   ms")
    for name in [*names, "cold"]:
        figures = row[name]
        medians = [figures[step][0] for step in (*STEPS, "all")] + figures["all"][1:]
        print(f"  {name:34s} {figures['recall']:8.3f} " + " ".join(f"{value:8.1f}" for value in medians))


def plot(rows: list[dict[str, Any]], names: list[str], file: Path) -> None:
    """Draw cost against size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.5))
    sizes = [row["images"] for row in rows]
    for name in [*names, "cold"]:
        left.plot(sizes, [row[name]["all"][0] for row in rows], "o-", label=name)
    left.set(xscale="log", yscale="log", xlabel="images", ylabel="ms a search beside extraction (median)")
    left.legend(fontsize=8)
    right.plot(sizes, [row["bytes"] / 1e9 for row in rows], "o-", label="GB on disk")
    right.plot(sizes, [row["memory"] / 1e3 for row in rows], "o-", label="GB of memory beside the page cache")
    right.plot(sizes, [row["open"] for row in rows], "o-", label="s to open")
    right.set(xscale="log", yscale="log", xlabel="images")
    right.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(file)


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--cold", type=int, default=10, help="queries of the cold runs")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="a picture, drawn with matplotlib")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "bovw-bench")
    arguments = parser.parse_args()
    data = prepared(arguments.work)
    if data is None:
        return
    images = database(data)
    path = arguments.work / "scale.bovw"
    with ImageIndex.open(make_index(data, arguments.work, "rootsift")) as real:
        real.merge()
        crops = probes(real, make_crops(data, arguments.work), data / "dev", arguments.queries)
        plain = SearchOptions(crop=True, words=3, mirror=False)
        sets = {
            "crop queries of the benchmark": (crops, SearchOptions(crop=True)),
            "500 features, 3 words, no mirror": (sized(images, real, 500, arguments.queries // 2), plain),
            "500 features, as by default": (sized(images, real, 500, arguments.queries // 2), SearchOptions(crop=True)),
            "2000 features, 3 words, no mirror": (sized(images, real, 2000, arguments.queries // 4), plain),
        }
        donors = Donors(real, {path for chosen, _ in sets.values() for probe in chosen for path in probe.relevant})
        vocabulary = Vocabulary.load(real.directory.root / "vocabulary")
        if not path.exists():
            ImageIndex.create(path, vocabulary, root=real.root.folder).close()
    rows = []
    print(f"{os.cpu_count()} cores; {len(crops)} crop queries; {PARENTS} parents a distractor")
    for size in sorted(int(part) for part in arguments.sizes.split(",")):
        with ImageIndex.open(path) as index:
            have = len(index)
            seconds = grow(index, donors, size)
        row = measured(path, sets, arguments.cold)
        rows.append({"rate": (size - have) / seconds if seconds else 0.0, **row})
        show(rows[-1], list(sets))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))
    if arguments.plot:
        plot(rows, list(sets), arguments.plot)


if __name__ == "__main__":
    main()
