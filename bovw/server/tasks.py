"""What the worker processes of a server do: everything that decodes a picture, or searches.

Each task is a value that is sent to a process, and says there what became of it: a result that can
be sent back, or the error that kept it from one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..cluster.cluster_index import ClusterIndex
from ..errors import BovwError, ImageError
from ..index.record import ImageRecord, image_key
from ..pictures.files import content_hash, unreadable
from ..pictures.fragments import file_of
from ..pictures.reading import Box, Limits, read_colours
from ..search.comparison import compare_pictures
from ..search.drawing import draw_comparison, draw_match
from ..search.options import SearchOptions
from ..search.result import answer_facts, is_gone_file
from .shelf import Served, Shelf

__all__ = [
    "AddTask",
    "CompareTask",
    "PictureTask",
    "RemoveTask",
    "SearchTask",
    "SourceFile",
    "Task",
    "file_of_key",
    "named",
    "perform",
    "require_reachable",
    "require_unchanged",
]

QUALITY = 84


@dataclass(frozen=True)
class SourceFile:
    """A picture file that a request names.

    Attributes:
        path: the file.
        name: what whoever asks calls it; told instead of the path.
    """

    path: str
    name: str


class Task(Protocol):
    """Something to do."""

    def run(self, shelf: Shelf) -> Any:
        """Do it. Raises BovwError."""


def perform(task: Task, shelf: Shelf) -> Any:
    """What a task gives, or the error that keeps it from that."""
    try:
        return task.run(shelf)
    except BovwError as error:
        return error


@dataclass(frozen=True)
class SearchTask:
    """Search an index. Gives the JSON of `bovw search --json` and, for each match, its key and its
    size in pixels.

    Attributes:
        index: its name.
        query: the picture, or the key of an image of the index.
        options, box, where, limits: as for `ImageIndex.search`.
        correspondences: whether each match tells the positions that agree, as (x, y in the query,
            x, y in the image).
    """

    index: str
    query: SourceFile | str
    options: SearchOptions
    box: Box | None
    where: dict[str, Any] | None
    limits: Limits
    correspondences: bool = False

    def run(self, shelf: Shelf) -> dict[str, Any]:
        """Raises BovwError."""
        index = shelf.index(self.index)
        query = self.query
        if isinstance(query, str):
            query = file_of_key(index, query, self.limits)
        with named(query):
            result = index.search(
                query.path, self.options, box=self.box, where=self.where, limits=self.limits
            )
        facts = {**answer_facts(result), "query": query.name}
        for each, match in zip(facts["matches"], result.matches, strict=True):
            each["key"] = image_key(match.id)
            each["width"], each["height"] = match.size
            if isinstance(index, ClusterIndex) and each.pop("gone", False):
                each["unreachable"] = True  # nobody here can know more
            if self.correspondences:
                each["correspondences"] = match.correspondences.round(2).tolist()
        return {
            **facts,
            "width": result.size[0],
            "height": result.size[1],
            "generation": index.generation,
        }


@dataclass(frozen=True)
class CompareTask:
    """Compare two pictures, or draw them. Gives the JSON of `bovw compare --json` with the
    positions that agree and the size of the first, or the drawing as a PNG file.

    Attributes:
        first, second: pictures, or (index, key) of an image.
        tolerance, sensitivity, box, mirror_too, false_alarms, limits: as for `compare_pictures`.
        drawing: "match" draws what agrees, "differences" what differs; empty for the JSON.
    """

    first: SourceFile | tuple[str, str]
    second: SourceFile | tuple[str, str]
    tolerance: int
    sensitivity: float
    box: Box | None
    mirror_too: bool
    false_alarms: float
    limits: Limits
    drawing: str = ""

    def run(self, shelf: Shelf) -> dict[str, Any] | bytes:
        """Raises BovwError."""
        first, second = (
            each
            if isinstance(each, SourceFile)
            else file_of_key(shelf.index(each[0]), each[1], self.limits)
            for each in (self.first, self.second)
        )
        with named(first, second):
            comparison = compare_pictures(
                first.path,
                second.path,
                shelf.vocabulary,
                tolerance=self.tolerance,
                sensitivity=self.sensitivity,
                box=self.box,
                mirror_too=self.mirror_too,
                false_alarms=self.false_alarms,
                limits=self.limits,
            )
            match = comparison.match
            if self.drawing == "match":
                return as_png(draw_match(second.path, first.path, match))
            if self.drawing:
                return as_png(draw_comparison(first.path, second.path, comparison))
        return {
            "first": first.name,
            "second": second.name,
            **comparison.to_dict(),
            "width": match.size[0],
            "height": match.size[1],
            "correspondences": match.correspondences.round(2).tolist(),
        }


@dataclass(frozen=True)
class PictureTask:
    """Shrink a picture for showing it. Gives a JPEG file, and the full (width, height).

    Attributes:
        file: the picture.
        side: pixels on the long side, at most.
        limits: what it may cost.
    """

    file: SourceFile
    side: int
    limits: Limits

    def run(self, shelf: Shelf) -> tuple[bytes, tuple[int, int]]:  # noqa: ARG002 - needs none
        """Raises BovwError."""
        with named(self.file):
            pixels, size = read_colours(self.file.path, self.side, self.limits)
        _, content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        return content.tobytes(), size


@dataclass(frozen=True)
class AddTask:
    """Add a picture file to an index. Gives its record."""

    index: str
    file: SourceFile
    metadata: dict[str, Any]
    limits: Limits

    def run(self, shelf: Shelf) -> ImageRecord:
        """Raises BovwError."""
        with shelf.another(self.index) as index:
            report = index.add([self.file.path], metadata=self.metadata, limits=self.limits)
            for failure in report.failed:
                raise ImageError(self.file.name, failure.reason)
            record = index.record_of_file(self.file.path)
        if record is None:
            raise ImageError(self.file.name, "was not added to the index")
        return record


@dataclass(frozen=True)
class RemoveTask:
    """Remove an image from an index; its file stays. Gives whether it was there."""

    index: str
    key: str

    def run(self, shelf: Shelf) -> bool:
        """Raises BovwError."""
        with shelf.another(self.index) as index:
            record = index.record_of_key(self.key)
            return record is not None and index.remove_images([record.id]).removed > 0


def file_of_key(index: Served, key: str, limits: Limits) -> SourceFile:
    """The file of an image. Raises ImageError unless it is there as it was when it was indexed."""
    record = index.record_of_key(key)
    if record is None or record.file is None:
        raise ImageError(key, "the index has no image of this key that has a file")
    require_reachable(isinstance(index, ClusterIndex), record)
    require_unchanged(record, limits)
    return SourceFile(record.path, record.path)


def require_reachable(of_cluster: bool, record: ImageRecord) -> None:
    """Raise ImageError if a picture of a cluster is not on this machine, which need not have it."""
    if of_cluster and is_gone_file(record.path):
        raise ImageError(record.path, "its file cannot be reached from this machine")


def require_unchanged(record: ImageRecord, limits: Limits) -> None:
    """Raise ImageError unless the file of an image is what was indexed: it could be a link to
    something else by now.
    """
    assert record.file is not None
    try:
        status = os.stat(file_of(record.path))
    except OSError as error:
        raise unreadable(record.path, error) from None
    if (status.st_size, status.st_mtime_ns) != (
        record.file.size_bytes,
        record.file.mtime,
    ) and content_hash(file_of(record.path), limits.file_bytes) != record.sha256:
        raise ImageError(record.path, "has changed since it was indexed: run `bovw index` again")


@contextmanager
def named(*files: SourceFile) -> Iterator[None]:
    """Errors about files tell the names that whoever asks knows."""
    try:
        yield
    except ImageError as error:
        names = {file.path: file.name for file in files}
        raise ImageError(names.get(error.path, error.path), error.reason) from None


def as_png(pixels: NDArray[np.uint8]) -> bytes:
    """BGR pixels as a PNG file."""
    return bytes(cv2.imencode(".png", pixels)[1].tobytes())
