"""An embedder: what makes a vector of a picture, whatever it is made of."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import NetworkError, ParameterError

__all__ = ["TAKEN", "Embedder", "as_int8", "is_embedder_name", "require_vector"]

NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
# What `--by` means without any network: the ways to ask, and what is compared.
TAKEN = frozenset(("search", "matches", "fused", "vlad", "colour", "shape", "hash", "words"))
# Vectors of more numbers are outputs of the wrong kind.
MOST_NUMBERS = 16_384


@dataclass(frozen=True)
class Embedder:
    """Makes a vector of a picture: two pictures are alike if their vectors point alike.

    Attributes:
        name: what users call it: a letter, then at most 31 letters a-z, digits and _. It is not
            one that `find_similar` knows by itself, such as colour.
        function: from the colours of a picture, (h, w, 3) uint8 BGR, upright, to a vector (d,) of
            finite numbers. To work in several processes it must be a function of a module, or an
            object that can be pickled.
        version: whatever tells it from another that makes other vectors. An index refuses vectors
            of another version under the same name.
        side: the long side of the pixels that the function gets, at most.

    Raises:
        ParameterError: the name or the side cannot be.

    Example:
        >>> from bovw import Embedder
        >>> def mean_colour(pixels):
        ...     return pixels.mean(axis=(0, 1))
        >>> Embedder("tint", mean_colour, version="1").width
        3
    """

    name: str
    function: Callable[[NDArray[np.uint8]], ArrayLike]
    version: str
    side: int = 512

    def __post_init__(self) -> None:
        if not is_embedder_name(self.name):
            raise ParameterError(
                f"embedder: {self.name!r} is no name: a letter a-z, then letters, digits and _, "
                "32 in all at most"
            )
        if self.name in TAKEN:
            raise ParameterError(
                f"embedder: {self.name} is what bovw compares itself, take another name"
            )
        if type(self.side) is not int or not 16 <= self.side <= 4096:
            raise ParameterError(f"side: {self.side!r} is not a whole number in 16..4096")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the version, hexadecimal."""
        return hashlib.sha256(self.version.encode()).hexdigest()

    @cached_property
    def width(self) -> int:
        """Numbers of a vector, found by trying.

        Raises:
            NetworkError: it does not work.
        """
        return len(self.vector(np.full((48, 64, 3), 128, np.uint8)))

    def vector(self, colours: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The vector (d,) of a picture.

        Args:
            colours: (h, w, 3) BGR.

        Raises:
            NetworkError: the function fails, or gives something else.
        """
        try:
            found = self.function(colours)
        except NetworkError:
            raise
        except Exception as error:  # what somebody's function raises has no end
            raise NetworkError(f"{self.name}: fails with {error!r:.200}") from error
        return require_vector(self.name, found)


def is_embedder_name(name: object) -> bool:
    """Whether a value can be the name of an embedder."""
    return isinstance(name, str) and NAME.fullmatch(name) is not None


def require_vector(name: str, found: ArrayLike) -> NDArray[np.float32]:
    """What a network called `name` gave, if it is a vector. Raises NetworkError."""
    try:
        vector = np.asarray(found, np.float32)
    except (TypeError, ValueError):
        raise NetworkError(f"{name}: gives no numbers") from None
    if vector.ndim != 1 or not 1 <= len(vector) <= MOST_NUMBERS:
        raise NetworkError(
            f"{name}: gives an array of the shape {vector.shape} instead of (d,), d in "
            f"1..{MOST_NUMBERS:,}"
        )
    if not np.isfinite(vector).all():
        raise NetworkError(f"{name}: gives numbers that are not finite")
    return vector


def as_int8(vector: NDArray[np.floating]) -> NDArray[np.int8]:
    """A vector (d,) in whole numbers: at the length that makes its largest 127."""
    exact = np.asarray(vector, np.float64)
    largest = float(np.abs(exact).max(initial=0))
    scaled = exact / largest * 127 if largest else exact
    return np.asarray(np.rint(scaled), np.int8)
