"""What counts as a duplicate and what is kept, as one value."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ParameterError
from .relation import KINDS, Kind

__all__ = ["DuplicateOptions", "read_ignored"]


@dataclass(frozen=True)
class DuplicateOptions:
    """How duplicates are looked for, and which image of a group is kept.

    Attributes:
        kind: "exact": the same bytes; "same": and the same picture, in whatever size, quality,
            orientation or tone; "part": one is a part of the other, or they overlap; or "all".
        thorough: compare each image with all others that have words in common with it, not only
            with those whose hashes or vectors are close: finds mirrored crops and small parts, and
            takes as long as a search with each image.
        near: show also what only shows the same thing: another view of an object, another product
            with the same label. None of that is a duplicate.
        prefer: patterns as in .gitignore of files to keep, the first that matches counting most.
        protect: patterns of files that stay in any case.
        reference: folders of which all files stay, and are kept rather than others; they are not
            compared with one another.
        ignore: pairs of paths or ids that are no duplicates, whatever it looks like.

    Raises:
        ParameterError: a value of another type, or an unknown kind.

    Example:
        >>> from bovw import DuplicateOptions
        >>> DuplicateOptions(kind="same").near
        False
    """

    kind: Kind = "all"
    thorough: bool = False
    near: bool = False
    prefer: Sequence[str] = ()
    protect: Sequence[str] = ()
    reference: Sequence[str] = ()
    ignore: Sequence[tuple[str, str]] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or self.kind not in KINDS:
            raise ParameterError(f"kind: {self.kind!r} is unknown, take one of {', '.join(KINDS)}")
        for name in ("thorough", "near"):
            if type(getattr(self, name)) is not bool:
                raise ParameterError(f"{name}: {getattr(self, name)!r} is neither True nor False")
        for name in ("prefer", "protect", "reference"):
            value = getattr(self, name)
            if isinstance(value, str) or not all(
                isinstance(each, str) and each and "\0" not in each for each in value
            ):
                raise ParameterError(f"{name}: {value!r:.60} is no list of texts")
        for pair in self.ignore:
            if len(pair) != 2 or not all(isinstance(each, str) for each in pair):
                raise ParameterError(f"ignore: {pair!r:.60} is no pair of paths or ids")


def read_ignored(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """Pairs of paths or ids from a file: two a line, with a tab between; empty lines and those that
    begin with # say nothing.

    Raises:
        ParameterError: a line is something else, or the file cannot be read.
    """
    pairs = []
    try:
        with open(path, "rb") as file:
            lines = os.fsdecode(file.read()).split("\n")
    except OSError as error:
        raise ParameterError(f"ignore: {path}: cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        line = line.removesuffix("\r")
        if not line.strip() or line.startswith("#"):
            continue
        first, tab, second = line.partition("\t")
        if not tab or not first or not second or "\t" in second:
            raise ParameterError(f"ignore: {path}, line {number}: not two paths with a tab between")
        pairs.append((first, second))
    return pairs
