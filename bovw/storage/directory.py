"""Where the bytes of an index live: a local directory, written so that a crash leaves the old state
or the new one.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageIndexError, IndexCorruptError, IndexLockedError, absolute_path, path_text
from .base import Storage

__all__ = ["Directory"]

# What the system says of a path where nothing can be.
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
# What a file system says of what it cannot do at all.
UNABLE = (
    *(errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF),
    errno.ENOTTY,
)


class DiskFile:
    """A file of a folder that is being written."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.digest, self.length = hashlib.sha256(), 0

    def write(self, content: bytes) -> None:
        """Append some bytes."""
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self.descriptor, rest) :]
        self.digest.update(content)
        self.length += len(content)


class Directory(Storage):
    """Files below one folder, named by relative paths with forward slashes. What cannot be written
    is an ImageIndexError.

    Attributes:
        path: the folder, absolute: it stays the same when the current folder changes.
        relative: whether it was given relative to the current folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises ParameterError: it is no path, or an empty one."""
        path = path_text("path", path)
        above_a_link = (
            os.pardir in Path(path).parts
        )  # is not what is above the folder that the link leads to
        self.path = Path(os.path.realpath(path) if above_a_link else absolute_path(path))
        self.relative = not os.path.isabs(path)

    def name_of(self, file: str = "") -> str:
        """What to call a file, or the folder itself, in messages: its path."""
        return str(self.path / file)

    def names(self, folder: str = ".") -> list[str]:
        """The names in a folder, sorted; none where there is no folder. Raises ImageIndexError."""
        try:
            return sorted(os.listdir(self.path / folder))
        except OSError as error:
            if error.errno in ABSENT:
                return []
            raise ImageIndexError(
                f"{self.path / folder}: cannot be listed: {error.strerror}"
            ) from error

    def make(self, folder: str = ".") -> None:
        """Create a folder and those above it, unless it is there, and see to it that their names
        have reached the disk.
        """
        path = self.path / folder
        with self.changing(folder):
            for missing in reversed(
                [parent for parent in (path, *path.parents) if not parent.exists()]
            ):
                with suppress(FileExistsError):  # somebody else makes one, too
                    os.mkdir(missing)
                sync_folder(missing.parent)
            if not path.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))

    @contextmanager
    def opened(self, name: str) -> Iterator[BinaryIO]:
        """An existing file to read; a pipe or another thing that is no file cannot make us wait."""
        path = self.path / name
        try:
            with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise IndexCorruptError(path, "is not a regular file")
                yield file
        except FileNotFoundError:
            raise
        except OSError as error:
            raise IndexCorruptError(path, f"cannot be read: {error.strerror or error}") from error

    @contextmanager
    def create(self, name: str) -> Iterator[DiskFile]:
        """A new file to write; on leaving, its content has reached the disk."""
        with self.changing(name):
            descriptor = os.open(self.path / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                yield DiskFile(descriptor)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def publish(self, name: str, content: bytes) -> None:
        """Write a file that appears whole or not at all. Raises FileExistsError if there is one of
        that name.
        """
        temporary = f"tmp-{name}"
        self.remove(temporary)
        self.write(temporary, content)
        with self.changing(name):
            link_or_rename(self.path / temporary, self.path / name)
        self.sync()
        self.remove(temporary)

    def rename(self, old: str, new: str) -> None:
        """Give a file or folder another name, and see to it that the name has reached the disk."""
        with self.changing(new):
            os.rename(self.path / old, self.path / new)
        self.sync(os.path.dirname(new) or ".")

    def sync(self, folder: str = ".") -> None:
        """Make the names in a folder reach the disk."""
        with self.changing(folder):
            sync_folder(self.path / folder)

    def remove(self, name: str) -> None:
        """Remove a file or a folder with all in it; nothing if it is absent."""
        path = self.path / name
        with self.changing(name):
            try:
                folder = stat.S_ISDIR(os.lstat(path).st_mode)
            except FileNotFoundError:
                return
            if folder:
                for inside in os.listdir(path):
                    self.remove(f"{name}/{inside}")
                os.rmdir(path)
            else:
                os.unlink(path)

    @contextmanager
    def changing(self, name: str) -> Iterator[None]:
        """What the system refuses while something here is changed is our error, but for a name that
        is taken.
        """
        try:
            yield
        except FileExistsError:
            raise
        except OSError as error:
            raise ImageIndexError(
                f"{self.path / name}: cannot be written: {error.strerror}"
            ) from error

    def size(self, name: str = ".") -> int:
        """Bytes of a file, or of all files below a folder; 0 where there is nothing."""
        path = self.path / name
        try:
            if stat.S_ISDIR(os.lstat(path).st_mode):
                return sum(self.size(f"{name}/{inside}") for inside in self.names(name))
            return os.lstat(path).st_size
        except OSError as error:
            if error.errno in ABSENT:
                return 0
            raise ImageIndexError(f"{path}: cannot be looked at: {error.strerror}") from error

    def map_bytes(self, name: str) -> NDArray[np.uint8]:
        """A memory-mapped file as (bytes,) uint8, read-only. Raises IndexCorruptError if it is
        missing or no file.
        """
        try:
            with self.opened(name) as file:
                if not os.fstat(file.fileno()).st_size:
                    return np.zeros(0, np.uint8)
                return np.asarray(
                    np.memmap(file, np.uint8, "r")
                )  # a plain view: indexing a memmap costs tens of microseconds
        except FileNotFoundError:
            raise IndexCorruptError(self.path / name, "the file is missing") from None

    @contextmanager
    def lock(self, wait: bool = False) -> Iterator[None]:
        """Hold the writer's lock. The kernel drops it when the process ends, however that happens.

        Args:
            wait: wait while another process or thread holds it.

        Raises:
            IndexLockedError: another holds it.
        """
        with self.changing(".lock"):
            descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise IndexLockedError(
                    f"{self.path}: another process is writing to this index; "
                    "try again when it has finished, or wait for it (--wait)"
                ) from None
            except OSError as error:
                if error.errno not in (*UNABLE, errno.ENOLCK):
                    raise ImageIndexError(
                        f"{self.path}: cannot be locked: {error.strerror}"
                    ) from error
                raise ImageIndexError(
                    f"{self.path}: this file system has no locks (flock: {error.strerror}), so two "
                    "writers could damage the index; put it on another one, with --index"
                ) from error
            yield
        finally:
            os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Make the names in a folder reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNABLE:  # some file systems have nothing to sync in a folder
            raise
    finally:
        os.close(descriptor)


def link_or_rename(old: Path, new: Path) -> None:
    """Give a file another name. Raises FileExistsError if that is taken.

    A hard link is made, which two writers cannot both do, whatever their locks are worth. On a file
    system without links it is a renaming, which the lock alone keeps safe.
    """
    try:
        os.link(old, new)
    except OSError as error:
        if error.errno not in UNABLE:
            raise
        if os.path.lexists(new):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new)) from None
        os.rename(old, new)
