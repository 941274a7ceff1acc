"""The answer to one query, and how it shows itself."""

from __future__ import annotations

from dataclasses import dataclass

from ..geometry.transform import corners_of
from ..pictures.reading import Box
from ..report.html import STYLE, Figure, row
from .match import Match, transform_text, verdict

__all__ = ["ARRAY", "SearchResult", "figure_of"]

# What stands for the path of a query that is not a file.
ARRAY = "<array>"


@dataclass(frozen=True)
class SearchResult:
    """The answer to one query.

    Attributes:
        query: its path, or "<array>".
        size: (width, height) of the query in pixels, upright.
        box: x, y, width, height of the part that was searched.
        feature_count: local features of the query; without any there is nothing to search with.
        timings: time of each step.
        matches: best first.
    """

    query: str
    size: tuple[int, int]
    box: Box
    feature_count: int
    timings: dict[str, float]
    matches: list[Match]

    def row(self) -> str:
        """The query with what was found, as a row of a `Page`."""
        verified = sum(match.verified for match in self.matches)
        facts = f"{self.feature_count:,} features, {sum(self.timings.values()) * 1e3:.0f} ms, {len(self.matches)} matches, {verified} verified"
        part = None if self.box == (0, 0, *self.size) else corners_of(self.box)
        query = Figure(
            None if self.query == ARRAY else self.query,
            part,
            "query",
            "query",
            [f"{self.box[2]} x {self.box[3]} pixels"],
        )
        return row(
            self.query,
            facts,
            [query, *(figure_of(rank, match) for rank, match in enumerate(self.matches, 1))],
        )

    def _repr_html_(self) -> str:
        """How notebooks show it."""
        return STYLE + self.row()


def figure_of(rank: int, match: Match) -> Figure:
    """A match as a picture with its outline, and what is known of it."""
    lines = [match.path, f"score {match.score:.1f}"]
    if match.inliers:
        lines.append(f"{match.inliers} inliers, {transform_text(match)} ({match.model})")
        lines.append(
            f"confidence {match.confidence:.3f}, false alarms expected: 10^{match.log_false_alarms:.1f}"
        )
    title = f"{rank}. {verdict(match) if match.inliers else 'no agreement'}"
    return Figure(match.path, match.outline, "yes" if match.verified else "no", title, lines)
