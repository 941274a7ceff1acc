"""What the command says of results: text for people, JSON for programs, drawings."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, Protocol

import typer

from ..errors import ParameterError, printable
from ..reporting import Failure
from ..search.comparison import Comparison
from ..search.match import Match, transform_text, verdict
from ..search.result import SearchResult, answer_facts, is_gone_file
from ..similarity.result import SimilarImage
from .console import voice, warn

__all__ = [
    "answers_as",
    "comparison_line",
    "comparison_text",
    "is_gone",
    "is_sure",
    "write_drawing",
]


# So many answers that nothing verifies are shown unasked.
UNVERIFIED = 3
CSV_COLUMNS = [
    *("query", "rank", "image", "verdict", "score", "inliers", "confidence", "mirrored"),
    *("rotation", "scale", "x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4", "gone", "error"),
]


class Answers(Protocol):
    """How the answers of a search are printed."""

    def show(self, result: SearchResult) -> None:
        """Print the answer to a query."""

    def fail(self, failure: Failure) -> None:
        """Print that there is none."""


def answers_as(as_json: bool, as_csv: bool, everything: bool, certain: bool) -> Answers:
    """How answers are printed: for reading, unless JSON or CSV is asked for.

    Args:
        everything: all of those for reading, not only the first that nothing verifies.
        certain: they are only those that are verified.
    """
    if as_json and as_csv:
        raise ParameterError("--json, --csv: take one of them")
    if as_csv:
        return CsvAnswers()
    return JsonAnswers() if as_json else TextAnswers(everything, certain)


class TextAnswers:
    """Answers for reading."""

    def __init__(self, everything: bool, certain: bool) -> None:
        self.everything = everything
        self.nothing = "nothing is verified" if certain else "no matches"

    def show(self, result: SearchResult) -> None:
        """Print the answer to a query."""
        typer.echo(report_text(result, self.everything, self.nothing))

    def fail(self, failure: Failure) -> None:
        """Print nothing: it has been complained about."""


class JsonAnswers:
    """Answers as JSON, one object a query and line."""

    def show(self, result: SearchResult) -> None:
        """Print the answer to a query; matches whose files are not there any more say so."""
        typer.echo(json.dumps(answer_facts(result), allow_nan=False))

    def fail(self, failure: Failure) -> None:
        """Print why there is none."""
        facts = {"query": failure.name, "features": 0, "seconds": {}, "matches": []}
        typer.echo(json.dumps({**facts, "error": failure.reason}))


class CsvAnswers:
    """Answers as CSV, one a line, below a line of titles. A query without any has a line, too."""

    def __init__(self) -> None:
        self.print({name: name for name in CSV_COLUMNS})

    def show(self, result: SearchResult) -> None:
        """Print the answer to a query."""
        for rank, match in enumerate(result.matches, 1):
            facts = match.to_dict()
            corners = [] if match.outline is None else match.outline.round(2).ravel().tolist()
            self.print(
                {
                    **{name: facts[name] for name in CSV_COLUMNS if facts.get(name) is not None},
                    **dict(zip(CSV_COLUMNS[10:18], corners, strict=False)),
                    "query": result.query,
                    "rank": rank,
                    "verdict": verdict(match),
                    "gone": is_gone(match),
                }
            )
        if not result.matches:
            self.print({"query": result.query})

    def fail(self, failure: Failure) -> None:
        """Print why there is none."""
        self.print({"query": failure.name, "error": failure.reason})

    def print(self, values: dict[str, Any]) -> None:
        """Print a line."""
        line = io.StringIO()
        texts = {name: printable(str(value)) for name, value in values.items()}
        csv.DictWriter(line, CSV_COLUMNS, lineterminator="").writerow(texts)
        typer.echo(line.getvalue())


def report_text(result: SearchResult, everything: bool, nothing: str) -> str:
    """A result for reading.

    Args:
        everything: all answers, not only the first that nothing verifies.
        nothing: what to say if there is none.
    """
    seconds = sum(result.timings.values())
    lines = [f"{printable(result.query)}: {result.feature_count} features, {seconds:.2f} s"]
    unsure = hidden = 0
    for rank, match in enumerate(result.matches, 1):
        unsure += not is_sure(match)
        if unsure > UNVERIFIED and not is_sure(match) and not everything:
            hidden += 1
            continue
        figures = f"{verdict(match):9s} {match.score:8.1f} {match.inliers:5d} inliers"
        gone = "  (its file is gone)" if is_gone(match) else ""
        lines.append(f"{rank:3d}  {figures}  {printable(match.name)}{gone}")
        if match.outline is not None and match.verified:
            lines.append(f"     {place_text(match)}")
        if match.sisters is not None:
            lines.append(f"     {sisters_text(match)}")
    if hidden:
        lines.append(f"     {hidden} more that nothing verifies: --all shows them")
    if not result.matches:
        lines.append(f"     {nothing}")
    return "\n".join(lines)


def is_sure(match: Match) -> bool:
    """Whether a match is verified, by the query alone or together with what it found."""
    return match.verified or match.expanded


def is_gone(match: Match | SimilarImage) -> bool:
    """Whether the file of an image is not there any more."""
    return is_gone_file(match.path)


def sisters_text(match: Match) -> str:
    """Which group of sisters a match is in, and how much of what tells it from them is seen."""
    if match.likeness is None:
        return f"sisters {match.sisters}, nothing tells them apart here"
    return f"sisters {match.sisters}, likeness {match.likeness:.2f}"


def place_text(match: Match) -> str:
    """Where a match lies."""
    assert match.outline is not None
    corners = " ".join(f"({round(x)},{round(y)})" for x, y in match.outline.tolist())
    return f"corners at {corners}, {transform_text(match)}"


def comparison_line(first: str, second: str, comparison: Comparison) -> str:
    """A comparison as one line of JSON."""
    facts = {"first": first, "second": second, **comparison.to_dict()}
    return json.dumps(facts, allow_nan=False)


def comparison_text(first: str, second: str, comparison: Comparison) -> str:
    """A comparison for reading."""
    match = comparison.match
    names = f"{printable(second)} in {printable(first)}"
    lines = [f"{names}: {verdict(match)}, {match.inliers} inliers"]
    if match.verified and comparison.differences is not None:
        lines += [f"     {place_text(match)}", f"     {len(comparison.differences)} differences"]
        for number, one in enumerate(comparison.differences, 1):
            x, y, width, height = one.box
            facts = f"{width} x {height}  contrast {one.contrast:.2f}  {one.pixels} pixels"
            lines.append(f"{number:3d}  at {x},{y}  {facts}")
    return "\n".join(lines)


def write_drawing(path: Path, result: SearchResult) -> None:
    """Draw the best match of a result into a file, if anything in it agrees."""
    from ..search.drawing import draw_match, save_picture

    best = result.matches[0] if result.matches else None
    if best is None or not best.inliers or not best.path:
        reason = "the image has no file"
        if best is None or not best.inliers:
            reason = "no image agrees with the query"
        warn(str(path), f"nothing to draw, {reason}")
        return
    save_picture(path, draw_match(result.query, best.path, best))
    if not voice.quiet:
        typer.echo(f"{path}: drawing of the best match", err=True)
