"""Picture files: find them below folders, open one that may be anything, hash one."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from importlib.util import find_spec
from io import BufferedReader
from pathlib import Path

from ..errors import ImageError, ParameterError, path_text
from ..reporting import Failure

__all__ = [
    "DamagedImageError",
    "content_hash",
    "damaged",
    "find_images",
    "opened_file",
    "path_list",
    "require_length",
    "unreadable",
]

SUFFIXES = frozenset(
    [
        *(".avif", ".bmp", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm"),
        *(".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
    ]
)
# What is found as well if there is the package that opens it.
HEIC_SUFFIXES = frozenset([".heic", ".heif", ".hif"])


def find_images(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
) -> tuple[list[str], list[Failure]]:
    """List image files: folders are searched to the bottom for known endings, named files are taken
    as they are.

    Links to files are followed, links to folders are not: they may lead back.

    Returns:
        The paths, sorted, each once; and a failure for every named path that is absent and every
        folder that can't be listed.
    """
    found: set[str] = set()
    problems: list[Failure] = []
    for path in map(plain, path_list(paths)):
        if os.path.isdir(path):
            walk = os.walk(
                path,
                onerror=lambda error: problems.append(
                    Failure.of(unreadable(str(error.filename), error))
                ),
            )
            found.update(
                os.path.join(folder, name)
                for folder, _, names in walk
                for name in names
                if is_image_name(name)
            )
        elif os.path.lexists(path):
            found.add(path)
        else:
            problems.append(Failure(path, "there is no such file or folder"))
    return sorted(found), problems


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


def plain(path: str) -> str:
    """A path without ./ and doubled slashes, so that one file has one name; .. stays, since a link
    may come before it.
    """
    return path if ".." in path.split(os.sep) else os.path.normpath(path)


def is_image_name(name: str) -> bool:
    """Whether a file's ending is one of an image format that we read."""
    suffix = Path(name).suffix.lower()
    return (
        suffix in SUFFIXES or (suffix in HEIC_SUFFIXES and find_spec("pillow_heif") is not None)
    ) and not name.startswith("._")


def opened_file(path: str | os.PathLike[str], longest: int) -> BufferedReader:
    """Open a regular file for reading, and nothing else: a pipe would keep us waiting.

    Raises:
        ImageError: it cannot be opened, is no regular file, is empty, or has more than `longest`
            bytes.
    """
    try:
        file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115 - the caller closes it
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
    """SHA-256 of a file's content, hexadecimal. Raises ImageError, as `opened_file`."""
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
