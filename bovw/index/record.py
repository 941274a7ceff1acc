"""What an index knows of an image beside its features, as a line of JSON."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ParameterError

__all__ = [
    "FailedFile",
    "FileStamp",
    "ImageRecord",
    "as_text",
    "image_key",
    "parse_record",
    "record_facts",
    "record_line",
    "require_id",
    "require_metadata",
]

# Bytes of an id, and of an image's metadata as JSON, at most.
ID_BYTES, METADATA_BYTES = 4096, 4096


@dataclass(frozen=True)
class FileStamp:
    """The file that an image was read from, as it was then.

    Attributes:
        path: in an index: relative to its picture root with forward slashes, or absolute.
        size_bytes: its length.
        mtime: its modification time, nanoseconds since 1970.

    Example:
        >>> from bovw import ImageIndex
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     record = next(index.records())
        >>> record.file.path, record.file.size_bytes > 0
        ('photos/biplane-from-above.jpg', True)
    """

    path: str
    size_bytes: int
    mtime: int


@dataclass(frozen=True)
class FailedFile:
    """A picture file that could not be used, as it was then.

    Attributes:
        file: its path as it is stored, its length and modification time.
        limits: those of `Limits` that were not the usual ones, by name.
    """

    file: FileStamp
    limits: dict[str, float] = field(default_factory=dict, hash=False)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; `from_json` reads it back."""
        file = self.file
        facts = {"path": file.path, "bytes": file.size_bytes, "mtime": file.mtime}
        return {**facts, "limits": self.limits} if self.limits else facts

    @classmethod
    def from_json(
        cls,
        path: str,
        bytes: int,  # as the key of the file is called
        mtime: int,
        limits: dict[str, float] | None = None,
    ) -> FailedFile:
        """What `to_json` gave. Raises TypeError or ValueError if it is something else."""
        if type(bytes) is not int or type(mtime) is not int or not isinstance(limits or {}, dict):
            raise TypeError("no file that failed")
        if not os.fsencode(path) or "\0" in path:
            raise ValueError("no path")
        return cls(FileStamp(path, bytes, mtime), limits or {})


@dataclass(frozen=True)
class ImageRecord:
    """What an index knows of an image.

    Attributes:
        id: names it; no two images of an index have the same.
        width, height: pixels, upright.
        sha256: of the content of its file or, without a file, of what was given instead;
            hexadecimal.
        file: the file that it was read from; None for one that came from memory.
        metadata: what was said of it when it was added: a JSON object.

    Example:
        >>> from bovw import ImageIndex
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     record = index.record("photos/carcassonne-walls.jpg")
        >>> record.id, record.metadata
        ('photos/carcassonne-walls.jpg', {})
    """

    id: str
    width: int
    height: int
    sha256: str
    file: FileStamp | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The path of its file; empty if it has none."""
        return self.file.path if self.file else ""


def require_id(name: object) -> str:
    """An id that an image can have. Raises ParameterError."""
    if not isinstance(name, str) or not name or "\0" in name:
        raise ParameterError(f"id: {name!r} is not a text of at least one character without NUL")
    try:
        length = len(name.encode(errors="surrogateescape"))
    except UnicodeEncodeError:
        raise ParameterError(f"id: {name!r} has half a character (a lone surrogate)") from None
    if length > ID_BYTES:
        raise ParameterError(f"id: {name[:40]!r}... has more than {ID_BYTES:,} bytes")
    return name


def require_metadata(metadata: object) -> dict[str, Any]:
    """Metadata that an image can have, as they come back from an index. Raises ParameterError."""
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping) or not all(isinstance(key, str) for key in metadata):
        raise ParameterError(f"metadata: {metadata!r:.60} is not an object with texts as keys")
    try:
        text = json.dumps(dict(metadata), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ParameterError(f"metadata: {metadata!r:.60} is not JSON: {error}") from None
    if len(text) > METADATA_BYTES:
        raise ParameterError(
            f"metadata: {len(text):,} bytes as JSON are more than {METADATA_BYTES:,}"
        )
    return dict(json.loads(text))


def image_key(name: str) -> str:
    """16 hexadecimal digits that stand for an id where it cannot be written, as in a URL: the first
    8 bytes of its SHA-256.
    """
    return hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:16]


def as_text(value: Any) -> str:
    """A value of metadata as a text."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def record_facts(record: ImageRecord) -> dict[str, Any]:
    """A record as JSON values: what `bovw list --json` prints."""
    file = record.file
    return {
        "id": record.id,
        "path": file and file.path,
        "bytes": file and file.size_bytes,
        "mtime": file and file.mtime,
        "sha256": record.sha256,
        "width": record.width,
        "height": record.height,
        "metadata": record.metadata,
    }


def record_line(record: ImageRecord) -> bytes:
    """A record as a line of images.jsonl. What is not there is left out, and so is an id that is
    the path. Undecodable bytes of a path survive as escaped surrogates.
    """
    facts = {name: value for name, value in record_facts(record).items() if value not in (None, {})}
    if record.id == record.path:
        del facts["id"]
    return (json.dumps(facts, separators=(",", ":"), sort_keys=True) + "\n").encode()


def parse_record(line: bytes) -> ImageRecord:
    """A record from its line. Raises ValueError, TypeError or RecursionError if it is none."""
    facts = json.loads(line)
    if not isinstance(facts, dict):
        raise TypeError("not an object")
    return record_of(**facts)


def record_of(
    sha256: str,
    width: int,
    height: int,
    path: str | None = None,
    bytes: int = 0,  # as the key of the file is called
    mtime: int = 0,
    id: str | None = None,
    metadata: dict[str, Any] | None = None,
) -> ImageRecord:
    """A record from the values of its line."""
    name = path if id is None else id
    for text in (name, path):
        if text is not None and (not os.fsencode(text) or "\0" in text):
            raise ValueError("no path or id")
    if name is None:
        raise ValueError("neither path nor id")
    if not isinstance(metadata or {}, dict):
        raise TypeError("metadata are no object")
    file = None if path is None else FileStamp(path, bytes, mtime)
    return ImageRecord(name, width, height, sha256, file, metadata or {})
