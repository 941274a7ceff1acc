"""Short vectors of whole pictures: long ones, projected by models that ship with bovw, as whole
numbers of 8 bits that are compared by their cosine.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..errors import VocabularyError
from .threads import one_blas_thread
from .vocabulary import npy_array, shipped_models

__all__ = [
    "FORMAT",
    "SHAPE_SIZE",
    "VLAD_SIZE",
    "Projection",
    "WholeModels",
    "fingerprint_of",
    "whole_models",
]

# Numbers of the short vectors.
VLAD_SIZE, SHAPE_SIZE = 256, 128

# SHA-256 of the arrays that ship in models/whole. The columns "vlad" and "shape" mean these models
# and no others, so vectors of two models never lie in one column: a model that replaces one of them
# takes columns of another name.
FINGERPRINT = "022c313de34372c6b81aed445be70edfcfad44fa74afcd765c8eee0cdee1f66f"
FORMAT = "bovw-whole-1"
ARRAYS = ("vlad_centres", "vlad_components", "vlad_offset", "shape_components", "shape_offset")


@dataclass(frozen=True, eq=False)
class Projection:
    """The way from long vectors (D,) to short ones (d,): principal components, each weighed.

    Attributes:
        components: (d, D) float32.
        offset: (d,) float32, what the mean of the training vectors is projected to.
    """

    components: NDArray[np.float32]
    offset: NDArray[np.float32]

    def shortened(self, vector: NDArray[np.float32]) -> NDArray[np.int8]:
        """A vector (D,) as (d,) int8, of the length that makes its largest number 127 or -127."""
        with one_blas_thread():
            short = self.components @ vector - self.offset
        return np.asarray(np.rint(short * (127 / np.abs(short).max())), np.int8)


@dataclass(frozen=True, eq=False)
class WholeModels:
    """The models behind the vectors of whole pictures.

    Attributes:
        centres: (64, 128) float32, the centres of VLAD.
        vlad: projects VLADs, 8,192 numbers, to 256.
        shape: projects histograms of gradients to 128 numbers.
    """

    centres: NDArray[np.float32]
    vlad: Projection
    shape: Projection


@cache
def whole_models() -> WholeModels:
    """The models that come with the package, read once.

    Raises:
        VocabularyError: they did not come with this installation, are damaged, or are others than
            those of this version.
    """
    folder = shipped_models("whole", "whole.json")
    if folder is None:
        raise VocabularyError("no models for whole pictures came with this installation")
    try:
        facts = json.loads((folder / "whole.json").read_bytes())
        arrays = {name: npy_array((folder / f"{name}.npy").read_bytes()) for name in ARRAYS}
    except (OSError, ValueError) as error:
        raise VocabularyError(f"{folder}: the models cannot be read: {error}") from error
    if facts.get("format") != FORMAT or fingerprint_of(arrays) != FINGERPRINT:
        raise VocabularyError(
            f"{folder}: these are not the models of this version: install it anew. Vectors of "
            "others do not go together with those that an index has"
        )
    whole = {name: array.astype(np.float32) for name, array in arrays.items()}
    return WholeModels(
        whole["vlad_centres"],
        Projection(whole["vlad_components"], whole["vlad_offset"]),
        Projection(whole["shape_components"], whole["shape_offset"]),
    )


def fingerprint_of(arrays: dict[str, NDArray[np.generic]]) -> str:
    """SHA-256 over the arrays of models, by name, with types and shapes: hexadecimal digits."""
    digest = hashlib.sha256()
    for name in ARRAYS:
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
