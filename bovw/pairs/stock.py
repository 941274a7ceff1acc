"""The images that duplicates are looked for among: those of one index, or of two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import starts_of
from ..features.appearance import THUMBNAIL_SIDE
from ..features.encoding import EncodedImage
from ..features.vocabulary import Vocabulary
from ..index.record import ImageRecord
from ..index.snapshot import Snapshot
from .overlay import Thumbnail
from .stored import stored_encodings

__all__ = ["Stock"]

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Column:
    """A column of all images.

    Attributes:
        values: (n,) or (n, width).
        known: (n,) flags of the images that have it.
    """

    values: NDArray[Any]
    known: NDArray[np.bool_]


class Stock:
    """Images of one index or two, numbered through: those of a second index come before those of
    the first, as earlier images are what later ones are compared with.

    Attributes:
        snapshots: of the indexes, in the order of the numbers.
        vocabulary: of both.
        first: (snapshots + 1,) the first number of each, and the number of all images, deleted ones
            included.
        alive: (n,) flags.
    """

    def __init__(
        self,
        snapshots: Sequence[Snapshot],
        vocabulary: Vocabulary,
        paths: Sequence[Callable[[str], str]],
    ) -> None:
        """Args: `paths`, for each snapshot what makes paths that can be opened of stored ones."""
        self.snapshots, self.vocabulary, self._paths = list(snapshots), vocabulary, list(paths)
        self.first = starts_of([len(each.alive) for each in self.snapshots])
        self.alive = np.concatenate([each.alive for each in self.snapshots])

    def __len__(self) -> int:
        return int(self.first[-1])

    @property
    def max_side(self) -> int:
        """The working size of the features."""
        return self.snapshots[0].max_side

    @property
    def asked(self) -> Snapshot:
        """The index in which images are looked for."""
        return self.snapshots[0]

    def limit(self, image: int) -> int:
        """An image is compared with those of a lower number than this: with those that were added
        before it, so each pair is seen once, and later images change nothing about it; or with the
        other index.
        """
        return image if len(self.snapshots) == 1 else int(self.first[1])

    def located(self, image: int) -> tuple[int, int]:
        """Which snapshot an image is in, and its number there."""
        place = int(np.searchsorted(self.first, image, side="right")) - 1
        return place, image - int(self.first[place])

    def record(self, image: int) -> ImageRecord:
        """The record of an image, as it is stored."""
        place, number = self.located(image)
        return self.snapshots[place].record(number)

    def path(self, image: int) -> str:
        """The file of an image as a path that can be opened; empty if it has none."""
        place, number = self.located(image)
        stored = self.snapshots[place].record(number).path
        return stored and self._paths[place](stored)

    @cached_property
    def feature_counts(self) -> Numbers:
        """(n,) features of each image."""
        return np.concatenate([each.feature_counts for each in self.snapshots])

    @cached_property
    def contents(self) -> NDArray[np.void]:
        """(n,) the SHA-256 of each image's content, as 32 bytes; zeros for deleted ones."""
        found = np.zeros((len(self), 32), np.uint8)
        for first, snapshot in zip(self.first.tolist(), self.snapshots, strict=False):
            for number, record in snapshot.live_records():
                found[first + number] = np.frombuffer(bytes.fromhex(record.sha256), np.uint8)
        return found.view(np.dtype((np.void, 32))).ravel()

    @cached_property
    def sizes(self) -> Numbers:
        """(n, 2) width and height of each image in pixels."""
        sizes = [each.sizes_of(np.arange(len(each.alive))) for each in self.snapshots]
        return np.concatenate(sizes).astype(np.int64)

    def size_of(self, image: int) -> tuple[int, int]:
        """Width and height of an image."""
        width, height = self.sizes[image].tolist()
        return width, height

    def column(self, name: str) -> Column:
        """An optional column of all images."""
        rows = [each.optional(name) for each in self.snapshots]
        return Column(
            np.concatenate([each.values for each in rows]),
            np.concatenate([each.known for each in rows]) & self.alive,
        )

    @cached_property
    def hashes(self) -> Column:
        """The perceptual hashes (see `features.hashing`)."""
        return self.column("perceptual_hash")

    @cached_property
    def vectors(self) -> Column | None:
        """The vectors of the images as wholes (see `features.vlad`), (n, d); None unless all images
        with features have them.
        """
        try:
            found = self.column("vlad")
        except KeyError:
            return None
        lacking = self.alive & ~found.known & (self.feature_counts > 0)
        return None if lacking.any() else found

    def thumbnail(self, image: int) -> Thumbnail | None:
        """The thumbnail of an image, if it has one."""
        place, number = self.located(image)
        segment, ordinal = self.snapshots[place].locate(number)
        rows = segment.optional("thumbnail")
        if rows is None or not rows.known[ordinal]:
            return None
        values = np.asarray(rows.values[ordinal], np.uint8)
        return values.reshape(THUMBNAIL_SIDE, THUMBNAIL_SIDE)

    def encodings(self, images: Numbers) -> dict[int, EncodedImage]:
        """What is stored of the features of some images, by their numbers."""
        found = dict[int, EncodedImage]()
        place = np.searchsorted(self.first, images, side="right") - 1
        for number in np.unique(place).tolist():
            first = int(self.first[number])
            stored = stored_encodings(self.snapshots[number], images[place == number] - first)
            found |= {first + image: encoding for image, encoding in stored.items()}
        return found
