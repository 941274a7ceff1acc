"""What is asked: the parts of a collection, here or elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..features.local import FeatureSpec
from ..search.collection import Collection
from ..search.options import SearchOptions
from ..search.query import Clock, Variant
from ..search.ranking import PartAnswer, answer_part

__all__ = ["LocalParts", "Parts", "StoredFeatures", "stored_features"]


@dataclass(frozen=True)
class StoredFeatures:
    """The features of an image as an index holds them: n of them, in pixels of the original.

    Attributes:
        words: (n,) int32.
        signatures: (n,) uint64.
        position: (n,) complex128, x + iy.
        scale: (n,) float64.
        angle: (n,) float64, radians.
    """

    words: NDArray[np.int32]
    signatures: NDArray[np.uint64]
    position: NDArray[np.complex128]
    scale: NDArray[np.float64]
    angle: NDArray[np.float64]


class Parts(Protocol):
    """The parts of a collection, each of which has the statistics of the whole."""

    @property
    def spec(self) -> FeatureSpec:
        """How its pictures were extracted."""

    @property
    def image_count(self) -> int:
        """Live images of the whole."""

    def ask(
        self, variants: Sequence[Variant], options: SearchOptions, clock: Clock
    ) -> list[PartAnswer]:
        """What each part says of a query; the clock is told the steps."""

    def features_of(self, ids: Sequence[str]) -> dict[str, StoredFeatures]:
        """The features of some images, by their ids."""


class LocalParts:
    """Parts that are open in this process."""

    def __init__(self, collections: Sequence[Collection]) -> None:
        self.collections = collections

    @property
    def spec(self) -> FeatureSpec:
        """How the pictures were extracted."""
        return self.collections[0].snapshot.manifest.features

    @property
    def image_count(self) -> int:
        """Live images of the whole."""
        return self.collections[0].statistics.image_count

    def ask(
        self, variants: Sequence[Variant], options: SearchOptions, clock: Clock
    ) -> list[PartAnswer]:
        """What each part says of a query."""
        return [answer_part(each, variants, options, clock) for each in self.collections]

    def features_of(self, ids: Sequence[str]) -> dict[str, StoredFeatures]:
        """The features of some images, by their ids."""
        return {
            name: stored_features(each, image)
            for each in self.collections
            for name, (image, _) in each.snapshot.find(ids).items()
        }


def stored_features(collection: Collection, image: int) -> StoredFeatures:
    """The features of an image of a collection, by its number."""
    segment, ordinal = collection.snapshot.locate(image)
    words, signatures = segment.encoding_of(ordinal)
    return StoredFeatures(words, signatures, *segment.geometry_of_image(ordinal))
