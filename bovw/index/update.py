"""One run of adding, changing and removing images: which ones, and what became of each."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import ImageError, IncompatibleError, ParameterError, absolute_path
from ..features.vocabulary import Vocabulary
from ..networks.embedder import Embedder
from ..pictures.files import content_hash
from ..pictures.folders import Found
from ..pictures.reading import Limits, Source, source_content
from ..reporting import Failure, OnFailure, Progress
from .columns import Embedding
from .extraction import CHUNK, Task, encode_pictures, stamp_of
from .paths import PictureRoot, chosen_root
from .record import FileStamp, ImageRecord, require_id, require_metadata
from .segment_writer import IndexedImage
from .snapshot import Snapshot
from .writer import Writer

__all__ = ["AddReport", "RemoveReport", "Stop", "Update", "remove", "remove_ids"]

# Asked after each picture whether to end the run.
Stop = Callable[[], bool]
# Ids that are looked up together.
SLICE = 10_000
# Images that may go from a folder at once, whatever their share.
MANY = 20
# Why an image is passed over that was removed from the index.
REMOVED = "removed from the index before"


@dataclass
class AddReport:
    """What `ImageIndex.add` or `ImageIndex.add_images` did.

    Attributes:
        added: images that are new in the index.
        changed: images that were in it, and were read again because they had changed.
        unchanged: images that were in it and were left alone.
        moved: images whose files have other paths now: they were known by their content, and not
            read again.
        removed: images that were in it, and were pruned because they are gone from disk.
        failed: pictures that were left out, and why; those that could not even be found come first.
            One that was in the index before stays there as it was.
        absent: how many of `failed` could not be found.
        stopped: whether the run ended early, as it was asked to.
        passed_over: how many files and folders below the named ones were not looked at, by ending
            or by reason.
        warnings: pictures that were read in part, and how much of each: they are cut off.

    Example:
        >>> from bovw import ImageIndex
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     report = index.add(["photos", "absent.jpg"])
        >>> report.added, report.unchanged, [failure.name for failure in report.failed]
        (0, 6, ['absent.jpg'])
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: list[Failure] = field(default_factory=list)
    absent: int = 0
    moved: int = 0
    stopped: bool = False
    passed_over: Counter[str] = field(default_factory=Counter)
    warnings: list[Failure] = field(default_factory=list)


@dataclass(frozen=True)
class RemoveReport:
    """What `ImageIndex.remove` or `ImageIndex.remove_images` did.

    Attributes:
        removed: images that were removed.
        failed: the paths or ids of which there is no image in the index.

    Example:
        >>> from bovw import ImageIndex
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     report = index.remove_images(["nobody"])
        >>> report.removed, str(report.failed[0])
        (0, 'nobody: is not in the index')
    """

    removed: int
    failed: list[Failure]


class Update:
    """A run of adding: pictures go through the processes into commits of `batch` images."""

    def __init__(
        self,
        writer: Writer,
        vocabulary: Vocabulary,
        *,
        jobs: int,
        batch: int,
        limits: Limits,
        embedders: Sequence[Embedder] = (),
        progress: Progress | None,
        failure: OnFailure | None,
        stop: Stop | None,
    ) -> None:
        self.writer, self.vocabulary = writer, vocabulary
        self.embedders = embedders
        writer.embeddings = with_embedders(writer.embeddings, embedders)
        self.jobs, self.batch, self.limits = jobs, batch, limits
        self.progress, self.failure, self.stop = progress, failure, stop
        self.report = AddReport()

    def add_files(self, found: Found, check_content: bool, metadata: Mapping[str, Any]) -> None:
        """Add picture files, known by their paths."""
        files = list(found.files)
        self.report.passed_over = found.passed_over
        if files and self.writer.picture_root is None:
            self.writer.picture_root = chosen_root(self.writer.storage.path, files)
        self.report.failed += found.problems
        self.report.absent = len(found.problems)
        known = require_metadata(metadata)
        todo: list[tuple[str, str, ImageRecord | None]] = []
        root, snapshot = self.picture_root(), self.writer.snapshot
        removed = {root.absolute(path) for path in self.writer.removed}
        for first in range(0, len(files), SLICE):
            for path, (name, record) in known_as(
                snapshot, root, files[first : first + SLICE]
            ).items():
                named = root.absolute(root.stored(found.files[path]))
                if record is None and was_removed(root.absolute(name), named, removed):
                    self.report.passed_over[REMOVED] += 1
                elif record is None or check_content or is_changed(path, record):
                    todo.append((path, name, record))
                else:
                    self.report.unchanged += 1
        todo = self.without_moved(todo, known)
        # starting a process takes longer than a few pictures
        self.jobs = min(self.jobs, 1 + len(todo) // CHUNK)
        self.writer.remember(forget={root.stored(path) for path in found.files.values()})
        tasks = (
            Task(
                id=name,
                source=absolute_path(path),
                path=name,
                metadata={**record.metadata, **known} if record else known,
                known=record.sha256 if record and check_content else "",
            )
            for path, name, record in todo
        )
        self.run(zip((path for path, _, _ in todo), tasks, strict=True), len(todo))

    def complete(self) -> None:
        """Read again the files of the images that lack an optional column.

        Raises:
            ParameterError: they would lose the vectors of an embedder that is not given.
        """
        ours = {embedder.name for embedder in self.embedders}
        left = [each.name for each in self.writer.embeddings if each.name not in ours]
        if left:
            raise ParameterError(f"the index has vectors of {', '.join(left)}: give its network")
        root = self.picture_root()
        todo = []
        for _, record in self.writer.snapshot.incomplete_records(self.writer.embeddings):
            if record.file:
                todo.append(record)
            else:
                reason = "came from memory: add it again to complete it"
                self.take(record.id, Failure(record.id, reason), {})
        tasks = (
            (path, Task(record.id, absolute_path(path), record.path, record.metadata))
            for record in todo
            for path in [root.full(record.path)]
        )
        self.run(tasks, len(todo))

    def without_moved(
        self, todo: list[tuple[str, str, ImageRecord | None]], metadata: Mapping[str, Any]
    ) -> list[tuple[str, str, ImageRecord | None]]:
        """Give images whose files have moved their new paths, and leave these out of what is to be
        done.

        A file that is new has moved here if an image has its content and has lost its own file. Of
        several such images the first by id is taken.
        """
        sizes = {path: size_of(path) for path, _, record in todo if record is None}
        lost: dict[str, list[tuple[int, ImageRecord]]] = {}
        lost_sizes = set()
        for image, record, size in self.lost_images(set(sizes.values())):
            lost.setdefault(record.sha256, []).append((image, record))
            lost_sizes.add(size)
        moved: dict[int, ImageRecord] = {}
        rest = []
        for path, name, known in todo:
            same: list[tuple[int, ImageRecord]] = []
            if sizes.get(path) in lost_sizes:
                with suppress(ImageError):
                    same = lost.get(content_hash(path, self.limits.file_bytes), [])
            if not same:
                rest.append((path, name, known))
                continue
            image, record = same.pop(0)
            moved[image] = replace(
                record,
                id=name if record.id == record.path else record.id,
                file=FileStamp(name, *stamp_of(os.stat(path))),
                metadata={**record.metadata, **metadata},
            )
        self.writer.describe(moved)
        self.report.moved = len(moved)
        return rest

    def lost_images(self, sizes: set[int]) -> list[tuple[int, ImageRecord, int]]:
        """The live images whose files had one of some lengths and are gone, with these, by id."""
        if not sizes:
            return []
        root = self.picture_root()
        found = [
            (image, record, record.file.size_bytes)
            for image, record in self.writer.snapshot.live_records()
            if record.file
            and record.file.size_bytes in sizes
            and is_gone(root.absolute(record.path))
        ]
        return sorted(found, key=lambda each: each[1].id)

    def add_items(self, items: Iterable[tuple[str, Source, Mapping[str, Any] | None]]) -> None:
        """Add pictures under ids of their own."""
        total = len(items) if isinstance(items, Sized) else None
        self.run(self.item_tasks(items), total)

    def item_tasks(
        self, items: Iterable[tuple[str, Source, Mapping[str, Any] | None]]
    ) -> Iterator[tuple[str, Task]]:
        """What is to be done for some items: the name of each, and its task."""
        for item in items:
            if not isinstance(item, tuple) or len(item) != 3:
                raise ParameterError(f"items: {item!r:.60} is not (id, picture, metadata or None)")
            name, source, metadata = require_id(item[0]), item[1], require_metadata(item[2])
            content = source_content(source, self.limits)
            path = ""
            if isinstance(content, str):
                if self.writer.picture_root is None:
                    self.writer.picture_root = chosen_root(self.writer.storage.path, [content])
                path, content = (
                    self.picture_root().stored(content),
                    absolute_path(content),
                )
            _, record = self.writer.snapshot.find([name]).get(name, (0, None))
            same = record is not None and (record.metadata, record.path) == (metadata, path)
            yield (
                name,
                Task(name, content, path, metadata, record.sha256 if record and same else ""),
            )

    def run(self, tasks: Iterable[tuple[str, Task]], total: int | None) -> None:
        """Encode pictures, each given with what to call it, and commit them."""
        names: deque[str] = deque()

        def handed_out() -> Iterator[Task]:
            for name, task in tasks:
                names.append(name)
                yield task

        batch: dict[str, IndexedImage] = {}
        spec = self.writer.manifest.features
        results = encode_pictures(
            handed_out(), self.vocabulary, spec, self.jobs, self.limits, self.embedders
        )
        with closing(results):
            for done, result in enumerate(results, 1):
                name = names.popleft()
                self.take(name, result, batch)
                if len(batch) == self.batch:
                    self.commit(batch)
                if self.progress:
                    self.progress("index", done, done if total is None else total)
                if self.stop and self.stop():
                    self.report.stopped = True
                    break
        self.commit(batch)

    def take(
        self, name: str, result: IndexedImage | Failure | None, batch: dict[str, IndexedImage]
    ) -> None:
        """Take note of what became of a picture."""
        if isinstance(result, Failure):
            self.report.failed.append(Failure(name, result.reason))
            if self.failure:
                self.failure(self.report.failed[-1])
        elif result is None:
            self.report.unchanged += 1
        else:
            batch[result.record.id] = result
            if result.note:
                self.report.warnings.append(Failure(name, result.note))

    def commit(self, batch: dict[str, IndexedImage]) -> None:
        """Commit the images of a batch, count and forget them."""
        if batch:
            changed = self.writer.commit(list(batch.values()))
            self.report.changed += changed
            self.report.added += len(batch) - changed
            batch.clear()

    def prune(self, paths: Sequence[str], force: bool) -> None:
        """Remove the images below some folders, and those of some names, that are gone from disk:
        nothing else makes one go.

        A folder that is absent itself may be a disk that is not there now: nothing below it is
        removed.

        Args:
            force: even if that looks like the loss of a disk (see `losses`).
        """
        root, snapshot = self.picture_root(), self.writer.snapshot
        named = known_as(snapshot, root, paths)
        groups = {"the named files": [record for _, record in named.values() if record]}
        folders = {os.path.realpath(path): path for path in paths if os.path.isdir(path)}
        for record, folder in images_below(snapshot, root, list(folders)):
            groups.setdefault(folders[folder], []).append(record)
        gone: dict[str, str] = {}
        held_back: dict[str, Failure] = {}
        for name, records in groups.items():
            lost, problems = losses(root, name, records, force)
            gone.update((record.id, record.path) for record in lost)
            held_back.update((problem.name, problem) for problem in problems)
        self.writer.delete([image for image, _ in snapshot.find(sorted(gone)).values()])
        self.report.removed = len(gone)
        stored = set(gone.values())
        absent = [
            failure
            for failure in self.report.failed[: self.report.absent]
            if root.stored(failure.name) not in stored
        ]
        self.report.failed[: self.report.absent] = absent
        self.report.absent = len(absent)
        for problem in held_back.values():
            self.report.failed.append(problem)
            if self.failure:
                self.failure(problem)

    def picture_root(self) -> PictureRoot:
        """The root of this run."""
        storage = self.writer.storage
        return PictureRoot(storage.path, self.writer.picture_root or ".", storage.relative)


def with_embedders(
    known: Sequence[Embedding], embedders: Sequence[Embedder]
) -> tuple[Embedding, ...]:
    """The embeddings of an index with those of some embedders.

    Raises:
        IncompatibleError: one of the name is known, and makes other vectors.
        NetworkError: one does not work.
        ParameterError: two have the same name.
    """
    names = [embedder.name for embedder in embedders]
    if len(set(names)) < len(names):
        raise ParameterError(f"embedders: two have the same name: {', '.join(names)}")
    by_name = {embedding.name: embedding for embedding in known}
    for embedder in embedders:
        ours = by_name.setdefault(
            embedder.name, Embedding(embedder.name, embedder.width, embedder.fingerprint)
        )
        if ours.fingerprint != embedder.fingerprint:
            raise IncompatibleError(
                f"{embedder.name}: the index has vectors of another version of it: take that one, "
                "or another name"
            )
    return tuple(by_name.values())


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
    return record.file is None or stamp_of(status) != (record.file.size_bytes, record.file.mtime)


def size_of(path: str) -> int:
    """The length of a file; -1 if it cannot be looked at."""
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def is_gone(path: str) -> bool:
    """Whether there is certainly nothing at a path: what cannot be looked at may be there."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def was_removed(name: str, named: str, removed: set[str]) -> bool:
    """Whether an image was removed from the index and is not asked for again: what was removed is
    it, or lies above it, but not above what is named.

    Args:
        name: of the image, an absolute path.
        named: the folder in which it was found, or its own name.
        removed: what was removed.
    """
    while removed and len(name) > len(named):
        if name in removed:
            return True
        name = os.path.dirname(name)
    return False


def losses(
    root: PictureRoot, name: str, records: Sequence[ImageRecord], force: bool
) -> tuple[list[ImageRecord], list[Failure]]:
    """Those of some images whose files are gone and that may go; and what must not go unasked.

    A folder in which nothing is left may be where a disk belongs that is not there now, and so may
    one that has lost most of its images: more than MANY, and more than half.

    Args:
        name: of what these images are below.
    """
    gone = [record for record in records if record.path and is_gone(root.absolute(record.path))]
    if force:
        return gone, []
    left = {record.id: folder_left(os.path.dirname(root.absolute(record.path))) for record in gone}
    empty = {folder: is_empty(folder) for folder in set(left.values())}
    held = Counter(folder for folder in left.values() if empty[folder])
    problems = [
        Failure(
            root.full(root.stored(folder)),
            f"is empty: it held {count:,} images; if no disk is missing, --force removes them",
        )
        for folder, count in sorted(held.items())
    ]
    gone = [record for record in gone if not empty[left[record.id]]]
    if len(gone) > MANY and 2 * len(gone) > len(records):
        text = f"{len(gone):,} of {len(records):,} images are gone from disk"
        problems.append(Failure(name, f"too many to remove unasked: {text}; --force removes them"))
        gone = []
    return gone, problems


def folder_left(path: str) -> str:
    """The folder itself or, if it is gone, the nearest above it that is there."""
    while is_gone(path):
        path = os.path.dirname(path)
    return path


def is_empty(folder: str) -> bool:
    """Whether there is no file below a folder but hidden ones, which systems leave everywhere."""
    return not any(not name.startswith(".") for _, _, names in os.walk(folder) for name in names)


def remove(writer: Writer, paths: Sequence[str]) -> RemoveReport:
    """Remove the images of some names, and those below some folders; whether they are on disk does
    not matter.
    """
    root, snapshot = PictureRoot(writer.storage.path, writer.picture_root or "."), writer.snapshot
    gone = {record.id for _, record in known_as(snapshot, root, paths).values() if record}
    others = [
        path for path in paths if not {root.stored(path), root.absolute(root.stored(path))} & gone
    ]
    hit = set()
    for record, folder in images_below(snapshot, root, others):
        gone.add(record.id)
        hit.add(folder)
    found = [path for path in paths if path not in others or os.path.realpath(path) in hit]
    writer.remember(removed=[root.stored(path) for path in found], commit=False)
    writer.delete([image for image, _ in snapshot.find(sorted(gone)).values()])
    missed = [path for path in others if os.path.realpath(path) not in hit]
    return RemoveReport(len(gone), [Failure(path, "is not in the index") for path in missed])


def remove_ids(writer: Writer, ids: Sequence[str]) -> RemoveReport:
    """Remove the images of some ids."""
    found = writer.snapshot.find(sorted(set(ids)))
    paths = [record.path for _, record in found.values() if record.path == record.id]
    writer.remember(removed=paths, commit=False)
    writer.delete([image for image, _ in found.values()])
    missed = [name for name in dict.fromkeys(ids) if name not in found]
    return RemoveReport(len(found), [Failure(name, "is not in the index") for name in missed])


def images_below(
    snapshot: Snapshot, root: PictureRoot, folders: Sequence[str]
) -> Iterator[tuple[ImageRecord, str]]:
    """The live images whose files are some paths or lie below them, with each of these, absolute
    and without links, that they are below.
    """
    wanted = {os.path.realpath(folder) for folder in folders}
    for _, record in snapshot.live_records() if wanted else ():
        above, before = record.path and root.absolute(record.path), ""
        while above != before:
            if above in wanted:
                yield record, above
            above, before = os.path.dirname(above), above
