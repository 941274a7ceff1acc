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
├── EvaluationError         ground truth, a run or saved scores that cannot be used: file, line, why
├── IncompatibleError       features or vocabularies of two sides do not fit together
├── MissingLibraryError     a library that only some commands need is not installed
└── ParameterError          an argument outside its range (also a ValueError)
"""

from __future__ import annotations

import os

__all__ = [
    "BovwError",
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
    "OutputError",
    "ParameterError",
    "VocabularyError",
    "printable",
]


class BovwError(Exception):
    """Base of all errors of this package. The text says what, where, and what to do about it."""


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
        path: the picture as it was named; "<array>", "<bytes>" or "<file>" for one without a name.
        reason: why, in one line without the path; what comes before a colon is the same for all of
            its kind.
    """


class OutputError(ReasonedError):
    """A file that cannot be written."""


class VocabularyError(BovwError):
    """A vocabulary that cannot be trained, read or used."""


class ImageIndexError(BovwError):
    """Base of all errors about an index."""


class IndexClosedError(ImageIndexError):
    """The index was closed, and is used nevertheless."""


class IndexMissingError(ImageIndexError):
    """There is no index at that place."""


class IndexExistsError(ImageIndexError):
    """An index is there already and would have been overwritten."""


class IndexLockedError(ImageIndexError):
    """Another process is writing to the index."""


class IndexCorruptError(ImageIndexError, ReasonedError):
    """A file of the index is missing, damaged or contradicts another."""

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}; `bovw check` says what else is wrong"


class IndexVersionError(ImageIndexError):
    """The index was written in a format that this version does not read."""


class EvaluationError(BovwError):
    """Ground truth, a run or saved scores that cannot be read, written or used; the text names the
    file and the line.
    """


class IncompatibleError(BovwError):
    """Features or vocabularies of two sides do not fit together; the text names both."""


class MissingLibraryError(BovwError):
    """A library that only some commands need is not installed; the text says how to install it."""


class ParameterError(BovwError, ValueError):
    """An argument outside its range; the text names the argument and the range."""


def printable(name: str) -> str:
    """A path that is safe to print: control characters and undecodable bytes escaped."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in name
    )
