"""One run of adding, changing and removing pictures: which ones, and what became of each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from ..features.encoding import EncodedImage
from ..pictures.reading import Limits
from ..reporting import Failure, OnFailure, Progress
from .extraction import CHUNK, Task, encoded_files
from .paths import PictureRoot, chosen_root
from .segment import ImageRecord
from .snapshot import Snapshot
from .writer import Writer

__all__ = ["AddReport", "RemoveReport", "Update", "remove"]

# Paths that are looked up together.
SLICE = 10_000


@dataclass
class AddReport:
    """What `ImageIndex.add` did.

    Attributes:
        added: images that are new in the index.
        changed: images that were in it, and were read again because they had changed.
        unchanged: images that were in it and were left alone.
        removed: images that were in it, and were pruned because they are gone from disk.
        failed: pictures that were left out, and why; those that could not even be found come first.
            One that was in the index before stays there as it was.
        absent: how many of `failed` could not be found.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: list[Failure] = field(default_factory=list)
    absent: int = 0


@dataclass(frozen=True)
class RemoveReport:
    """What `ImageIndex.remove` did.

    Attributes:
        removed: images that were removed.
        failed: the paths under which there is no image in the index.
    """

    removed: int
    failed: list[Failure]


class Update:
    """A run of `ImageIndex.add`: picture files go through the processes into commits of `batch`
    images.
    """

    def __init__(
        self, writer: Writer, jobs: int, batch: int, check_content: bool, limits: Limits
    ) -> None:
        self.writer, self.jobs, self.batch, self.check_content, self.limits = (
            writer,
            jobs,
            batch,
            check_content,
            limits,
        )
        self.report = AddReport()

    def add(
        self,
        files: Sequence[str],
        problems: Sequence[Failure],
        progress: Progress | None,
        failure: OnFailure | None,
    ) -> None:
        """Add picture files; `problems` are those that could not be found."""
        if files and self.writer.picture_root is None:
            self.writer.picture_root = chosen_root(self.writer.directory.path, files)
        self.report.failed += problems
        self.report.absent = len(problems)
        todo = self.to_read(files)
        batch: dict[str, tuple[ImageRecord, EncodedImage]] = {}
        # starting a process takes longer than a few pictures
        jobs = min(self.jobs, 1 + len(todo) // CHUNK)
        vocabulary, spec = (
            str(self.writer.directory.path / "vocabulary"),
            self.writer.manifest.features,
        )
        with closing(
            encoded_files(self.tasks(todo), vocabulary, spec, jobs, self.limits)
        ) as results:
            for done, (path, result) in enumerate(zip(todo, results, strict=True), 1):
                if isinstance(result, Failure):
                    self.report.failed.append(Failure(path, result.reason))
                    if failure:
                        failure(self.report.failed[-1])
                elif result is None:
                    self.report.unchanged += 1
                else:
                    batch[result[0].path] = result
                if len(batch) == self.batch:
                    self.commit(batch)
                if progress:
                    progress("index", done, len(todo))
        self.commit(batch)

    def to_read(self, files: Sequence[str]) -> list[str]:
        """The files that are new or may have changed, each once; the others are counted."""
        todo = []
        root, snapshot = self.picture_root(), self.writer.snapshot
        for first in range(0, len(files), SLICE):
            for path, (_, record) in known_as(snapshot, root, files[first : first + SLICE]).items():
                if self.check_content or record is None or is_changed(path, record):
                    todo.append(path)
                else:
                    self.report.unchanged += 1
        return todo

    def tasks(self, files: Sequence[str]) -> Iterator[Task]:
        """What the processes have to do for some files."""
        root, snapshot = self.picture_root(), self.writer.snapshot
        for first in range(0, len(files), CHUNK):
            for path, (stored, record) in known_as(
                snapshot, root, files[first : first + CHUNK]
            ).items():
                yield Task(
                    os.path.join(os.getcwd(), path),
                    stored,
                    record.sha256 if record and self.check_content else "",
                )

    def commit(self, batch: dict[str, tuple[ImageRecord, EncodedImage]]) -> None:
        """Commit the images of a batch, count and forget them."""
        if batch:
            changed = self.writer.commit(list(batch.values()))
            self.report.changed += changed
            self.report.added += len(batch) - changed
            batch.clear()

    def prune(self, paths: Sequence[str]) -> None:
        """Remove the images below some folders, and those of some names, that are gone from disk:
        nothing else makes one go.

        A folder that is absent itself may be a disk that is not there now: nothing below it is
        removed.
        """
        root, snapshot = self.picture_root(), self.writer.snapshot
        named = [record for _, record in known_as(snapshot, root, paths).values() if record]
        below = [
            record
            for record, _ in images_below(
                snapshot, root, [path for path in paths if os.path.isdir(path)]
            )
        ]
        gone = sorted(
            {record.path for record in named + below if is_gone(root.absolute(record.path))}
        )
        self.writer.delete([image for image, _ in snapshot.find(gone).values()])
        self.report.removed = len(gone)
        names = set(gone)
        absent = [
            error
            for error in self.report.failed[: self.report.absent]
            if root.stored(error.name) not in names
        ]
        self.report.failed[: self.report.absent] = absent
        self.report.absent = len(absent)

    def picture_root(self) -> PictureRoot:
        """The root of this run."""
        return PictureRoot(self.writer.directory.path, self.writer.picture_root or ".")


def known_as(
    snapshot: Snapshot, root: PictureRoot, paths: Sequence[str]
) -> dict[str, tuple[str, ImageRecord | None]]:
    """How some pictures are stored and, if they are in the index, their records; of several paths
    of one, the first.

    A picture that was outside of an earlier root is found by its absolute path, and keeps it.
    """
    stored: dict[str, str] = {}
    for path in paths:
        stored.setdefault(root.stored(path), path)
    known = snapshot.find([*stored, *(root.absolute(name) for name in stored)])
    result: dict[str, tuple[str, ImageRecord | None]] = {}
    for name, path in stored.items():
        used = name if name in known else root.absolute(name)
        result[path] = (used, known[used][1]) if used in known else (name, None)
    return result


def is_changed(path: str, record: ImageRecord) -> bool:
    """Whether a file differs in size or modification time from what was indexed."""
    try:
        status = os.stat(path)
    except OSError:
        return True
    return (status.st_size, status.st_mtime_ns) != (record.size_bytes, record.mtime)


def is_gone(path: str) -> bool:
    """Whether there is certainly nothing at a path: what cannot be looked at may be there."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def remove(writer: Writer, paths: Sequence[str]) -> RemoveReport:
    """Remove the images of some names, and those below some folders; whether they are on disk does
    not matter.
    """
    root, snapshot = PictureRoot(writer.directory.path, writer.picture_root or "."), writer.snapshot
    gone = {record.path for _, record in known_as(snapshot, root, paths).values() if record}
    folders = [
        path for path in paths if not {root.stored(path), root.absolute(root.stored(path))} & gone
    ]
    hit = set()
    for record, folder in images_below(snapshot, root, folders):
        gone.add(record.path)
        hit.add(folder)
    writer.delete([image for image, _ in snapshot.find(sorted(gone)).values()])
    return RemoveReport(
        len(gone),
        [
            Failure(path, "is not in the index")
            for path in folders
            if os.path.realpath(path) not in hit
        ],
    )


def images_below(
    snapshot: Snapshot, root: PictureRoot, folders: Sequence[str]
) -> Iterator[tuple[ImageRecord, str]]:
    """The live images below some folders, with each of these, absolute and without links, that they
    are below.
    """
    wanted = {os.path.realpath(folder) for folder in folders}
    for _, record in snapshot.live_records() if wanted else ():
        above, before = os.path.dirname(root.absolute(record.path)), ""
        while above != before:
            if above in wanted:
                yield record, above
            above, before = os.path.dirname(above), above
