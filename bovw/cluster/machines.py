"""The machines of a cluster: Ray places the replicas and the work on them, watches and restarts.

Only this module imports Ray, and only when it is used. Ray listens on all interfaces of a machine:
nothing starts without token authentication, or at an address that others can reach.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import secrets
import socket
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from ..errors import ClusterError, MissingLibraryError
from ..pictures.files import path_list
from ..pictures.folders import find_images
from ..pictures.limits import LIMITS, Limits
from .building import ShardReport, Task, divided, publish_reports, update_shard
from .config import ClusterConfig
from .manifest import ClusterManifest, read_latest
from .routing import LocalReplicas, Replicas
from .shard import Shard
from .store import opened_store

__all__ = [
    "HERE",
    "RayReplicas",
    "change_cluster",
    "connect",
    "opened_replicas",
    "shared_config",
]

# Stands for an address: no Ray, all shards in this process.
HERE = "here"
NAMESPACE = "bovw"
# A task is tried again so many times if its machine is lost.
RETRIES = 3
# What may be known of a replica besides its queries.
STORE_BYTES = 80_000_000


def connect(config: ClusterConfig) -> Any:
    """Ray, connected to the cluster's machines, or started on this one; the module.

    Raises:
        ClusterError: there is no token, the address is open to others, or nobody is there.
        MissingLibraryError: Ray is not installed.
    """
    own = not config.address
    if own and "ray" not in sys.modules and os.environ.get("RAY_AUTH_MODE") != "token":
        # for the processes that this one starts; Ray looks at it once, when it is imported
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    require_token()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise MissingLibraryError(
            "a cluster needs the library Ray: pip install 'bovw[cluster]'"
        ) from None
    if ray.is_initialized():
        return ray
    options: dict[str, Any] = {"namespace": NAMESPACE, "log_to_driver": False}
    if own:
        options |= {
            "address": "local",  # not to somebody else's Ray, if one runs here
            "num_cpus": max(os.cpu_count() or 1, config.shards * config.replicas),
            "include_dashboard": False,
            "object_store_memory": STORE_BYTES,
            "_node_ip_address": "127.0.0.1",
        }
    else:
        require_private(config.address)
        options["address"] = config.address
    try:
        ray.init(configure_logging=False, **options)
    except Exception as error:  # Ray raises all kinds of things
        where = config.address or "this machine"
        reason = " ".join(str(error).split())[:300]
        raise ClusterError(f"{where}: cannot connect to Ray: {reason}") from error
    return ray


def require_token() -> None:
    """Raise ClusterError unless Ray asks everybody for a token."""
    token = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if os.environ.get("RAY_AUTH_MODE") != "token" or not token:
        raise ClusterError(
            "Ray's token authentication is off: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, the "
            "same on all machines (docs/cluster.md)"
        )


def require_private(address: str) -> None:
    """Raise ClusterError unless an address, HOST:PORT, is one of a private network."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        numbers = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise ClusterError(f"{address}: there is no such host: {error.strerror}") from error
    for number in numbers:
        if not ipaddress.ip_address(str(number).partition("%")[0]).is_private:
            raise ClusterError(
                f"{address}: is not an address of a private network; Ray must not be reached from "
                "elsewhere"
            )


class RayReplicas:
    """Processes on the machines of a Ray cluster, which go on when the one that started them ends.
    They are restarted when they die, and fetch what they need by themselves.
    """

    def __init__(self, config: ClusterConfig, *, detached: bool = False) -> None:
        """Start the replicas that do not run yet.

        Args:
            detached: they go on when this process ends.

        Raises:
            ClusterError, MissingLibraryError: as `connect`.
        """
        self.ray, self.config = connect(config), config
        actor = self.ray.remote(Shard).options
        self.actors = [
            [
                actor(
                    name=replica_name(config, shard, replica),
                    get_if_exists=True,
                    lifetime="detached" if detached else None,
                    max_restarts=-1,
                    max_concurrency=4,
                    num_cpus=0.5,
                    scheduling_strategy="SPREAD",
                ).remote(config.store, config.cache, shard)
                for replica in range(config.replicas)
            ]
            for shard in range(config.shards)
        ]

    def count(self, shard: int) -> int:
        """How many there are of a shard."""
        return len(self.actors[shard])

    def call(self, shard: int, replica: int, method: str, *arguments: Any) -> Future[Any]:
        """Call a method of a shard."""
        result: Future[Any] = Future()
        try:
            reference = getattr(self.actors[shard][replica], method).remote(*arguments)
        except Exception as error:  # the connection is lost
            result.set_exception(ClusterError(f"Ray: {error}"))
            return result

        def hand_over(future: Future[Any]) -> None:
            error = future.exception()
            if error is None:
                result.set_result(future.result())
            else:  # what was raised there, without what Ray says of it
                result.set_exception(getattr(error, "cause", None) or error)

        reference.future().add_done_callback(hand_over)
        return result

    def stop(self) -> None:
        """End the replicas."""
        for actors in self.actors:
            for actor in actors:
                self.ray.kill(actor)


def replica_name(config: ClusterConfig, shard: int, replica: int) -> str:
    """The name of a replica in Ray: the same for all who ask the same cluster."""
    store = hashlib.sha256(config.store.encode()).hexdigest()[:12]
    return f"{store}-{shard}-{replica}"


def opened_replicas(config: ClusterConfig) -> Replicas:
    """Who answers for a cluster: replicas on its machines, or this process."""
    return LocalReplicas(config) if config.address == HERE else RayReplicas(config)


def shared_config(config: ClusterConfig) -> ClusterConfig:
    """What other processes of this machine are told, so that they ask the replicas that this one
    has started.
    """
    if config.address:
        return config
    address = connect(config).get_runtime_context().gcs_address
    return replace(config, address=address)


def change_cluster(
    config: ClusterConfig,
    paths: Sequence[str] = (),
    remove: Sequence[str] = (),
    *,
    jobs: int = 1,
    limits: Limits = LIMITS,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[ClusterManifest, list[ShardReport], list[Any]]:
    """Add pictures to a cluster and remove some, shard by shard on its machines, and commit that as
    one generation. What was cut off before goes on where it was.

    Args:
        paths: picture files and folders, at the same place on all machines.
        remove: paths of images and folders.
        jobs: processes a shard.
        progress: called with shards done, and shards.

    Returns:
        the generation, what became of each shard, and what could not be found.

    Raises:
        ClusterError: a shard could not be changed, or somebody else has changed the cluster.
    """
    found = find_images(path_list(list(paths)))
    before = read_latest(opened_store(config.store))
    tasks = [
        Task(shard, before.generation, before.shards[shard], tuple(part), tuple(remove))
        for shard, part in enumerate(divided(config, list(found.files)))
        if part or remove
    ]
    reports = []
    if config.address == HERE:
        for task in tasks:
            reports.append(update_shard(config, task, jobs=jobs, limits=limits))
            if progress:
                progress(len(reports), len(tasks))
    else:
        ray = connect(config)
        work = ray.remote(max_retries=RETRIES, num_cpus=max(jobs, 1))(update_shard)
        left = [work.remote(config, task, jobs=jobs, limits=limits) for task in tasks]
        while left:
            done, left = ray.wait(left)
            try:
                reports += ray.get(done)
            except Exception as error:  # of Ray, or raised there
                cause = getattr(error, "cause", None) or error
                reason = " ".join(str(cause).split())[:300]
                raise ClusterError(f"a shard could not be changed: {reason}") from error
            if progress:
                progress(len(reports), len(tasks))
    reports.sort(key=lambda report: report.shard)
    return publish_reports(config, before, reports), reports, list(found.problems)
