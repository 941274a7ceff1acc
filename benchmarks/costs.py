"""What indexing and searching cost, as ratios to bare OpenCV on the same pictures in the same run.

    python benchmarks/costs.py [--pictures 600] [--queries 100]

Needs the development pictures (see development.py). Prints the CPU time of `bovw index --jobs 2` over that of decoding
and SIFT by OpenCV alone in two processes; the time of a warm search, without extraction, over that of the query's
extraction; and the time that the command needs to start.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from development import database, make_crops, make_index, prepared, read_queries

from bovw import ImageIndex, SearchOptions

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
        seconds = index.search(path, options).seconds
        if "describe" in seconds:
            seconds["search"] = sum(seconds.values()) - seconds["read"] - seconds["extract"]
            for name, value in seconds.items():
                times.setdefault(name, []).append(value)
    return {name: values[1:] for name, values in times.items()}


def start_seconds(arguments: list[str]) -> float:
    """Median seconds of a command over 7 runs."""
    runs = []
    for _ in range(7):
        clock = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        runs.append(time.perf_counter() - clock)
    return statistics.median(runs)


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "bovw-bench")
    arguments = parser.parse_args()
    data = prepared(arguments.work)
    if data is None:
        return
    names = database(data)
    images = names[:: max(1, len(names) // arguments.pictures)]
    same, default = bare_cpu(images, 4000, 0.02), bare_cpu(images, 0, 0.04)
    ours = index_cpu(images, arguments.work)
    print(f"{os.cpu_count()} cores, {len(images)} pictures, CPU ms a picture:")
    print(f"  bare decode + SIFT, the same settings   {same / len(images) * 1e3:7.1f}")
    print(f"  bare decode + SIFT, OpenCV's defaults   {default / len(images) * 1e3:7.1f}")
    print(f"  bovw index --jobs 2                     {ours / len(images) * 1e3:7.1f}   = {ours / same:.2f} x and {ours / default:.2f} x")
    with ImageIndex.open(make_index(data, arguments.work, "rootsift")) as index:
        queries = [query.path for query in read_queries(make_crops(data, arguments.work), data / "dev")]
        times = search_times(index, queries[:: max(1, len(queries) // arguments.queries)])
        print(f"warm crop search in {len(index)} images, {len(times['search'])} queries, median ms:")
        for name, values in times.items():
            print(f"  {name:10s} {statistics.median(values) * 1e3:7.1f}")
        ratios = [search / extraction for search, extraction in zip(times["search"], times["extract"], strict=True)]
        print(f"  search / extraction: median of the ratios {statistics.median(ratios):.2f}")
    print(f"start: python -c pass {start_seconds(['-c', 'pass']):.3f} s, bovw --help {start_seconds(['-m', 'bovw', '--help']):.3f} s")


if __name__ == "__main__":
    main()
