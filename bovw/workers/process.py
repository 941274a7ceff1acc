"""A worker process from within: its whole life, and what it is given to do."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

__all__ = ["Work", "serve"]

# Seconds more for what is not an item: to start, and to work on the items of a chunk together.
GRACE = 60


@dataclass(frozen=True)
class Work:
    """What is to be done with items, which come in chunks. Everything in it is importable and can
    be pickled.

    Attributes:
        each: is called with every item. This may hang or end the process.
        together: is called with the list of what `each` returned for a chunk, and returns the
            results, one an item.
    """

    each: Callable[[Any], Any]
    together: Callable[[list[Any]], list[Any]] = list


def serve(descriptor: int, parent: int) -> None:
    """The whole life of a worker process: work on chunks, until there is nothing more to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    warnings.filterwarnings("ignore", module=r"PIL\.")
    connection = Connection(descriptor)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        work, seconds = received(connection)
        while True:
            items = connection.recv()
            try:
                message: Any = results_of(work, items, seconds, connection)
            except Exception as error:
                error.add_note(traceback.format_exc())
                message = error
            connection.send(message)


def received(connection: Connection) -> tuple[Work, float]:
    """The work to be done, and the seconds that an item may take; what keeps it from being loaded
    here goes back.
    """
    try:
        work, seconds = connection.recv()
    except Exception as error:
        connection.send(error)
        raise
    return work, seconds


def results_of(work: Work, items: list[Any], seconds: float, connection: Connection) -> list[Any]:
    """Work on a chunk, and say what is begun."""
    results = []
    for item in items:
        connection.send(None)
        # should nobody be there any more to end it, this signal ends what computes without end,
        # even where `end_with` gets no turn; it counts processor time, which a suspended run does
        # not take
        signal.setitimer(signal.ITIMER_PROF, min(2 * seconds + GRACE, threading.TIMEOUT_MAX))
        results.append(work.each(item))
    signal.setitimer(signal.ITIMER_PROF, 0)
    connection.send(True)
    return work.together(results)


def end_with(parent: int) -> None:
    """End this process soon after the one that started it, which may be killed without a word."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
