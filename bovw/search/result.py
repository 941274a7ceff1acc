"""The answer to one query, and how it shows itself."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from ..geometry.transform import corners_of
from ..pictures.reading import NAMELESS, Box
from ..report.html import STYLE, Figure, row
from .match import Match, transform_text, verdict

__all__ = ["SearchResult", "answer_facts", "figure_of", "is_gone"]


@dataclass(frozen=True)
class SearchResult:
    """The answer to one query.

    Attributes:
        query: its path, or what stands for one: "<array>", "<bytes>" or "<file>".
        size: (width, height) of the query in pixels, upright.
        box: x, y, width, height of the part that was searched.
        feature_count: local features of the query; without any there is nothing to search with.
        timings: seconds of each step.
        matches: best first.
        cpu_seconds: processor time of all steps.
        note: empty, or that the query is cut off, and how much of it was searched with.

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
    timings: dict[str, float]
    matches: list[Match] = field(default_factory=list)
    cpu_seconds: float = 0.0
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

    def row(self) -> str:
        """The query with what was found, as a row of a `Page`."""
        verified = sum(match.verified for match in self.matches)
        milliseconds = sum(self.timings.values()) * 1e3
        facts = (
            f"{self.feature_count:,} features, {milliseconds:.0f} ms, "
            f"{len(self.matches)} matches, {verified} verified"
        )
        part = None if self.box == (0, 0, *self.size) else corners_of(self.box)
        path = None if self.query in NAMELESS else self.query
        lines = [f"{self.box[2]} x {self.box[3]} pixels"]
        figures = [figure_of(rank, match) for rank, match in enumerate(self.matches, 1)]
        return row(self.query, facts, [Figure(path, part, "query", "query", lines), *figures])

    def _repr_html_(self) -> str:
        """How notebooks show it."""
        return STYLE + self.row()


def answer_facts(result: SearchResult) -> dict[str, Any]:
    """The answer to a query as JSON values, as whoever asks from outside gets it: matches whose
    files are not there any more say so.
    """
    facts = result.to_dict()
    for each, match in zip(facts["matches"], result.matches, strict=True):
        each.update({"gone": True} if is_gone(match) else {})
    return facts


def is_gone(match: Match) -> bool:
    """Whether the file of an image is not there any more."""
    return bool(match.path) and not os.path.lexists(match.path)


def figure_of(rank: int, match: Match) -> Figure:
    """A match as a picture with its outline, and what is known of it."""
    lines = [match.name, f"score {match.score:.1f}"]
    if match.inliers:
        lines.append(f"{match.inliers} inliers, {transform_text(match)} ({match.model})")
        alarms = f"false alarms expected: 10^{match.log_false_alarms:.1f}"
        lines.append(f"confidence {match.confidence:.3f}, {alarms}")
    if match.likeness is not None:
        lines.append(f"sisters {match.sisters}, likeness {match.likeness:.2f}")
    title = f"{rank}. {'no agreement' if verdict(match) == '-' else verdict(match)}"
    return Figure(match.path, match.outline, "yes" if match.verified else "no", title, lines)
