"""One run of adding, changing and removing images: which ones, and what became of each."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import ImageError, IncompatibleError, ParameterError, absolute_path
from ..features.vocabulary import Vocabulary
from ..networks.embedder import Embedder
from ..pictures.folders import FAILED, PAGES, Found, has_fragments
from ..pictures.fragments import seconds_of, split_fragment
from ..pictures.reading import LIMITS, Limits, Source, source_content
from ..reporting import Failure, OnFailure, Progress
from .columns import Embedding
from .extraction import CHUNK, LastHash, Task, encode_pictures, stamp_of
from .listing import (
    Listing,
    holder_of,
    is_changed,
    is_gone,
    known_as,
    list_pictures,
    size_of,
    was_removed,
)
from .paths import PictureRoot, chosen_root, stored_root
from .record import FailedFile, FileStamp, ImageRecord, require_id, require_metadata
from .segment_writer import IndexedImage
from .snapshot import Snapshot
from .writer import Writer

__all__ = ["AddReport", "RemoveReport", "Stop", "Update", "relocate", "remove", "remove_ids"]

# Asked after each picture whether to end the run.
Stop = Callable[[], bool]
# Ids that are looked up together.
SLICE = 10_000
# Images that may go from a folder at once, whatever their share.
MANY = 20
# How reasons begin that say nothing of what is in a file: it is read again by the next run.
PASSING = (
    *("there is no such", "cannot be read", "is not a regular file", "changed while"),
    *("is too large: the memory", "has no vector"),
)
# Why an image is passed over that was removed from the index.
REMOVED = "removed from the index before"
# Frames that are left out without a word: a film has many.
BLANK_FRAMES = "blank frames of videos"


@dataclass
class AddReport:
    """What `ImageIndex.add` or `ImageIndex.add_images` did.

    Attributes:
        added: images that are new in the index.
        changed: images that were in it, and were read again because they had changed.
        unchanged: images that were in it and were left alone; the frames of a video count as one.
        moved: images whose files have other paths now: they were known by their content, and not
            read again.
        removed: images that were in it, and were pruned because they are gone from disk.
        failed: pictures that were left out, and why; those that could not even be found come first.
            One that was in the index before stays there as it was.
        absent: how many of `failed` could not be found.
        stopped: whether the run ended early, as it was asked to.
        passed_over: how many files and folders below the named ones, further pages of files, and
            blank frames of videos were not looked at, by ending or by reason.
        warnings: pictures that were read in part, and how much of each: they are cut off.
        gone: the paths of the images that were removed.

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
    gone: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RemoveReport:
    """What `ImageIndex.remove` or `ImageIndex.remove_images` did.

    Attributes:
        removed: images that were removed.
        failed: the paths or ids of which there is no image in the index.
        gone: the ids of the images that were removed.

    Example:
        >>> from bovw import ImageIndex
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     report = index.remove_images(["nobody"])
        >>> report.removed, str(report.failed[0])
        (0, 'nobody: is not in the index')
    """

    removed: int
    failed: list[Failure]
    gone: list[str] = field(default_factory=list)


class Update:
    """A run of adding: pictures go through the processes into commits of `batch` images.

    Attributes:
        report: what it has done so far.
        moved: the ids that images had whose files have moved.
    """

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
        self.moved: set[str] = set()
        self.listing = Listing()

    def add_files(
        self,
        found: Found,
        metadata: Mapping[str, Any],
        *,
        check_content: bool,
        retry: bool,
        dry_run: bool,
        pages: bool,
    ) -> None:
        """Add picture files, known by their paths.

        Args:
            retry: those that failed before and have not changed, too.
            dry_run: count what would be done, and do nothing.
            pages: whether all pages of a file are wanted, or the first only.
        """
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
        failed = {} if retry or check_content else dict(self.writer.failed)
        for path in [each for each in self.writer.failed if is_gone(root.absolute(each))]:
            del self.writer.failed[path]
        self.listing = list_pictures(
            found.files,
            snapshot,
            root,
            removed,
            pages=pages,
            check_content=check_content,
            jobs=self.jobs,
            limits=self.limits,
            progress=self.progress,
            stop=self.stop,
        )
        self.take_listing()
        if self.listing.stopped:
            self.report.stopped = True
            return
        pictures = list(self.listing.pictures)
        for first in range(0, len(pictures), SLICE):
            for path, (name, record) in known_as(
                snapshot, root, pictures[first : first + SLICE]
            ).items():
                named = root.absolute(root.stored(self.listing.pictures[path]))
                if record is None and was_removed(root.absolute(name), named, removed):
                    self.report.passed_over[REMOVED] += 1
                elif named != root.absolute(name) and self.has_failed(path, failed.get(name)):
                    self.report.passed_over[FAILED] += 1
                elif record is None or check_content or is_changed(path, record):
                    todo.append((path, name, record))
                else:
                    self.report.unchanged += 1
        todo = self.without_moved(todo, known, dry_run)
        if dry_run:
            self.report.added = sum(record is None for _, _, record in todo)
            self.report.changed = len(todo) - self.report.added
            return
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

    def has_failed(self, path: str, failed: FailedFile | None) -> bool:
        """Whether a file could not be used as it is, by a run of the same limits."""
        if failed is None or failed.limits != self.unusual_limits():
            return False
        with suppress(OSError):
            return stamp_of(path) == (failed.file.size_bytes, failed.file.mtime)
        return False

    def unusual_limits(self) -> dict[str, float]:
        """The limits of this run that are not the usual ones."""
        usual = vars(LIMITS)
        return {name: value for name, value in vars(self.limits).items() if value != usual[name]}

    def take_listing(self) -> None:
        """Take note of the files that are left out, or left alone, as a whole."""
        self.report.unchanged += self.listing.unchanged
        if self.listing.removed:
            self.report.passed_over[REMOVED] += self.listing.removed
        for problem in self.listing.failed:
            self.leave_out(problem)

    def leave_out(self, problem: Failure) -> None:
        """Take note of what is left out, and tell it at once."""
        self.report.failed.append(problem)
        if self.failure:
            self.failure(problem)

    def without_moved(
        self,
        todo: list[tuple[str, str, ImageRecord | None]],
        metadata: Mapping[str, Any],
        dry_run: bool,
    ) -> list[tuple[str, str, ImageRecord | None]]:
        """Give images whose files have moved their new paths, and leave these out of what is to be
        done.

        A file that is new has moved here if an image has its content and has lost its own file. Of
        several such images the first by id is taken.
        """
        sizes = {path: size_of(path) for path, _, record in todo if record is None}
        hashes = LastHash(self.limits)
        lost: dict[tuple[str, str], list[tuple[int, ImageRecord]]] = {}
        lost_sizes = set()
        for image, record, size in self.lost_images(set(sizes.values())):
            key = record.sha256, split_fragment(record.path)[1]
            lost.setdefault(key, []).append((image, record))
            lost_sizes.add(size)
        moved: dict[int, ImageRecord] = {}
        rest = []
        for path, name, known in todo:
            same: list[tuple[int, ImageRecord]] = []
            if sizes.get(path) in lost_sizes:
                with suppress(ImageError, OSError):
                    same = lost.get((hashes.of(path), split_fragment(path)[1]), [])
            if not same:
                rest.append((path, name, known))
                continue
            image, record = same.pop(0)
            self.moved.add(record.id)
            moved[image] = replace(
                record,
                id=name if record.id == record.path else record.id,
                file=FileStamp(name, *stamp_of(path)),
                metadata={**record.metadata, **metadata},
            )
        if not dry_run:
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
        handed: deque[tuple[str, Task, FileStamp | None]] = deque()

        def handed_out() -> Iterator[Task]:
            for name, task in tasks:
                handed.append((name, task, file_of(task)))
                yield task

        batch: dict[str, IndexedImage] = {}
        spec = self.writer.manifest.features
        results = encode_pictures(
            handed_out(), self.vocabulary, spec, self.jobs, self.limits, self.embedders
        )
        with closing(results):
            for done, result in enumerate(results, 1):
                name, task, file = handed.popleft()
                self.take(name, result, batch)
                self.writer.failed.pop(task.path, None)
                if isinstance(result, Failure) and file and not result.reason.startswith(PASSING):
                    self.writer.failed[task.path] = FailedFile(file, self.unusual_limits())
                if len(batch) == self.batch:
                    self.commit(batch)
                if self.progress:
                    self.progress("index", done, done if total is None else total)
                if self.stop and self.stop():
                    self.report.stopped = True
                    break
        self.commit(batch)
        self.writer.remember()

    def take(
        self, name: str, result: IndexedImage | Failure | None, batch: dict[str, IndexedImage]
    ) -> None:
        """Take note of what became of a picture."""
        if isinstance(result, Failure):
            self.leave_out(Failure(name, result.reason))
        elif result is None:
            self.report.unchanged += 1
        elif not len(result.encoded) and seconds_of(split_fragment(name)[1]) is not None:
            self.report.passed_over[BLANK_FRAMES] += 1
        else:
            batch[result.record.id] = result
            if result.unseen and name not in self.listing.complete:
                self.report.passed_over[PAGES] += result.unseen
            if result.note:
                self.report.warnings.append(Failure(name, result.note))

    def commit(self, batch: dict[str, IndexedImage]) -> None:
        """Commit the images of a batch, count and forget them."""
        if batch:
            changed = self.writer.commit(list(batch.values()))
            self.report.changed += changed
            self.report.added += len(batch) - changed
            batch.clear()

    def prune(self, paths: Sequence[str], found: Found, *, force: bool, dry_run: bool) -> None:
        """Remove the images below some folders, and those of some names, that are gone from disk or
        excluded now.

        A folder that is absent itself may be a disk that is not there now: nothing below it is
        removed.

        Args:
            found: what there is at these paths.
            force: even if that looks like the loss of a disk (see `losses`).
            dry_run: say which these are, and leave them.
        """
        root, snapshot = self.picture_root(), self.writer.snapshot
        excluded = {root.absolute(root.stored(path)) for path in found.excluded}
        kept = {root.stored(path) for path in found.files} if excluded else set()
        complete = {root.absolute(root.stored(path)) for path in self.listing.complete}
        there = {root.absolute(root.stored(path)) for path in self.listing.pictures if complete}

        def is_unwanted(record: ImageRecord) -> bool:
            path = root.absolute(record.path)
            if record.id in self.moved:  # a dry run has only found that out
                return False
            if is_gone(path) or (holder_of(path) in complete and path not in there):
                return True
            file = root.below(split_fragment(path)[0])
            return not {record.path, file} & kept and lies_in(path, excluded)

        named = known_as(snapshot, root, paths)
        groups = {"the named files": [record for _, record in named.values() if record]}
        folders = {
            real_name(root, path): path
            for path in paths
            if os.path.isdir(path) or has_fragments(path, True)
        }
        for record, folder in images_below(snapshot, root, list(folders)):
            groups.setdefault(folders[folder], []).append(record)
        gone: dict[str, str] = {}
        held_back: dict[str, Failure] = {}
        for name, records in groups.items():
            lost, problems = losses(root, name, filter(is_unwanted, records), len(records), force)
            gone.update((record.id, record.path) for record in lost)
            held_back.update((problem.name, problem) for problem in problems)
        if not dry_run:
            self.writer.delete([image for image, _ in snapshot.find(sorted(gone)).values()])
        self.report.removed, self.report.gone = len(gone), [*map(root.full, sorted(gone.values()))]
        stored = set(gone.values())
        absent = [
            failure
            for failure in self.report.failed[: self.report.absent]
            if root.stored(failure.name) not in stored
        ]
        self.report.failed[: self.report.absent] = absent
        self.report.absent = len(absent)
        for problem in held_back.values():
            self.leave_out(problem)

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


def lies_in(path: str, places: Collection[str]) -> bool:
    """Whether a path, absolute, is one of some places or lies below one."""
    above = ""
    while places and path != above:
        if path in places:
            return True
        path, above = holder_of(path), path
    return False


def file_of(task: Task) -> FileStamp | None:
    """The file of a picture before it is read; None if it has none, or cannot be looked at."""
    if not task.path or not isinstance(task.source, str):
        return None
    try:
        return FileStamp(task.path, *stamp_of(task.source))
    except (OSError, ValueError):
        return None


def losses(
    root: PictureRoot, name: str, unwanted: Iterable[ImageRecord], count: int, force: bool
) -> tuple[list[ImageRecord], list[Failure]]:
    """Those of some images without files, or that are excluded, that may go; and what must not go
    unasked.

    A folder in which nothing is left may be where a disk belongs that is not there now, and so may
    one that has lost most of its images: more than MANY, and more than half.

    Args:
        name: of what these images are below.
        unwanted: images without files, or that are excluded.
        count: how many images there are.
    """
    gone = [record for record in unwanted if record.path]
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
    if len(gone) > MANY and 2 * len(gone) > count:
        text = f"{len(gone):,} of {count:,} images are gone from disk or excluded"
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


def remove(writer: Writer, paths: Sequence[str], dry_run: bool = False) -> RemoveReport:
    """Remove the images of some names, and those below some folders; whether they are on disk does
    not matter.

    Args:
        dry_run: say which these are, and leave them.
    """
    root, snapshot = PictureRoot(writer.storage.path, writer.picture_root or "."), writer.snapshot
    gone = {record.id for _, record in known_as(snapshot, root, paths).values() if record}
    hit = {path for path in paths if {root.stored(path), root.absolute(root.stored(path))} & gone}
    # what is no image may hold some, and so may a file with several pages
    holders = {
        path: real_name(root, path)
        for path in paths
        if path not in hit or has_fragments(path, True)
    }
    below = set()
    for record, holder in images_below(snapshot, root, list(holders)):
        gone.add(record.id)
        below.add(holder)
    hit.update(path for path, holder in holders.items() if holder in below)
    if not dry_run:
        found = [path for path in paths if path in hit]
        writer.remember(removed=[root.stored(path) for path in found], commit=False)
        writer.delete([image for image, _ in snapshot.find(sorted(gone)).values()])
    failed = [Failure(path, "is not in the index") for path in paths if path not in hit]
    return RemoveReport(len(gone), failed, sorted(gone))


def remove_ids(writer: Writer, ids: Sequence[str], dry_run: bool = False) -> RemoveReport:
    """Remove the images of some ids."""
    found = writer.snapshot.find(sorted(set(ids)))
    paths = [record.path for _, record in found.values() if record.path == record.id]
    if not dry_run:
        writer.remember(removed=paths, commit=False)
        writer.delete([image for image, _ in found.values()])
    missed = [name for name in dict.fromkeys(ids) if name not in found]
    failed = [Failure(name, "is not in the index") for name in missed]
    return RemoveReport(len(found), failed, sorted(found))


def relocate(writer: Writer, old: str, new: str) -> int:
    """Give the images of a path, and those below it, another one; returns how many. No picture is
    read. The root of the pictures goes along if it lies there.

    Raises:
        ParameterError: images have these paths already.
    """
    storage, snapshot = writer.storage, writer.snapshot
    root = PictureRoot(storage.path, writer.picture_root or ".")
    before, after = (root.absolute(root.stored(path)) for path in (old, new))

    def moved(path: str) -> str:
        return after + path[len(before) :] if lies_in(path, {before}) else path

    here = PictureRoot(storage.path, stored_root(storage.path, moved(root.real)))
    if here.real != root.real:
        writer.picture_root = stored_root(storage.path, here.real)

    def stored(path: str) -> str:
        absolute = root.absolute(path)
        return here.below(moved(absolute)) if lies_in(absolute, {before}) else path

    renamed, count = {}, 0
    for image, record in snapshot.live_records():
        if record.file and lies_in(root.absolute(record.path), {before}):
            count += 1
            path = stored(record.path)
            if path != record.path:
                name = path if record.id == record.path else record.id
                renamed[image] = replace(record, id=name, file=replace(record.file, path=path))
    known = snapshot.find([record.id for record in renamed.values()])
    taken = sorted(name for name, (image, _) in known.items() if image not in renamed)
    if taken:
        raise ParameterError(
            f"{new}: {len(taken):,} images are in the index under their new paths already, such as "
            f"{taken[0]}: remove these or those of {old} first"
        )
    if count:
        writer.removed = tuple(sorted(map(stored, writer.removed)))
        files = [replace(each.file, path=stored(path)) for path, each in writer.failed.items()]
        known_failed = zip(files, writer.failed.values(), strict=True)
        writer.failed = {file.path: replace(each, file=file) for file, each in known_failed}
        writer.rename(renamed)
    return count


def real_name(root: PictureRoot, path: str) -> str:
    """A folder without links; a file in one, as a picture is known."""
    return os.path.realpath(path) if os.path.isdir(path) else root.absolute(root.stored(path))


def images_below(
    snapshot: Snapshot, root: PictureRoot, holders: Sequence[str]
) -> Iterator[tuple[ImageRecord, str]]:
    """The live images whose files are some paths or lie below them, and those that are pages and
    frames of these, with the `real_name` of each that they are below.
    """
    wanted = {real_name(root, holder) for holder in holders}
    for _, record in snapshot.live_records() if wanted else ():
        above, before = record.path and root.absolute(record.path), ""
        while above != before:
            if above in wanted:
                yield record, above
            above, before = holder_of(above), above
