"""Images that go, or get other paths: by path, by id, or because their files are gone."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ..errors import ParameterError
from ..pictures.folders import has_fragments
from ..reporting import Failure
from .listing import holder_of, is_gone, known_as
from .paths import PictureRoot, stored_root
from .record import ImageRecord
from .snapshot import Snapshot
from .writer import Writer

__all__ = [
    "RemoveReport",
    "images_below",
    "lies_in",
    "losses",
    "real_name",
    "relocate",
    "remove",
    "remove_ids",
]

# Images that may go from a folder at once, whatever their share.
MANY = 20


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


def lies_in(path: str, places: Collection[str]) -> bool:
    """Whether a path, absolute, is one of some places or lies below one."""
    above = ""
    while places and path != above:
        if path in places:
            return True
        path, above = holder_of(path), path
    return False


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
