"""Which image of a group is kept, which stay in any case, and which pairs are none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from ..errors import absolute_path
from ..pairs.stock import Stock
from .options import DuplicateOptions
from .report import DuplicateImage

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

__all__ = ["Keeping"]

Rank = tuple[bool, int, int, int, int, str, int]


class Keeping:
    """The rules by which images are kept: those of a reference first, then those that are
    preferred, then most pixels, most bytes, the oldest file, and the path.
    """

    def __init__(self, stock: Stock, options: DuplicateOptions) -> None:
        self.stock = stock
        self.folders = [
            os.path.join(os.path.realpath(absolute_path(each)), "") for each in options.reference
        ]
        self.preferred = [patterns([each]) for each in options.prefer]
        self.protected = patterns(options.protect)
        self.ignored = {
            frozenset((one, other)) for pair in options.ignore for one, other in named(pair)
        }
        self.described = cache(self._described)
        self.rank = cache(self._rank)

    def _described(self, image: int) -> DuplicateImage:
        """An image, as a report has it."""
        record, path = self.stock.record(image), self.stock.path(image)
        file, (place, _) = record.file, self.stock.located(image)
        return DuplicateImage(
            id=record.id,
            path=path,
            size=(record.width, record.height),
            size_bytes=file.size_bytes if file else 0,
            mtime=file.mtime if file else 0,
            sha256=record.sha256,
            reference=place < len(self.stock.snapshots) - 1 or self.is_below(path),
            protected=bool(path) and matches(self.protected, path),
        )

    def is_below(self, path: str) -> bool:
        """Whether a file is in a folder of references."""
        if not path or not self.folders:
            return False
        real = os.path.realpath(absolute_path(path))
        return any(real.startswith(folder) for folder in self.folders)

    def _rank(self, image: int) -> Rank:
        """What images are ordered by, the best first."""
        shown = self.described(image)
        preferred = [shown.path and matches(each, shown.path) for each in self.preferred]
        return (
            not shown.reference,
            preferred.index(True) if True in preferred else len(preferred),
            -shown.size[0] * shown.size[1],
            -shown.size_bytes,
            shown.mtime,
            shown.name,
            image,
        )

    def best(self, images: Sequence[int]) -> int:
        """The one that is kept."""
        return min(images, key=self.rank)

    def may_pair(self, images: Sequence[int], others: Sequence[int]) -> bool:
        """Whether the best of some images and the best of others may be duplicates: not if both
        are references, or were named as none.
        """
        one, other = (self.described(self.best(each)) for each in (images, others))
        if one.reference and other.reference:
            return False
        if not self.ignored:
            return True
        names = ({*named_as(one)}, {*named_as(other)})
        return not any(
            frozenset((first, second)) in self.ignored for first in names[0] for second in names[1]
        )


def named(pair: tuple[str, str]) -> list[tuple[str, str]]:
    """What is meant by two paths or ids: these, and the absolute paths."""
    first, second = pair
    return [(first, second), (absolute_path(first), absolute_path(second))]


def named_as(image: DuplicateImage) -> list[str]:
    """What an image may be called."""
    return [image.id, *([image.path, absolute_path(image.path)] if image.path else [])]


def patterns(texts: Sequence[str]) -> GitIgnoreSpec:
    """Patterns as in .gitignore."""
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(texts)


def matches(spec: GitIgnoreSpec, path: str) -> bool:
    """Whether a path fits one of some patterns."""
    return bool(spec.match_file(path.lstrip(os.sep)))
