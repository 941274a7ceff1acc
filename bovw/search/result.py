"""The answer to one query, and how it shows itself."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..geometry.transform import corners_of
from ..pictures.fragments import file_of
from ..pictures.reading import NAMELESS, Box
from ..report.html import MARKS, Figure, result_html
from ..report.rendering import render
from .match import Match, transform_text, verdict

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["SearchResult", "answer_facts", "figure_of", "is_gone_file"]


@dataclass(frozen=True)
class SearchResult:
    """The answer to one query. Two are equal if they say the same, whatever time they took.

    Attributes:
        query: its path, or what stands for one: "<array>", "<bytes>" or "<file>".
        size: (width, height) of the query in pixels, upright.
        box: x, y, width, height of the part that was searched.
        feature_count: local features of the query; without any there is nothing to search with.
        timings: seconds of each step.
        matches: best first.
        cpu_seconds: processor time of all steps.
        note: empty, or what makes the answer say less than it seems to: the query is cut off or has
            no features; there are no images, or none with the metadata that were asked for;
            pictures that were to be looked at again are gone or changed.

    Example:
        >>> from bovw import ImageIndex
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     result = index.search("query.jpg", crop=True, k=2)
        >>> result.query, [match.verified for match in result.matches]
        ('query.jpg', [True, False])
    """

    query: str
    size: tuple[int, int]
    box: Box
    feature_count: int
    timings: dict[str, float] = field(compare=False)
    matches: list[Match] = field(default_factory=list)
    cpu_seconds: float = field(default=0.0, compare=False)
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values: what `bovw search --json` prints."""
        return {
            "query": self.query,
            "features": self.feature_count,
            "seconds": {step: round(value, 5) for step, value in self.timings.items()},
            "matches": [
                {"rank": rank, **match.to_dict()} for rank, match in enumerate(self.matches, 1)
            ],
            **({"note": self.note} if self.note else {}),
        }

    @property
    def facts(self) -> str:
        """What was found, in words."""
        if not self.feature_count and not self.matches:
            return "no features (blank or very smooth), so nothing can match"
        count = sum(match.verified for match in self.matches)
        found = f"{MARKS['verified']}{count} verified" if count else "nothing verified"
        expanded = sum(match.expanded for match in self.matches)
        return f"{found}, {expanded} expanded" if expanded else found

    def html(self, folder: str = os.curdir) -> Markup:
        """The query with what was found, as a section of a `Page`.

        Args:
            folder: what links to files are relative to.
        """
        seconds = sum(self.timings.values())
        facts = f"{self.facts}; {self.feature_count:,} features, {seconds:.2f} s"
        facts = f"{facts}; {self.note}" if self.note and self.note not in facts else facts
        part = None if self.box == (0, 0, *self.size) else corners_of(self.box)
        path = None if self.query in NAMELESS else self.query
        lines = [f"{self.box[2]} x {self.box[3]} pixels"]
        shown = [Figure(self.query, path, part, "query", "Query", lines)]
        folded = list[Figure]()
        for rank, match in enumerate(self.matches, 1):
            sure = match.verified or match.expanded
            (shown if sure else folded).append(figure_of(rank, match))
        unsure = sum(figure.kind == "unsure" for figure in folded)
        fold = f"Not verified: {len(folded)}" + (f", {unsure} of them unsure" if unsure else "")
        return result_html(facts, shown, fold, folded, folder)

    def _repr_html_(self) -> str:
        """How notebooks show it."""
        return str(render("notebook.html", heading=self.query, content=self.html()))


def answer_facts(result: SearchResult) -> dict[str, Any]:
    """The answer to a query as JSON values, as whoever asks from outside gets it: matches whose
    files are not there any more say so.
    """
    facts = result.to_dict()
    for each, match in zip(facts["matches"], result.matches, strict=True):
        each.update({"gone": True} if is_gone_file(match.path) else {})
    return facts


def is_gone_file(path: str) -> bool:
    """Whether the file of an image is not there any more; an image without one lacks nothing."""
    return bool(path) and not os.path.lexists(file_of(path))


def figure_of(rank: int, match: Match) -> Figure:
    """A match as a picture with its outline, and what is known of it."""
    lines = [f"score {match.score:.1f}"]
    if match.inliers:
        lines = [
            f"{match.inliers} places agree: {transform_text(match)} ({match.model})",
            chance_text(match.log_false_alarms),
            *lines,
        ]
    if match.likeness is not None:
        lines.append(f"sisters {match.sisters}, likeness {match.likeness:.2f}")
    word = verdict(match)
    kind = word if word in MARKS else "none"
    title = f"{rank}. {'no agreement' if word == '-' else word}"
    return Figure(match.name, match.path or None, match.outline, kind, title, lines)


def chance_text(log_false_alarms: float) -> str:
    """How well chance alone would do, in words, from log10 of how many images of an index of this
    size it makes agree as well.
    """
    if log_false_alarms < -12:
        return "chance would do as well less than once in a trillion searches"
    images = 10.0 ** min(log_false_alarms, 9.0)
    if images >= 1:
        return f"chance alone gives {about(images)} such images"
    if images > 0.1:
        return f"chance would do as well in {100 * images:.0f} % of searches"
    return f"chance would do as well once in {about(1 / images)} searches"


def about(number: float) -> str:
    """A number with one digit that is not 0, in words where it is large."""
    number = float(f"{number:.1g}")
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:.0f} {word}"
    return f"{number:,.0f}"
