"""An index in memory, for references from elsewhere and for tests: nothing is left behind."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import IndexCorruptError, IndexLockedError
from .base import Storage

__all__ = ["MemoryStorage"]

NAME = "<memory>"


class MemoryFile:
    """A file in memory that is being written."""

    def __init__(self) -> None:
        self.digest, self.length = hashlib.sha256(), 0
        self.content = io.BytesIO()

    def write(self, content: bytes) -> None:
        """Append some bytes."""
        self.content.write(content)
        self.digest.update(content)
        self.length += len(content)


class MemoryStorage(Storage):
    """Files in memory. A pickled copy is a storage of its own.

    Attributes:
        path: pictures are stored relative to the folder that was current when this was made.
    """

    def __init__(self) -> None:
        self.path, self.relative = Path(os.getcwd(), NAME), True
        self._files: dict[str, bytes] = {}
        self._writing = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "relative": self.relative, "_files": self._files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._writing = threading.Lock()

    def name_of(self, file: str = "") -> str:
        """What to call a file, or the storage itself, in messages."""
        return f"{NAME}/{file}" if file else NAME

    def names(self, folder: str = ".") -> list[str]:
        """The names in a folder, sorted."""
        before = "" if folder == "." else f"{folder}/"
        inside = [name[len(before) :] for name in list(self._files) if name.startswith(before)]
        return sorted({name.split("/")[0] for name in inside})

    def make(self, folder: str = ".") -> None:
        """Folders are there as soon as something is in them."""

    @contextmanager
    def opened(self, name: str) -> Iterator[BinaryIO]:
        """An existing file to read. Raises FileNotFoundError."""
        try:
            content = self._files[name]
        except KeyError:
            raise FileNotFoundError(self.name_of(name)) from None
        yield io.BytesIO(content)

    @contextmanager
    def create(self, name: str) -> Iterator[MemoryFile]:
        """A new file to write."""
        new = MemoryFile()
        yield new
        self._files[name] = new.content.getvalue()

    def publish(self, name: str, content: bytes) -> None:
        """Write a file. Raises FileExistsError if there is one of that name."""
        if name in self._files:
            raise FileExistsError(self.name_of(name))
        self._files[name] = content

    def rename(self, old: str, new: str) -> None:
        """Give a file or folder another name."""
        for name in self._below(old):
            self._files[new + name[len(old) :]] = self._files.pop(name)

    def sync(self, folder: str = ".") -> None:
        """Memory is as safe as it gets."""

    def remove(self, name: str) -> None:
        """Remove a file or a folder with all in it; nothing if it is absent."""
        for below in self._below(name):
            del self._files[below]

    def size(self, name: str = ".") -> int:
        """Bytes of a file, or of all files below a folder."""
        names = list(self._files) if name == "." else self._below(name)
        return sum(len(self._files[below]) for below in names)

    def map_bytes(self, name: str) -> NDArray[np.uint8]:
        """A file as (bytes,) uint8, read-only. Raises IndexCorruptError if it is missing."""
        try:
            return np.frombuffer(self._files[name], np.uint8)
        except KeyError:
            raise IndexCorruptError(self.name_of(name), "the file is missing") from None

    @contextmanager
    def lock(self, wait: bool = False) -> Iterator[None]:
        """Hold the writer's lock. Raises IndexLockedError if another thread holds it."""
        if not self._writing.acquire(blocking=wait):
            raise IndexLockedError(f"{NAME}: another thread is writing to this index")
        try:
            yield
        finally:
            self._writing.release()

    def _below(self, name: str) -> list[str]:
        """The files of this name, or below the folder of this name."""
        return [file for file in self._files if file == name or file.startswith(f"{name}/")]
