"""Keep the matrix library to one thread while many small products are computed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController

__all__ = ["one_blas_thread"]

lock = threading.Lock()
holders: list[object] = []


@cache
def controller() -> ThreadpoolController:
    """The matrix libraries of this process."""
    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """One thread for products inside; what the host program had set is back when the last of several threads leaves."""
    with lock:
        if not holders:
            holders.append(controller().limit(limits=1, user_api="blas"))
        holders.append(None)
    try:
        yield
    finally:
        with lock:
            holders.pop()
            if len(holders) == 1:
                holders.pop().restore_original_limits()  # type: ignore[attr-defined]
