"""What indexing and searching cost, as ratios to bare OpenCV on the same pictures in the same run.

Prints the CPU time of `bovw index --jobs 2` over that of decoding and SIFT by OpenCV alone in two
processes; the time of a warm search, without extraction, over that of the query's extraction; and
what it costs to have bovw at all: processor time to start and megabytes on disk, with bounds.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import footprint
from collection import Collection

from bovw import ImageIndex, SearchOptions, Vocabulary
from bovw.features.encoding import encode_all
from bovw.features.local import extract
from bovw.index.record import FileStamp, ImageRecord
from bovw.index.segment_writer import IndexedImage
from bovw.pictures.reading import load_picture
from bovw.search.query import Clock

BARE = """
import sys, cv2
cv2.setNumThreads(1)
sift = cv2.SIFT.create(int(sys.argv[1]), contrastThreshold=float(sys.argv[2]))
for path in sys.stdin.read().split("\\n"):
    gray = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
    shrink = 1024 / max(gray.shape)
    if shrink < 1:
        gray = cv2.resize(gray, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    sift.detectAndCompute(gray, None)
"""


def children_cpu() -> float:
    """CPU seconds of all ended child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def bare_cpu(images: list[str], features: int, contrast: float) -> float:
    """CPU seconds of two processes that decode and extract with OpenCV alone."""
    before = children_cpu()
    command = [sys.executable, "-c", BARE, str(features), str(contrast)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, text=True) for _ in range(2)]
    for number, process in enumerate(processes):
        assert process.stdin
        process.stdin.write("\n".join(images[number::2]))
        process.stdin.close()
    for process in processes:
        process.wait()
    return children_cpu() - before


def index_cpu(images: list[str], work: Path) -> float:
    """CPU seconds of `bovw index --jobs 2`."""
    path = work / "costs.bovw"
    shutil.rmtree(path, ignore_errors=True)
    before = children_cpu()
    command = [sys.executable, "-m", "bovw", "index", "-", "--index", str(path), "--jobs", "2"]
    done = subprocess.run(command, input="\n".join(images), text=True, capture_output=True)
    if done.returncode > 1:  # 1 says that a picture without features was left out
        sys.exit(done.stderr)
    return children_cpu() - before


def search_times(index: ImageIndex, queries: list[str]) -> dict[str, list[float]]:
    """Seconds of extraction and of the steps of a warm crop search, for each query."""
    times: dict[str, list[float]] = {}
    options = SearchOptions(crop=True)
    for path in [queries[0], *queries]:
        seconds = index.search(path, options).timings
        if "describe" in seconds:
            seconds["search"] = sum(seconds.values()) - seconds["read"] - seconds["extract"]
            for name, value in seconds.items():
                times.setdefault(name, []).append(value)
    return {name: values[1:] for name, values in times.items()}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this part."""
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--queries", type=int, default=100)


def run(collection: Collection, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the benchmark, print its figures and return them."""
    images = collection.images[
        :: max(1, len(collection.images) // (5 if arguments.small else arguments.pictures))
    ]
    cpu = {
        "bare decode + SIFT, the same settings": bare_cpu(images, 4000, 0.02),
        "bare decode + SIFT, OpenCV's defaults": bare_cpu(images, 0, 0.04),
        "bovw index --jobs 2": index_cpu(images, collection.work),
    }
    figures: dict[str, Any] = {
        "pictures": len(images),
        "cpu_ms": {name: round(value / len(images) * 1e3, 1) for name, value in cpu.items()},
    }
    same, default, ours = cpu.values()
    print(f"{len(images)} pictures, CPU ms a picture:")
    for name, value in figures["cpu_ms"].items():
        print(f"  {name:40s} {value:7.1f}")
    print(f"  that is {ours / same:.2f} and {ours / default:.2f} times as much")
    figures["build_ms"] = build_times(images[:100])
    print(
        "of one thread, ms a picture: "
        + ", ".join(f"{name} {value:.2f}" for name, value in figures["build_ms"].items())
    )
    with ImageIndex.open(collection.index()) as index:
        queries = [query.path for query in collection.crops]
        times = search_times(
            index, queries[:: max(1, len(queries) // (5 if arguments.small else arguments.queries))]
        )
        print(
            f"warm crop search in {len(index)} images, {len(times['search'])} queries, median ms:"
        )
        figures["search_ms"] = {
            name: round(statistics.median(values) * 1e3, 1) for name, values in times.items()
        }
    for name, value in figures["search_ms"].items():
        print(f"  {name:10s} {value:7.1f}")
    ratios = [
        search / extraction
        for search, extraction in zip(times["search"], times["extract"], strict=True)
    ]
    figures["search_to_extraction"] = round(statistics.median(ratios), 2)
    print(f"  search / extraction: median of the ratios {figures['search_to_extraction']}")
    figures["footprint"] = footprint.run(2 if arguments.small else 7)
    return figures


def build_times(images: list[str]) -> dict[str, float]:
    """Milliseconds a picture of the parts of indexing, in this thread: extraction, encoding,
    writing and committing.
    """
    vocabulary = Vocabulary.shipped("rootsift")
    clock = Clock()
    spec = vocabulary.spec
    features = [extract(load_picture(path, spec.max_side), spec) for path in images]
    clock.lap("read and extract")
    encoded = [
        image
        for first in range(0, len(features), 8)
        for image in encode_all(features[first : first + 8], vocabulary)
    ]
    clock.lap("encode")
    batch = [
        IndexedImage(ImageRecord(path, *image.size, "0" * 64, FileStamp(path, 1, 1)), image)
        for path, image in zip(images, encoded, strict=True)
        if len(image)
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        ImageIndex.create(Path(folder) / "index", vocabulary, picture_root="/") as index,
    ):
        clock.lap("create")
        with index._writer(wait=False) as writer:
            writer.commit(batch)
        clock.lap("write")
    return {
        name: round(seconds / len(images) * 1e3, 2)
        for name, seconds in clock.timings.items()
        if name != "create"
    }
