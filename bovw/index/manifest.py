"""The commit record of an index: one small file per generation; the highest generation present is
the index.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ..errors import IndexCorruptError, IndexLockedError, IndexMissingError, IndexVersionError
from ..features.local import FeatureSpec
from ..networks.embedder import is_embedder_name
from ..storage.base import Storage
from .columns import Embedding
from .record import FailedFile

__all__ = [
    "VERSION",
    "Deletion",
    "Manifest",
    "SegmentEntry",
    "file_name",
    "is_file_name",
    "publish",
    "read_latest",
    "serialised",
]

FORMAT = "bovw-index"
VERSION = 3
# What is read: format 2 had no ids, metadata and optional columns in its segments. The next write
# makes it format 3.
READABLE = (2, 3)
# What there is if there is something to say: lists of texts, and of objects.
TEXTS = ("exclude", "removed")
OPTIONAL = (*TEXTS, "embeddings", "failed")
KEYS = ("generation", "features", "vocabulary", "vocabulary_files", "root", "segments")
# How often to look for a manifest before there is none.
ATTEMPTS = 100
NAME = re.compile(r"manifest-(\d{8})\.json")
SEGMENT, DELETION = re.compile(r"\d{8}", re.ASCII), re.compile(r"\d{8}-\d{8}", re.ASCII)
FILE = re.compile(r"[a-z_]+\.(npy|json|jsonl)|embedding_[a-z][a-z0-9_]*\.npy")
CHECKSUM = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Deletion:
    """Which images of a segment are deleted, as two files under deleted/ say it.

    Attributes:
        name: of the files: that of the segment, a hyphen, and the generation that wrote them.
        image_count: how many images are deleted.
        flags, documents: SHA-256 of the two files; the second is left out for a small segment.
    """

    name: str
    image_count: int
    flags: str
    documents: str | None


@dataclass(frozen=True)
class SegmentEntry:
    """A segment as the manifest names it.

    Attributes:
        name: its folder under segments/.
        image_count: images in it, deleted ones included.
        feature_count: features in it, likewise.
        sha256: of its segment.json, which has those of its files.
        deletion: what of it is deleted, if anything.
    """

    name: str
    image_count: int
    feature_count: int
    sha256: str
    deletion: Deletion | None = None

    @property
    def live_count(self) -> int:
        """Images that are not deleted."""
        return self.image_count - (self.deletion.image_count if self.deletion else 0)


@dataclass(frozen=True)
class Manifest:
    """One generation of an index.

    Attributes:
        generation: counts commits, from 1.
        features: how the images were extracted.
        vocabulary: the fingerprint of the vocabulary.
        vocabulary_files: SHA-256 of each of its files, by name.
        picture_root: the folder that stored paths are relative to: absolute, or relative to the
            folder that holds the index folder. None as long as nobody has chosen it.
        segments: in the order in which they were added.
        exclude: patterns of what runs pass over below folders.
        removed: paths of images and folders that were removed from the index, as they are or would
            be stored: runs pass over them unless they are named.
        embeddings: the networks that vectors of the images are from.
        failed: files that could not be used: runs pass over them until they change, unless they are
            named.
        version: the format version of its file; what is published is of the newest.
    """

    generation: int
    features: FeatureSpec
    vocabulary: str
    vocabulary_files: dict[str, str] = field(default_factory=dict, hash=False)
    picture_root: str | None = None
    segments: tuple[SegmentEntry, ...] = field(default_factory=tuple)
    exclude: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    embeddings: tuple[Embedding, ...] = ()
    failed: tuple[FailedFile, ...] = ()
    version: int = VERSION


def file_name(generation: int) -> str:
    """The manifest's file of a generation."""
    return f"manifest-{generation:08d}.json"


def generations(storage: Storage) -> list[int]:
    """The generations that have a manifest, ascending."""
    return sorted(int(match[1]) for match in map(NAME.fullmatch, storage.names()) if match)


def read_latest(storage: Storage) -> Manifest:
    """The manifest of the highest generation.

    Raises:
        IndexMissingError: there is none.
        IndexVersionError: it is of another version.
        IndexCorruptError: it is damaged.
    """
    # a folder that is listed while a writer replaces one manifest by the next may show neither
    for _ in range(ATTEMPTS):
        found = generations(storage)
        if found:
            with suppress(FileNotFoundError):
                name = file_name(found[-1])
                return parse(storage.read(name), found[-1], storage.name_of(name))
    raise IndexMissingError(
        f"{storage.name_of()}: there is no index here; make one with `bovw index`"
    )


def parse(content: bytes, generation: int, where: str) -> Manifest:
    """A manifest from the bytes of its file."""
    try:
        body = json.loads(content)
        if body["format"] != FORMAT:
            raise IndexCorruptError(where, "is not a manifest of a bovw index")
        if body["version"] not in READABLE:
            advice = (
                "use the version that wrote it"
                if body["version"] > VERSION
                else "index the pictures again"
            )
            known = f"this program reads {READABLE[0]} to {VERSION}"
            raise IndexVersionError(f"{where}: format version {body['version']}, {known}: {advice}")
        if content != serialised({name: value for name, value in body.items() if name != "sha256"}):
            raise IndexCorruptError(where, "damaged (its checksum does not match)")
        if body["generation"] != generation:
            raise IndexCorruptError(
                where, f"is the manifest of generation {body['generation']} under another name"
            )
        require(set(body) - {*OPTIONAL} == {"format", "version", "sha256", *KEYS})
        require(all(is_texts(body.get(name, [""])) for name in TEXTS))
        require(
            type(body["vocabulary_files"]) is dict
            and all(map(is_checksum, body["vocabulary_files"].values()))
        )
        require(all(map(is_file_name, body["vocabulary_files"])))
        require(body["root"] is None or (os.fsencode(body["root"]) and "\0" not in body["root"]))
        return Manifest(
            generation=generation,
            features=FeatureSpec.from_json(body["features"]),
            vocabulary=str(body["vocabulary"]),
            vocabulary_files=body["vocabulary_files"],
            picture_root=body["root"],
            segments=tuple(entry_of(**entry) for entry in body["segments"]),
            exclude=tuple(body.get("exclude", ())),
            removed=tuple(body.get("removed", ())),
            embeddings=tuple(embedding_of(**each) for each in body.get("embeddings", ())),
            failed=tuple(FailedFile.from_json(**each) for each in body.get("failed", ())),
            version=body["version"],
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IndexCorruptError(where, f"damaged ({error!r})") from error


def entry_of(
    name: str, images: int, features: int, sha256: str, deletion: dict[str, Any] | None
) -> SegmentEntry:
    """A segment entry from its JSON values. Raises TypeError or ValueError for what cannot be."""
    entry = SegmentEntry(
        name, images, features, sha256, deletion_of(**deletion) if deletion else None
    )
    require(
        SEGMENT.fullmatch(entry.name)
        and is_count(entry.image_count)
        and is_count(entry.feature_count)
        and is_checksum(entry.sha256)
    )
    if entry.deletion:
        require(
            DELETION.fullmatch(entry.deletion.name)
            and is_count(entry.deletion.image_count)
            and is_checksum(entry.deletion.flags)
        )
        require(entry.deletion.documents is None or is_checksum(entry.deletion.documents))
    return entry


def deletion_of(name: str, images: int, flags: str, documents: str | None) -> Deletion:
    """A deletion from its JSON values."""
    return Deletion(name, images, flags, documents)


def entry_facts(entry: SegmentEntry) -> dict[str, Any]:
    """A segment entry as JSON values; `entry_of` reads it back."""
    gone = entry.deletion
    return {
        "name": entry.name,
        "images": entry.image_count,
        "features": entry.feature_count,
        "sha256": entry.sha256,
        "deletion": gone
        and {
            "name": gone.name,
            "images": gone.image_count,
            "flags": gone.flags,
            "documents": gone.documents,
        },
    }


def embedding_of(name: str, width: int, fingerprint: str) -> Embedding:
    """An embedding from its JSON values."""
    require(is_embedder_name(name) and is_count(width) and width and is_checksum(fingerprint))
    return Embedding(name, width, fingerprint)


def require(condition: object) -> None:
    """Raise ValueError unless a condition holds."""
    if not condition:
        raise ValueError("a value that cannot be")


def is_count(value: object) -> bool:
    """Whether a JSON value is a whole number, not negative."""
    return type(value) is int and value >= 0


def is_texts(value: object) -> bool:
    """Whether a JSON value is a list of texts that is not empty."""
    return type(value) is list and bool(value) and all(type(each) is str for each in value)


def is_file_name(name: str) -> bool:
    """Whether a name can be that of a file in a folder of an index."""
    return FILE.fullmatch(name) is not None


def is_checksum(value: object) -> bool:
    """Whether a JSON value is a SHA-256 in hexadecimal digits."""
    return isinstance(value, str) and CHECKSUM.fullmatch(value) is not None


def publish(storage: Storage, manifest: Manifest) -> None:
    """Commit a generation: its manifest appears whole, or not at all.

    Raises:
        IndexLockedError: another writer has committed this generation.
    """
    body: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "generation": manifest.generation,
        "features": manifest.features.to_json(),
        "vocabulary": manifest.vocabulary,
        "vocabulary_files": manifest.vocabulary_files,
        "root": manifest.picture_root,
        "segments": [entry_facts(entry) for entry in manifest.segments],
    }
    body.update({name: list(value) for name in TEXTS if (value := getattr(manifest, name))})
    if manifest.embeddings:
        body["embeddings"] = [vars(embedding) for embedding in manifest.embeddings]
    if manifest.failed:
        body["failed"] = [failed.to_json() for failed in manifest.failed]
    try:
        storage.publish(file_name(manifest.generation), serialised(body))
    except FileExistsError:
        raise IndexLockedError(
            f"{storage.name_of()}: another writer has committed generation {manifest.generation}; "
            f"open it again"
        ) from None


def serialised(body: dict[str, Any]) -> bytes:
    """A manifest as the bytes of its file: with a SHA-256 of itself as it is without."""
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return (json.dumps({**body, "sha256": digest}, indent=1, sort_keys=True) + "\n").encode()
