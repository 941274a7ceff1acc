"""What a run of adding looks at: files, the pages and frames in them, and what is known of each."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from ..errors import absolute_path
from ..pictures.folders import has_fragments
from ..pictures.fragments import file_of, with_fragment
from ..pictures.reading import Limits
from ..reporting import Failure, Progress
from .extraction import CHUNK, list_fragments, stamp_of
from .paths import PictureRoot
from .record import ImageRecord
from .snapshot import Snapshot

__all__ = [
    "Listing",
    "holder_of",
    "is_changed",
    "is_gone",
    "known_as",
    "list_pictures",
    "size_of",
    "was_removed",
]

# The frame of a video that is looked at last: an index that has it has all that are to be had.
LAST_FRAME = "t=0"


@dataclass
class Listing:
    """The pictures of some files.

    Attributes:
        pictures: by name, each with the folder or the name by which its file was named.
        complete: the files of which all pages or frames are among these.
        unchanged: how many videos are in the index, and left alone.
        removed: how many files were removed from it, and are left alone.
        failed: files of which it cannot be said.
        stopped: whether the listing ended early, as it was asked to.
    """

    pictures: dict[str, str] = field(default_factory=dict)
    complete: set[str] = field(default_factory=set)
    unchanged: int = 0
    removed: int = 0
    failed: list[Failure] = field(default_factory=list)
    stopped: bool = False


def list_pictures(
    files: Mapping[str, str],
    snapshot: Snapshot,
    root: PictureRoot,
    removed: set[str],
    *,
    pages: bool,
    check_content: bool,
    jobs: int,
    limits: Limits,
    progress: Progress | None,
    stop: Callable[[], bool] | None,
) -> Listing:
    """The pictures of some files: each file, or the frames of a video, or the pages of one that has
    several.

    Args:
        files: each with the folder or the name by which it was named.
        removed: what was removed from the index, absolute.
        pages: whether all pages are wanted, or the first only.
        check_content: whether unchanged videos are looked at as well.
        stop: asked after each file that was looked into whether to end.
    """
    result, todo = Listing(), list[str]()
    for path, named in files.items():
        if not has_fragments(path, pages):
            result.pictures[path] = named
        elif not check_content and has_frames(path, snapshot, root):
            result.unchanged += 1
        elif was_removed(
            root.absolute(root.stored(path)), root.absolute(root.stored(named)), removed
        ):
            result.removed += 1
        else:
            todo.append(path)
    # starting a process takes longer than a few files
    jobs = min(jobs, 1 + len(todo) // CHUNK)
    with closing(list_fragments([absolute_path(path) for path in todo], jobs, limits)) as listed:
        for done, (path, fragments) in enumerate(zip(todo, listed, strict=True), 1):
            if isinstance(fragments, Failure):
                result.failed.append(Failure(path, fragments.reason))
            else:
                add_fragments(result, path, files[path], fragments)
            if progress:
                progress("list", done, len(todo))
            if stop and stop():
                result.stopped = True
                break
    return result


def add_fragments(result: Listing, path: str, named: str, fragments: Sequence[str]) -> None:
    """Take note of what of a file are pictures."""
    result.complete.add(path)
    for fragment in fragments:
        picture = with_fragment(path, fragment)
        if file_of(picture) == path:
            result.pictures[picture] = named
        else:
            result.failed.append(Failure(picture, "is the name of another file"))


def has_frames(path: str, snapshot: Snapshot, root: PictureRoot) -> bool:
    """Whether an index has the frames of a video as it is."""
    last = with_fragment(path, LAST_FRAME)
    (_, record), *_ = known_as(snapshot, root, [last]).values()
    return record is not None and not is_changed(last, record)


def holder_of(path: str) -> str:
    """What a picture is in: its file, if that holds several, else its folder; the folder of a
    file or a folder.
    """
    file = file_of(path)
    return os.path.dirname(path) if file == path else file


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
    """Whether the file of a picture differs in size or modification time from what was indexed."""
    try:
        return record.file is None or stamp_of(path) != (record.file.size_bytes, record.file.mtime)
    except OSError:
        return True


def size_of(path: str) -> int:
    """The length of the file of a picture; -1 if it cannot be looked at."""
    try:
        return stamp_of(path)[0]
    except OSError:
        return -1


def is_gone(path: str) -> bool:
    """Whether there is certainly nothing at a path: what cannot be looked at may be there."""
    try:
        os.lstat(file_of(path))
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
        name = holder_of(name)
    return False
