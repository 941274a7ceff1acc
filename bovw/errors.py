"""Every error the library raises on purpose.

BovwError
├── ImageError              a picture that cannot be used: its name and the reason
├── OutputError             a file that cannot be written: its path and the reason
├── VocabularyError         a vocabulary that cannot be trained, read or used
├── ImageIndexError             anything about an index
│   ├── IndexClosedError        the index was closed, and is used
│   ├── IndexMissingError       there is no index at that place
│   ├── IndexExistsError        there is one already, and it would be overwritten
│   ├── IndexLockedError        another process is writing to it
│   ├── IndexCorruptError       a file is missing, damaged or contradicts another
│   └── IndexVersionError       it was written by a newer or an unsupported version
├── ClusterError            anything about a cluster of indexes
│   └── ShardMissingError       no replica of a shard answers
├── EvaluationError         ground truth, a run or saved scores that cannot be used: file, line, why
├── IncompatibleError       features or vocabularies of two sides do not fit together
├── BusyError               too much is waiting: ask again later
├── NetworkError            somebody's network that cannot be read or run, or makes no vectors
├── MissingLibraryError     a library that only some commands need is not installed
└── ParameterError          an argument outside its range (also a ValueError)
"""

from __future__ import annotations

import os
import unicodedata
from typing import Any

__all__ = [
    "BovwError",
    "BusyError",
    "ClusterError",
    "EvaluationError",
    "ImageError",
    "ImageIndexError",
    "IncompatibleError",
    "IndexClosedError",
    "IndexCorruptError",
    "IndexExistsError",
    "IndexLockedError",
    "IndexMissingError",
    "IndexVersionError",
    "MissingLibraryError",
    "NetworkError",
    "OutputError",
    "ParameterError",
    "ShardMissingError",
    "VocabularyError",
    "absolute_path",
    "path_text",
    "printable",
    "require_types",
]

# They change the order in which what follows is shown: another name than that of the file is read.
WRITING_ORDERS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


class BovwError(Exception):
    """Base of all errors of this package. The text says what, where, and what to do about it.

    Example:
        >>> from bovw import BovwError, ImageIndex
        >>> try:
        ...     ImageIndex.open("absent.bovw")
        ... except BovwError as error:
        ...     print(type(error).__name__)
        IndexMissingError
    """


class ReasonedError(BovwError):
    """An error about one file.

    Attributes:
        path: the file, as it was named.
        reason: what is wrong, in one line without the path.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(path, reason)
        self.path = os.fspath(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class ImageError(ReasonedError):
    """A picture that cannot be used.

    Attributes:
        path: the picture as it was named, or "<array>", "<bytes>" or "<file>" for one that has no
            name.
        reason: why, in one line without the path; what comes before a colon is the same for all of
            its kind.

    Example:
        >>> from bovw import ImageError, ImageIndex
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     try:
        ...         index.search("absent.jpg")
        ...     except ImageError as error:
        ...         print(error.reason)
        there is no such file
    """


class OutputError(ReasonedError):
    """A file that cannot be written.

    Example:
        >>> from bovw import OutputError, save_picture
        >>> import numpy as np
        >>> try:
        ...     save_picture("absent/picture.png", np.zeros((8, 8, 3), np.uint8))
        ... except OutputError as error:
        ...     print(error.path)
        absent/picture.png
    """


class VocabularyError(BovwError):
    """A vocabulary that cannot be trained, read or used.

    Example:
        >>> from bovw import Vocabulary, VocabularyError
        >>> try:
        ...     Vocabulary.load("photos")
        ... except VocabularyError as error:
        ...     print(error)
        photos: there is no vocabulary here (vocabulary.json is missing)
    """


class ImageIndexError(BovwError):
    """Base of all errors about an index.

    Example:
        >>> from bovw import ImageIndexError, IndexLockedError
        >>> issubclass(IndexLockedError, ImageIndexError)
        True
    """


class IndexClosedError(ImageIndexError):
    """The index was closed, and is used nevertheless.

    Example:
        >>> from bovw import ImageIndex, IndexClosedError
        >>> index = ImageIndex.open("photos.bovw")
        >>> index.close()
        >>> try:
        ...     index.search("query.jpg")
        ... except IndexClosedError as error:
        ...     print("closed")
        closed
    """


class IndexMissingError(ImageIndexError):
    """There is no index at that place.

    Example:
        >>> from bovw import ImageIndex, IndexMissingError
        >>> try:
        ...     ImageIndex.open("absent.bovw")
        ... except IndexMissingError as error:
        ...     print("make one")
        make one
    """


class IndexExistsError(ImageIndexError):
    """An index is there already and would have been overwritten.

    Example:
        >>> from bovw import ImageIndex, IndexExistsError
        >>> try:
        ...     ImageIndex.create("photos.bovw")
        ... except IndexExistsError as error:
        ...     print("open it instead")
        open it instead
    """


class IndexLockedError(ImageIndexError):
    """Another process is writing to the index.

    Example:
        >>> from bovw import ImageIndex, IndexLockedError
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     try:
        ...         report = index.add("photos")
        ...     except IndexLockedError:
        ...         report = index.add("photos", wait=True)
    """


class IndexCorruptError(ImageIndexError, ReasonedError):
    """A file of the index is missing, damaged or contradicts another.

    Example:
        >>> from pathlib import Path
        >>> from bovw import ImageIndex, IndexCorruptError
        >>> Path("broken.bovw").mkdir()
        >>> _ = Path("broken.bovw/manifest-00000001.json").write_text("no manifest")
        >>> try:
        ...     ImageIndex.open("broken.bovw")
        ... except IndexCorruptError as error:
        ...     print(Path(error.path).name)
        manifest-00000001.json
    """

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}; `bovw check` says what else is wrong"


class IndexVersionError(ImageIndexError):
    """The index was written in a format that this version does not read.

    Example:
        >>> from bovw import ImageIndexError, IndexVersionError
        >>> issubclass(IndexVersionError, ImageIndexError)
        True
    """


class ClusterError(BovwError):
    """Base of all errors about a cluster of indexes.

    Example:
        >>> from bovw import ClusterError, ClusterIndex
        >>> try:
        ...     ClusterIndex.open("absent.toml")
        ... except ClusterError as error:
        ...     print(error)
        absent.toml: there is no cluster here: bovw cluster create
    """


class ShardMissingError(ClusterError):
    """No replica of a shard answers, and partial answers are not allowed; the text names it.

    Attributes:
        shard: its number.
        reason: what its replicas say.

    Example:
        >>> from bovw import ClusterError, ShardMissingError
        >>> issubclass(ShardMissingError, ClusterError)
        True
    """

    def __init__(self, shard: int, reason: str) -> None:
        super().__init__(shard, reason)
        self.shard, self.reason = shard, reason

    def __str__(self) -> str:
        return f"shard {self.shard}: no replica answers: {self.reason}"


class EvaluationError(BovwError):
    """Ground truth, a run or saved scores that cannot be read or used; the text names the file and
    the line.

    Example:
        >>> from bovw import EvaluationError, read_queries
        >>> try:
        ...     read_queries("absent.tsv")
        ... except EvaluationError as error:
        ...     print(error)
        absent.tsv: cannot be read: No such file or directory
    """


class IncompatibleError(BovwError):
    """Features or vocabularies of two sides do not fit together; the text names both.

    Example:
        >>> from bovw import ImageIndex, IncompatibleError
        >>> try:
        ...     ImageIndex.open_or_create("photos.bovw", max_side=77)
        ... except IncompatibleError as error:
        ...     print(str(error).rpartition("/")[2])
        photos.bovw: the index was made with max_side 1024, asked for is 77: make another index
    """


class BusyError(BovwError):
    """As much is waiting for an answer as may; asking again later may help.

    Example:
        >>> from bovw import BovwError, BusyError
        >>> issubclass(BusyError, BovwError)
        True
    """


class MissingLibraryError(BovwError):
    """A library that only some commands need is not installed; the text says how to install it.

    Example:
        >>> from bovw import BovwError, MissingLibraryError
        >>> issubclass(MissingLibraryError, BovwError)
        True
    """


class NetworkError(BovwError):
    """A network that cannot be read or run, or makes no vectors of pictures.

    Example:
        >>> from bovw import NetworkError, load_embedder
        >>> try:
        ...     load_embedder("dino", "photos/carcassonne-walls.jpg")
        ... except NetworkError as error:
        ...     print("cannot be run" in str(error))
        True
    """


class ParameterError(BovwError, ValueError):
    """An argument outside its range; the text names the argument and the range.

    Example:
        >>> from bovw import ParameterError, SearchOptions
        >>> try:
        ...     SearchOptions(k=0)
        ... except ParameterError as error:
        ...     print(error)
        k: 0 is below 1
    """


def printable(name: str) -> str:
    """A path that is safe to print: what a terminal obeys (controls, ends of lines, orders to write
    from right to left) and undecodable bytes are escaped, and nothing else.
    """
    if name.isprintable():  # as nearly all are
        return name
    return "".join(
        c.encode("unicode_escape", "surrogatepass").decode() if is_obeyed(c) else c for c in name
    )


def is_obeyed(character: str) -> bool:
    """Whether a terminal does something for a character instead of showing it, or it has none."""
    return (
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in WRITING_ORDERS
    )


def absolute_path(path: str | os.PathLike[str]) -> str:
    """A path that stays the same when the current folder changes; `..` stays, since a link may come
    before it. Raises ParameterError if it is relative and the current folder is gone.
    """
    if os.path.isabs(path):
        return os.fspath(path)
    try:
        return os.path.join(os.getcwd(), path)
    except FileNotFoundError:
        raise ParameterError(
            f"{os.fspath(path)}: the current folder is gone: give absolute paths"
        ) from None


def require_types(kind: Any, /, **values: object) -> None:
    """Raise ParameterError, which names the parameter, unless each value is of a kind.

    Args:
        kind: a class, or several joined by |.
    """
    for name, value in values.items():
        if not isinstance(value, kind):
            expected = getattr(kind, "__name__", str(kind))
            raise ParameterError(f"{name}: {type(value).__name__} is not {expected}")


def path_text(name: str, path: object) -> str:
    """A path as a text.

    Args:
        name: of the parameter.

    Raises:
        ParameterError: it is none, or empty: an empty name would mean the current folder.
    """
    try:
        text = os.fspath(path)  # type: ignore[call-overload]
    except TypeError:
        text = None
    if not isinstance(text, str):
        raise ParameterError(f"{name}: {path!r:.60} is no path")
    if not text:
        raise ParameterError(f"{name}: an empty path names nothing")
    if "\0" in text:
        raise ParameterError(f"{name}: {text!r:.60} has a NUL, which no path has")
    return text
