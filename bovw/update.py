"""One run of adding, changing and removing pictures: which ones, and what became of each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from .encoding import EncodedImage
from .errors import ImageError
from .extraction import CHUNK, Task, encoded_files
from .root import Root, chosen_root
from .segment import ImageRecord
from .snapshot import Snapshot
from .writer import Writer

__all__ = ["AddReport", "Progress", "RemoveReport", "Update", "remove"]

# Paths that are looked up together.
SLICE = 10_000
Progress = Callable[[int, int, "str | ImageError"], None]


@dataclass
class AddReport:
    """What `ImageIndex.add` did.

    Attributes:
        added: images that are new in the index.
        changed: images that were in it, and were read again because they had changed.
        unchanged: images that were in it and were left alone.
        removed: images that were in it, and were pruned because they are gone from disk.
        failed: pictures that were left out, and why; those that could not even be found come first. One that was in the
            index before stays there as it was.
        absent: how many of `failed` could not be found.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: list[ImageError] = field(default_factory=list)
    absent: int = 0


@dataclass(frozen=True)
class RemoveReport:
    """What `ImageIndex.remove` did.

    Attributes:
        removed: images that were removed.
        failed: the paths under which there is no image in the index.
    """

    removed: int
    failed: list[ImageError]


class Update:
    """A run of `ImageIndex.add`: picture files go through the processes into commits of `batch` images."""

    def __init__(self, writer: Writer, jobs: int, batch: int, check_content: bool) -> None:
        self.writer, self.jobs, self.batch, self.check_content = writer, jobs, batch, check_content
        self.report = AddReport()

    def add(self, files: Sequence[str], problems: Sequence[ImageError], progress: Progress | None) -> None:
        """Add picture files; `problems` are those that could not be found."""
        if files and self.writer.root is None:
            self.writer.root = chosen_root(self.writer.directory.root, files)
        self.report.failed += problems
        self.report.absent = len(problems)
        todo = self.to_read(files)
        batch: dict[str, tuple[ImageRecord, EncodedImage]] = {}
        jobs = min(self.jobs, 1 + len(todo) // CHUNK)  # starting a process takes longer than a few pictures
        results = encoded_files(self.tasks(todo), str(self.writer.directory.root / "vocabulary"), self.writer.manifest.features, jobs)
        for done, (path, result) in enumerate(zip(todo, results, strict=True), 1):
            if result is None:
                self.report.unchanged += 1
            elif isinstance(result, ImageError):
                self.report.failed.append(result)
            else:
                batch[result[0].path] = result
            if len(batch) == self.batch:
                self.commit(batch)
            if progress:
                progress(done, len(todo), result if isinstance(result, ImageError) else path)
        self.commit(batch)

    def to_read(self, files: Sequence[str]) -> list[str]:
        """The files that are new or may have changed; the others are counted."""
        if self.check_content:
            return list(files)
        todo = []
        root, snapshot = self.root(), self.writer.snapshot
        for first in range(0, len(files), SLICE):
            stored = {root.stored(path): path for path in files[first : first + SLICE]}
            known = snapshot.find(list(stored))
            todo += [path for name, path in stored.items() if name not in known or is_changed(path, known[name][1])]
        self.report.unchanged = len(files) - len(todo)
        return todo

    def tasks(self, files: Iterable[str]) -> Iterator[Task]:
        """What the processes have to do for some files."""
        root, snapshot = self.root(), self.writer.snapshot
        for path in files:
            stored = root.stored(path)
            known = snapshot.find([stored]) if self.check_content else {}
            yield Task(path, stored, known[stored][1].sha256 if known else "")

    def commit(self, batch: dict[str, tuple[ImageRecord, EncodedImage]]) -> None:
        """Commit the images of a batch, count and forget them."""
        if batch:
            changed = self.writer.commit(list(batch.values()))
            self.report.changed += changed
            self.report.added += len(batch) - changed
            batch.clear()

    def prune(self, paths: Sequence[str]) -> None:
        """Remove the images below some folders, and those of some names, that are gone from disk: nothing else makes one go.

        A folder that is absent itself may be a disk that is not there now: nothing below it is removed.
        """
        root, snapshot = self.root(), self.writer.snapshot
        named = snapshot.find([root.stored(path) for path in paths if is_gone(path)])
        gone = {image for image, _ in named.values()}
        folders = [path for path in paths if os.path.isdir(path)]
        gone |= {image for image, record, _ in images_below(snapshot, root, folders) if is_gone(root.full(record.path))}
        self.writer.delete(sorted(gone))
        self.report.removed = len(gone)
        absent = [error for error in self.report.failed[: self.report.absent] if root.stored(error.path) not in named]
        self.report.failed[: self.report.absent] = absent
        self.report.absent = len(absent)

    def root(self) -> Root:
        """The root of this run."""
        return Root(self.writer.directory.root, self.writer.root or ".")


def is_changed(path: str, record: ImageRecord) -> bool:
    """Whether a file differs in size or modification time from what was indexed."""
    try:
        status = os.stat(path)
    except OSError:
        return True
    return (status.st_size, status.st_mtime_ns) != (record.bytes, record.mtime)


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
    """Remove the images of some names, and those below some folders; whether they are on disk does not matter."""
    root, snapshot = Root(writer.directory.root, writer.root or "."), writer.snapshot
    stored = {path: root.stored(path) for path in paths}
    named = snapshot.find(list(stored.values()))
    gone = {image for image, _ in named.values()}
    folders = [path for path, name in stored.items() if name not in named]
    hit = set()
    for image, _, folder in images_below(snapshot, root, folders) if folders else ():
        gone.add(image)
        hit.add(folder)
    writer.delete(sorted(gone))
    return RemoveReport(len(gone), [ImageError(path, "is not in the index") for path in folders if path not in hit])


def images_below(snapshot: Snapshot, root: Root, folders: Sequence[str]) -> Iterator[tuple[int, ImageRecord, str]]:
    """The live images below some folders: number, record, and which folder."""
    wanted = {root.absolute(root.stored(folder)): folder for folder in folders}
    for image, record in snapshot.live_records():
        above = os.path.dirname(root.absolute(record.path))
        while above not in wanted and above not in ("", os.sep):
            above = os.path.dirname(above)
        if above in wanted:
            yield image, record, wanted[above]
