"""Folders of pictures: which files in them are looked at, and what is passed over and counted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ParameterError
from ..reporting import Failure
from .files import path_list, unreadable
from .fragments import file_of, page_of, split_fragment
from .raw import RAW_SUFFIXES
from .video import VIDEO_SUFFIXES

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

    # A folder, and the patterns that hold below it.
    Rule = tuple[str, GitIgnoreSpec]

__all__ = [
    "FAILED",
    "PAGES",
    "Found",
    "Selection",
    "find_images",
    "has_fragments",
    "passed_over_text",
    "require_patterns",
]

SUFFIXES = frozenset(
    [
        *(".apng", ".avif", ".avifs", ".bmp", ".dib", ".gif", ".icb", ".j2c", ".j2k", ".jfif"),
        *(".jif", ".jp2", ".jpc", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".pbm", ".pgm"),
        *(".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".vda", ".vst", ".webp"),
    ]
)
HEIC_SUFFIXES = frozenset([".heic", ".heics", ".heif", ".heifs", ".hif"])
# What is found as well if there is the package that opens it.
EXTRAS = {"pillow_heif": HEIC_SUFFIXES, "rawpy": RAW_SUFFIXES, "av": VIDEO_SUFFIXES}
# What may have several pages.
PAGED_SUFFIXES = frozenset([".tif", ".tiff"])
# What shows pictures and is not read, by its cure.
UNREAD = {
    "pip install 'bovw[heic]'": HEIC_SUFFIXES,
    "pip install 'bovw[raw]'": RAW_SUFFIXES,
    "pip install 'bovw[video]'": VIDEO_SUFFIXES,
    "pages: export as pictures": frozenset([".djvu", ".eps", ".pdf", ".ps"]),
    "export as PNG or JPEG": frozenset(
        [
            *(".ai", ".exr", ".hdr", ".jxl", ".jxr", ".kra", ".psb", ".psd", ".svg", ".svgz"),
            *(".wdp", ".xcf"),
        ]
    ),
}
# What else is passed over, and the option that changes it.
HIDDEN, LINKS, EXCLUDED = "hidden or in system folders", "links to folders", "excluded"
FAILED = "failed before and unchanged"
PAGES = "further pages"
OPTIONS = {
    HIDDEN: "--hidden",
    LINKS: "--follow-links",
    FAILED: "--retry",
    PAGES: "--pages",
}
# Folders in which systems and their programs keep copies, by their names in small letters. A name
# that begins with a dot is hidden, too.
SYSTEM_FOLDERS = frozenset(
    [
        *("@eadir", "@tmp", "@__thumb", "@recycle", "@recently-snapshot", "#recycle", "#snapshot"),
        *("$recycle.bin", "recycler", "system volume information", "lost+found", "__macosx"),
        "found.000",
    ]
)
IGNORE_FILE = ".bovwignore"


@dataclass(frozen=True)
class Selection:
    """Which files of a folder are looked at.

    Attributes:
        hidden: hidden files and folders and those of systems, too.
        follow_links: folders that links lead to, too.
        exclude: patterns as in .gitignore of what is passed over, relative to the folder.
    """

    hidden: bool = False
    follow_links: bool = False
    exclude: tuple[str, ...] = ()


@dataclass
class Found:
    """What there is at some paths.

    Attributes:
        files: picture files, sorted, each once, with the named folder that each lies in; a file
            that is named itself comes with its own name.
        problems: one for every named path that is absent and every folder that can't be listed.
        passed_over: how many files and folders were not looked at, by ending or by reason.
        excluded: those of them that patterns exclude.
    """

    files: dict[str, str] = field(default_factory=dict)
    problems: list[Failure] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)
    excluded: set[str] = field(default_factory=set)

    def pass_over(self, path: str, reason: str) -> None:
        """Take note of a file or folder that is not looked at."""
        self.passed_over[reason] += 1
        if reason == EXCLUDED:
            self.excluded.add(path)


def find_images(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    selection: Selection = Selection(),
) -> Found:
    """List image files: folders are searched to the bottom for known endings, named files are taken
    as they are.

    Links to files are followed; links to folders only if wanted, each folder once.
    """
    found = Found()
    for path in map(plain, path_list(paths)):
        if os.path.isdir(path):
            for file in files_below(path, selection, found):
                if len(path) >= len(found.files.get(file, "")):
                    found.files[file] = path
        elif os.path.lexists(file_of(path)):
            found.files[path] = path
        else:
            found.problems.append(Failure(path, "there is no such file or folder"))
    found.files = dict(sorted(found.files.items()))
    return found


def files_below(top: str, selection: Selection, found: Found) -> Iterator[str]:
    """The picture files below a folder; what is passed over is counted."""
    rules_of = {top: rules_for(top, selection.exclude)}
    seen = {os.path.realpath(top)}
    walk = os.walk(
        top,
        followlinks=selection.follow_links,
        onerror=lambda error: found.problems.append(
            Failure.of(unreadable(str(error.filename), error))
        ),
    )
    for folder, inside, names in walk:
        rules = rules_of.pop(folder)
        if IGNORE_FILE in names:
            rules = rules + rules_of_file(os.path.join(folder, IGNORE_FILE), found)
        kept = []
        for name in sorted(inside):
            path = os.path.join(folder, name)
            reason = reason_against_folder(path, name, selection, rules, seen)
            if reason:
                found.pass_over(path, reason)
            else:
                kept.append(name)
                rules_of[path] = rules
        inside[:] = kept
        for name in names:
            path = os.path.join(folder, name)
            reason = reason_against_file(path, name, selection, rules)
            if reason is None:
                yield path
            elif reason:
                found.pass_over(path, reason)


def reason_against_file(
    path: str, name: str, selection: Selection, rules: Sequence[Rule]
) -> str | None:
    """Why a file is passed over, if it is; empty for one that nobody would look for."""
    ending = Path(name).suffix.lower()
    if not is_read(ending):
        return ending if cure_of(ending) and not name.startswith(".") else ""
    if name.startswith("._"):  # what macOS keeps of another file
        return ""
    if name.startswith(".") and not selection.hidden:
        return HIDDEN
    return EXCLUDED if is_excluded(path, rules) else None


def reason_against_folder(
    path: str, name: str, selection: Selection, rules: Sequence[Rule], seen: set[str]
) -> str | None:
    """Why a folder is passed over, if it is; one that is not counts as seen."""
    if not selection.hidden and (name.startswith(".") or name.lower() in SYSTEM_FOLDERS):
        return HIDDEN
    if os.path.islink(path) and not selection.follow_links:
        return LINKS
    if is_excluded(path + os.sep, rules):
        return EXCLUDED
    if selection.follow_links:
        real = os.path.realpath(path)
        if real in seen:
            return "links to folders that were searched"
        seen.add(real)
    return None


def plain(path: str) -> str:
    """A path without ./ and doubled slashes, so that one file has one name; .. stays, since a link
    may come before it; the first page of a file is the file.
    """
    file, fragment = split_fragment(path)
    path = file if fragment and page_of(fragment) == 1 and "page" in fragment else path
    return path if ".." in path.split(os.sep) else os.path.normpath(path)


def is_read(ending: str) -> bool:
    """Whether an ending in small letters is one of an image format that we read."""
    return ending in SUFFIXES or any(
        ending in endings and find_spec(package) is not None for package, endings in EXTRAS.items()
    )


def has_fragments(path: str, pages: bool) -> bool:
    """Whether a file may hold several pictures that are wanted, by its ending: a video, or one with
    pages.
    """
    ending = Path(path).suffix.lower()
    return ending in VIDEO_SUFFIXES or (pages and ending in PAGED_SUFFIXES)


def cure_of(ending: str) -> str:
    """What to do about an ending that is not read; empty for what shows no pictures."""
    return next((cure for cure, endings in UNREAD.items() if ending in endings), "")


def passed_over_text(passed_over: Counter[str]) -> str:
    """What was passed over, and what to do about it, in one line."""
    shown = []
    for kind, count in sorted(passed_over.items(), key=lambda each: (-each[1], each[0])):
        cure = OPTIONS.get(kind) or cure_of(kind)
        shown.append(f"{count:,} {kind}{f' ({cure})' if cure else ''}")
    return ", ".join(shown)


def require_patterns(exclude: Sequence[str]) -> tuple[str, ...]:
    """Patterns of what is excluded. Raises ParameterError if one is none."""
    if (
        isinstance(exclude, str)
        or not isinstance(exclude, Sequence)
        or not all(isinstance(each, str) and each and each.isprintable() for each in exclude)
    ):
        raise ParameterError(f"exclude: {exclude!r:.60} is no list of patterns")
    rules_for("", exclude)
    return tuple(exclude)


def rules_for(folder: str, lines: Sequence[str]) -> list[Rule]:
    """Patterns that hold below a folder, as git reads them. Raises ParameterError."""
    if not lines:
        return []
    from pathspec import GitIgnoreSpec

    try:
        return [(folder, GitIgnoreSpec.from_lines(lines))]
    except ValueError as error:
        raise ParameterError(f"exclude: {' '.join(str(error).split())}") from None


def rules_of_file(path: str, found: Found) -> list[Rule]:
    """The patterns of a .bovwignore file; none, and a problem, if it cannot be used."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return rules_for(os.path.dirname(path), file.read().splitlines())
    except OSError as error:
        found.problems.append(Failure.of(unreadable(path, error)))
    except ParameterError as error:
        found.problems.append(Failure(path, str(error)))
    return []


def is_excluded(path: str, rules: Sequence[Rule]) -> bool:
    """Whether a path, that of a folder with a slash at its end, is excluded: the innermost rule
    that says anything about it decides.
    """
    excluded = False
    for folder, spec in rules:
        said = spec.check_file(path[len(folder) :].lstrip(os.sep))
        if said.include is not None:
            excluded = said.include
    return excluded
