"""One shard: answers for its part of a cluster, in any of the last generations."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..answers.parts import LocalParts, StoredFeatures
from ..errors import ClusterError
from ..features.vocabulary import Vocabulary
from ..index.record import ImageRecord
from ..index.snapshot import newest_snapshot
from ..search.collection import Collection
from ..search.match import rows_of_matches
from ..search.options import SearchOptions
from ..search.ranking import PartAnswer, answer_part, may_be_among_first
from ..similarity.mixture import Mixture
from ..similarity.parts import PartMatches, columns_of, compare_part
from ..similarity.whole import Whole, whole_of_image
from ..storage.directory import Directory
from .manifest import read_generation
from .objects import pull_index
from .packing import Outline, unpack
from .store import opened_store

__all__ = ["KEPT", "Shard"]

# Generations that stay open: queries may come late.
KEPT = 3


class Shard:
    """A shard of a cluster, as a replica of it has it: generations are fetched and opened when they
    are asked for.

    Attributes:
        number: which shard.
    """

    def __init__(self, store: str, cache: str, number: int) -> None:
        """Args: the URL of the store; a folder on this machine; which shard."""
        self.store, self.cache, self.number = opened_store(store), Path(cache), number
        self._open: OrderedDict[int, Collection] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, generation: int) -> int:
        """Fetch and open a generation; returns the live images of this shard in it.

        Raises:
            ClusterError: it cannot be had.
        """
        return self.collection(generation).snapshot.image_count

    def collection(self, generation: int) -> Collection:
        """This shard in a generation, with the statistics of the whole."""
        with self._lock:
            if generation in self._open:
                self._open.move_to_end(generation)
                return self._open[generation]
            manifest = read_generation(self.store, generation)
            listing = manifest.shards[self.number].listing
            folder = self.cache / "shards" / listing
            pull_index(self.store, listing, folder, self.cache)
            vocabulary = Vocabulary.load(folder / "vocabulary")
            if vocabulary.fingerprint != manifest.vocabulary:
                raise ClusterError(f"{folder}: has another vocabulary than the cluster")
            snapshot = newest_snapshot(Directory(folder), len(vocabulary))
            opened = Collection(snapshot, manifest.statistics(self.store))
            self._open[generation] = opened
            while len(self._open) > KEPT:
                self._open.popitem(last=False)
            return opened

    def answer(
        self,
        generation: int,
        options: SearchOptions,
        where: Mapping[str, Any] | None,
        outlines: Sequence[Outline],
        *pieces: bytes,
    ) -> PartAnswer:
        """What this shard says of a query (see `pack`), with all that the others need of it."""
        collection = self.collection(generation)
        word_count = len(collection.statistics.document_frequencies)
        variants = unpack(outlines, pieces, word_count)
        if where is not None:
            collection = collection.restricted_to(collection.snapshot.with_metadata(where))
        return portable(answer_part(collection, variants, options), options)

    def features_of(self, generation: int, ids: Sequence[str]) -> dict[str, StoredFeatures]:
        """The features of those of some images that are in this shard."""
        return LocalParts([self.collection(generation)]).features_of(ids)

    def columns(self, generation: int) -> frozenset[str]:
        """The columns that some images of this shard have."""
        return columns_of(self.collection(generation))

    def whole(self, generation: int, name: str, weights: Mixture) -> Whole | None:
        """What is known of an image as a whole; None if it is not in this shard."""
        return whole_of_image(self.collection(generation), name, weights)

    def compare(
        self,
        generation: int,
        whole: Whole,
        weights: Mixture,
        k: int,
        where: Mapping[str, Any] | None,
    ) -> PartMatches:
        """The images of this shard that are most similar to a query as a whole."""
        return compare_part(self.collection(generation), whole, weights, k, where)

    def records(self, generation: int, first: int, count: int) -> list[ImageRecord]:
        """Some of the live images, in the order in which they were added."""
        snapshot = self.collection(generation).snapshot
        numbers = np.flatnonzero(snapshot.alive)[first : first + count].tolist()
        return [snapshot.record(number) for number in numbers]

    def find(self, generation: int, ids: Sequence[str]) -> dict[str, ImageRecord]:
        """Those of some images that are in this shard."""
        found = self.collection(generation).snapshot.find(ids)
        return {name: record for name, (_, record) in found.items()}

    def find_key(self, generation: int, key: str) -> ImageRecord | None:
        """The image whose id has a hash that begins so; None if it is not in this shard."""
        return self.collection(generation).snapshot.find_key(key)


def portable(answer: PartAnswer, options: SearchOptions) -> PartAnswer:
    """An answer that can leave its process: with the records, fits and matches of the candidates
    that can be among the first of the whole; the others are there with their scores alone.
    """
    possible = may_be_among_first(answer, options)
    records = {
        image: answer.record_of(image) for image in np.unique(answer.images[possible]).tolist()
    }
    fits = [fit if kept else None for fit, kept in zip(answer.fits, possible.tolist(), strict=True)]
    wanted = {int(answer.matches.candidate[fit.inliers[0]]) for fit in fits if fit}
    rows = np.isin(answer.matches.candidate, sorted(wanted))
    place = np.cumsum(rows) - 1
    return replace(
        answer,
        record_of=records.__getitem__,
        fits=[fit and replace(fit, inliers=place[fit.inliers]) for fit in fits],
        matches=rows_of_matches(answer.matches, rows),
    )
