"""Work for worker processes: importable, and quick to import."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from typing import Any

__all__ = ["described", "doomed", "doubled", "endless", "obeyed", "threads"]


def doubled(item: int) -> int:
    return 2 * item


def obeyed(order: tuple[int, str]) -> int:
    """Do what an order says, which may be to crash or to hang; returns its number."""
    number, what = order
    if what == "exit":
        os._exit(3)
    elif what == "hang":
        time.sleep(1000)
    elif what == "hang in C":
        ctypes.PyDLL(None).pause()  # holds the lock of the interpreter, as nothing in Python can
    elif what == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif what == "error":
        raise OSError("as ordered")
    elif what:
        os.kill(os.getpid(), getattr(signal, what))
    return number


def described(results: list[int]) -> list[str]:
    return [f"{result} of {len(results)}" for result in results]


def doomed(results: list[Any]) -> list[Any]:
    os._exit(len(results) + 2)


def endless(_results: list[Any]) -> list[Any]:
    time.sleep(1000)
    return []


def threads(_item: int) -> tuple[int, int]:
    """Threads of this process, after OpenCV and the matrix library had reason to start some; and
    OpenCV's own number.
    """
    import cv2
    import numpy as np

    pixels = np.random.default_rng(0).integers(0, 256, (1000, 1000), dtype=np.uint8)
    cv2.SIFT.create(500).detectAndCompute(cv2.GaussianBlur(pixels, (0, 0), 3), None)
    np.ones((1000, 1000)) @ np.ones((1000, 1000))
    return len(os.listdir("/proc/self/task")), cv2.getNumThreads()
