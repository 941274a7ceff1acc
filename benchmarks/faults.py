"""What a cluster lives through, and how long it takes until it is whole again.

Three machines, a head without replicas, and this process, each in network, process and mount
namespaces of its own (Linux, as root), with Redis behind the head if `redis-server` is there. One
client asks all the time; meanwhile a replica is killed, a machine, the head, all replicas of a
shard; a network is cut, for a while and for good; the store goes away. Prints how many queries were
answered, how many as one index does, how many were refused with a typed error, how long the slowest
took, and when each replica answered again.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import wait
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from cluster import REPLICAS, SHARDS, asked
from collection import Collection

from bovw import BovwError, ClusterIndex, ImageIndex
from bovw.cluster.building import create_cluster
from bovw.cluster.config import ClusterConfig
from bovw.cluster.machines import RayReplicas, change_cluster
from bovw.search.query import QueryFeatures, extract_query

INSIDE = "BOVW_BENCH_NAMESPACE"
NAMESPACES = ["unshare", "--net", "--pid", "--mount", "--mount-proc", "--fork", "--kill-child"]
NETWORK, OURS, HEAD, REDIS_PORT = "10.77.0", 254, 1, 6390
# Seconds that a network is cut, a head or a store is away; and after which nobody waits any more.
AWAY, PATIENCE = 20, 240
RAY = [sys.executable, "-m", "ray.scripts.scripts", "start", "--disable-usage-stats"]
# What each machine has of its own: its memory for others, and the sockets of Ray.
OWN_FOLDERS = ("/dev/shm", "/tmp/ray")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this part."""
    parser.add_argument("--images", type=int, default=60, help="pictures to index")
    parser.add_argument("--queries", type=int, default=10, help="crops to ask")
    parser.add_argument("--only", default="", help="faults whose names have this in them")


def address(number: int) -> str:
    """The address of a machine."""
    return f"{NETWORK}.{number}"


def run_all(*commands: str) -> None:
    """Run commands, one after the other; a failure is an error."""
    for command in commands:
        subprocess.run(command.split(), check=True)


class Machine:
    """A machine as far as Ray can tell, on which Ray is started again if it ends by itself.

    Attributes:
        number: the last part of its address.
        process: its first process, with which all end.
        log: what Ray says there.
    """

    def __init__(
        self, number: int, folder: Path, arguments: list[str], environment: dict[str, str]
    ) -> None:
        self.number = number
        cache = folder / f"cache of {number}"
        cache.mkdir(exist_ok=True)
        own = [f"mount -t tmpfs tmpfs {path}" for path in OWN_FOLDERS]
        script = " && ".join(
            [
                "while ! ip link show eth0 > /dev/null 2>&1; do sleep 0.1; done",
                *own,
                f"mount --bind '{cache}' '{folder / 'cache'}'",
                "ip link set lo up",
                f"ip address add {address(number)}/24 dev eth0",
                "ip link set eth0 up",
                'while ! "$@"; do sleep 1; done',
            ]
        )
        command = [*RAY, "--block", f"--node-ip-address={address(number)}", *arguments]
        self.log = folder / f"machine {number}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [*NAMESPACES, "sh", "-c", script, "sh", *command],
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
            )
        here = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{self.process.pid}/ns/net") == here:
            time.sleep(0.05)
        run_all(
            f"ip link add veth{number} type veth peer name eth0 netns {self.process.pid}",
            f"ip link set veth{number} master bridge",
            f"ip link set veth{number} up",
        )

    def wait(self) -> None:
        """Until Ray runs on it."""
        while b"Ray runtime started" not in self.log.read_bytes():
            time.sleep(0.5)

    def connect(self, up: bool) -> None:
        """Cut its network, or mend it."""
        run_all(f"ip link set veth{self.number} {'up' if up else 'down'}")

    def kill(self) -> None:
        """Lose it."""
        self.process.kill()
        self.process.wait()
        # the kernel is not always so quick
        subprocess.run(["ip", "link", "delete", f"veth{self.number}"], capture_output=True)


class Client:
    """Somebody who asks all the time.

    Attributes:
        seen: what became of the queries.
        slowest: seconds of the slowest one.
    """

    def __init__(
        self, cluster: ClusterIndex, queries: list[QueryFeatures], index: ImageIndex
    ) -> None:
        self.cluster, self.queries = cluster, queries
        self.expected = [asked(index, query)[1] for query in queries]
        self.done = threading.Event()
        self.seen, self.slowest = Counter[str](), 0.0
        self.thread = threading.Thread(target=self.ask)
        self.thread.start()

    def ask(self) -> None:
        """Ask until it is enough, and once at least."""
        while not (self.done.is_set() and self.seen):
            for query, expected in zip(self.queries, self.expected, strict=True):
                begun = time.monotonic()
                try:
                    same = asked(self.cluster, query)[1] == expected
                    self.seen["equal" if same else "different"] += 1
                except BovwError:
                    self.seen["refused"] += 1
                except Exception as error:  # what must not happen, and is told
                    self.seen[f"raised {type(error).__name__}"] += 1
                self.slowest = max(self.slowest, time.monotonic() - begun)
                if self.done.is_set():
                    break

    def stop(self) -> None:
        """Let the last query end."""
        self.done.set()
        self.thread.join()


class Trial:
    """A cluster that is harmed.

    Attributes:
        rows: what was seen so far.
    """

    def __init__(self, folder: Path, images: list[str], crops: list[str]) -> None:
        self.folder, self.rows = folder, list[dict[str, Any]]()
        self.redis = self.start_redis()
        self.head = self.start_head()
        self.head.wait()
        self.machines = {number: self.start_worker(number) for number in (2, 3, 4)}
        ours = f" --node-ip-address={address(OURS)} --address={address(HEAD)}:6379 --num-cpus=0"
        command = [*RAY, *ours.split(), "--object-store-memory=80000000"]
        while subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
            time.sleep(1)
        root = os.path.commonpath(images)
        self.config = ClusterConfig(
            store=str(folder / "store"),
            shards=SHARDS,
            picture_root=root,
            cache=str(folder / "cache"),
            replicas=REPLICAS,
            timeout_seconds=30,
            address=f"{address(HEAD)}:6379",
        )
        create_cluster(self.config, max_features=500)
        change_cluster(self.config, images, jobs=1)
        self.index = ImageIndex.create(folder / "one", picture_root=root, max_features=500)
        self.index.add(images, jobs=2)
        self.queries = [extract_query(path, self.index.spec) for path in crops]
        self.replicas = RayReplicas(self.config)
        self.cluster = ClusterIndex(self.config, self.replicas)
        self.wait_until_whole()

    def start_redis(self) -> subprocess.Popen[bytes] | None:
        """A Redis for the head, if there is one."""
        program = shutil.which("redis-server")
        if program is None:
            print("no redis-server here (apt install redis-server): the head is not killed")
            return None
        options = f"--bind {address(OURS)} --port {REDIS_PORT} --protected-mode no --save".split()
        return subprocess.Popen(
            [program, *options, "", "--dir", str(self.folder)], stdout=subprocess.DEVNULL
        )

    def start_head(self) -> Machine:
        """The head, on which are no replicas."""
        behind = {
            "RAY_REDIS_ADDRESS": f"{address(OURS)}:{REDIS_PORT}",
            "RAY_external_storage_namespace": "faults",
        }
        arguments = ["--head", "--port=6379", "--include-dashboard=false", "--num-cpus=0"]
        return Machine(HEAD, self.folder, arguments, behind if self.redis else {})

    def start_worker(self, number: int) -> Machine:
        """A machine for replicas, once Ray runs on it."""
        place = [f"--address={address(HEAD)}:6379", "--num-cpus=2"]
        machine = Machine(number, self.folder, [*place, "--object-store-memory=80000000"], {})
        machine.wait()
        return machine

    def places(self) -> list[list[int]]:
        """On which machines the replicas of each shard are."""
        import ray

        def place(_: Any) -> str:
            return str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]

        return [
            [int(each.rpartition(".")[2]) for each in ray.get(asks)]
            for asks in (
                [actor.__ray_call__.remote(place) for actor in actors]
                for actors in self.replicas.actors
            )
        ]

    def busiest(self) -> Machine:
        """The machine with the most replicas. Says so if it has all of a shard."""
        places = self.places()
        ((number, _),) = Counter(chain(*places)).most_common(1)
        alone = [str(shard) for shard, on in enumerate(places) if set(on) == {number}]
        if alone:
            print(f"the next machine has all replicas of shard {', '.join(alone)}")
        return self.machines[number]

    def wait_until_whole(self) -> bool:
        """Wait until each replica answers; whether all do in time."""
        begun = time.monotonic()
        while time.monotonic() - begun < PATIENCE:
            generation = self.cluster.manifest.generation
            calls = [
                self.replicas.call(shard, replica, "open", generation)
                for shard in range(SHARDS)
                for replica in range(REPLICAS)
            ]
            wait(calls, timeout=2)
            if all(call.done() and call.exception() is None for call in calls):
                return True
            time.sleep(0.1)
        return False

    def outlast(
        self, name: str, harm: Callable[[], Any], mend: Callable[[], Any] | None = None
    ) -> None:
        """Do harm, mend it after a while, and see how long it takes; print the row."""
        client = Client(self.cluster, self.queries, self.index)
        try:
            time.sleep(2)
            begun = time.monotonic()
            harm()
            if mend:
                time.sleep(AWAY)
                mend()
            whole = self.wait_until_whole()
            seconds = time.monotonic() - begun
        finally:
            client.stop()
        seen = client.seen
        other = sum(seen.values()) - seen["equal"] - seen["refused"]
        row = {
            "fault": name,
            "asked": sum(seen.values()),
            "equal": seen["equal"],
            "refused": seen["refused"],
            "other": other,
            "slowest_seconds": round(client.slowest, 1),
            "whole_after_seconds": round(seconds, 1) if whole else None,
        }
        self.rows.append(row)
        told = ", ".join(key for key in seen if key not in ("equal", "refused"))
        print(
            f"{name:34s} {row['asked']:6d} {row['equal']:6d} {row['refused']:8d} {other:6d} "
            f"{row['slowest_seconds']:10.1f} {row['whole_after_seconds']!s:>14s} {told}",
            flush=True,
        )

    def kill_replicas(self, shard: int, count: int) -> None:
        """Have some processes that answer for a shard die."""
        for actor in self.replicas.actors[shard][:count]:
            actor.__ray_call__.remote(lambda _: os.kill(os.getpid(), signal.SIGKILL))

    def run(self, only: str) -> None:
        """All faults whose names have some letters in them, one after the other."""
        faults: dict[str, Callable[[str], None]] = {
            "none": lambda name: self.outlast(name, lambda: None),
            "a replica killed": lambda name: self.outlast(name, lambda: self.kill_replicas(0, 1)),
            "all replicas of a shard killed": lambda name: self.outlast(
                name, lambda: self.kill_replicas(1, REPLICAS)
            ),
            f"network of a machine cut for {AWAY} s": self.cut_network,
            "a machine killed": self.kill_machine,
            "network of a machine cut for good": self.cut_network_for_good,
            f"store away for {AWAY} s": self.take_store_away,
        }
        if self.redis:
            faults[f"head killed, back after {AWAY} s"] = self.kill_head
        print(
            f"{'fault':34s} {'asked':>6s} {'equal':>6s} {'refused':>8s} {'other':>6s} "
            f"{'slowest s':>10s} {'whole after s':>14s}"
        )
        for name, fault in faults.items():
            if only in name:
                fault(name)

    def cut_network(self, name: str) -> None:
        """A machine cannot be reached for a while."""
        machine = self.busiest()
        self.outlast(name, lambda: machine.connect(False), lambda: machine.connect(True))

    def kill_machine(self, name: str) -> None:
        """A machine is lost, and later replaced."""
        self.outlast(name, self.busiest().kill)
        self.renew()

    def cut_network_for_good(self, name: str) -> None:
        """A machine cannot be reached any more, and later is replaced."""
        machine = self.busiest()
        self.outlast(name, lambda: machine.connect(False))
        machine.kill()
        self.renew()

    def take_store_away(self, name: str) -> None:
        """What is committed cannot be read for a while."""
        store, elsewhere = self.folder / "store", self.folder / "store elsewhere"
        self.outlast(name, lambda: store.rename(elsewhere), lambda: elsewhere.rename(store))

    def kill_head(self, name: str) -> None:
        """The head is lost, and another one knows from Redis what it knew."""

        def restart() -> None:
            self.head = self.start_head()

        self.outlast(name, self.head.kill, restart)

    def renew(self) -> None:
        """Put new machines in the place of those that are lost."""
        for number, machine in list(self.machines.items()):
            if machine.process.poll() is not None:
                self.machines[max(self.machines) + 1] = self.start_worker(max(self.machines) + 1)
                del self.machines[number]
        self.wait_until_whole()

    def end(self) -> None:
        """Stop what runs."""
        with suppress(Exception):
            self.replicas.ray.shutdown()
        for machine in [*self.machines.values(), self.head]:
            machine.kill()
        if self.redis:
            self.redis.kill()


def run(collection: Collection, arguments: argparse.Namespace) -> dict[str, Any]:
    """Do all harm, in namespaces of our own."""
    if os.environ.get(INSIDE) is None:
        token = secrets.token_hex(32)
        auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "RAY_USAGE_STATS_ENABLED": "0"}
        try:
            able = subprocess.run([*NAMESPACES, "true"], capture_output=True).returncode == 0
        except FileNotFoundError:
            able = False
        if not able:
            print("no namespaces here (needs Linux, root, unshare and ip): nothing to do")
            return {"faults": []}
        done = subprocess.run(
            [*NAMESPACES, sys.executable, *sys.argv], env={**os.environ, **auth, INSIDE: "yes"}
        )
        raise SystemExit(done.returncode)
    folder = collection.work / "faults"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "cache").mkdir(parents=True)
    for own in OWN_FOLDERS:
        Path(own).mkdir(exist_ok=True)
        run_all(f"mount -t tmpfs tmpfs {own}")
    run_all(
        "ip link set lo up",
        "ip link add bridge type bridge",
        f"ip address add {address(OURS)}/24 dev bridge",
        "ip link set bridge up",
    )
    images = sorted(collection.images)[: 12 if arguments.small else arguments.images]
    count = 4 if arguments.small else arguments.queries
    crops = [query.path for query in collection.crops[:: max(1, len(collection.crops) // count)]]
    trial = Trial(folder, images, crops[:count])
    try:
        trial.run(arguments.only)
    finally:
        trial.end()
    return {"faults": trial.rows}
