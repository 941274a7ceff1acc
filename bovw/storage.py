"""Where the bytes of an index live: a local directory, written so that a crash leaves the old state or the new one."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .errors import ImageIndexError, IndexCorruptError, IndexLockedError

__all__ = ["Directory"]


class Directory:
    """Files below one folder, named by relative paths with forward slashes."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)

    def names(self, folder: str = ".") -> list[str]:
        """The names in a folder, sorted; none where the folder is absent. Raises ImageIndexError."""
        try:
            return sorted(os.listdir(self.root / folder))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ImageIndexError(f"{self.root / folder}: cannot be listed: {error.strerror}") from error

    def make(self, folder: str = ".") -> None:
        """Create a folder and those above it, unless it is there. Raises ImageIndexError."""
        try:
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ImageIndexError(f"{self.root}: the folder cannot be made: {error.strerror}") from error

    def read(self, name: str) -> bytes:
        """The content of a file. Raises FileNotFoundError."""
        return (self.root / name).read_bytes()

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """A new file to write; on leaving, its content has reached the disk."""
        with open(self.root / name, "xb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())

    def write(self, name: str, content: bytes) -> None:
        """Write a new file; its content has reached the disk when this returns."""
        with self.create(name) as handle:
            handle.write(content)

    def publish(self, name: str, content: bytes) -> None:
        """Write a file that appears whole or not at all. Raises FileExistsError if there is one of that name."""
        temporary = f"tmp-{name}"
        self.remove(temporary)
        self.write(temporary, content)
        os.link(self.root / temporary, self.root / name)
        os.unlink(self.root / temporary)
        self.sync()

    def rename(self, old: str, new: str) -> None:
        """Give a file or folder another name, and see to it that the name has reached the disk."""
        os.rename(self.root / old, self.root / new)
        self.sync(os.path.dirname(new) or ".")

    def sync(self, folder: str = ".") -> None:
        """Make the names in a folder reach the disk."""
        descriptor = os.open(self.root / folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, name: str) -> None:
        """Remove a file or a folder with all in it; nothing if it is absent."""
        path = self.root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def array(self, name: str, dtype: tuple[str, ...], shape: tuple[int | None, ...]) -> NDArray[Any]:
        """A memory-mapped .npy file, read-only.

        Args:
            dtype: the accepted types, as NumPy spells them.
            shape: the accepted shape; None accepts any length.

        Raises:
            IndexCorruptError: it is missing, no .npy file, cut off, or of another type or shape.
        """
        path = self.root / name
        try:
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise IndexCorruptError(f"{path}: the file is missing") from None
        except (OSError, ValueError, EOFError, SyntaxError, OverflowError) as error:
            raise IndexCorruptError(f"{path}: not a whole .npy file ({error})") from error
        fits = array.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, array.shape, strict=True))
        if array.dtype.str not in dtype or not fits or not array.flags.c_contiguous:
            raise IndexCorruptError(f"{path}: holds {array.dtype.str} {array.shape}, expected {'/'.join(dtype)} {shape}")
        return np.asarray(array)  # a plain view: indexing a memmap costs tens of microseconds

    def require_length(self, name: str, length: int) -> None:
        """Raise IndexCorruptError unless a file is there and has so many bytes."""
        path = self.root / name
        try:
            found = path.stat().st_size
        except FileNotFoundError:
            raise IndexCorruptError(f"{path}: the file is missing") from None
        if found != length:
            raise IndexCorruptError(f"{path}: has {found:,} bytes instead of {length:,}")

    def bytes(self, name: str) -> NDArray[np.uint8]:
        """A memory-mapped file as (bytes,) uint8, read-only. Raises IndexCorruptError if it is missing or empty."""
        path = self.root / name
        try:
            return np.asarray(np.memmap(path, np.uint8, "r"))
        except FileNotFoundError:
            raise IndexCorruptError(f"{path}: the file is missing") from None
        except (OSError, ValueError) as error:
            raise IndexCorruptError(f"{path}: cannot be mapped ({error})") from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the writer's lock. The kernel drops it when the process ends, however that happens.

        Raises:
            IndexLockedError: another process or thread holds it.
        """
        try:
            descriptor = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise ImageIndexError(f"{self.root}: cannot be written to: {error.strerror}") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise IndexLockedError(f"{self.root}: another process is writing to this index; try again when it has finished") from None
            yield
        finally:
            os.close(descriptor)
