"""The folder that the paths in an index are relative to, so that index and pictures can move
together.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ..errors import absolute_path

__all__ = ["PictureRoot", "chosen_root", "stored_root"]


class PictureRoot:
    """Translates between paths that can be opened and paths as they are stored.

    A picture is known by the folder it really lies in, whatever links lead there, and by its name.
    Below the root it is stored relative to it, elsewhere by its absolute path.

    Attributes:
        real: the root, absolute and without links.
    """

    def __init__(self, index: Path, root: str, relative: bool = False) -> None:
        """Args: the absolute path of the index; the root as a manifest has it; whether paths come
        out relative to the current folder, if the root is not absolute."""
        home = os.fspath(home_of(index))
        self.real, self.relative = (
            os.path.realpath(os.path.join(home, root)),
            relative and not os.path.isabs(root),
        )
        # what is above a link is not what is above the folder that it leads to
        direct = not root.startswith(os.pardir) or os.path.realpath(home) == os.path.normpath(home)
        self.shown = os.path.normpath(os.path.join(home, root)) if direct else self.real
        self.known_folders: dict[str, str] = {}

    @property
    def folder(self) -> str:
        """The root as a path that can be opened."""
        return os.path.relpath(self.shown) if self.relative else self.shown

    def full(self, stored: str) -> str:
        """A stored path as one that can be opened from the current folder."""
        return self.opener()(stored)

    def opener(self) -> Callable[[str], str]:
        """`full` for many paths: the current folder is asked for once."""
        folder = self.folder
        return str if folder == os.curdir else partial(os.path.join, folder)

    def stored(self, path: str) -> str:
        """How a picture's path is stored."""
        above, name = os.path.split(absolute_path(path).rstrip(os.sep))
        if name in (os.curdir, os.pardir):
            above, name = os.path.split(os.path.realpath(os.path.join(above, name)))
        if above not in self.known_folders:
            self.known_folders[above] = os.path.realpath(above)
        return self.below(os.path.join(self.known_folders[above], name))

    def below(self, path: str) -> str:
        """An absolute path relative to the root, if it lies below it."""
        above = os.path.join(self.real, "")
        return path[len(above) :] if path.startswith(above) else path

    def absolute(self, stored: str) -> str:
        """A stored path as an absolute one."""
        return os.path.join(self.real, stored) if stored else self.real


def home_of(index: Path) -> Path:
    """The folder that holds the folder of an index, which may be reached by a link."""
    return (Path(os.path.realpath(index)) if index.is_symlink() else index).parent


def stored_root(index: Path, folder: str) -> str:
    """How a manifest stores a root: relative to the folder that holds the index folder, if these
    two share anything.
    """
    home, root = os.path.realpath(home_of(index)), os.path.realpath(folder)
    return (
        root if os.path.commonpath([home, root]) == os.sep != home else os.path.relpath(root, home)
    )


def chosen_root(index: Path, pictures: Sequence[str]) -> str:
    """The root for an index that has none: the folder above the index and all pictures, or above
    the pictures alone.
    """
    home = os.path.realpath(home_of(index))
    folders = sorted(
        {
            os.path.realpath(folder)
            for folder in {os.path.dirname(absolute_path(picture)) for picture in pictures}
        }
    )
    common = os.path.commonpath([home, *folders])
    return stored_root(index, common if common != os.sep else os.path.commonpath(folders))
