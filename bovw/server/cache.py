"""Files that can be made anew, in a folder that does not grow beyond a bound: thumbnails, uploaded
queries.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from ..errors import OutputError

__all__ = ["FolderCache"]

# Names that a file can have here: no path leads elsewhere.
NAME = re.compile(r"[0-9a-z][0-9a-z-]{0,99}")
# The share of the bound that is left when the folder is full, so that this is not so at once again.
KEPT = 0.8


class FolderCache:
    """Files by name; those that were not used for the longest time go when there are too many
    bytes. May be used from several threads, and by several servers at a time.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        """Raises OutputError if the folder cannot be made."""
        self._folder, self._most = folder, most_bytes
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(folder, f"cannot be made: {error.strerror}") from error
        self._lock = threading.Lock()
        self._bytes = sum(size for _, size, _ in self._files())

    def path(self, name: str) -> Path | None:
        """The file of a name, which counts as used now; None if there is none."""
        if not NAME.fullmatch(name):
            return None
        path = self._folder / name
        try:
            os.utime(path, follow_symlinks=False)
        except OSError:
            return None
        return path if path.is_file() and not path.is_symlink() else None

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if there is none."""
        path = self.path(name)
        if path is not None:
            with suppress(OSError):  # it may have gone at this moment
                return path.read_bytes()
        return None

    def write(self, name: str, content: bytes) -> Path:
        """Keep a file, which appears whole or not at all. Raises OutputError."""
        if not NAME.fullmatch(name):
            raise OutputError(name, "is no name for a file of a cache")
        path = self._folder / name
        try:
            with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
                file.write(content)
            os.replace(file.name, path)
        except OSError as error:
            raise OutputError(path, f"cannot be written: {error.strerror}") from error
        with self._lock:
            self._bytes += len(content)
            if self._bytes > self._most:
                self._shrink()
        return path

    def _files(self) -> list[tuple[float, int, str]]:
        """When each file was used last, its length, and its path."""
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(OSError):
                    if entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        found.append((status.st_mtime, status.st_size, entry.path))
        return found

    def _shrink(self) -> None:
        """Remove the files that were not used for the longest time."""
        files = sorted(self._files(), reverse=True)
        self._bytes = 0
        for _, size, path in files:
            if self._bytes + size <= KEPT * self._most:
                self._bytes += size
            else:
                with suppress(OSError):
                    os.unlink(path)
