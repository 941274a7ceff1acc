"""The index: create, open, search, add, remove, merge. The front door."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from .errors import (
    ImageError,
    ImageIndexError,
    IncompatibleError,
    IndexMissingError,
    path_text,
    require_types,
)
from .features.vocabulary import Vocabulary
from .index.manifest import Manifest, read_latest
from .index.paths import stored_root
from .index.record import require_id, require_metadata
from .index.removal import RemoveReport, relocate, remove, remove_ids
from .index.update import AddReport, Stop, Update
from .index.upgrade import UpgradeReport, upgrade
from .index.writer import Writer, create_index, remove_garbage
from .index_reader import MOST_JOBS, IndexReader, Path, require_least, require_most
from .networks.embedder import Embedder
from .pictures.files import path_list
from .pictures.folders import Selection, find_images, require_patterns
from .pictures.reading import LIMITS, Limits, Source
from .reporting import Failure, OnFailure, Progress
from .storage.base import Storage
from .storage.directory import Directory
from .storage.memory import MemoryStorage

__all__ = ["ImageIndex"]

# Images of a commit: an interrupted run loses at most so many, and each takes some 0.2 s.
BATCH = 256
# They are in memory until then.
MOST_BATCH = 100_000


class ImageIndex(IndexReader):
    """An index of pictures in a folder on disk, or in memory.

    A reader sees one generation, the newest when it was opened, whatever writers do; `refresh`
    moves it on, and so does writing through it. Any number of readers and one writer may use an
    index at a time, in threads and processes. Use it as a context manager, or call `close`; a
    closed index raises IndexClosedError.

    Attributes:
        vocabulary: the visual words of its images.

    Example:
        >>> from bovw import ImageIndex
        >>> with ImageIndex.open_or_create("photos.bovw") as index:
        ...     report = index.add("photos")
        ...     match = index.search("query.jpg", crop=True).matches[0]
        >>> match.path, match.verified
        ('photos/carcassonne-walls.jpg', True)
    """

    @classmethod
    def create(
        cls,
        path: Path,
        vocabulary: Vocabulary | None = None,
        *,
        picture_root: Path | None = None,
        max_features: int | None = None,
        max_side: int | None = None,
    ) -> ImageIndex:
        """Make an empty index at `path`, which must not hold one.

        Args:
            path: the folder; it is created.
            vocabulary: copied into the index; the shipped RootSIFT one by default.
            picture_root: pictures below this folder are stored relative to it, so that they can
                move together with the index. By default the folder above the index and the first
                pictures that are added.
            max_features, max_side: limits of the extraction (see FeatureSpec); those of the
                vocabulary by default.

        Raises:
            IndexExistsError: there is an index, or the folder holds other things.
        """
        return cls._made(Directory(path), vocabulary, picture_root, max_features, max_side)

    @classmethod
    def in_memory(
        cls,
        vocabulary: Vocabulary | None = None,
        *,
        max_features: int | None = None,
        max_side: int | None = None,
    ) -> ImageIndex:
        """Make an empty index in memory: it is gone when it is closed, and leaves nothing behind.

        Args: as for `create`. Paths are stored relative to the current folder.
        """
        return cls._made(MemoryStorage(), vocabulary, None, max_features, max_side)

    @classmethod
    def _made(
        cls,
        storage: Storage,
        vocabulary: Vocabulary | None,
        picture_root: Path | None,
        max_features: int | None,
        max_side: int | None,
    ) -> ImageIndex:
        """Make an empty index in a storage."""
        require_types(Vocabulary | None, vocabulary=vocabulary)
        vocabulary = vocabulary or Vocabulary.shipped()
        spec = vocabulary.spec.limited(max_features, max_side)
        root = None
        if picture_root is not None:
            root = stored_root(storage.path, path_text("picture_root", picture_root))
        manifest = Manifest(1, spec, vocabulary.fingerprint, picture_root=root)
        create_index(storage, vocabulary, manifest)
        return cls(storage, vocabulary)

    @classmethod
    def open_or_create(
        cls,
        path: Path,
        vocabulary: Vocabulary | None = None,
        *,
        picture_root: Path | None = None,
        max_features: int | None = None,
        max_side: int | None = None,
    ) -> ImageIndex:
        """Open the index at `path`, or make one if there is none.

        Args: as for `create`; what is given must fit an index that is there.

        Raises:
            IncompatibleError: the index that is there was made with another vocabulary or other
                limits.
            IndexExistsError, IndexVersionError, IndexCorruptError, VocabularyError: as `create` and
                `open`.
        """
        try:
            index = cls.open(path, picture_root=picture_root)
        except IndexMissingError:
            return cls.create(
                path,
                vocabulary,
                picture_root=picture_root,
                max_features=max_features,
                max_side=max_side,
            )
        try:
            index.require(vocabulary, max_features=max_features, max_side=max_side)
        except IncompatibleError:
            index.close()
            raise
        return index

    @contextmanager
    def _writer(self, wait: bool, dry_run: bool = False) -> Iterator[Writer]:
        """Hold the lock, move on to the newest generation, and change it. What a failure leaves
        behind is removed. Nobody is locked out for what changes nothing.
        """
        self._open_collection  # noqa: B018 - raises if the index is closed
        require_types(bool, wait=wait, dry_run=dry_run)
        if dry_run:
            writer = Writer(self._storage, self._snapshot, self._adopt)
            writer.picture_root = self._new_root or writer.picture_root
            yield writer
            return
        with self._storage.lock(wait):
            self.refresh()
            remove_garbage(self._storage, self._snapshot.manifest)
            writer = Writer(self._storage, self._snapshot, self._adopt)
            try:
                if self._new_root not in (None, writer.picture_root):
                    writer.set_root(self._new_root)
                yield writer
            except BaseException:
                with suppress(ImageIndexError):  # what failed may have come after the commit
                    remove_garbage(self._storage, read_latest(self._storage))
                raise

    def add(
        self,
        paths: Path | Iterable[Path],
        *,
        metadata: Mapping[str, Any] | None = None,
        jobs: int = 0,
        batch: int = BATCH,
        check_content: bool = False,
        retry: bool = False,
        prune: bool = False,
        force: bool = False,
        hidden: bool = False,
        follow_links: bool = False,
        exclude: Sequence[str] = (),
        complete: bool = False,
        dry_run: bool = False,
        pages: bool = False,
        wait: bool = False,
        limits: Limits = LIMITS,
        embedders: Sequence[Embedder] = (),
        progress: Progress | None = None,
        failure: OnFailure | None = None,
        stop: Stop | None = None,
    ) -> AddReport:
        """Add pictures: files, and all image files below folders. What is in the index unchanged is
        left alone. The id of an image is its path as it is stored.
        Of a video, key frames are added, at least 2 seconds apart: `clip.mp4#t=12.4`.

        One unreadable picture never ends a run. An interrupted run keeps what was committed, and
        the next goes on from there.

        Args:
            paths: files and folders.
            metadata: a JSON object of at most 4 KB, for all images that this run adds or reads
                again; what these had before stays beside it.
            jobs: processes for the extraction. 0 works in this one, where nothing can end a decoder
                that hangs, and one that crashes takes the program with it.
            batch: commit after so many images.
            check_content: a picture counts as changed if its content has another hash, instead of
                if its size or modification time is another. Reads every file.
            retry: read files again that failed before and have not changed; those that are named
                themselves are, anyway.
            prune: remove images at and below `paths` whose files are gone, or that are excluded now
                and not named themselves. A folder that is absent
                or empty loses nothing, as its disk may be missing, and neither does one that would
                lose more than 20 and more than half of its images: `failed` says so.
            force: prune these, too.
            hidden: look at hidden files and folders and those of systems below folders, too.
            follow_links: look into folders that links lead to, too.
            exclude: patterns as in .gitignore of what to pass over below folders, beside those of
                .bovwignore files. The index remembers them for later runs; `!PATTERN` takes one
                back. It remembers what was removed from it as well, which comes back only if it is
                named itself.
            complete: read all images again that lack what searches of whole pictures need, wherever
                they are: they were added by an older version.
            dry_run: do nothing; the report says what would be done, as far as that can be said
                without reading pictures.
            pages: add all pages of TIFF files instead of the first: `scan.tif#page=2` is the id of
                the second.
            wait: wait while another process is writing.
            limits: what a picture may cost before it is left out.
            embedders: make vectors of the pictures that are read, for `similar`.
            progress: called with ("index", done, total) after each picture that was read.
            failure: called with each picture that is left out, at once.
            stop: asked after each picture that was read whether to commit what there is, and end.

        Raises:
            IndexLockedError: another process is writing to this index, and `wait` is off.
            IncompatibleError: the index has vectors of another version of an embedder.
            NetworkError: an embedder does not work.
            ImageIndexError: the disk is full or cannot be written to; what was committed is kept.
            ParameterError: an argument outside its range.
        """
        require_least(jobs=(jobs, 0), batch=(batch, 1))
        require_most(jobs=(jobs, MOST_JOBS), batch=(batch, MOST_BATCH))
        require_types(bool, check_content=check_content, retry=retry, prune=prune, force=force)
        require_types(bool, hidden=hidden, follow_links=follow_links, complete=complete)
        require_run(limits, progress, failure, stop)
        require_types(Sequence, embedders=embedders)
        require_types(Embedder, **{f"embedders[{at}]": each for at, each in enumerate(embedders)})
        require_types(Mapping | None, metadata=metadata)
        named = path_list(paths)
        more = require_patterns(exclude)
        with self._writer(wait, dry_run) as writer:
            writer.remember(exclude=more, commit=not dry_run)
            found = find_images(named, Selection(hidden, follow_links, writer.exclude))
            update = Update(
                writer,
                self.vocabulary,
                jobs=jobs,
                batch=batch,
                limits=limits,
                embedders=embedders,
                progress=progress,
                failure=failure,
                stop=stop,
            )
            update.add_files(
                found,
                metadata or {},
                check_content=check_content,
                retry=retry,
                dry_run=dry_run,
                pages=pages,
            )
            if complete and not dry_run and not update.report.stopped:
                update.complete()
            if prune and not update.report.stopped:
                update.prune(named, found, force=force, dry_run=dry_run)
            return update.report

    def add_images(
        self,
        items: Iterable[tuple[str, Source, Mapping[str, Any] | None]],
        *,
        jobs: int = 0,
        batch: int = BATCH,
        wait: bool = False,
        limits: Limits = LIMITS,
        embedders: Sequence[Embedder] = (),
        progress: Progress | None = None,
        failure: OnFailure | None = None,
        stop: Stop | None = None,
    ) -> AddReport:
        """Add pictures from anywhere, each under an id of your own. An image that is there under
        the id is replaced, unless content, file and metadata are the same.

        Args:
            items: (id, picture, metadata). The id is a text that names the image in this index. The
                picture is a path, the bytes of a file, a file object, or pixels as OpenCV gives
                them. Metadata are a JSON object of at most 4 KB, or None. They are taken one by
                one, so a generator may be longer than memory.
            jobs, batch, wait, limits, embedders, progress, failure, stop: as for `add`; failures
                are named by id.

        Raises:
            IndexLockedError, ImageIndexError, ParameterError: as `add`. What came before an item
                that is no such triple is not committed.
        """
        require_least(jobs=(jobs, 0), batch=(batch, 1))
        require_most(jobs=(jobs, MOST_JOBS), batch=(batch, MOST_BATCH))
        require_types(Iterable, items=items)
        require_run(limits, progress, failure, stop)
        with self._writer(wait) as writer:
            update = Update(
                writer,
                self.vocabulary,
                jobs=jobs,
                batch=batch,
                limits=limits,
                embedders=embedders,
                progress=progress,
                failure=failure,
                stop=stop,
            )
            update.add_items(items)
            return update.report

    def describe(
        self, metadata: Mapping[str, Mapping[str, Any]], *, wait: bool = False
    ) -> list[Failure]:
        """Change the metadata of images, in one commit. No picture is read.

        Args:
            metadata: for each id, what is to be known of its image beside what is known already; a
                key whose value is None is taken away.
            wait: wait while another process is writing.

        Returns:
            the ids of which there is no image in the index.

        Raises:
            IndexLockedError, ImageIndexError, ParameterError: as `add`.
        """
        require_types(Mapping, metadata=metadata)
        require_types(bool, wait=wait)
        changes = {require_id(name): require_metadata(change) for name, change in metadata.items()}
        with self._writer(wait) as writer:
            found = writer.snapshot.find(sorted(changes))
            records = {}
            for name, (image, record) in found.items():
                known = {**record.metadata, **changes[name]}
                known = {key: value for key, value in known.items() if value is not None}
                if known != record.metadata:
                    records[image] = replace(record, metadata=require_metadata(known))
            if records:
                writer.rename(records)
        return [Failure(name, "is not in the index") for name in changes if name not in found]

    def remove(
        self, paths: Path | Iterable[Path], *, dry_run: bool = False, wait: bool = False
    ) -> RemoveReport:
        """Remove images from the index: those of these paths, and those below folders. No picture
        file is touched.

        Args:
            paths: as they are on disk or would be if they were still there.
            dry_run: do nothing; the report says what would be done.
            wait: wait while another process is writing.

        Raises:
            IndexLockedError, ImageIndexError: as `add`.
        """
        named = path_list(paths)
        with self._writer(wait, dry_run) as writer:
            return remove(writer, named, dry_run)

    def remove_images(
        self, ids: str | Iterable[str], *, dry_run: bool = False, wait: bool = False
    ) -> RemoveReport:
        """Remove images from the index by their ids. No picture file is touched.

        Raises:
            IndexLockedError, ImageIndexError: as `add`.
        """
        require_types(str | Iterable, ids=ids)
        named = [ids] if isinstance(ids, str) else list(ids)
        require_types(str, **{f"ids[{place}]": name for place, name in enumerate(named)})
        with self._writer(wait, dry_run) as writer:
            return remove_ids(writer, named, dry_run)

    def relocate(self, old: Path, new: Path, *, wait: bool = False) -> int:
        """Give the image of a path, or all below it, another path: their files have moved there. No
        picture is read, and all of it is one commit. Returns how many images that were.

        Args:
            old: a file or a folder, as it was; it need not be there any more.
            new: where it is now.
            wait: wait while another process is writing.

        Raises:
            ImageError: there is nothing at the new path.
            ParameterError: images have these paths already.
            IndexLockedError, ImageIndexError: as `add`.
        """
        before, after = path_text("old", old), path_text("new", new)
        if not os.path.lexists(after):
            raise ImageError(after, "there is no such file or folder")
        with self._writer(wait) as writer:
            return relocate(writer, before, after)

    def merge(self, *, wait: bool = False) -> None:
        """Merge all segments into one and drop what is deleted: the smallest and fastest form of an
        index.

        Adding merges small segments by itself (see `writer.mergeable_run`); this is for an index
        that is complete.

        Args:
            wait: wait while another process is writing.

        Raises:
            IndexLockedError, ImageIndexError: as `add`.
        """
        with self._writer(wait) as writer:
            writer.merge_all()

    def upgrade(self, *, dry_run: bool = False, wait: bool = False) -> UpgradeReport:
        """Write what an earlier version of this package wrote in the format of this one. No picture
        is read, and searches answer as before. What is not upgraded is read, too; this is for
        programs that read no older format, and to be sure of the files while they can be read.

        Each segment is a commit of its own: an interrupted run keeps what was committed, and the
        next goes on from there. It takes as much free space as the largest segment.

        Args:
            dry_run: do nothing; the report says what would be done.
            wait: wait while another process is writing.

        Raises:
            IndexCorruptError: a segment is damaged, which would not be noticed any more after this.
            IndexLockedError, ImageIndexError: as `add`.
        """
        with self._writer(wait, dry_run) as writer:
            return upgrade(writer, dry_run)


def require_run(
    limits: Limits, progress: Progress | None, failure: OnFailure | None, stop: Stop | None
) -> None:
    """Raise ParameterError unless what a run is told with is of the right kind."""
    require_types(Limits, limits=limits)
    require_types(Callable | None, progress=progress, failure=failure, stop=stop)
