"""Whether an index is sound: every checksum, and whether what one file says of another is true."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, field

import numpy as np

from ..arrays import list_blocks
from ..errors import BovwError, IndexCorruptError, IndexVersionError
from ..features.vocabulary import Vocabulary
from ..reporting import Progress
from ..storage.base import Storage
from ..storage.directory import Directory
from .manifest import Deletion, Manifest, SegmentEntry, read_latest
from .segment import LiveSegment, Segment, id_hashes
from .snapshot import Snapshot, deletion_files, opened_snapshot
from .writer import garbage

__all__ = ["CheckReport", "Damage", "check_index"]

# Features whose postings are counted at a time, one byte each.
FEATURES = 100_000_000


@dataclass(frozen=True)
class Damage:
    """Something that is wrong with an index.

    Attributes:
        file: which file.
        reason: what is wrong with it.
        lost: how many images cannot be trusted because of it.

    Example:
        >>> from bovw import check_index
        >>> for damage in check_index("photos.bovw").damages:
        ...     print(damage.file, damage.reason, damage.lost)
    """

    file: str
    reason: str
    lost: int


@dataclass
class CheckReport:
    """What a check found.

    Attributes:
        image_count: live images that the index should have.
        bytes_read: how much was read.
        damages: what is wrong; nothing if the index is sound.
        leftovers: files that no reader needs, as a crash leaves them; the next writer removes them.

    Example:
        >>> from bovw import check_index
        >>> report = check_index("photos.bovw")
        >>> report.image_count, report.damages
        (6, [])
    """

    image_count: int = 0
    bytes_read: int = 0
    damages: list[Damage] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)


def check_index(path: str | os.PathLike[str], progress: Progress | None = None) -> CheckReport:
    """Read all of an index and compare it with its checksums and with itself.

    Args:
        progress: called with ("check", bytes read, bytes of the index).

    Raises:
        IndexMissingError: there is no index.
        IndexVersionError: it was written by another version.

    Example:
        >>> from bovw import check_index
        >>> check_index("photos.bovw").damages
        []
    """
    storage = Directory(path)
    try:
        while True:
            manifest = read_latest(storage)
            report = Check(storage, manifest, progress).report
            if read_latest(storage) == manifest or not (report.damages or report.leftovers):
                return report
            # a writer has moved on, and removed or added what we were looking at
    except IndexCorruptError as error:
        return CheckReport(damages=[Damage(error.path, error.reason, 0)])


class Check:
    """A check of one generation."""

    def __init__(self, storage: Storage, manifest: Manifest, progress: Progress | None) -> None:
        self.storage, self.manifest, self.progress = storage, manifest, progress
        self.report = CheckReport(image_count=sum(entry.live_count for entry in manifest.segments))
        self.report.leftovers = [storage.name_of(name) for name in garbage(storage, manifest)]
        self.total = sum(
            storage.size(f"segments/{entry.name}") for entry in manifest.segments
        ) + storage.size("vocabulary")
        words = self.check_vocabulary()
        sound = [self.check_files(entry) for entry in manifest.segments]
        if words and all(sound):
            self.check_contents(words)

    def damage(self, file: str, reason: str, lost: int) -> None:
        """Note something wrong."""
        self.report.damages.append(Damage(self.storage.name_of(file), reason, lost))

    def check_vocabulary(self) -> int:
        """Whether the vocabulary is the one that the images were made with; how many words it has,
        0 if it is damaged.
        """
        before, files = len(self.report.damages), self.manifest.vocabulary_files
        for name, sha256 in files.items():
            self.check_file(f"vocabulary/{name}", sha256, None, self.report.image_count)
        self.check_names("vocabulary", files)
        if len(self.report.damages) > before:
            return 0
        try:
            vocabulary = Vocabulary.load(self.storage.path / "vocabulary")
        except BovwError as error:
            self.damage("vocabulary", str(error), self.report.image_count)
            return 0
        if (vocabulary.fingerprint, vocabulary.spec.kind) != (
            self.manifest.vocabulary,
            self.manifest.features.kind,
        ):
            self.damage(
                "vocabulary",
                f"is another vocabulary than {self.manifest.vocabulary[:12]}",
                self.report.image_count,
            )
            return 0
        return len(vocabulary)

    def check_files(self, entry: SegmentEntry) -> bool:
        """Whether the files of a segment, and those of its deletion, have their checksums."""
        folder, before = f"segments/{entry.name}", len(self.report.damages)
        try:
            files = Segment.read_header(self.storage, entry).files
        except (IndexCorruptError, IndexVersionError) as error:
            self.damage(
                f"{folder}/segment.json", getattr(error, "reason", str(error)), entry.live_count
            )
            return False
        for name, file in files.items():
            self.check_file(f"{folder}/{name}", file["sha256"], file["bytes"], entry.live_count)
        self.check_names(folder, {"segment.json", *files})
        if entry.deletion:
            for name, sha256 in zip(
                deletion_files(entry.deletion.name),
                (entry.deletion.flags, entry.deletion.documents),
                strict=True,
            ):
                if sha256:
                    self.check_file(name, sha256, None, entry.live_count)
        return len(self.report.damages) == before

    def check_file(self, name: str, sha256: str, length: int | None, lost: int) -> None:
        """Compare a file with its checksum and length."""
        try:
            self.storage.verify(name, sha256, length, self.count)
        except IndexCorruptError as error:
            self.damage(name, error.reason, lost)

    def check_names(self, folder: str, files: Container[str]) -> None:
        """Whether a folder holds something else than its files."""
        for name in self.storage.names(folder):
            if name not in files:
                self.damage(f"{folder}/{name}", "does not belong there", 0)

    def count(self, read: int) -> None:
        """Count what was read."""
        self.report.bytes_read += read
        if self.progress:
            self.progress("check", self.report.bytes_read, self.total)

    def check_contents(self, words: int) -> None:
        """Open the generation and compare what its files say of one another."""
        try:
            snapshot = opened_snapshot(self.storage, self.manifest, words, None)
            for entry, live in zip(self.manifest.segments, snapshot.live_segments, strict=True):
                self.check_records(live.segment)
                self.check_postings(live.segment)
                if entry.deletion:
                    self.check_deletion(entry, entry.deletion, live)
            self.check_ids(snapshot)
        except IndexCorruptError as error:
            file = os.path.relpath(error.path, self.storage.path)
            lost = sum(
                entry.live_count
                for entry in self.manifest.segments
                if re.split("[/-]", file)[1:2] == [entry.name]
            )
            self.damage(file, error.reason, lost)

    def check_records(self, segment: Segment) -> None:
        """Whether sizes and id hashes are those of the records."""
        records = [segment.record(ordinal) for ordinal in range(segment.image_count)]
        lost = segment.entry.live_count
        if [[record.width, record.height] for record in records] != segment.sizes.tolist():
            self.damage(f"{segment.folder}/sizes.npy", "contradicts images.jsonl", lost)
        if not np.array_equal(id_hashes([record.id for record in records]), segment.id_hashes):
            self.damage(f"{segment.folder}/path_hashes.npy", "contradicts images.jsonl", lost)

    def check_postings(self, segment: Segment) -> None:
        """Whether each feature has one posting, and the numbers of images by word are right."""
        lost = segment.entry.live_count
        for low in range(0, segment.feature_count, FEATURES):
            seen = np.zeros(min(FEATURES, segment.feature_count - low), bool)
            for words in list_blocks(segment.word_starts):
                feature = segment.read_postings(*words)[1] - low
                seen[feature[(feature >= 0) & (feature < len(seen))]] = True
            if not seen.all():
                self.damage(
                    f"{segment.folder}/posting_features.npy",
                    "does not name every feature once",
                    lost,
                )
        if not np.array_equal(
            segment.documents_of(np.ones(segment.image_count, bool)), segment.document_frequencies
        ):
            self.damage(f"{segment.folder}/document_counts.npy", "contradicts the postings", lost)

    def check_deletion(self, entry: SegmentEntry, deletion: Deletion, live: LiveSegment) -> None:
        """Whether the numbers of a deletion are right."""
        flags, documents = deletion_files(deletion.name)
        if int((~live.alive).sum()) != deletion.image_count:
            self.damage(flags, "contradicts the manifest", entry.live_count)
        if not np.array_equal(live.segment.documents_of(live.alive), live.documents):
            self.damage(documents, "contradicts the postings", entry.live_count)

    def check_ids(self, snapshot: Snapshot) -> None:
        """Whether no id is there twice."""
        counts = Counter(record.id for _, record in snapshot.live_records())
        for name in sorted(name for name, count in counts.items() if count > 1):
            self.damage("segments", f"{name} is there twice", 1)
