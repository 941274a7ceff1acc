"""The folder that the paths in an index are relative to, so that index and pictures can move together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

__all__ = ["Root", "chosen_root", "stored_root"]


class Root:
    """Translates between paths that can be opened and paths as they are stored.

    Pictures below the root are stored relative to it, others by their absolute path. Where the root is known relative to
    the index, paths come out as the path of the index was given: relative to the current folder, or absolute.
    """

    def __init__(self, index: Path, root: str) -> None:
        """Args: the folder of the index, and the root as a manifest has it."""
        self.folder = resolved(index, root)

    def full(self, stored: str) -> str:
        """A stored path as one that can be opened."""
        return os.path.normpath(os.path.join(self.folder, stored)) if self.folder != "." else stored

    def stored(self, path: str) -> str:
        """How a picture's path is stored. Links are followed only where the root cannot be seen in the path itself."""
        plain = os.path.abspath(path)
        real = os.path.join(real_folder(os.path.dirname(path) or "."), os.path.basename(path))
        if os.pardir in path.split(os.sep):
            plain = real  # what is above a link is not what is above the folder that it leads to
        for name, folder in ((plain, os.path.abspath(self.folder)), (real, real_folder(self.folder))):
            above = os.path.join(folder, "")
            if name.startswith(above):
                return name[len(above) :]
            if name == folder:
                return ""
        return plain

    def absolute(self, stored: str) -> str:
        """A stored path as an absolute one; two of these can be compared."""
        return os.path.join(os.path.abspath(self.folder), stored).rstrip(os.sep)


@lru_cache(maxsize=4096)
def real_folder(folder: str) -> str:
    """A folder without links."""
    return os.path.realpath(folder)


def home_of(index: Path) -> Path:
    """The folder that holds the folder of an index; that of the index itself if its path is a link."""
    return (Path(os.path.realpath(index)) if index.is_symlink() else index).parent


def resolved(index: Path, root: str) -> str:
    """The root of an index as a path that can be opened."""
    home = home_of(index)
    if root.startswith(os.pardir) and os.path.realpath(home) != os.path.abspath(home):
        home = Path(os.path.realpath(home))
    return os.path.normpath(os.path.join(home, root))


def stored_root(index: Path, folder: str) -> str:
    """How a manifest stores a root: relative to the folder that holds the index folder, if these two share anything."""
    home, root = os.path.realpath(home_of(index)), os.path.realpath(folder)
    return root if os.path.commonpath([home, root]) == os.sep != home else os.path.relpath(root, home)


def chosen_root(index: Path, pictures: Sequence[str]) -> str:
    """The root for an index that has none: the folder above the index and all pictures, or above the pictures alone."""
    home = os.path.realpath(home_of(index))
    folders = sorted({real_folder(os.path.dirname(os.path.abspath(picture))) for picture in pictures})
    common = os.path.commonpath([home, *folders])
    return stored_root(index, common if common != os.sep else os.path.commonpath(folders))
