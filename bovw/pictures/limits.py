"""What a picture may cost before it is refused."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ImageError, ParameterError

__all__ = ["COSTS", "LIMITS", "Limits", "require_memory", "require_pixels"]

# The limits that are numbers.
COSTS = ("pixels", "memory", "file_bytes", "seconds")


@dataclass(frozen=True)
class Limits:
    """What a picture may cost before it is refused.

    Attributes:
        pixels: of the picture, as its header says.
        memory: bytes that decoding may take, worked out from the header. A JPEG or JPEG 2000 file
            that is to be shrunk is decoded at a fraction of its size, and may be far larger than
            others. The work after decoding takes some 400 MB beside.
        file_bytes: length of the file, which some formats need in memory as a whole. A video is
            read in parts, and may be longer.
        seconds: for one picture, in runs with worker processes (`jobs` of 1 or more): nothing else
            can end a decoder that hangs.
        strict: whether a picture that is cut off is refused. What there is of it is used otherwise.

    Example:
        >>> from bovw import ImageError, ImageIndex, Limits
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     try:
        ...         index.search("query.jpg", limits=Limits(pixels=1000))
        ...     except ImageError as error:
        ...         print(error.reason.partition(":")[0])
        is too large
    """

    pixels: int = 500_000_000
    memory: int = 600_000_000
    file_bytes: int = 600_000_000
    seconds: float = 60.0
    strict: bool = False

    def __post_init__(self) -> None:
        if type(self.strict) is not bool:
            raise ParameterError(f"strict: {self.strict!r} is neither True nor False")
        for name in COSTS:
            value = getattr(self, name)
            if type(value) not in (int, float) or not value > 0:
                raise ParameterError(f"{name}: {value!r} is not a number above 0")


LIMITS = Limits()


def require_pixels(path: str, size: tuple[int, int], limits: Limits) -> None:
    """Raise ImageError if a picture has too many pixels."""
    if size[0] * size[1] > limits.pixels:
        raise ImageError(
            path,
            f"is too large: {size[0]} x {size[1]} pixels, "
            f"more than {limits.pixels:,} (limit: pixels)",
        )


def require_memory(path: str, needed: int, limits: Limits) -> None:
    """Raise ImageError if decoding takes too much memory."""
    if needed > limits.memory:
        raise ImageError(
            path,
            f"is too large: decoding takes {needed:,} bytes of memory, "
            f"more than {limits.memory:,} (limit: memory)",
        )
