"""Work in several processes. One that crashes or hangs costs the item it was at, and all end with
the one that started them.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from multiprocessing.connection import Connection, wait
from typing import Any

from ..errors import BovwError, ParameterError
from ..reporting import Failure
from . import process
from .process import Work

__all__ = ["Chunk", "Pool", "Work", "run_in_processes"]

# Seconds between two looks at the time that the processes take.
TICK = 0.25
# Chunks that a process has at a time: it begins the next while its results are being used.
QUEUED = 2
# Chunks that are begun before the result of the oldest is there, by process: more would fill the
# memory while one hangs.
AHEAD = 6
# Bytes of a chunk that may be given to a process that is busy with another: a socket surely holds
# them. Were we to wait for room while that process waits for us to take its results, both would
# wait for ever.
SMALL = 1 << 16
# Bytes that a socket is asked to hold. Linux gives less without a word: twice net.core.wmem_max at
# most, 416 KB by default.
BUFFER = 1 << 20
# How often a chunk is tried whose process ended, or took too long, at no item of it.
TRIES = 3
# What a process runs: with the same modules in reach, but nothing of the program that started it.
PROGRAM = (
    "import sys; sys.path[:] = sys.argv[3:]; from bovw.workers.process import serve; "
    "serve(int(sys.argv[1]), int(sys.argv[2]))"
)
ONE_THREAD = dict.fromkeys(
    [
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "OPENCV_FOR_THREADS_NUM",
    ],
    "1",
)


@dataclass
class Chunk:
    """Some items, and what is known of them.

    Attributes:
        number: its place in the order.
        items: what is to be done.
        lost: items that ended their process or took too long, by place, and why.
        tries: how often a process ended with it for no item's sake.
        results: one an item, when all are there.
    """

    number: int
    items: list[Any]
    lost: dict[int, Failure] = field(default_factory=dict)
    tries: int = 0
    results: list[Any] | None = None

    @cached_property
    def small(self) -> bool:
        """Whether a process that is busy may be given it."""
        return len(pickle.dumps(self.items)) <= SMALL

    def left(self) -> list[int]:
        """The places of the items that are to be done."""
        return [place for place in range(len(self.items)) if place not in self.lost]

    def finish(self, results: list[Any]) -> None:
        """Take the results of the items that are not lost, if these are all."""
        if len(results) == len(self.left()):
            found = iter(results)
            self.results = [
                self.lost[place] if place in self.lost else next(found)
                for place in range(len(self.items))
            ]


def run_in_processes(
    work: Work, items: Iterable[Any], size: int, jobs: int, seconds: float
) -> Generator[Any, None, None]:
    """The results of items, in their order; a Failure without a name for one that ended its
    process or took too long.

    Args:
        size: items of a chunk.
        jobs: processes; 0 works in this one, where an item that hangs or crashes takes the program
            with it.
        seconds: that an item may take.

    Raises:
        BovwError: processes cannot be started, or end for no item's sake.
        ParameterError: `jobs` is below 0.
    """
    if jobs < 0:
        raise ParameterError(f"jobs: {jobs} is below 0")
    source = iter(items)
    chunks = (
        Chunk(number, chunk)
        for number, chunk in enumerate(iter(lambda: list(islice(source, size)), []))
    )
    if jobs == 0:
        for chunk in chunks:
            yield from work.together([work.each(item) for item in chunk.items])
        return
    pool = Pool(work, jobs, seconds)
    try:
        for results in pool.done(chunks):
            yield from results
    finally:
        pool.close()


class Pool:
    """Some processes that work on chunks."""

    def __init__(self, work: Work, jobs: int, seconds: float) -> None:
        self.work, self.jobs, self.seconds = work, jobs, seconds
        self.workers: list[Worker] = []

    def done(self, source: Iterator[Chunk]) -> Iterator[list[Any]]:
        """The results of chunks, in their order."""
        begun: deque[Chunk] = deque()
        waiting: deque[Chunk] = deque()
        while True:
            while len(begun) < AHEAD * self.jobs and (chunk := next(source, None)):
                begun.append(chunk)
                waiting.append(chunk)
            if not begun:
                return
            while begun and begun[0].results is not None:
                yield begun.popleft().results or []
            if begun:
                self.hand_out(waiting)
                waiting.extendleft(reversed(self.listen()))

    def start(self) -> None:
        """Start all processes now, instead of when there is work for them. Raises BovwError."""
        while len(self.workers) < self.jobs:
            self.workers.append(Worker(self.work, self.seconds))

    def hand_out(self, waiting: deque[Chunk]) -> None:
        """Give chunks to the processes that have none or few, and start processes while there are
        too few.
        """
        while waiting:
            if len(self.workers) < self.jobs and all(worker.chunks for worker in self.workers):
                self.workers.append(Worker(self.work, self.seconds))
            worker = min(self.workers, key=lambda worker: len(worker.chunks))
            if len(worker.chunks) == QUEUED or (worker.chunks and not waiting[0].small):
                return
            worker.give(waiting.popleft())

    def listen(self) -> list[Chunk]:
        """Wait a little for what the processes have to say. Returns the chunks that have to be done
        again.
        """
        before = time.monotonic()
        ready = wait([worker.connection for worker in self.workers], TICK)
        # whatever else stopped us, such as a suspended terminal, has stopped the processes as well
        passed = min(time.monotonic() - before, 2 * TICK)
        again = []
        for worker in list(self.workers):
            worker.waited += passed
            if worker.connection in ready and not worker.receive():
                again += self.retire(worker)
            elif worker.chunks and worker.waited > self.seconds + (
                process.GRACE if worker.at is None else 0
            ):
                again += self.retire(
                    worker, f"took too long: more than {self.seconds:g} seconds (limit: seconds)"
                )
        return again

    def retire(self, worker: Worker, reason: str = "") -> list[Chunk]:
        """End a process for good. The item it was at is lost, for this reason or for the signal it
        died of; the others are not.
        """
        self.workers.remove(worker)
        code = worker.end()
        if not worker.chunks:
            return []
        chunk = worker.chunks[0]
        if worker.at is None:
            chunk.tries += 1
            if chunk.tries == TRIES:
                raise BovwError(
                    f"worker processes end too early: {reason or described(code)}; "
                    "try fewer jobs, or 0 to see why"
                )
        else:
            chunk.lost[worker.at] = Failure(
                "", reason or f"ended the process that read it: {described(code)}"
            )
            chunk.finish([])
        return [chunk for chunk in worker.chunks if chunk.results is None]

    def close(self) -> None:
        """End all processes."""
        for worker in self.workers:
            worker.end()
        self.workers = []


class Worker:
    """A process, seen from the one that started it.

    Attributes:
        chunks: what it has been given, the first being under way.
        begun: how many items of that it has begun.
        at: the place of the item that it is at, if it is at one.
        waited: seconds that we have waited since it began that.
    """

    def __init__(self, work: Work, seconds: float) -> None:
        """Start it."""
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
            self.connection = Connection(ours.detach())
            command = [
                sys.executable,
                "-c",
                PROGRAM,
                str(theirs.fileno()),
                str(os.getpid()),
                *sys.path,
            ]
            # decoders write what they think of a file wherever they like
            quiet = subprocess.DEVNULL
            try:
                self.process = subprocess.Popen(
                    command,
                    stdin=quiet,
                    stdout=quiet,
                    stderr=quiet,
                    pass_fds=[theirs.fileno()],
                    env={**os.environ, **ONE_THREAD},
                )
            except OSError as error:
                self.connection.close()
                raise BovwError(
                    f"{sys.executable}: a worker process cannot be started: "
                    f"{error.strerror}; try jobs 0"
                ) from error
        self.chunks: deque[Chunk] = deque()
        self.begun, self.waited = 0, 0.0
        self.at: int | None = None
        self.send((work, seconds))

    def send(self, message: Any) -> None:
        """Send something; that the process has ended will be noticed when it is listened to."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(message)

    def give(self, chunk: Chunk) -> None:
        """Give it what is left of a chunk."""
        if not self.chunks:
            self.waited = 0.0
        self.chunks.append(chunk)
        self.send([chunk.items[place] for place in chunk.left()])

    def receive(self) -> bool:
        """Take note of what it has said. Returns whether it is alive."""
        try:
            while self.connection.poll():
                self.take(self.connection.recv())
        except (EOFError, ConnectionResetError):
            return False
        return True

    def take(self, message: Any) -> None:
        """Take note of a message: None for the beginning of an item, True for the end of all, the
        results, or what went wrong.
        """
        self.waited = 0.0
        if isinstance(message, BaseException):
            raise message
        chunk = self.chunks[0]
        if isinstance(message, list):
            self.chunks.popleft().finish(message)
            self.begun = 0
        elif message is None:
            self.at = chunk.left()[self.begun]
            self.begun += 1
        else:
            self.at = None

    def end(self) -> int:
        """Kill it, and let go of all that belongs to it. Returns its exit code, or minus the signal
        it died of.
        """
        self.connection.close()
        self.process.kill()
        return self.process.wait()


def described(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name} (was the memory full?)" if code == -signal.SIGKILL else name
