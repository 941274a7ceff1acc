"""A cluster as one index on this machine, for what compares all images with all."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..errors import ClusterError
from ..image_index import ImageIndex
from ..index.manifest import Manifest, SegmentEntry, publish, read_latest
from ..index.snapshot import deletion_files
from ..storage.directory import Directory
from .config import ClusterConfig
from .manifest import ClusterManifest
from .objects import pull_index
from .store import Store, opened_store

__all__ = ["gathered_index"]


def gathered_index(config: ClusterConfig, manifest: ClusterManifest) -> ImageIndex:
    """Fetch all shards of a generation of a cluster, and open them as one index: the images of the
    first shard, then those of the second, and so on. It is what an index is to which they were
    added in this order. What is written to it does not reach the cluster.

    It lies in the cache, in place of that of an older generation, and shares its files with what
    else is there.

    Raises:
        ClusterError: something is missing in the store, or the cache cannot be written to.
    """
    store, cache = opened_store(config.store), Path(config.cache)
    home = cache / "gathered" / hashlib.sha256(store.name.encode()).hexdigest()[:12]
    folder = home / f"{manifest.generation:08d}"
    if not folder.is_dir():
        temporary = home / f".{folder.name}-{uuid.uuid4().hex}"
        try:
            link_shards(store, cache, manifest, temporary)
            for older in home.glob("[0-9]*"):
                shutil.rmtree(older, ignore_errors=True)
            with suppress(OSError):  # another process was faster
                temporary.rename(folder)
        except OSError as error:
            raise ClusterError(f"{folder}: cannot be written: {error.strerror}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return ImageIndex.open(folder, picture_root=config.picture_root)


def link_shards(store: Store, cache: Path, manifest: ClusterManifest, folder: Path) -> None:
    """Make the folder of one index whose files are those of the shards. Raises ClusterError or
    OSError.
    """
    entries, found = list[SegmentEntry](), list[Manifest]()
    for shard in manifest.shards:
        place = cache / "shards" / shard.listing
        pull_index(store, shard.listing, place, cache)
        found.append(read_latest(Directory(place)))
        for entry in found[-1].segments:
            entries.append(linked_segment(place, entry, folder, len(entries) + 1))
        if len(found) == 1:
            shutil.copytree(place / "vocabulary", folder / "vocabulary", copy_function=os.link)
    publish(
        Directory(folder),
        replace(
            found[0],
            generation=manifest.generation,
            picture_root=manifest.picture_root,
            segments=tuple(entries),
            removed=(),
            failed=(),
        ),
    )


def linked_segment(place: Path, entry: SegmentEntry, folder: Path, number: int) -> SegmentEntry:
    """Link a segment and what says which of its images are deleted, under another number."""
    name = f"{number:08d}"
    shutil.copytree(
        place / "segments" / entry.name, folder / "segments" / name, copy_function=os.link
    )
    if entry.deletion is None:
        return replace(entry, name=name)
    deletion = replace(entry.deletion, name=f"{name}-{number:08d}")
    (folder / "deleted").mkdir(exist_ok=True)
    old_and_new = zip(
        deletion_files(entry.deletion.name), deletion_files(deletion.name), strict=True
    )
    for old, new in old_and_new:
        if (place / old).exists():
            os.link(place / old, folder / new)
    return replace(entry, name=name, deletion=deletion)
