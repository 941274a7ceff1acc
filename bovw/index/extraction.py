"""From pictures to encoded images, in several processes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, NetworkError
from ..features.appearance import as_gray, colour_histogram, thumbnail
from ..features.encoding import encode_all
from ..features.hashing import perceptual_hash
from ..features.local import Features, FeatureSpec, extract
from ..features.shape import shape
from ..features.vlad import vlad
from ..features.vocabulary import Vocabulary
from ..networks.embedder import Embedder, as_int8
from ..pictures.files import content_hash, unreadable
from ..pictures.fragments import file_of
from ..pictures.reading import Limits, fragments_in, load_colours, load_picture
from ..reporting import Failure
from ..workers.pool import run_in_processes
from ..workers.process import Work
from . import columns
from .columns import column_name
from .record import FileStamp, ImageRecord
from .segment_writer import IndexedImage

__all__ = [
    "CHUNK",
    "COLOURS_SIDE",
    "PRODUCERS",
    "Extracted",
    "LastHash",
    "Task",
    "encode_pictures",
    "list_fragments",
    "stamp_of",
]

# Pictures that a process encodes together.
CHUNK = 8
# Long side of the pictures that the optional columns are made of.
COLOURS_SIDE = 256
# What makes the rows of the optional columns of an image, by the name of the column: of its colours
# (h, w, 3) BGR and its features.
PRODUCERS: dict[str, Callable[[NDArray[np.uint8], Features], Any]] = {
    "perceptual_hash": lambda colours, _: perceptual_hash(as_gray(colours)),
    "thumbnail": lambda colours, _: thumbnail(colours),
    "colour": lambda colours, _: colour_histogram(colours),
    "vlad": lambda _, features: vlad(features.descriptors),
    "shape": lambda colours, _: shape(thumbnail(colours)),
}
# What is said of a picture that no part of another can be found in.
FEATURELESS = "has no features, it is blank or very smooth: only searches of whole pictures find it"


@dataclass(frozen=True, slots=True)
class Task:
    """A picture to encode.

    Attributes:
        id: to record it.
        source: the picture: an absolute path, since processes may be older than the current folder,
            which may say what of its file is meant; the bytes of a file; or pixels.
        path: to record its file; empty for a picture from memory.
        metadata: to record them.
        known: SHA-256 of the content that needs no encoding, because it is known already.
    """

    id: str
    source: str | bytes | NDArray[Any]
    path: str
    metadata: dict[str, Any] = field(default_factory=dict)
    known: str = ""


@dataclass(frozen=True)
class Extracted:
    """A picture whose features are not encoded yet."""

    record: ImageRecord
    features: Features
    values: dict[str, NDArray[Any]]
    note: str
    unseen: int


def encode_pictures(
    tasks: Iterable[Task],
    vocabulary: Vocabulary,
    spec: FeatureSpec,
    jobs: int,
    limits: Limits,
    embedders: Sequence[Embedder] = (),
) -> Generator[IndexedImage | Failure | None, None, None]:
    """Some pictures, encoded, in order; a Failure for a bad one, None for a known one.

    Args:
        jobs: processes; 0 works in this one.
        embedders: make more rows of columns.
    """
    work = Work(
        partial(
            extract_picture,
            spec=spec,
            limits=limits,
            hashes=LastHash(limits),
            embedders=embedders,
        ),
        partial(encode_extracted, vocabulary=vocabulary),
    )
    return run_in_processes(work, tasks, CHUNK, jobs, limits.seconds)


def list_fragments(
    paths: Sequence[str], jobs: int, limits: Limits
) -> Generator[list[str] | Failure, None, None]:
    """What of some files, given by absolute paths, are pictures of their own (see
    `reading.fragments_in`), in order; a Failure for a bad one.
    """
    work = Work(partial(fragments_or_failure, limits=limits))
    return run_in_processes(work, paths, CHUNK, jobs, limits.seconds)


def fragments_or_failure(path: str, limits: Limits) -> list[str] | Failure:
    """What of a file are pictures of their own, or why nothing is."""
    try:
        return fragments_in(path, limits)
    except ImageError as error:
        return Failure.of(error)


class LastHash:
    """The hash of the file that was hashed last: the pictures of one file follow one another."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.file, self.value = limits, ("", 0, 0), ""

    def of(self, path: str) -> str:
        """SHA-256 of a picture's file. Raises ImageError or OSError."""
        file = (file_of(path), *stamp_of(path))
        if file != self.file:
            self.value = content_hash(path, self.limits.file_bytes)
            self.file = file
        return self.value


def extract_picture(
    task: Task,
    spec: FeatureSpec,
    limits: Limits,
    hashes: LastHash,
    embedders: Sequence[Embedder] = (),
) -> Extracted | Failure | None:
    """Read and extract one picture, or say why not; None for known content."""
    source = task.source
    name = source if isinstance(source, str) else task.id
    try:
        before = stamp_of(source) if isinstance(source, str) else None
        sha256 = hashes.of(source) if isinstance(source, str) else content_of(source)
        if sha256 == task.known:
            return None
        picture = load_picture(source, spec.max_side, limits=limits)
        features = extract(picture, spec)
        colours = load_colours(source, COLOURS_SIDE, limits=limits)
        values = values_of(colours, features, spec)
        for embedder in embedders:
            vector = embedder.vector(load_colours(source, embedder.side, limits=limits))
            values[column_name(embedder.name)] = as_int8(vector)
        after = stamp_of(source) if isinstance(source, str) else None
    except ImageError as error:
        return Failure(name, error.reason)
    except NetworkError as error:
        return Failure(name, f"has no vector: {error}")
    except OSError as error:
        return Failure.of(unreadable(name, error))
    except (MemoryError, cv2.error):
        return Failure(name, "is too large: the memory does not suffice for its features")
    if before != after:
        return Failure(name, "changed while it was read: the next run reads it again")
    file = FileStamp(task.path, *before) if before else None
    record = ImageRecord(task.id, *features.size, sha256, file, task.metadata)
    notes = [picture.note, "" if len(features) else FEATURELESS]
    note = "; ".join(filter(None, notes))
    return Extracted(record, features, values, note, picture.unseen)


def values_of(
    colours: NDArray[np.uint8], features: Features, spec: FeatureSpec
) -> dict[str, NDArray[Any]]:
    """The rows of a picture in the optional columns, by their names.

    Args:
        colours: (h, w, 3) BGR, COLOURS_SIDE pixels on its long side or less.
    """
    wanted = columns.optional_columns(spec)
    return {column.name: np.asarray(PRODUCERS[column.name](colours, features)) for column in wanted}


def stamp_of(path: str) -> tuple[int, int]:
    """What changes when the file of a picture is written: its length and its modification time.
    Raises OSError.
    """
    status = os.stat(file_of(path))
    return status.st_size, status.st_mtime_ns


def content_of(source: bytes | NDArray[Any]) -> str:
    """SHA-256 of the content of a picture, hexadecimal: of the bytes of its file or, if it is an
    array, of its type, shape and values.
    """
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    digest = hashlib.sha256(f"{source.dtype.str} {source.shape}".encode())
    digest.update(np.ascontiguousarray(source).tobytes())
    return digest.hexdigest()


def encode_extracted(
    extracted: Sequence[Extracted | Failure | None], vocabulary: Vocabulary
) -> list[IndexedImage | Failure | None]:
    """Encode the features of some pictures; what is none stays what it is."""
    pictures = [each for each in extracted if isinstance(each, Extracted)]
    encoded = iter(encode_all([each.features for each in pictures], vocabulary))
    return [
        IndexedImage(each.record, next(encoded), each.values, each.note, each.unseen)
        if isinstance(each, Extracted)
        else each
        for each in extracted
    ]
