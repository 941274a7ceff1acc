"""The commit record of an index: one small file per generation; the highest generation present is the index."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any

from .errors import IndexCorruptError, IndexLockedError, IndexMissingError, IndexVersionError
from .features import FeatureSpec
from .storage import Directory

__all__ = ["Manifest", "SegmentEntry", "publish", "read_latest"]

FORMAT = "bovw-index"
VERSION = 1
NAME = re.compile(r"manifest-(\d{8})\.json")


@dataclass(frozen=True)
class SegmentEntry:
    """A segment as the manifest names it.

    Attributes:
        name: its folder under segments/.
        images: images in it, deleted ones included.
        features: features in it, likewise.
        deleted: generation of its deletion files under deleted/; 0 when nothing is deleted.
    """

    name: str
    images: int
    features: int
    deleted: int = 0


@dataclass(frozen=True)
class Manifest:
    """One generation of an index.

    Attributes:
        generation: counts commits, from 1.
        features: how the images were extracted.
        vocabulary: the fingerprint of the vocabulary.
        segments: in the order in which they were added.
    """

    generation: int
    features: FeatureSpec
    vocabulary: str
    segments: tuple[SegmentEntry, ...] = field(default_factory=tuple)


def file_name(generation: int) -> str:
    """The manifest's file of a generation."""
    return f"manifest-{generation:08d}.json"


def generations(directory: Directory) -> list[int]:
    """The generations that have a manifest, ascending."""
    return sorted(int(match[1]) for match in map(NAME.fullmatch, directory.names()) if match)


def read_latest(directory: Directory) -> Manifest:
    """The manifest of the highest generation.

    Raises:
        IndexMissingError: there is none.
        IndexVersionError: it is of another version.
        IndexCorruptError: it is damaged.
    """
    while found := generations(directory):
        try:
            return parse(directory.read(file_name(found[-1])), f"{directory.root}/{file_name(found[-1])}")
        except FileNotFoundError:  # a writer has moved on between the two steps
            continue
    raise IndexMissingError(f"{directory.root}: there is no index here; make one with `bovw index`")


def parse(content: bytes, where: str) -> Manifest:
    """A manifest from the bytes of its file."""
    try:
        body = json.loads(content)
        if body["format"] != FORMAT:
            raise IndexCorruptError(f"{where}: not a manifest of a bovw index")
        if body["version"] != VERSION:
            raise IndexVersionError(
                f"{where}: format version {body['version']}, this program reads version {VERSION}: use the version that wrote it"
            )
        if body.pop("sha256") != checksum(body):
            raise IndexCorruptError(f"{where}: damaged (its checksum does not match)")
        return Manifest(
            generation=int(body["generation"]),
            features=FeatureSpec(**body["features"]),
            vocabulary=str(body["vocabulary"]),
            segments=tuple(SegmentEntry(**entry) for entry in body["segments"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IndexCorruptError(f"{where}: damaged ({error})") from error


def publish(directory: Directory, manifest: Manifest) -> None:
    """Commit a generation: its manifest appears whole, or not at all.

    Raises:
        IndexLockedError: another writer has committed this generation.
    """
    body: dict[str, Any] = {"format": FORMAT, "version": VERSION, **asdict(manifest)}
    body = json.loads(json.dumps(body))
    body["sha256"] = checksum(body)
    try:
        directory.publish(file_name(manifest.generation), (json.dumps(body, indent=1, sort_keys=True) + "\n").encode())
    except FileExistsError:
        raise IndexLockedError(f"{directory.root}: another writer has committed generation {manifest.generation}; open it again") from None


def checksum(body: dict[str, Any]) -> str:
    """SHA-256 of a manifest without its own checksum."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
