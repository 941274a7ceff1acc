"""What an inspection tool asks of a library: latency, and memory that does not grow.

References are put into an index in memory, and camera frames (arrays) are searched in it one after
the other, in one thread: half of them show a reference, half are strangers. Prints the median, the
99th percentile and the maximum of the time of a call, the same of its processor time, and the
memory of the process after each tenth of a longer run, with smaller frames to be quicker.
"""

from __future__ import annotations

import argparse
import gc
import os
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from collection import Collection
from numpy.typing import NDArray

from bovw import ImageIndex
from bovw.pictures.reading import read_colours

Frame = NDArray[np.uint8]
# Long side of a reference, and width and height of a frame, in pixels.
REFERENCE, FRAME = 1024, (640, 480)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this part."""
    parser.add_argument("--references", type=int, default=100)
    parser.add_argument("--max-features", type=int, default=500)
    parser.add_argument("--calls", type=int, default=1000, help="that are timed")
    parser.add_argument("--more-calls", type=int, default=10_000, help="whose memory is watched")


def run(collection: Collection, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the benchmark, print its figures and return them."""
    calls, more = (5, 10) if arguments.small else (arguments.calls, arguments.more_calls)
    count = 2 if arguments.small else min(arguments.references, len(collection.images) // 2)
    chosen = collection.images[:: len(collection.images) // (2 * count)][: 2 * count]
    known, strangers = chosen[::2], chosen[1::2]
    with ImageIndex.in_memory(max_features=arguments.max_features) as index:
        report = index.add_images((path, read_colours(path, REFERENCE)[0], None) for path in known)
        frames = [frame_of(path) for path in (*known, *strangers)]
        index.search(frames[0], crop=True)  # whatever is made once
        times = np.array([timed(index, frames[n % len(frames)]) for n in range(calls)]) * 1e3
        figures: dict[str, Any] = {
            "references": report.added,
            "max_features": arguments.max_features,
            "calls": calls,
            "wall_ms": summary(times[:, 0]),
            "cpu_ms": summary(times[:, 1]),
        }
        print(
            f"{report.added} references of up to {arguments.max_features} features, frames of "
            f"{FRAME[0]} x {FRAME[1]}, {calls:,} calls:"
        )
        print(f"  {'':15s} {'median':>8s} {'p99':>8s} {'max':>8s}")
        for name in ("wall_ms", "cpu_ms"):
            median, high, most = figures[name].values()
            shown = name.replace("_", ", ")
            print(f"  {shown:15s} {median:8.1f} {high:8.1f} {most:8.1f}", flush=True)
        small = [
            np.asarray(cv2.resize(frame, None, fx=0.25, fy=0.25), np.uint8) for frame in frames
        ]
        figures["memory_calls"] = more
        figures["memory_mb"] = [memory_after(index, small, more // 10) for _ in range(10)]
    shown = " ".join(f"{each:.0f}" for each in figures["memory_mb"])
    print(
        f"memory in MB after each tenth of {more:,} calls, frames of a quarter of the size: {shown}"
    )
    return figures


def frame_of(path: str) -> Frame:
    """The middle of a picture, as a camera would show it."""
    pixels, _ = read_colours(path, REFERENCE)
    height, width = (round(side * 0.8) for side in pixels.shape[:2])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return np.asarray(cv2.resize(pixels[top : top + height, left : left + width], FRAME), np.uint8)


def timed(index: ImageIndex, frame: Frame) -> tuple[float, float]:
    """Seconds of one call, and of the processor in it."""
    wall, cpu = time.perf_counter(), time.process_time()
    index.search(frame, crop=True, k=3)
    return time.perf_counter() - wall, time.process_time() - cpu


def summary(times: NDArray[np.float64]) -> dict[str, float]:
    """Median, 99th percentile and maximum."""
    values = np.percentile(times, [50, 99, 100]).round(1).tolist()
    return dict(zip(("median", "p99", "max"), values, strict=True))


def memory_after(index: ImageIndex, frames: list[Frame], calls: int) -> float:
    """Megabytes that this process holds after some more calls."""
    for number in range(calls):
        index.search(frames[number % len(frames)], crop=True, k=3)
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
