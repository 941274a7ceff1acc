"""Make and change the shards of a cluster: each is an ordinary index that grows on one machine, is
stored whenever it has committed, and counts from when the cluster's manifest names it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ClusterError, IndexMissingError
from ..features.vocabulary import Vocabulary
from ..image_index import ImageIndex
from ..index.paths import PictureRoot
from ..pictures.limits import LIMITS, Limits
from ..reporting import Failure
from .config import ClusterConfig
from .manifest import ClusterManifest, ShardEntry, publish, read_latest, store_counts
from .objects import listed_objects, pull_index, push_index, verify_object
from .store import Store, opened_store

__all__ = [
    "ShardReport",
    "Task",
    "check_cluster",
    "create_cluster",
    "divided",
    "publish_reports",
    "update_shard",
]

# Pictures that a shard takes before what it has is stored: a lost machine loses at most these.
STORED_AFTER = 1024


@dataclass(frozen=True)
class Task:
    """What is to be done with a shard.

    Attributes:
        shard: its number.
        generation: of the cluster, that it starts from.
        entry: the shard in that.
        add: pictures that belong into it.
        remove: paths of what to remove, wherever it is.
    """

    shard: int
    generation: int
    entry: ShardEntry
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass
class ShardReport:
    """What became of a shard.

    Attributes:
        shard: its number.
        entry: its new generation.
        added, changed, unchanged, removed: images.
        failed: pictures that were left out.
    """

    shard: int
    entry: ShardEntry
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: list[Failure] = field(default_factory=list)


def create_cluster(
    config: ClusterConfig,
    vocabulary: Vocabulary | None = None,
    *,
    max_features: int | None = None,
    max_side: int | None = None,
) -> ClusterManifest:
    """Make a cluster of empty shards, which must not be there.

    Raises:
        ClusterError: it is there, or its store cannot be written to.
    """
    store = opened_store(config.store)
    vocabulary = vocabulary or Vocabulary.shipped()
    folder = Path(config.cache) / "work" / "empty"
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with ImageIndex.create(
        folder,
        vocabulary,
        picture_root=config.picture_root,
        max_features=max_features,
        max_side=max_side,
    ) as index:
        entry = entry_of(store, folder, index, set())
        spec = index.spec
    shutil.rmtree(folder)
    return publish(
        store, 1, [entry] * config.shards, spec, vocabulary.fingerprint, config.picture_root
    )


def entry_of(store: Store, folder: Path, index: ImageIndex, known: set[str]) -> ShardEntry:
    """Store the newest generation of the index of a shard; `known` as of `push_index`."""
    snapshot = index._snapshot
    return ShardEntry(
        listing=push_index(store, folder, known),
        image_count=snapshot.image_count,
        feature_count=sum(entry.feature_count for entry in snapshot.manifest.segments),
        documents=store_counts(store, snapshot.document_frequencies),
    )


def divided(config: ClusterConfig, paths: Sequence[str]) -> list[list[str]]:
    """Some pictures by the shard that they belong into: that is decided by the hash of the path
    that is stored, and never changes.
    """
    root = PictureRoot(Path(config.cache), config.picture_root)
    shards: list[list[str]] = [[] for _ in range(config.shards)]
    for path in paths:
        digest = hashlib.sha256(os.fsencode(root.stored(path))).digest()
        shards[int.from_bytes(digest[:8], "little") % config.shards].append(path)
    return shards


def update_shard(
    config: ClusterConfig,
    task: Task,
    *,
    jobs: int = 0,
    limits: Limits = LIMITS,
) -> ShardReport:
    """Do what is to be done with a shard, and store it. What an earlier attempt has stored or left
    on this machine is not done again.
    """
    store, folder = opened_store(config.store), work_folder(config, task)
    stored = stored_before(store, task)
    resume(store, config, stored, folder)
    known = listed_objects(store, task.entry.listing) | listed_objects(store, stored)
    report = ShardReport(task.shard, task.entry)
    with ImageIndex.open(folder, picture_root=config.picture_root) as index:
        if task.remove:
            report.removed = index.remove(list(task.remove), wait=True).removed
        for first in range(0, len(task.add), STORED_AFTER):
            some = list(task.add[first : first + STORED_AFTER])
            done = index.add(some, jobs=jobs, limits=limits, wait=True)
            report.added += done.added + done.moved
            report.changed += done.changed
            report.unchanged += done.unchanged
            report.failed += done.failed
            report.entry = entry_of(store, folder, index, known)
            store.put(progress_key(task), json.dumps(vars(report.entry)).encode())
        if not task.add:
            report.entry = entry_of(store, folder, index, known)
    return report


def progress_key(task: Task) -> str:
    """Where a shard that is being changed says how far it has come."""
    return f"progress/{task.generation:08d}/{task.shard:04d}.json"


def work_folder(config: ClusterConfig, task: Task) -> Path:
    """Where a shard grows on this machine, from one generation of the cluster to the next."""
    return Path(config.cache) / "work" / f"{task.generation:08d}-{task.shard:04d}"


def stored_before(store: Store, task: Task) -> str:
    """The listing of what an earlier attempt has stored last, else that of the generation."""
    try:
        return str(json.loads(store.get(progress_key(task)))["listing"])
    except FileNotFoundError:
        return task.entry.listing


def resume(store: Store, config: ClusterConfig, listing: str, folder: Path) -> None:
    """See to it that there is an index to go on with: the one that is there, else a stored one."""
    with suppress(IndexMissingError), ImageIndex.open(folder):
        return
    shutil.rmtree(folder, ignore_errors=True)
    cache = Path(config.cache)
    pulled = cache / "shards" / listing
    pull_index(store, listing, pulled, cache)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # files of an index are never changed in place, so that they may be shared
    shutil.copytree(pulled, folder, copy_function=os.link, ignore=shutil.ignore_patterns(".lock"))


def check_cluster(config: ClusterConfig) -> list[str]:
    """Read all that the newest generation consists of from the store; what is wrong with it."""
    store = opened_store(config.store)
    manifest = read_latest(store)
    damages = {}
    names = {manifest.documents} | {shard.documents for shard in manifest.shards}
    for number, shard in enumerate(manifest.shards):
        try:
            names |= listed_objects(store, shard.listing)
        except ClusterError as error:
            damages[f"shard {number}"] = str(error)
    for name in sorted(names):
        try:
            verify_object(store, name)
        except ClusterError as error:
            damages[name] = str(error)
    return sorted(set(damages.values()))


def publish_reports(
    config: ClusterConfig, before: ClusterManifest, reports: Sequence[ShardReport]
) -> ClusterManifest:
    """Commit a generation with what became of some shards; `before` itself if nothing changed.

    Raises:
        ClusterError: somebody else has committed one meanwhile.
    """
    store = opened_store(config.store)
    if read_latest(store).generation != before.generation:
        raise ClusterError(f"{store.name}: somebody else has changed the cluster; run it again")
    entries = list(before.shards)
    for report in reports:
        entries[report.shard] = report.entry
    if tuple(entries) == before.shards:
        return before
    manifest = publish(
        store,
        before.generation + 1,
        entries,
        before.features,
        before.vocabulary,
        before.picture_root,
    )
    for key in store.keys(f"progress/{before.generation:08d}/"):
        store.delete(key)
    for report in reports:
        stale = Task(report.shard, before.generation, report.entry)
        shutil.rmtree(work_folder(config, stale), ignore_errors=True)
    return manifest
