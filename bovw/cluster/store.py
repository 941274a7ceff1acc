"""Where the committed bytes of a cluster are: a bucket of an S3-compatible store, or a folder that
all machines share.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..errors import ClusterError, MissingLibraryError

__all__ = ["TEMPORARY", "BucketStore", "FolderStore", "Store", "StoredObject", "opened_store"]

# What S3-compatible stores say of an object that is there already, or is being written by another.
TAKEN = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
ABSENT = ("NoSuchKey", "NotFound", "404")


# So begins what is not an object yet, or will never be, if its writer was killed.
TEMPORARY = ".tmp-"


@dataclass(frozen=True)
class StoredObject:
    """What is known of an object without reading it.

    Attributes:
        key: its key.
        size_bytes: its length.
        modified: when it was stored, in seconds by the clock of the store.
    """

    key: str
    size_bytes: int
    modified: float


class Store(Protocol):
    """Objects by their keys, which are relative paths with forward slashes. An object appears whole
    or not at all. Whatever fails is a ClusterError.
    """

    name: str

    def get(self, key: str) -> bytes:
        """The content of an object. Raises FileNotFoundError if there is none."""

    def download(self, key: str, path: Path) -> None:
        """Write an object into a new file. Raises FileNotFoundError if there is none."""

    def upload(self, key: str, path: Path) -> None:
        """Store a file, in place of what is there."""

    def put(self, key: str, content: bytes) -> None:
        """Store an object, in place of what is there."""

    def put_new(self, key: str, content: bytes) -> bool:
        """Store an object unless there is one of the key. Returns whether it was stored: of several
        writers at a time, one is told so.
        """

    def has(self, key: str) -> bool:
        """Whether there is an object."""

    def keys(self, prefix: str) -> list[str]:
        """The keys that begin so, sorted."""

    def listing(self, prefix: str) -> list[StoredObject]:
        """The objects whose keys begin so, sorted by these; and files that a writer left behind."""

    def delete(self, key: str) -> None:
        """Remove an object; nothing if there is none."""


class FolderStore:
    """A store in a folder. Its file system must know hard links, as NFS 4 and all local ones do.

    Attributes:
        name: the folder, absolute.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(os.path.abspath(folder))
        self.name = str(self.folder)

    def get(self, key: str) -> bytes:
        """The content of an object."""
        try:
            return (self.folder / key).read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise ClusterError(f"{self.name}/{key}: cannot be read: {error.strerror}") from error

    def download(self, key: str, path: Path) -> None:
        """Write an object into a new file."""
        path.write_bytes(self.get(key))

    def upload(self, key: str, path: Path) -> None:
        """Store a file."""
        self.put(key, path.read_bytes())

    def put(self, key: str, content: bytes) -> None:
        """Store an object."""
        with self.temporary(key, content) as path:
            os.replace(path, self.folder / key)

    def put_new(self, key: str, content: bytes) -> bool:
        """Store an object unless there is one."""
        with self.temporary(key, content) as path:
            try:
                os.link(path, self.folder / key)
            except FileExistsError:
                return False
            return True

    def temporary(self, key: str, content: bytes) -> _Temporary:
        """A file beside where an object will be, with its content."""
        return _Temporary(self.folder / key, content)

    def has(self, key: str) -> bool:
        """Whether there is an object."""
        return (self.folder / key).is_file()

    def keys(self, prefix: str) -> list[str]:
        """The keys that begin so, sorted."""
        found = (each.key for each in self.listing(prefix))
        return [key for key in found if not os.path.basename(key).startswith(TEMPORARY)]

    def listing(self, prefix: str) -> list[StoredObject]:
        """The objects whose keys begin so."""
        found = []
        for folder, _, names in os.walk(self.folder / os.path.dirname(prefix)):
            below = os.path.relpath(folder, self.folder)
            for key in (os.path.normpath(os.path.join(below, name)) for name in names):
                with suppress(FileNotFoundError):  # it has just gone
                    facts = (self.folder / key).stat()
                    found.append(StoredObject(key, facts.st_size, facts.st_mtime))
        return sorted(
            (each for each in found if each.key.startswith(prefix)), key=lambda each: each.key
        )

    def delete(self, key: str) -> None:
        """Remove an object."""
        with suppress(FileNotFoundError):
            (self.folder / key).unlink()


class _Temporary:
    """A file that is gone in the end, unless it got another name."""

    def __init__(self, target: Path, content: bytes) -> None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            descriptor, path = tempfile.mkstemp(prefix=TEMPORARY, dir=target.parent)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
        except OSError as error:
            raise ClusterError(f"{target}: cannot be written: {error.strerror}") from error
        self.path = path

    def __enter__(self) -> str:
        return self.path

    def __exit__(self, *_: object) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self.path)


class BucketStore:
    """A store in a bucket. Endpoint and credentials are those of boto3: its environment variables
    (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...) and files.

    Attributes:
        name: s3://bucket/prefix.
    """

    def __init__(self, url: str) -> None:
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError, ClientError
        except ImportError:
            raise MissingLibraryError(
                "s3:// needs the library boto3: pip install 'bovw[cluster]'"
            ) from None
        self.name = url.rstrip("/")
        self.bucket, _, prefix = url.removeprefix("s3://").strip("/").partition("/")
        self.prefix = prefix and f"{prefix}/"
        self.errors: tuple[type[Exception], ...] = (BotoCoreError, ClientError, OSError)
        retries = {"max_attempts": 5, "mode": "standard"}
        self.client = boto3.client("s3", config=Config(retries=retries, connect_timeout=5))

    def call(self, method: str, key: str, **arguments: Any) -> Any:
        """Ask the store. Raises FileNotFoundError, FileExistsError or ClusterError."""
        try:
            return getattr(self.client, method)(
                Bucket=self.bucket, Key=self.prefix + key, **arguments
            )
        except self.errors as error:
            code = str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
            if code in ABSENT:
                raise FileNotFoundError(f"{self.name}/{key}") from error
            if code in TAKEN:
                raise FileExistsError(f"{self.name}/{key}") from error
            raise ClusterError(f"{self.name}/{key}: {method} failed: {error}") from error

    def get(self, key: str) -> bytes:
        """The content of an object."""
        return bytes(self.call("get_object", key)["Body"].read())

    def download(self, key: str, path: Path) -> None:
        """Write an object into a new file."""
        body = self.call("get_object", key)["Body"]
        with open(path, "wb") as file:
            for block in body.iter_chunks(1 << 20):
                file.write(block)

    def upload(self, key: str, path: Path) -> None:
        """Store a file."""
        with open(path, "rb") as file:
            self.call("put_object", key, Body=file)

    def put(self, key: str, content: bytes) -> None:
        """Store an object."""
        self.call("put_object", key, Body=content)

    def put_new(self, key: str, content: bytes) -> bool:
        """Store an object unless there is one."""
        try:
            self.call("put_object", key, Body=content, IfNoneMatch="*")
        except FileExistsError:
            return False
        return True

    def has(self, key: str) -> bool:
        """Whether there is an object."""
        try:
            self.call("head_object", key)
        except FileNotFoundError:
            return False
        return True

    def keys(self, prefix: str) -> list[str]:
        """The keys that begin so, sorted."""
        return [each.key for each in self.listing(prefix)]

    def listing(self, prefix: str) -> list[StoredObject]:
        """The objects whose keys begin so."""
        try:
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self.prefix + prefix
            )
            found = [
                StoredObject(
                    each["Key"][len(self.prefix) :], each["Size"], each["LastModified"].timestamp()
                )
                for page in pages
                for each in page.get("Contents", ())
            ]
        except self.errors as error:
            raise ClusterError(f"{self.name}: cannot be listed: {error}") from error
        return sorted(found, key=lambda each: each.key)

    def delete(self, key: str) -> None:
        """Remove an object."""
        self.call("delete_object", key)


def opened_store(url: str) -> Store:
    """The store at s3://bucket/prefix, or in a folder."""
    return BucketStore(url) if url.startswith("s3://") else FolderStore(url)
