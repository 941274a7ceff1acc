"""Picture files: open one that may be anything, hash one."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Iterable
from io import BufferedReader

from ..errors import ImageError, ParameterError, path_text
from .fragments import seconds_of, split_fragment

__all__ = [
    "DamagedImageError",
    "content_hash",
    "damaged",
    "opened_file",
    "path_list",
    "require_length",
    "unreadable",
]


def path_list(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str]:
    """One path or several as a list of strings.

    Raises:
        ParameterError: something is no path, or an empty one, which names nothing.
    """
    if isinstance(paths, (str, os.PathLike)):
        return [path_text("paths", paths)]
    if not isinstance(paths, Iterable):
        raise ParameterError(f"paths: {paths!r:.60} is no path, and no list of paths")
    return [path_text("paths", path) for path in paths]


def opened_file(path: str | os.PathLike[str], longest: int) -> BufferedReader:
    """Open the file of a picture, a regular one and nothing else: a pipe would keep us waiting.

    Raises:
        ImageError: it cannot be opened, is no regular file, is empty, or has more than `longest`
            bytes. A video, of which a time is meant, is never read as a whole and may be longer.
    """
    name, fragment = split_fragment(path)
    if seconds_of(fragment) is not None:
        longest = sys.maxsize
    try:
        file = open(name, "rb", opener=lambda each, flags: os.open(each, flags | os.O_NONBLOCK))  # noqa: SIM115 - the caller closes it
    except IsADirectoryError:
        raise ImageError(path, "is not a regular file") from None
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    status = os.fstat(file.fileno())
    try:
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(path, "is not a regular file")
        require_length(path, status.st_size, longest)
    except ImageError:
        file.close()
        raise
    return file


def require_length(path: str | os.PathLike[str], length: int, longest: int) -> None:
    """Raise ImageError unless a file has at least one byte and not too many."""
    if not length:
        raise ImageError(path, "is empty")
    if length > longest:
        reason = f"is too large: {length:,} bytes, more than {longest:,} (limit: file_bytes)"
        raise ImageError(path, reason)


def content_hash(path: str | os.PathLike[str], longest: int) -> str:
    """SHA-256 of a picture's file, hexadecimal. Raises ImageError, as `opened_file`."""
    with opened_file(path, longest) as file:
        try:
            return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise unreadable(path, error) from None


def unreadable(path: str | os.PathLike[str], error: OSError | ValueError) -> ImageError:
    """What the system says of a path, as an ImageError."""
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return ImageError(path, "there is no such file")
    return ImageError(path, f"cannot be read: {getattr(error, 'strerror', None) or error}")


class DamagedImageError(ImageError):
    """A picture that a decoder gave up on."""


def damaged(path: str | os.PathLike[str], error: Exception) -> DamagedImageError:
    """A picture that a decoder gave up on, and what it said, in one line."""
    return DamagedImageError(
        path, f"is damaged: {' '.join(str(error).split()) or type(error).__name__}"
    )
