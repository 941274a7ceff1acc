"""What the command says of results: text for people, JSON for programs, drawings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from ..errors import printable
from ..search.comparison import Comparison
from ..search.match import Match, transform_text, verdict
from ..search.result import SearchResult

__all__ = ["comparison_line", "comparison_text", "json_line", "report_text", "write_drawing"]


def match_facts(match: Match) -> dict[str, Any]:
    """A match as it stands in JSON; the README documents it."""
    return {
        "inliers": match.inliers,
        "verified": match.verified,
        "confidence": round(match.confidence, 6),
        "log_false_alarms": round(match.log_false_alarms, 2) if match.inliers else None,
        "mirrored": match.mirrored,
        "model": match.model,
        "rotation": None if match.rotation is None else round(match.rotation, 3),
        "scale": None if match.scale is None else round(match.scale, 5),
        "outline": None if match.outline is None else match.outline.round(2).tolist(),
        "homography": None if match.homography is None else match.homography.ravel().tolist(),
    }


def json_line(result: SearchResult) -> str:
    """A result as one line of JSON."""
    matches = [
        {"rank": rank, "image": match.path, "score": round(match.score, 4), **match_facts(match)}
        for rank, match in enumerate(result.matches, 1)
    ]
    seconds = {step: round(value, 5) for step, value in result.timings.items()}
    return json.dumps(
        {
            "query": result.query,
            "features": result.feature_count,
            "seconds": seconds,
            "matches": matches,
        },
        allow_nan=False,
    )


def report_text(result: SearchResult) -> str:
    """A result for reading."""
    lines = [
        f"{printable(result.query)}: {result.feature_count} features, {sum(result.timings.values()):.2f} s"
    ]
    for rank, match in enumerate(result.matches, 1):
        lines.append(
            f"{rank:3d}  {verdict(match):8s} {match.score:8.1f} {match.inliers:5d} inliers  {printable(match.path)}"
        )
        if match.outline is not None and match.verified:
            lines.append(f"     {place_text(match)}")
    if not result.matches:
        lines.append("     no matches")
    return "\n".join(lines)


def place_text(match: Match) -> str:
    """Where a match lies."""
    assert match.outline is not None
    corners = " ".join(f"({round(x)},{round(y)})" for x, y in match.outline.tolist())
    return f"corners at {corners}, {transform_text(match)}"


def comparison_line(first: str, second: str, comparison: Comparison) -> str:
    """A comparison as one line of JSON."""
    found = comparison.differences
    differences = (
        None
        if found is None
        else [
            {"box": list(one.box), "contrast": one.contrast, "pixels": one.pixels} for one in found
        ]
    )
    facts = {
        "first": first,
        "second": second,
        **match_facts(comparison.match),
        "differences": differences,
    }
    return json.dumps(facts, allow_nan=False)


def comparison_text(first: str, second: str, comparison: Comparison) -> str:
    """A comparison for reading."""
    match = comparison.match
    lines = [
        f"{printable(second)} in {printable(first)}: {verdict(match)}, {match.inliers} inliers"
    ]
    if match.verified and comparison.differences is not None:
        lines += [f"     {place_text(match)}", f"     {len(comparison.differences)} differences"]
        for number, one in enumerate(comparison.differences, 1):
            x, y, width, height = one.box
            lines.append(
                f"{number:3d}  at {x},{y}  {width} x {height}  contrast {one.contrast:.2f}  {one.pixels} pixels"
            )
    return "\n".join(lines)


def write_drawing(path: Path, result: SearchResult) -> None:
    """Draw the best match of a result into a file, if anything in it agrees."""
    from ..search.drawing import draw_match, save_picture

    if not result.matches or not result.matches[0].inliers:
        typer.echo(
            f"bovw: warning: {path}: nothing to draw, no image agrees with the query", err=True
        )
        return
    save_picture(path, draw_match(result.query, result.matches[0].path, result.matches[0]))
    typer.echo(f"{path}: drawing of the best match", err=True)
