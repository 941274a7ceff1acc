"""Generations of indexes as objects of a store, named by their content: nobody can write a wrong
one, whoever writes it, however often.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path

from ..errors import ClusterError
from ..index.manifest import file_name, read_latest
from ..index.segment import Segment
from ..index.snapshot import deletion_files
from ..storage.directory import Directory
from .store import Store

__all__ = [
    "OBJECT",
    "get_object",
    "key_of",
    "listed_objects",
    "pull_index",
    "push_index",
    "put_object",
    "verify_object",
]

# The keys of objects.
OBJECT = re.compile(r"objects/[0-9a-f]{2}/[0-9a-f]{64}")


def key_of(sha256: str) -> str:
    """The key of an object with some content."""
    return f"objects/{sha256[:2]}/{sha256}"


def put_object(store: Store, content: bytes) -> str:
    """Store some bytes; returns their SHA-256, which names them. If they are there, they are young
    again, so that nobody removes them (see `garbage`).
    """
    sha256 = hashlib.sha256(content).hexdigest()
    store.put(key_of(sha256), content)
    return sha256


def get_object(store: Store, sha256: str) -> bytes:
    """Some bytes by their SHA-256. Raises ClusterError if they are missing or damaged."""
    try:
        content = store.get(key_of(sha256))
    except FileNotFoundError:
        raise ClusterError(f"{store.name}: lacks the object {sha256}") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ClusterError(f"{store.name}: the object {sha256} is damaged")
    return content


def listing_of(folder: Path) -> dict[str, str]:
    """The files of the newest generation of an index, each with its SHA-256: those of the large
    ones are known from the small ones.
    """
    storage = Directory(folder)
    manifest = read_latest(storage)
    name = file_name(manifest.generation)
    files = {name: hashlib.sha256(storage.read(name)).hexdigest()}
    files |= {f"vocabulary/{file}": sha for file, sha in manifest.vocabulary_files.items()}
    for entry in manifest.segments:
        inside = f"segments/{entry.name}"
        files[f"{inside}/segment.json"] = entry.sha256
        for file, facts in Segment.read_header(storage, entry).files.items():
            files[f"{inside}/{file}"] = facts["sha256"]
        if entry.deletion:
            flags, documents = deletion_files(entry.deletion.name)
            files[flags] = entry.deletion.flags
            if entry.deletion.documents:
                files[documents] = entry.deletion.documents
    return files


def push_index(store: Store, folder: Path, known: set[str]) -> str:
    """Store the newest generation of an index. Returns the SHA-256 of its listing, which names it.

    Args:
        known: names of objects that are needed, thus there, and are not sent again; those that are
            sent now are added. What else the store has may be about to be removed.
    """
    listing = listing_of(folder)
    for file, sha256 in listing.items():
        if sha256 not in known:
            store.upload(key_of(sha256), folder / file)
            known.add(sha256)
    return put_object(store, json.dumps(listing, sort_keys=True).encode())


def pull_index(store: Store, listing: str, folder: Path, cache: Path, part: str = "") -> None:
    """Make the folder of an index from the store.

    Args:
        listing: its name.
        part: with only those of its files whose names begin so.
        folder: appears whole; nothing happens if it is there.
        cache: what is fetched stays here for other generations, which share it by links.

    Raises:
        ClusterError: something is missing or damaged.
    """
    if folder.is_dir():
        return
    files: dict[str, str] = json.loads(get_object(store, listing))
    temporary = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    try:
        for file, sha256 in files.items():
            if not file.startswith(part):
                continue
            if os.path.isabs(file) or os.pardir in Path(file).parts:
                raise ClusterError(f"{store.name}: {listing} names {file!r}, beside the index")
            target = temporary / file
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(cached(store, sha256, cache), target)
        with suppress(OSError):  # another process was faster
            temporary.rename(folder)
    except OSError as error:
        raise ClusterError(f"{folder}: cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if not folder.is_dir():
        raise ClusterError(f"{folder}: cannot be written")


def listed_objects(store: Store, listing: str) -> set[str]:
    """The names of the objects that an index consists of, by the name of its listing."""
    return {listing, *json.loads(get_object(store, listing)).values()}


def verify_object(store: Store, sha256: str) -> None:
    """Read an object and compare it with its name. Raises ClusterError."""
    with tempfile.TemporaryDirectory() as folder:
        fetch(store, sha256, Path(folder) / "object")


def fetch(store: Store, sha256: str, path: Path) -> None:
    """Write an object into a new file. Raises ClusterError if it is missing or damaged."""
    try:
        store.download(key_of(sha256), path)
    except FileNotFoundError:
        raise ClusterError(f"{store.name}: lacks the object {sha256}") from None
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise ClusterError(f"{store.name}: the object {sha256} is damaged")


def cached(store: Store, sha256: str, cache: Path) -> Path:
    """The file in the cache that has some content, fetched if it is not there."""
    path = cache / "objects" / sha256[:2] / sha256
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{sha256}-{uuid.uuid4().hex}")
    try:
        fetch(store, sha256, temporary)
        os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    return path
