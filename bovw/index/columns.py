"""The columns of a segment: arrays with a row for each image, or for each feature.

Rows stand for themselves: when segments are merged, those of live images are copied as they are.
One declaration here drives the writer, the reader, the merge and the check. A column that is
optional has a producer in `extraction.PRODUCERS`; an image that was added before there was one
lacks it, and goes on living without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["COLUMNS", "Column", "OptionalRows"]


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
    """

    name: str
    dtype: str
    axis: Literal["image", "feature"]
    width: int = 0
    optional: bool = False

    def shape(self, rows: int) -> tuple[int, ...]:
        """The shape of the array with so many rows."""
        return (rows, self.width) if self.width else (rows,)

    @property
    def missing_name(self) -> str:
        """Of the file that flags the images that lack it."""
        return f"{self.name}_missing"


COLUMNS: tuple[Column, ...] = (
    Column("path_hashes", "<u8", "image"),  # of the id
    Column("sizes", "<u4", "image", 2),
    Column("places", "<u2", "feature", 2),
    Column("shapes", "|u1", "feature", 2),
)


@dataclass(frozen=True)
class OptionalRows:
    """An optional column of some images.

    Attributes:
        values: (images,) or (images, width); zeros where it is missing.
        known: (images,) flags of the images that have it.
    """

    values: NDArray[np.generic]
    known: NDArray[np.bool_]
