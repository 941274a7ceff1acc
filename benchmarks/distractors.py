"""Images that show nothing but have the statistics of real ones, to fill an index of any size.

A distractor has words drawn from four real images (a quarter from each), the geometry of features
of a fifth, and signatures of random real features. So words have their real frequencies and come in
bursts, signatures have their real correlations, and no distractor repeats a feature of a real
image.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bovw import ImageIndex
from bovw.arrays import starts_of
from bovw.features.encoding import EncodedImage
from bovw.index.record import FileStamp, ImageRecord
from bovw.index.segment_writer import IndexedImage

PARENTS = 4


class Donors:
    """The features of real images, image by image, as flat arrays."""

    def __init__(self, index: ImageIndex, target: set[str]) -> None:
        """Args: `index` with one segment; `target`, the images that come first."""
        (segment,) = index._snapshot.segments
        wanted = [
            os.path.join(index.picture_root, segment.record(ordinal).path) in target
            for ordinal in range(segment.image_count)
        ]
        self.order = np.argsort(~np.array(wanted), kind="stable")
        self.segment, self.starts = segment, segment.feature_starts
        self.words = np.empty(segment.feature_count, np.int32)
        self.signatures = np.empty(segment.feature_count, np.uint64)
        self.words[segment.posting_features] = np.repeat(
            np.arange(len(segment.word_counts)), segment.word_counts
        )
        self.signatures[segment.posting_features] = segment.posting_signatures
        ordinals = segment.image_of(np.arange(segment.feature_count))
        place, scale, angle = segment.geometry(np.arange(segment.feature_count), ordinals)
        self.xy = np.column_stack([place.real, place.imag]).astype(np.float32)
        self.scale, self.angle = scale.astype(np.float32), angle.astype(np.float32)

    def real(self, number: int) -> IndexedImage:
        """A real image as it is; those that the queries seek come first."""
        ordinal = int(self.order[number])
        rows = np.arange(self.starts[ordinal], self.starts[ordinal + 1])
        size = (int(self.segment.sizes[ordinal, 0]), int(self.segment.sizes[ordinal, 1]))
        encoded = self.encoded(rows, rows, rows, size)
        return IndexedImage(self.segment.record(ordinal), encoded)

    def encoded(
        self,
        words: NDArray[np.int64],
        signatures: NDArray[np.int64],
        geometry: NDArray[np.int64],
        size: tuple[int, int],
    ) -> EncodedImage:
        """An image put together from features: of which the words, the signatures and the geometry
        are.
        """
        return EncodedImage(
            words=self.words[words, None],
            signatures=self.signatures[signatures, None],
            xy=self.xy[geometry],
            scale=self.scale[geometry],
            angle=self.angle[geometry],
            size=size,
            box=(0, 0, *size),
        )

    def distractors(self, first: int, count: int) -> Iterator[IndexedImage]:
        """Distractors number first .. first + count - 1."""
        rng = np.random.default_rng((1, first))
        sizes = np.diff(self.starts)
        parents = rng.integers(0, len(sizes), (count, PARENTS))
        shapes = rng.integers(0, len(sizes), count)
        features = sizes[parents[:, 0]]
        owner = np.repeat(np.arange(count), features)
        parent = parents[owner, rng.integers(0, PARENTS, len(owner))]
        words = self.starts[parent] + (rng.random(len(owner)) * sizes[parent]).astype(np.int64)
        geometry = self.starts[shapes[owner]] + (
            rng.random(len(owner)) * sizes[shapes[owner]]
        ).astype(np.int64)
        signatures = rng.integers(0, len(self.signatures), len(owner))
        bounds = starts_of(features).tolist()
        for number, shape in enumerate(shapes.tolist()):
            rows = slice(bounds[number], bounds[number + 1])
            size = (int(self.segment.sizes[shape, 0]), int(self.segment.sizes[shape, 1]))
            path = f"/distractors/{(first + number) // 1000:04d}/{first + number:07d}.jpg"
            record = ImageRecord(path, *size, sha256="0" * 64, file=FileStamp(path, 1, 1))
            encoded = self.encoded(words[rows], signatures[rows], geometry[rows], size)
            yield IndexedImage(record, encoded)
