"""Queries whose answers are known."""

from __future__ import annotations

from pathlib import Path

import cv2

from bovw.evaluation.truth import Query
from bovw.geometry.transform import project
from tests.helpers.pictures import corners, crop_query, textured


def crop_of(folder: Path, number: int, name: str) -> Query:
    """A crop of a picture, with its true place."""
    pixels, matrix = crop_query(textured(number, 320, 240), 60, 40, 180, 150, 20, 0.9)
    cv2.imwrite(str(folder / name), pixels)
    outline = project(matrix, corners(pixels.shape[1], pixels.shape[0]))
    answer = frozenset([f"photos/picture {number}.png"])
    return Query(
        name,
        "crops",
        str(folder / name),
        answer,
        outline=tuple((x, y) for x, y in outline.tolist()),
        group=name,
    )
