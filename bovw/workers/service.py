"""Work that comes item by item from several threads, for a server: a bounded queue before processes
that may crash or hang.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

from ..errors import BovwError, BusyError
from .pool import Chunk, Pool
from .process import Work

__all__ = ["Place", "Service"]

# So long a place is kept for an item that is still on its way: whoever is slow keeps nobody out.
HELD_SECONDS = 1.0


class Place:
    """Room for one item of a service, until a time."""

    def __init__(self) -> None:
        self.end = time.monotonic() + HELD_SECONDS


class Service:
    """Processes that work on items as they come. Each has a thread here that looks after it.

    An item that ends its process or takes too long gives a Failure without a name, and the next one
    gets a new process.
    """

    def __init__(self, work: Work, jobs: int, seconds: float, waiting: int) -> None:
        """Start it.

        Args:
            jobs: processes, at least 1.
            seconds: that an item may take.
            waiting: items that may wait for a process.
        """
        self._work, self._seconds = work, seconds
        self._waiting: queue.Queue[tuple[Any, Future[Any]] | None] = queue.Queue()
        self._most, self._unfinished, self._lock = jobs + waiting, 0, threading.Lock()
        self._held = set[Place]()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._look_after, daemon=True) for _ in range(jobs)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def unfinished(self) -> int:
        """How many items wait or are being worked on."""
        return self._unfinished

    def require_room(self) -> None:
        """Raise BusyError if `submit` would."""
        if self._closed:
            raise BusyError("the server is ending: ask again later")
        now = time.monotonic()
        taken = self._unfinished + sum(place.end > now for place in self._held)
        if taken >= self._most:
            raise BusyError(f"{taken} others are waiting already: ask again later")

    @contextmanager
    def place(self) -> Iterator[Place]:
        """Keep room for an item that is still on its way, for HELD_SECONDS at most: so whoever
        finds none is told before anything is done for him.

        Raises:
            BusyError: as `submit`.
        """
        with self._lock:
            self.require_room()
            place = Place()
            self._held.add(place)
        try:
            yield place
        finally:
            with self._lock:
                self._held.discard(place)

    def submit(self, item: Any, place: Place | None = None) -> Future[Any]:
        """Give it an item that can be pickled. The future has the result, a Failure, or what the
        work raised.

        Args:
            place: what was kept for it.

        Raises:
            BusyError: as many items are waiting as may and no place is kept, or it is closed.
        """
        future: Future[Any] = Future()
        with self._lock:
            if place is not None:  # it counts as the item from now on, or has lapsed
                self._held.discard(place)
            self.require_room()
            self._unfinished += 1
        self._waiting.put((item, future))
        return future

    def close(self) -> None:
        """Finish what was begun, drop the rest, take no more, and end the processes."""
        with self._lock:
            self._closed = True
        with suppress(queue.Empty):
            while given := self._waiting.get_nowait():
                given[1].cancel()
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _look_after(self) -> None:
        """The whole life of a thread with its process."""
        pool = Pool(self._work, 1, self._seconds)
        with suppress(BovwError):  # it is tried again when there is work
            pool.start()
        try:
            while (given := self._waiting.get()) is not None:
                item, future = given
                result, error = None, None
                if future.set_running_or_notify_cancel():
                    try:
                        result = result_of(pool, item)
                    except Exception as raised:  # for whoever asked
                        pool.close()  # its process is in no known state
                        error = raised
                with self._lock:  # whoever is answered may ask again at once
                    self._unfinished -= 1
                if error is not None:
                    future.set_exception(error)
                elif not future.cancelled():
                    future.set_result(result)
        finally:
            pool.close()


def result_of(pool: Pool, item: Any) -> Any:
    """The result of one item from a pool of one process."""
    chunk = Chunk(0, [item])
    waiting = deque([chunk])
    while chunk.results is None:
        pool.hand_out(waiting)
        waiting.extendleft(reversed(pool.listen()))
    (result,) = chunk.results
    return result
