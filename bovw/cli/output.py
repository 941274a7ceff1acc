"""What the command says of results: text for people, JSON for programs, drawings."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from ..errors import printable
from ..search.comparison import Comparison
from ..search.match import Match, transform_text, verdict
from ..search.result import SearchResult, answer_facts, is_gone

__all__ = ["comparison_line", "comparison_text", "json_line", "report_text", "write_drawing"]


def json_line(result: SearchResult) -> str:
    """A result as one line of JSON; matches whose files are not there any more say so."""
    return json.dumps(answer_facts(result), allow_nan=False)


def report_text(result: SearchResult) -> str:
    """A result for reading."""
    seconds = sum(result.timings.values())
    lines = [f"{printable(result.query)}: {result.feature_count} features, {seconds:.2f} s"]
    for rank, match in enumerate(result.matches, 1):
        figures = f"{verdict(match):9s} {match.score:8.1f} {match.inliers:5d} inliers"
        gone = "  (its file is gone)" if is_gone(match) else ""
        lines.append(f"{rank:3d}  {figures}  {printable(match.name)}{gone}")
        if match.outline is not None and match.verified:
            lines.append(f"     {place_text(match)}")
        if match.sisters is not None:
            lines.append(f"     {sisters_text(match)}")
    if not result.matches:
        lines.append("     no matches")
    return "\n".join(lines)


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
        typer.echo(f"bovw: warning: {path}: nothing to draw, {reason}", err=True)
        return
    save_picture(path, draw_match(result.query, best.path, best))
    typer.echo(f"{path}: drawing of the best match", err=True)
