"""Signals that end a command: at once, or when the work at hand is safe."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["exit_code", "finishing", "listen"]

NOTE = b"bovw: stopping when the pictures at hand are committed; interrupt again to stop at once\n"


class Interrupts:
    """What signals have come, and whether the first one may wait.

    Attributes:
        received: their numbers.
        waiting: whether work goes on after the first.
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        self.waiting = False

    def receive(self, number: int, _frame: FrameType | None) -> None:
        """Take note of a signal. Raises KeyboardInterrupt unless it may wait."""
        self.received.append(number)
        if not self.waiting or len(self.received) > 1:
            raise KeyboardInterrupt
        os.write(2, NOTE)


interrupts = Interrupts()


def listen() -> None:
    """Receive SIGINT and SIGTERM from now on, but for one that whoever started us has ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupts.receive)


@contextmanager
def finishing() -> Iterator[Callable[[], bool]]:
    """Work that ends by itself soon after the first signal: it gets what says whether to end."""
    interrupts.waiting = True
    try:
        yield lambda: bool(interrupts.received)
    finally:
        interrupts.waiting = False


def exit_code() -> int:
    """The exit code of a command that was interrupted: 130 by SIGINT, 143 by SIGTERM."""
    return 128 + (interrupts.received[0] if interrupts.received else signal.SIGINT)
