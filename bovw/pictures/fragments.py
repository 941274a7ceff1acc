"""Names of pictures: a file, or a file and what of it is meant: `scan.tif#page=2`,
`clip.mp4#t=12.4`.
"""

from __future__ import annotations

import os
import re

__all__ = ["file_of", "page_of", "seconds_of", "split_fragment", "time_fragment", "with_fragment"]

NAME = re.compile(
    r"(?P<file>.+)#(?P<fragment>page=[1-9][0-9]{0,8}|t=[0-9]{1,9}(\.[0-9]{1,9})?)", re.DOTALL
)


def split_fragment(path: str | os.PathLike[str]) -> tuple[str, str]:
    """The file of a picture and the fragment that says what of it is meant, "page=2" or "t=12.4";
    empty for all of it, or its first page.

    A file that is there and really has such a name is meant as a whole.
    """
    text = os.fspath(path)
    found = NAME.fullmatch(text) if "#" in text else None
    if found is None or os.path.lexists(text):
        return text, ""
    return found["file"], found["fragment"]


def file_of(path: str | os.PathLike[str]) -> str:
    """The file of a picture."""
    return split_fragment(path)[0]


def with_fragment(file: str, fragment: str) -> str:
    """The name of a picture, from its file and what of it is meant; empty: all of it."""
    return f"{file}#{fragment}" if fragment else file


def page_of(fragment: str) -> int:
    """The page that a fragment means, from 1 on; the first if it means none."""
    return int(fragment[5:]) if fragment.startswith("page=") else 1


def seconds_of(fragment: str) -> float | None:
    """The time that a fragment means, in seconds; None if it means none."""
    return float(fragment[2:]) if fragment.startswith("t=") else None


def time_fragment(seconds: float) -> str:
    """A time as a fragment, to the millisecond."""
    return f"t={f'{seconds:.3f}'.rstrip('0').rstrip('.')}"
