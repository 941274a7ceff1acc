"""The columns of a segment: arrays with a row for each image, or for each feature.

Rows stand for themselves: when segments are merged, those of live images are copied as they are.
One declaration here drives the writer, the reader, the merge and the check. A column that is
optional has a producer in `extraction.PRODUCERS`; an image that was added before there was one
lacks it, and goes on living without.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..features.appearance import COLOURS, THUMBNAIL_SIDE
from ..features.local import FeatureSpec
from ..features.projection import SHAPE_SIZE, VLAD_SIZE

__all__ = [
    "COLUMNS",
    "Column",
    "Embedding",
    "OptionalRows",
    "all_columns",
    "column_name",
    "missing_name",
    "optional_columns",
]


@dataclass(frozen=True)
class Column:
    """An array of a segment.

    Attributes:
        name: of its file, without the ending.
        dtype: as NumPy spells it, with its byte order.
        axis: what has a row.
        width: numbers in a row; 0 for a plain number.
        optional: whether images may lack it. Then `name`_missing.npy flags those that do, if some
            but not all do; if all do, there is neither file. By image only.
        kind: of the features that it needs, if it needs one.
    """

    name: str
    dtype: str
    axis: Literal["image", "feature"]
    width: int = 0
    optional: bool = False
    kind: str = ""

    def shape(self, rows: int) -> tuple[int, ...]:
        """The shape of the array with so many rows."""
        return (rows, self.width) if self.width else (rows,)

    @property
    def missing_name(self) -> str:
        """Of the file that flags the images that lack it."""
        return missing_name(self.name)


def missing_name(name: str) -> str:
    """Of the file that flags the images that lack an optional column."""
    return f"{name}_missing"


COLUMNS: tuple[Column, ...] = (
    Column("path_hashes", "<u8", "image"),  # of the id
    Column("sizes", "<u4", "image", 2),
    Column("places", "<u2", "feature", 2),
    Column("shapes", "|u1", "feature", 2),
    Column("perceptual_hash", "<u8", "image", optional=True),
    Column("thumbnail", "|u1", "image", THUMBNAIL_SIDE**2, optional=True),
    Column("colour", "|u1", "image", COLOURS, optional=True),
    # of the models that ship with bovw (see `projection.FINGERPRINT`)
    Column("vlad", "|i1", "image", VLAD_SIZE, optional=True, kind="rootsift"),
    Column("shape", "|i1", "image", SHAPE_SIZE, optional=True),
)


@dataclass(frozen=True)
class Embedding:
    """Vectors that somebody's network makes of the images of an index: an optional column of its
    own.

    Attributes:
        name: what its users call it: a letter, then at most 31 letters a-z, digits and _.
        width: numbers of a vector.
        fingerprint: of the network and of how it is asked; vectors of another do not fit.
    """

    name: str
    width: int
    fingerprint: str

    @property
    def column(self) -> Column:
        """Where the vectors are, each of the length that makes its largest number 127."""
        return Column(column_name(self.name), "|i1", "image", self.width, optional=True)


def column_name(embedding: str) -> str:
    """The name of the column of an embedding."""
    return f"embedding_{embedding}"


def all_columns(embeddings: Iterable[Embedding] = ()) -> tuple[Column, ...]:
    """The columns of a segment of an index with some embeddings."""
    return (*COLUMNS, *(embedding.column for embedding in embeddings))


def optional_columns(spec: FeatureSpec, embeddings: Iterable[Embedding] = ()) -> list[Column]:
    """The optional columns of an index of such features and embeddings."""
    columns = all_columns(embeddings)
    return [column for column in columns if column.optional and column.kind in ("", spec.kind)]


@dataclass(frozen=True)
class OptionalRows:
    """An optional column of some images.

    Attributes:
        values: (images,) or (images, width); zeros where it is missing.
        known: (images,) flags of the images that have it.
    """

    values: NDArray[np.generic]
    known: NDArray[np.bool_]
