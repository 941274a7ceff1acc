"""An index that an earlier version wrote becomes what this version would have written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .columns import optional_columns
from .manifest import VERSION
from .segment import FORMATS
from .snapshot import Snapshot
from .writer import Writer

__all__ = ["UpgradeReport", "upgrade"]


@dataclass(frozen=True)
class UpgradeReport:
    """What `ImageIndex.upgrade` did, or would do.

    Attributes:
        version: the format version that the index had before.
        segment_count: segments of an older format, which were written anew.
        size_bytes: the bytes of these segments before.
        incomplete_count: images that lack what searches of whole pictures need, which only their
            pictures can give (see `ImageIndex.add`, `complete`).
        is_current: whether there was nothing to do.

    Example:
        >>> from bovw import ImageIndex
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     report = index.upgrade()
        >>> report.is_current, report.version, report.incomplete_count
        (True, 3, 0)
    """

    version: int
    segment_count: int
    size_bytes: int
    incomplete_count: int

    @property
    def is_current(self) -> bool:
        """Whether there was nothing to do."""
        return self.version == VERSION and not self.segment_count


def upgrade(writer: Writer, dry_run: bool) -> UpgradeReport:
    """Write what is of an older format anew: each segment in a commit of its own, so that an
    interrupted run loses at most one, and the next goes on from there.
    """
    snapshot = writer.snapshot
    old = [
        number for number, segment in enumerate(snapshot.segments) if segment.format != FORMATS[-1]
    ]
    folders = [snapshot.segments[number].folder for number in old]
    report = UpgradeReport(
        version=snapshot.manifest.version,
        segment_count=len(old),
        size_bytes=sum(map(writer.storage.size, folders)),
        incomplete_count=incomplete_count(snapshot),
    )
    if not dry_run and not report.is_current:
        if not old:
            writer.publish(writer.manifest.segments)
        for number in reversed(old):  # the others keep their numbers
            writer.merge(slice(number, number + 1))
    return report


def incomplete_count(snapshot: Snapshot) -> int:
    """How many live images lack an optional column that each image could have."""
    count = 0
    for live in snapshot.live_segments:
        lacking = np.zeros(live.segment.image_count, bool)
        for column in optional_columns(snapshot.manifest.features):
            rows = live.segment.optional(column.name)
            lacking |= ~rows.known if rows else True
        count += int((lacking & live.alive).sum())
    return count
