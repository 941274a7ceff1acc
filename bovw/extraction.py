"""From picture files to encoded images, in several processes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice

import joblib

from .encoding import EncodedImage, encode_all, load_picture
from .errors import ImageError
from .features import Features, FeatureSpec, extract, one_opencv_thread
from .files import content_hash
from .segment import ImageRecord
from .vocabulary import Vocabulary
from .workers import in_processes

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


Result = tuple[ImageRecord, EncodedImage] | ImageError | None


def encoded_files(tasks: Iterable[Task], vocabulary: str, spec: FeatureSpec, jobs: int) -> Iterator[Result]:
    """The records and encodings of some picture files, in order; an ImageError for a bad one, None for a known one.

    Args:
        vocabulary: its folder; every process loads it once.
    """
    source = iter(tasks)
    chunks = (joblib.delayed(encode_chunk)(chunk, vocabulary, spec) for chunk in iter(lambda: list(islice(source, CHUNK)), []))
    return chain.from_iterable(in_processes(chunks, jobs))


@lru_cache(maxsize=1)
def vocabulary_of(folder: str, _stamp: int) -> Vocabulary:
    """The vocabulary of an index, loaded once in a process and again when its file has changed."""
    return Vocabulary.load(folder)


def encode_chunk(tasks: Sequence[Task], vocabulary: str, spec: FeatureSpec) -> list[Result]:
    """Read, extract and encode some picture files; a failure takes the place of its picture and ends nothing."""
    with one_opencv_thread():
        extracted = [extract_file(task, spec) for task in tasks]
    words = vocabulary_of(vocabulary, os.stat(os.path.join(vocabulary, "vocabulary.json")).st_mtime_ns)
    encoded = iter(encode_all([result[1] for result in extracted if isinstance(result, tuple)], words))
    return [(result[0], next(encoded)) if isinstance(result, tuple) else result for result in extracted]


def extract_file(task: Task, spec: FeatureSpec) -> tuple[ImageRecord, Features] | ImageError | None:
    """Read and extract one picture file, or say why not; None for known content."""
    path = task.path
    try:
        before = os.stat(path)
        sha256 = content_hash(path)
        if sha256 == task.known:
            return None
        features = extract(load_picture(path, spec), spec)
        after = os.stat(path)
    except OSError as error:
        return ImageError(path, "there is no such file" if isinstance(error, FileNotFoundError) else str(error.strerror))
    except ImageError as error:
        return error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        return ImageError(path, "changed while it was read; the next run reads it again")
    if not len(features):
        return ImageError(path, "has no features (it is blank or very smooth)")
    return ImageRecord(task.stored, before.st_size, before.st_mtime_ns, sha256, *features.size), features
