"""What an index needs of the place where its bytes live, and how an array lies in a file."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import IndexCorruptError

__all__ = ["NewFile", "Storage", "array_bytes", "array_header"]

# Every array file of an index begins with so many bytes that say what it holds (.npy format 1.0).
HEADER = 128


class NewFile(Protocol):
    """A file being written: content is appended, and counted and hashed on the way."""

    digest: Any
    length: int

    def write(self, content: bytes) -> None:
        """Append some bytes."""


class Storage(ABC):
    """Files named by relative paths with forward slashes. What cannot be written is an
    ImageIndexError.

    Attributes:
        path: what paths of pictures are relative to: the folder of the index, absolute.
        relative: whether it was given relative to the current folder.
    """

    path: Path
    relative: bool

    @abstractmethod
    def name_of(self, file: str = "") -> str:
        """What to call a file, or the storage itself, in messages."""

    @abstractmethod
    def names(self, folder: str = ".") -> list[str]:
        """The names in a folder, sorted; none where there is no folder. Raises ImageIndexError."""

    @abstractmethod
    def make(self, folder: str = ".") -> None:
        """Create a folder and those above it, unless it is there."""

    @abstractmethod
    def opened(self, name: str) -> AbstractContextManager[BinaryIO]:
        """An existing file to read. Raises FileNotFoundError, or IndexCorruptError for one that
        cannot be read.
        """

    @abstractmethod
    def create(self, name: str) -> AbstractContextManager[NewFile]:
        """A new file to write; on leaving, its content is safe."""

    @abstractmethod
    def publish(self, name: str, content: bytes) -> None:
        """Write a file that appears whole or not at all. Raises FileExistsError if there is one of
        that name.
        """

    @abstractmethod
    def rename(self, old: str, new: str) -> None:
        """Give a file or folder another name, which is safe when this returns."""

    @abstractmethod
    def sync(self, folder: str = ".") -> None:
        """Make the names in a folder safe."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file or a folder with all in it; nothing if it is absent."""

    @abstractmethod
    def size(self, name: str = ".") -> int:
        """Bytes of a file, or of all files below a folder; 0 where there is nothing."""

    @abstractmethod
    def map_bytes(self, name: str) -> NDArray[np.uint8]:
        """A file as (bytes,) uint8, read-only, that lives on when its name is removed. Raises
        IndexCorruptError if it is missing or no file.
        """

    @abstractmethod
    def lock(self, wait: bool = False) -> AbstractContextManager[None]:
        """Hold the writer's lock.

        Args:
            wait: wait while another process or thread holds it.

        Raises:
            IndexLockedError: another holds it.
        """

    def read(self, name: str) -> bytes:
        """The content of a file. Raises FileNotFoundError, or IndexCorruptError for one that cannot
        be read.
        """
        with self.opened(name) as file:
            return file.read()

    def write(self, name: str, content: bytes) -> None:
        """Write a new file; its content is safe when this returns."""
        with self.create(name) as file:
            file.write(content)

    def array(self, name: str, dtypes: tuple[str, ...], shape: tuple[int, ...]) -> NDArray[Any]:
        """An array file, mapped and read-only.

        Args:
            dtypes: the accepted types, as NumPy spells them.
            shape: the shape that it must have.

        Raises:
            IndexCorruptError: it is missing, of another length, type or shape.
        """
        content = self.map_bytes(name)
        start = content[:HEADER].tobytes()
        for dtype in dtypes:
            if start == array_header(dtype, shape):
                length = HEADER + int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
                if len(content) != length:
                    raise IndexCorruptError(
                        self.name_of(name), f"has {len(content):,} bytes instead of {length:,}"
                    )
                return content[HEADER:].view(dtype).reshape(shape)
        raise IndexCorruptError(
            self.name_of(name),
            f"does not begin as an array of {' or '.join(dtypes)} and shape {shape} does",
        )

    def verify(
        self, name: str, sha256: str, length: int | None = None, read: Callable[[int], object] = int
    ) -> None:
        """Compare a file with its checksum and length.

        Args:
            read: called with the number of bytes after each piece that was read.

        Raises:
            IndexCorruptError: it is missing or damaged.
        """
        digest, found = hashlib.sha256(), 0
        try:
            with self.opened(name) as file:
                while content := file.read(1 << 20):
                    digest.update(content)
                    found += len(content)
                    read(len(content))
        except FileNotFoundError:
            raise IndexCorruptError(self.name_of(name), "the file is missing") from None
        if length is not None and found != length:
            raise IndexCorruptError(
                self.name_of(name), f"has {found:,} bytes instead of {length:,}"
            )
        if digest.hexdigest() != sha256:
            raise IndexCorruptError(self.name_of(name), "damaged (its checksum does not match)")


def array_header(dtype: Any, shape: tuple[int, ...]) -> bytes:
    """How an array file begins: .npy format 1.0, 128 bytes whatever the version of NumPy."""
    text = f"{{'descr': '{np.dtype(dtype).str}', 'fortran_order': False, 'shape': {shape}, }}"
    return (
        b"\x93NUMPY\x01\x00"
        + (HEADER - 10).to_bytes(2, "little")
        + text.ljust(HEADER - 11).encode()
        + b"\n"
    )


def array_bytes(values: NDArray[Any], dtype: str) -> bytes:
    """A whole array file."""
    return array_header(dtype, values.shape) + np.ascontiguousarray(values, dtype).tobytes()
