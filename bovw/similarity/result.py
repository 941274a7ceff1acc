"""The images that look like a picture, and how they show themselves."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..report.html import Figure, result_html
from ..report.rendering import render

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["SimilarImage", "SimilarResult"]


@dataclass(frozen=True)
class SimilarImage:
    """An image that looks like the query.

    Attributes:
        id: names the image in its index.
        similarity: the weighted mean of its parts; 1 for what is the same by all of them.
        parts: how similar it is by each measure: cosines, at most 1; of "hash" the share of equal
            bits. 0 where the index does not know.
        path: its file, as a path that can be opened; empty for an image without a file.
        metadata: what was said of the image when it was added.
        size: (width, height) of the image in pixels, upright.

    Example:
        >>> from bovw import ImageIndex, find_similar
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     best = find_similar(index, "query.jpg", "colour").matches[0]
        >>> best.similarity == best.parts["colour"], 0.5 < best.similarity <= 1
        (True, True)
    """

    id: str
    similarity: float
    parts: dict[str, float]
    path: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    size: tuple[int, int] = (0, 0)

    @property
    def name(self) -> str:
        """What to call the image: its path or, without a file, its id."""
        return self.path or self.id

    @property
    def parts_text(self) -> str:
        """Its parts in words."""
        return ", ".join(f"{name} {value:.2f}" for name, value in self.parts.items())

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, rounded."""
        return {
            "image": self.name,
            "similarity": round(self.similarity, 6),
            "parts": {name: round(value, 6) for name, value in self.parts.items()},
            "id": self.id,
            "metadata": self.metadata,
        }


@dataclass(frozen=True)
class SimilarResult:
    """What looks like one picture.

    Attributes:
        query: its path or id, or what stands for one: "<array>", "<bytes>" or "<file>".
        size: (width, height) of the query in pixels, upright.
        by: the weights of the measures that were asked for.
        timings: seconds of each step.
        matches: most similar first; ties go by id.
        cpu_seconds: processor time of all steps.
        path: the file of the query; empty if it has none.
        note: empty, or what is to be said of the query: that it is cut off, or has nothing to
            compare by a measure, which then has no part in the mean.

    Example:
        >>> from bovw import ImageIndex, find_similar
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     result = find_similar(index, "query.jpg", "vlad=1,colour=.5", k=2)
        >>> result.by, len(result.matches)
        ({'vlad': 1.0, 'colour': 0.5}, 2)
    """

    query: str
    size: tuple[int, int]
    by: dict[str, float]
    timings: dict[str, float]
    matches: list[SimilarImage] = field(default_factory=list)
    cpu_seconds: float = 0.0
    path: str = ""
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values: what `bovw similar --json` prints."""
        return {
            "query": self.query,
            "by": self.by,
            "seconds": {step: round(value, 5) for step, value in self.timings.items()},
            "matches": [
                {"rank": rank, **match.to_dict()} for rank, match in enumerate(self.matches, 1)
            ],
            **({"note": self.note} if self.note else {}),
        }

    @property
    def facts(self) -> str:
        """What was compared, in words."""
        by = ", ".join(f"{name} {weight:g}" for name, weight in self.by.items())
        return f"by {by}" + (f"; {self.note}" if self.note else "")

    def html(self, folder: str = os.curdir) -> Markup:
        """The query with what looks like it, as a section of a `Page`.

        Args:
            folder: what links to files are relative to.
        """
        seconds = sum(self.timings.values())
        lines = [f"{self.size[0]} x {self.size[1]} pixels"] if max(self.size) else []
        figures = [Figure(self.query, self.path or None, None, "query", "Query", lines)]
        for rank, match in enumerate(self.matches, 1):
            verdict = f"{rank}. {match.similarity:.3f}"
            lines = [match.parts_text] if len(match.parts) > 1 else []
            figures.append(Figure(match.name, match.path or None, None, "similar", verdict, lines))
        return result_html(f"{self.facts}; {seconds:.2f} s", figures, "", [], folder)

    def _repr_html_(self) -> str:
        """How notebooks show it."""
        return str(render("notebook.html", heading=self.query, content=self.html()))
