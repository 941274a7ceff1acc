"""From picture files to encoded images, in several processes."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import cv2

from ..errors import ImageError
from ..features.encoding import EncodedImage, encode_all
from ..features.local import Features, FeatureSpec, extract
from ..features.vocabulary import Vocabulary
from ..pictures.files import content_hash, unreadable
from ..pictures.reading import Limits, read_picture
from ..reporting import Failure
from ..workers.pool import Work, run_in_processes
from .segment import ImageRecord

__all__ = ["CHUNK", "Task", "encoded_files"]

# Pictures that a process encodes together.
CHUNK = 8


@dataclass(frozen=True)
class Task:
    """A picture file to encode.

    Attributes:
        path: to open it; absolute, since processes may be older than the current folder.
        stored: to record it.
        known: SHA-256 of the content that needs no encoding, because it is known already.
    """

    path: str
    stored: str
    known: str = ""


Extracted = tuple[ImageRecord, Features] | Failure | None
Result = tuple[ImageRecord, EncodedImage] | Failure | None


def encoded_files(
    tasks: Iterable[Task], vocabulary: str, spec: FeatureSpec, jobs: int, limits: Limits
) -> Generator[Result, None, None]:
    """The records and encodings of some picture files, in order; a Failure for a bad one, None
    for a known one.

    Args:
        vocabulary: its folder; every process loads it once.
        jobs: processes; 0 works in this one.
    """
    work = Work(
        partial(extract_file, spec=spec, limits=limits),
        partial(encode_extracted, vocabulary=vocabulary),
    )
    return run_in_processes(work, tasks, CHUNK, jobs, limits.seconds)


@lru_cache(maxsize=1)
def vocabulary_of(folder: str, _stamp: int) -> Vocabulary:
    """The vocabulary of an index, loaded once in a process and again when its file has changed."""
    return Vocabulary.load(folder)


def extract_file(task: Task, spec: FeatureSpec, limits: Limits) -> Extracted:
    """Read and extract one picture file, or say why not; None for known content."""
    path = task.path
    try:
        before = os.stat(path)
        sha256 = content_hash(path, limits.file_bytes)
        if sha256 == task.known:
            return None
        features = extract(read_picture(path, spec.max_side, limits=limits), spec)
        after = os.stat(path)
    except ImageError as error:
        return Failure.of(error)
    except OSError as error:
        return Failure.of(unreadable(path, error))
    except (MemoryError, cv2.error):
        return Failure(path, "is too large: the memory does not suffice for its features")
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        return Failure(path, "changed while it was read: the next run reads it again")
    if not len(features):
        return Failure(path, "has no features: it is blank or very smooth")
    return ImageRecord(
        task.stored, before.st_size, before.st_mtime_ns, sha256, *features.size
    ), features


def encode_extracted(extracted: Sequence[Extracted], vocabulary: str) -> list[Result]:
    """Encode the features of some pictures; what is none stays what it is."""
    words = vocabulary_of(
        vocabulary, os.stat(os.path.join(vocabulary, "vocabulary.json")).st_mtime_ns
    )
    encoded = iter(
        encode_all([result[1] for result in extracted if isinstance(result, tuple)], words)
    )
    return [
        (result[0], next(encoded)) if isinstance(result, tuple) else result for result in extracted
    ]
