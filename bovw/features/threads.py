"""Keep the matrix library to one thread while many small products are computed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import OpenBLASController, ThreadpoolController

__all__ = ["one_blas_thread"]

lock = threading.Lock()
holders: list[object] = []


@cache
def controller() -> ThreadpoolController:
    """The matrix libraries of this process."""
    return ThreadpoolController()


def free_control() -> None:
    """Let the thread that calls this change OpenBLAS: from 3.8 on, threadpoolctl ignores all
    threads but the first that did.
    """
    if hasattr(OpenBLASController, "clear_controlling_thread"):
        OpenBLASController.clear_controlling_thread(force=True)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """One thread for products inside; what the host program had set is back when the last of
    several threads leaves.
    """
    with lock:
        if not holders:
            free_control()
            holders.append(controller().limit(limits=1, user_api="blas"))
        holders.append(None)
    try:
        yield
    finally:
        with lock:
            holders.pop()
            if len(holders) == 1:
                free_control()
                holders.pop().restore_original_limits()  # type: ignore[attr-defined]
                free_control()
