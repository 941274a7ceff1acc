"""One generation of a cluster: which generation of each shard, and the statistics of all."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ClusterError
from ..features.local import FeatureSpec
from ..search.collection import Statistics
from .objects import get_object, put_object
from .store import Store

__all__ = [
    "ClusterManifest",
    "ShardEntry",
    "generation_of",
    "generations",
    "publish",
    "read_generation",
    "read_latest",
    "store_counts",
]

FORMAT, VERSION = "bovw-cluster", 1
NAME = re.compile(r"manifest-(\d{8})\.json")


@dataclass(frozen=True)
class ShardEntry:
    """A generation of a shard.

    Attributes:
        listing: names its files (see `objects.push_index`).
        image_count: its live images.
        feature_count: features in it.
        documents: names the numbers of its live images with each word.
    """

    listing: str
    image_count: int
    feature_count: int
    documents: str


@dataclass(frozen=True)
class ClusterManifest:
    """One generation of a cluster.

    Attributes:
        generation: counts commits, from 1.
        shards: in their order, which never changes.
        image_count: live images of all.
        documents: names the numbers of live images of all with each word.
        features: how pictures are extracted.
        vocabulary: its fingerprint.
        picture_root: the folder that paths are relative to, the same on all machines.
    """

    generation: int
    shards: tuple[ShardEntry, ...]
    image_count: int
    documents: str
    features: FeatureSpec
    vocabulary: str
    picture_root: str

    def statistics(self, store: Store) -> Statistics:
        """What a shard must know of the whole."""
        return Statistics(self.image_count, read_counts(store, self.documents))


def read_counts(store: Store, name: str) -> NDArray[np.int64]:
    """The numbers of images with each word, by their name."""
    counts = np.load(io.BytesIO(get_object(store, name)), allow_pickle=False)
    return np.asarray(counts, np.int64)


def store_counts(store: Store, counts: NDArray[np.int64]) -> str:
    """Store the numbers of images with each word; returns their name."""
    content = io.BytesIO()
    np.save(content, counts.astype("<i8"), allow_pickle=False)
    return put_object(store, content.getvalue())


def publish(
    store: Store,
    generation: int,
    shards: Sequence[ShardEntry],
    features: FeatureSpec,
    vocabulary: str,
    picture_root: str,
) -> ClusterManifest:
    """Commit a generation: it appears whole, and only if nobody else has committed one of this
    number.

    Raises:
        ClusterError: somebody has.
    """
    manifest = ClusterManifest(
        generation=generation,
        shards=tuple(shards),
        image_count=sum(shard.image_count for shard in shards),
        documents=store_counts(
            store, np.sum([read_counts(store, shard.documents) for shard in shards], axis=0)
        ),
        features=features,
        vocabulary=vocabulary,
        picture_root=picture_root,
    )
    facts = {**asdict(manifest), "features": features.to_json()}
    body = {"format": FORMAT, "version": VERSION, **facts}
    content = (json.dumps(body, indent=1, sort_keys=True) + "\n").encode()
    if not store.put_new(f"manifest-{generation:08d}.json", content):
        raise ClusterError(
            f"{store.name}: somebody else has committed generation {generation}; run it again"
        )
    return manifest


def generations(store: Store) -> list[int]:
    """The generations that there are, ascending."""
    found = map(generation_of, store.keys("manifest-"))
    return sorted(number for number in found if number is not None)


def generation_of(key: str) -> int | None:
    """The generation that a key of the store is the manifest of; None if it is none."""
    match = NAME.fullmatch(key)
    return int(match[1]) if match else None


def read_latest(store: Store) -> ClusterManifest:
    """The newest generation. Raises ClusterError if there is none."""
    found = generations(store)
    if not found:
        raise ClusterError(f"{store.name}: there is no cluster here: bovw cluster create")
    return read_generation(store, found[-1])


def read_generation(store: Store, generation: int) -> ClusterManifest:
    """One generation. Raises ClusterError if it is not there, or damaged."""
    name = f"manifest-{generation:08d}.json"
    try:
        body = json.loads(store.get(name))
        if (body.pop("format"), body.pop("version")) != (FORMAT, VERSION):
            raise ClusterError(f"{store.name}/{name}: is of another version: update bovw")
        shards = tuple(ShardEntry(**entry) for entry in body.pop("shards"))
        features = FeatureSpec.from_json(body.pop("features"))
        return ClusterManifest(shards=shards, features=features, **body)
    except FileNotFoundError:
        raise ClusterError(f"{store.name}: generation {generation} is not there") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClusterError(f"{store.name}/{name}: damaged ({error!r})") from error
