"""Ask a replica of each shard, and another one if the first does not answer in time.

A call to a process that has just died, or whose network is cut, raises nothing for a while: it
waits. So what is late is asked of another replica (Dean and Barroso, The tail at scale, CACM 2013).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Protocol

from ..errors import BovwError, ShardMissingError
from .config import ClusterConfig
from .shard import Shard

__all__ = ["LocalReplicas", "Replicas", "ask_all"]


class Replicas(Protocol):
    """The processes that answer for the shards."""

    def count(self, shard: int) -> int:
        """How many there are of a shard."""

    def call(self, shard: int, replica: int, method: str, *arguments: Any) -> Future[Any]:
        """Call a method of `Shard`."""


class LocalReplicas:
    """Shards that answer in threads of this process."""

    def __init__(self, config: ClusterConfig) -> None:
        self.shards = [Shard(config.store, config.cache, number) for number in range(config.shards)]
        self.pool = ThreadPoolExecutor(max_workers=min(32, config.shards))

    def count(self, shard: int) -> int:  # noqa: ARG002 - one of each
        """One."""
        return 1

    def call(self, shard: int, replica: int, method: str, *arguments: Any) -> Future[Any]:  # noqa: ARG002
        """Call a method of a shard."""
        return self.pool.submit(getattr(self.shards[shard], method), *arguments)


class Asked:
    """A call to one shard: to one replica after the other, until one answers.

    Attributes:
        answer: what it answers.
        missing: why it does not.
        running: the calls under way.
    """

    def __init__(
        self,
        replicas: Replicas,
        config: ClusterConfig,
        shard: int,
        first: int,
        method: str,
        arguments: Sequence[Any],
    ) -> None:
        self.replicas, self.config, self.shard = replicas, config, shard
        self.method, self.arguments = method, arguments
        count = replicas.count(shard)
        self.left = [(first + number) % count for number in range(count)]
        self.running: set[Future[Any]] = set()
        self.answer: Any = None
        self.missing: ShardMissingError | None = None
        self.settled = False
        self.reason = "it takes too long" if count else "there is none"
        self.begun = self.asked_at = time.monotonic()
        self.ask_next()

    def ask_next(self) -> None:
        """Ask another replica, if one is left."""
        if self.left:
            self.asked_at = time.monotonic()
            replica = self.left.pop(0)
            self.running.add(self.replicas.call(self.shard, replica, self.method, *self.arguments))

    def look(self) -> None:
        """Take note of what was answered; ask on, or give up."""
        for future in [each for each in self.running if each.done()]:
            self.running.discard(future)
            try:
                self.answer, self.settled = future.result(), True
            except Exception as error:  # whatever keeps a replica from answering
                cause = error.__cause__ if isinstance(error.__cause__, BovwError) else error
                self.reason = " ".join(str(cause).split())[:300] or repr(cause)
        now = time.monotonic()
        if self.settled:
            return
        if not (self.running or self.left) or now - self.begun > self.config.timeout_seconds:
            self.missing, self.settled = ShardMissingError(self.shard, self.reason), True
        elif not self.running or now - self.asked_at > self.config.hedge_seconds:
            self.ask_next()


def ask_all(
    replicas: Replicas,
    config: ClusterConfig,
    shards: Sequence[int],
    turn: int,
    method: str,
    *arguments: Any,
) -> tuple[dict[int, Any], dict[int, ShardMissingError]]:
    """What some shards answer, and why others do not.

    Args:
        turn: which replica is asked first, modulo their number.
        method, arguments: of `Shard`.
    """
    calls = [Asked(replicas, config, shard, turn, method, arguments) for shard in shards]
    while open_calls := [call for call in calls if not call.settled]:
        running = [future for call in open_calls for future in call.running]
        if running:
            wait(running, timeout=min(0.05, config.hedge_seconds), return_when=FIRST_COMPLETED)
        for call in open_calls:
            call.look()
    answers = {call.shard: call.answer for call in calls if not call.missing}
    return answers, {call.shard: call.missing for call in calls if call.missing}
