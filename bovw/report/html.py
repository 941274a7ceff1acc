"""A page for people to look at: titled rows of pictures with outlines and captions, as one HTML
file that needs nothing else.
"""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, OutputError, printable
from ..pictures.reading import read_colours

__all__ = ["STYLE", "Figure", "Page", "escaped", "row"]

THUMBNAIL = 240
QUALITY = 80
# No script, no font and no picture can come from elsewhere, whatever the names of files say.
HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
      content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
</head>
<body>
"""
STYLE = """<style>
.bovw { font: 14px/1.4 system-ui, sans-serif; color: #222; border-top: 1px solid #ccc;
        padding: 12px 0 }
.bovw h2 { font-size: 16px; margin: 0 0 4px; overflow-wrap: anywhere }
.bovw .row { display: flex; flex-wrap: wrap; gap: 14px; align-items: flex-start }
.bovw figure { margin: 0; width: 240px; overflow-wrap: anywhere }
.bovw .picture { position: relative; overflow: hidden; display: inline-block; line-height: 0;
                 background: #eee }
.bovw .picture img { width: auto; height: auto; max-width: 240px; max-height: 240px;
                     min-width: 60px; image-rendering: auto }
.bovw .picture svg { position: absolute; inset: 0; width: 100%; height: 100% }
.bovw polygon { fill: none; stroke-width: 3; vector-effect: non-scaling-stroke }
.bovw .yes polygon { stroke: #00a028 } .bovw .yes b { color: #00801f }
.bovw .no polygon { stroke: #e67800; stroke-dasharray: 6 4 } .bovw .no b { color: #b35c00 }
.bovw .query polygon { stroke: #333 }
.bovw .missing { color: #a00 }
.bovw h1 { font-size: 18px; margin: 0 }
.bovw table { border-collapse: collapse }
.bovw td, .bovw th { text-align: right; padding: 2px 10px; border-bottom: 1px solid #eee;
                     white-space: nowrap }
.bovw td:first-child, .bovw th:first-child { text-align: left }
.bovw dl { display: grid; grid-template-columns: max-content auto; gap: 0 2em }
.bovw dt { font-weight: bold } .bovw dd { margin: 0 }
</style>
"""


@dataclass(frozen=True)
class Figure:
    """A picture with a caption.

    Attributes:
        path: the picture file; None for a picture that is not in a file, of which only the caption
            is shown.
        outline: (n, 2) a polygon to draw, in pixels of the original upright picture, or None.
        kind: "query", "yes" or "no": how the outline is drawn.
        verdict: a word to stand out.
        lines: of the caption.
    """

    path: str | None
    outline: NDArray[np.float64] | None
    kind: str
    verdict: str
    lines: Sequence[str]


class Page:
    """A page that is written row by row, so their number does not matter. A context manager."""

    def __init__(self, path: str | os.PathLike[str], title: str = "bovw search") -> None:
        """Begin the page. Raises OutputError if the file cannot be written."""
        self.path = os.fspath(path)
        try:
            self.file = open(path, "w", encoding="utf-8")  # noqa: SIM115 - closed by __exit__
        except OSError as error:
            raise OutputError(self.path, f"cannot be written: {error.strerror}") from error
        self.write(HEAD.replace("{title}", escaped(title)) + STYLE)

    def write(self, text: str) -> None:
        """Write on. Raises OutputError."""
        try:
            self.file.write(text)
            self.file.flush()
        except OSError as error:
            raise OutputError(self.path, f"cannot be written: {error.strerror}") from error

    def __enter__(self) -> Page:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self.file:
            self.write("</body>\n</html>\n")


def row(title: str, facts: str, figures: Sequence[Figure]) -> str:
    """A titled row of pictures as HTML; STYLE says how it looks."""
    shown = "\n".join(map(framed, figures))
    return (
        f'<div class="bovw"><h2>{escaped(title)}</h2><p>{escaped(facts)}</p>\n'
        f'<div class="row">\n{shown}\n</div></div>\n'
    )


def framed(figure: Figure) -> str:
    """One picture with its caption."""
    caption = "<br>".join(map(escaped, figure.lines))
    picture = "" if figure.path is None else thumbnail(figure.path, figure.outline)
    return (
        f'<figure class="{figure.kind}">{picture}'
        f"<figcaption><b>{escaped(figure.verdict)}</b><br>{caption}</figcaption></figure>"
    )


def thumbnail(path: str, outline: NDArray[np.float64] | None) -> str:
    """A small picture with an outline, or why there is none."""
    try:
        pixels, (width, height) = read_colours(path, THUMBNAIL)
    except ImageError as error:
        return f'<span class="missing">{escaped(error.reason)}</span>'
    _, content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    data = base64.b64encode(content.tobytes()).decode()
    drawing = ""
    if outline is not None and np.isfinite(outline).all():
        points = " ".join(f"{x + 0.5:.1f},{y + 0.5:.1f}" for x, y in outline.tolist())
        drawing = (
            f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none">'
            f'<polygon points="{points}"/></svg>'
        )
    return f'<span class="picture"><img alt="" src="data:image/jpeg;base64,{data}">{drawing}</span>'


def escaped(text: str) -> str:
    """Text that stays text in HTML; what cannot be shown is escaped."""
    return html.escape(printable(text))
