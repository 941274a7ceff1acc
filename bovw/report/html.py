"""A page for people to look at: sections with pictures, outlines and captions, as one HTML file
that needs nothing else.
"""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, OutputError
from ..pictures.fragments import split_fragment, with_fragment
from ..pictures.reading import fitted, read_colours
from ..pictures.working import working_unit
from .rendering import environment, render

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["MARKS", "Figure", "Page", "failure_html", "figure_view", "link", "result_html"]

# Pixels of the long side of a picture that a click enlarges, and of one that is folded away.
LARGE, SMALL = 640, 240
QUALITY = 75
# A picture that is longer than so many times its other side is shown longer than others.
ELONGATED = 2.5
# What stands before the words, so that no colour is needed to tell them apart.
MARKS = {"verified": "✓ ", "expanded": "+ ", "unsure": "? ", "none": "- ", "wrong": "✗ "}
# Sections are kept in memory up to so many bytes, and in a file beyond.
SPOOLED = 16_000_000
CHUNK = 1 << 20


@dataclass(frozen=True)
class Figure:
    """A picture with a caption.

    Attributes:
        name: what the picture is called.
        path: its file; None for a picture that is in none, of which only the caption is shown.
        outline: (n, 2) a polygon to draw, in pixels of the original upright picture, or None.
        kind: "verified", "expanded", "unsure" or "none", how sure it is that it shows the query;
            "wrong", if it surely does not; or another word, as "query", that says what it is.
        verdict: words to stand out.
        lines: of the caption, below the name.
        stays: whether its file will be there when the page is looked at: only then is it linked.
    """

    name: str
    path: str | None
    outline: NDArray[np.float64] | None
    kind: str
    verdict: str
    lines: Sequence[str] = ()
    stays: bool = True


class Page:
    """A page that is written section by section, so their number does not matter, and begins with
    their list. A context manager: the page is there when it ends.
    """

    def __init__(self, path: str | os.PathLike[str], title: str) -> None:
        """Begin the page. Raises OutputError if the file cannot be written."""
        self.path, self.title = os.fspath(path), title
        self.contents: list[tuple[str, str]] = []
        try:
            self.file = open(path, "w", encoding="utf-8")  # noqa: SIM115 - closed by __exit__
        except OSError as error:
            raise self.failure(error) from error
        self.sections = tempfile.SpooledTemporaryFile(SPOOLED, "w+", encoding="utf-8")  # noqa: SIM115

    @property
    def folder(self) -> str:
        """Where the page lies; links to files are relative to it."""
        return os.path.dirname(self.path) or os.curdir

    def add(self, heading: str, content: Markup, note: str = "") -> None:
        """Add a section; the contents have its heading and the note. Raises OutputError."""
        self.contents.append((heading, note))
        section = render(
            "section.html", number=len(self.contents), heading=heading, content=content
        )
        try:
            self.sections.write(section)
        except OSError as error:
            raise self.failure(error) from error

    def parts(self) -> Iterator[Markup]:
        """All sections, piece by piece."""
        from markupsafe import Markup

        self.sections.seek(0)
        while part := self.sections.read(CHUNK):
            yield Markup(part)

    def failure(self, error: OSError) -> OutputError:
        """Why the page cannot be written."""
        return OutputError(self.path, f"cannot be written: {error.strerror}")

    def __enter__(self) -> Page:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        template = environment().get_template("page.html")
        try:
            with self.file, self.sections:
                for piece in template.generate(
                    title=self.title, contents=self.contents, parts=self.parts()
                ):
                    self.file.write(piece)
        except OSError as failed:
            raise self.failure(failed) from failed


def result_html(
    facts: str, shown: Sequence[Figure], fold: str, folded: Sequence[Figure], folder: str
) -> Markup:
    """Figures that are shown, and others that are folded below some words.

    Args:
        folder: what links to files are relative to.
    """
    return render(
        "result.html",
        facts=facts,
        shown=[figure_view(figure, folder, LARGE) for figure in shown],
        fold=fold,
        folded=[figure_view(figure, folder, SMALL) for figure in folded],
    )


def failure_html(reason: str) -> Markup:
    """What is said of a query that cannot be used."""
    return render("text.html", kind="missing", text=f"✗ {reason}")


def figure_view(figure: Figure, folder: str, side: int = LARGE) -> dict[str, Any]:
    """A figure as `figure.html` wants it, its picture with about `side` pixels on its long side."""
    view: dict[str, Any] = {
        "kind": figure.kind,
        "mark": MARKS.get(figure.kind, ""),
        "verdict": figure.verdict,
        "name": figure.name,
        "lines": figure.lines,
        "link": link(figure.path, folder) if figure.path and figure.stays else "",
        "alt": figure.name,
        "shape": "",
        "missing": "",
        "data": "",
        "points": "",
    }
    if figure.path is None:
        return view
    try:
        pixels, (width, height) = read_colours(figure.path, 2 * side)
    except ImageError as error:
        return {**view, "missing": error.reason}
    # long pictures keep their area, or there would be nothing to see in them
    unit = float(working_unit(width, height, side))
    pixels = fitted(pixels, (width, height), round(max(width, height) / unit))
    _, content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    view["data"] = base64.b64encode(content.tobytes()).decode()
    view["size"], view["ratio"] = (width, height), f"{width / height:.4f}"
    if max(width, height) > ELONGATED * min(width, height):
        view["shape"] = "wide" if width > height else "tall"
    if figure.outline is not None and np.isfinite(figure.outline).all():
        points = (f"{x + 0.5:.1f},{y + 0.5:.1f}" for x, y in figure.outline.tolist())
        view["points"] = " ".join(points)
        view["alt"] += ", with an outline of what the query shows"
    return view


def link(path: str, folder: str) -> str:
    """The address of a file as seen from a folder: relative if the path is, so that a page and
    pictures can move together. Empty if its name cannot be one. Browsers know fragments such as
    #t=12.4 themselves.
    """
    file, fragment = split_fragment(path)
    try:
        if os.path.isabs(file):
            return with_fragment(Path(file).as_uri(), fragment)
        return with_fragment(quote(os.fsencode(os.path.relpath(file, folder))), fragment)
    except UnicodeEncodeError:
        return ""
