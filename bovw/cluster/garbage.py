"""What a store holds for nobody: objects of attempts that were cut off, and generations that nobody
asks any more.

An attempt may be under way meanwhile, and names what it has stored only at its end. It relies on
nothing but what it has stored itself, what its mark of progress names, and the generation that it
started from (see `objects.push_index`). So what is old, and what neither of these names, is needed
by nobody.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from .config import ClusterConfig
from .manifest import ClusterManifest, generation_of, generations, read_generation
from .objects import OBJECT, key_of, listed_objects
from .shard import KEPT
from .store import TEMPORARY, Store, StoredObject, opened_store

__all__ = ["Garbage", "clean_cluster", "find_garbage"]

PROGRESS = re.compile(r"progress/(\d{8})/\d{4}\.json")


@dataclass(frozen=True)
class Garbage:
    """What nobody needs.

    Attributes:
        keys: of the objects of the store, in the order in which they may go.
        size_bytes: of all of them.
    """

    keys: tuple[str, ...]
    size_bytes: int


def clean_cluster(config: ClusterConfig, older_than: float) -> Garbage:
    """Remove what nobody needs; what was removed.

    Args:
        older_than: seconds for which it must have been so. They must be more than a build takes
            from one mark of progress to the next, and more than anybody asks an old generation.

    Raises:
        ClusterError: the store fails, or the newest generation cannot be read.
    """
    store = opened_store(config.store)
    found = find_garbage(store, older_than)
    for key in found.keys:
        store.delete(key)
    return found


def find_garbage(store: Store, older_than: float) -> Garbage:
    """What nobody needs, and what is older than so many seconds. Raises ClusterError."""
    found = store.listing("")
    ages = ages_of(store, found)
    # a generation is published before its marks of progress go: in this order one of them is seen
    needed = needed_by_progress(store, generations(store)[-1:])
    for manifest in generations_in_use(store, ages, older_than):
        needed |= needed_by(store, manifest)
    garbage = [
        each
        for each in found
        if is_ours(each.key) and each.key not in needed and ages[each.key] >= older_than
    ]
    # a generation goes before what it names, so that none ever lacks anything
    garbage.sort(key=lambda each: (generation_of(each.key) is None, each.key))
    return Garbage(tuple(each.key for each in garbage), sum(each.size_bytes for each in garbage))


def ages_of(store: Store, found: Sequence[StoredObject]) -> dict[str, float]:
    """Seconds since each object was stored, by the clock of the store."""
    key = f"{TEMPORARY}{uuid.uuid4().hex}"
    store.put(key, b"")
    (now,) = store.listing(key)
    store.delete(key)
    return {each.key: now.modified - each.modified for each in found}


def is_ours(key: str) -> bool:
    """Whether something in the store is of a cluster: nothing else is touched."""
    return bool(
        OBJECT.fullmatch(key)
        or PROGRESS.fullmatch(key)
        or generation_of(key) is not None
        or os.path.basename(key).startswith(TEMPORARY)
    )


def generations_in_use(
    store: Store, ages: dict[str, float], older_than: float
) -> list[ClusterManifest]:
    """The generations that replicas keep, and those that were the newest so shortly ago."""
    present = generations(store)
    keys = [f"manifest-{number:08d}.json" for number in present]
    in_use = [
        number
        for number, successor in zip(present, [*keys[1:], ""], strict=True)
        if number in present[-KEPT:] or ages.get(successor, 0.0) < older_than
    ]
    return [read_generation(store, number) for number in in_use]


def needed_by(store: Store, manifest: ClusterManifest) -> set[str]:
    """The keys of all that a generation consists of."""
    names = {manifest.documents} | {shard.documents for shard in manifest.shards}
    for listing in {shard.listing for shard in manifest.shards}:
        names |= listed_objects(store, listing)
    return {f"manifest-{manifest.generation:08d}.json", *map(key_of, names)}


def needed_by_progress(store: Store, newest: Sequence[int]) -> set[str]:
    """The keys of what attempts to change the newest generation have stored."""
    needed = set[str]()
    for generation in newest:
        for key in store.keys(f"progress/{generation:08d}/"):
            try:
                entry = json.loads(store.get(key))
            except FileNotFoundError:  # it has just been published
                continue
            names = {entry["documents"], *listed_objects(store, entry["listing"])}
            needed |= {key, *map(key_of, names)}
    return needed
