"""What long work tells whoever waits for it: how far it is, and what was left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .errors import ImageError

__all__ = ["Failure", "OnFailure", "Progress"]

# Called with the name of a stage, how much of it is done, and of how much.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Failure:
    """Something that was left out of a run, as a value: one bad picture ends no run.

    Attributes:
        name: the path of the file, the id of the image, or the query, as it was given.
        reason: why, in one line; what comes before a colon is the same for all of its kind.

    Example:
        >>> from bovw import ImageIndex
        >>> with ImageIndex.in_memory() as index:
        ...     report = index.add_images([("label 7", b"no picture", None)])
        >>> failure = report.failed[0]
        >>> failure.name, failure.reason
        ('label 7', 'is not an image of a known format')
    """

    name: str
    reason: str

    @classmethod
    def of(cls, error: ImageError) -> Failure:
        """An error as a value."""
        return cls(error.path, error.reason)

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


OnFailure = Callable[[Failure], None]
