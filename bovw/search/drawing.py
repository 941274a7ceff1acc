"""Pictures of a result."""

from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError
from ..geometry.difference import aligned
from ..pictures.reading import picture_from_array, read_colours
from .comparison import Comparison
from .match import Match

__all__ = ["draw_comparison", "draw_match", "require_output", "save_picture"]

PANEL = 720
MARGIN = 24
LINES = 60
BACKGROUND = (245, 245, 245)
OUTLINE = (40, 160, 0)
UNSURE = (0, 120, 230)
DIFFERENT = (40, 40, 220)
# So many pixels are left between a difference and its frame.
FRAME = 4

# What pictures are written as, by the endings of their names.
OUTPUTS = frozenset([".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"])


def draw_match(
    query: str | os.PathLike[str] | NDArray[Any],
    image: str | os.PathLike[str] | NDArray[Any],
    match: Match,
) -> NDArray[np.uint8]:
    """Draw the query beside the image that was found, the query's outline in it, and lines between
    places that agree.

    Args:
        query, image: picture files, or pixels as OpenCV gives them.
        match: what the search said of them.

    Returns:
        (h, w, 3) uint8 BGR. Green for a verified match, orange for an unsure one.

    Raises:
        ImageError: a picture cannot be read.

    Example:
        >>> from bovw import ImageIndex, draw_match
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     match = index.search("query.jpg", crop=True).matches[0]
        >>> draw_match("query.jpg", match.path, match).shape[2]
        3
    """
    left, left_scale = panel(query)
    right, right_scale = panel(image)
    height = max(left.shape[0], right.shape[0]) + 2 * MARGIN
    shift = left.shape[1] + 2 * MARGIN
    canvas = np.full((height, shift + right.shape[1] + MARGIN, 3), BACKGROUND, np.uint8)
    left_origin = np.array([MARGIN, (height - left.shape[0]) // 2])
    right_origin = np.array([shift, (height - right.shape[0]) // 2])
    for pixels, (x, y) in ((left, left_origin), (right, right_origin)):
        canvas[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    colour = OUTLINE if match.verified else UNSURE
    shown = match.correspondences[
        np.linspace(
            0, len(match.correspondences) - 1, min(LINES, len(match.correspondences))
        ).astype(int)
    ]
    veil = canvas.copy()
    for start, end in zip(
        shown[:, :2] * left_scale + left_origin,
        shown[:, 2:] * right_scale + right_origin,
        strict=True,
    ):
        first, last = pixels_of(start, end)
        cv2.line(veil, first, last, colour, 1, cv2.LINE_AA)
    canvas = np.asarray(cv2.addWeighted(veil, 0.55, canvas, 0.45, 0), np.uint8)
    for place in np.concatenate(
        [shown[:, :2] * left_scale + left_origin, shown[:, 2:] * right_scale + right_origin]
    ):
        cv2.circle(canvas, pixels_of(place)[0], 3, colour, -1, cv2.LINE_AA)
    if match.outline is not None:
        # an outline may reach far beyond the image; OpenCV draws only what fits 16 bits
        beside = shift - MARGIN  # it is drawn beside the query, not across it
        quad = (match.outline * right_scale + right_origin - (beside, 0)).clip(-30_000, 30_000)
        part = canvas[:, beside:].copy()
        cv2.polylines(part, [np.rint(quad).astype(np.int32)], True, (255, 255, 255), 5, cv2.LINE_AA)
        cv2.polylines(part, [np.rint(quad).astype(np.int32)], True, colour, 2, cv2.LINE_AA)
        canvas[:, beside:] = part
    return canvas


def draw_comparison(
    first: str | os.PathLike[str] | NDArray[Any],
    second: str | os.PathLike[str] | NDArray[Any],
    comparison: Comparison,
) -> NDArray[np.uint8]:
    """Draw two pictures that were compared: the second laid onto the first beside the first, with
    the differences framed in both.

    What does not match is drawn as by `draw_match`.

    Returns:
        (h, w, 3) uint8 BGR.

    Raises:
        ImageError: a picture cannot be read.

    Example:
        >>> from bovw import compare_pictures, draw_comparison
        >>> first, second = "photos/carcassonne-walls.jpg", "query.jpg"
        >>> draw_comparison(first, second, compare_pictures(first, second)).shape[2]
        3
    """
    match = comparison.match
    if comparison.differences is None or match.homography is None:
        return draw_match(second, first, match)
    left, scale = panel(first)
    right, right_scale = panel(second)
    homography = (
        np.diag([scale, scale, 1.0])
        @ match.homography
        @ np.diag([1 / right_scale, 1 / right_scale, 1.0])
    )
    laid, covered = aligned(right, homography, (left.shape[1], left.shape[0]))
    laid[~covered] = BACKGROUND
    canvas = np.full(
        (left.shape[0] + 2 * MARGIN, 2 * left.shape[1] + 3 * MARGIN, 3), BACKGROUND, np.uint8
    )
    for pixels, x in ((left, MARGIN), (laid, left.shape[1] + 2 * MARGIN)):
        canvas[MARGIN : MARGIN + left.shape[0], x : x + left.shape[1]] = pixels
        for difference in comparison.differences:
            low = np.array(difference.box[:2]) * scale + (x, MARGIN)
            high = low + np.array(difference.box[2:]) * scale
            first_corner, last_corner = pixels_of(low - FRAME, high + FRAME)
            cv2.rectangle(canvas, first_corner, last_corner, (255, 255, 255), 4, cv2.LINE_AA)
            cv2.rectangle(canvas, first_corner, last_corner, DIFFERENT, 2, cv2.LINE_AA)
    return canvas


def panel(source: str | os.PathLike[str] | NDArray[Any]) -> tuple[NDArray[np.uint8], float]:
    """A picture at the size in which it is shown, and panel pixels per original pixel. Tiny
    pictures are enlarged.
    """
    if isinstance(source, np.ndarray):
        pixels = np.repeat(
            picture_from_array(source, max(source.shape[:2])).gray[..., None], 3, axis=2
        )
        if source.ndim == 3 and source.shape[2] == 3 and source.dtype == np.uint8:
            pixels = source
        size = (source.shape[1], source.shape[0])
    else:
        pixels, size = read_colours(source, PANEL)
    scale = min(PANEL / max(size), 8.0)
    target = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, target, interpolation=smooth), np.uint8), scale


def pixels_of(*points: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Points as OpenCV's drawing functions want them."""
    return [(round(float(x)), round(float(y))) for x, y in points]


def save_picture(path: str | os.PathLike[str], pixels: NDArray[np.uint8]) -> None:
    """Write BGR pixels to a picture file; the ending says the format. Raises OutputError.

    Example:
        >>> import numpy as np
        >>> from bovw import save_picture
        >>> save_picture("black.png", np.zeros((8, 8, 3), np.uint8))
    """
    from PIL import Image

    require_output(path)
    try:
        Image.fromarray(np.ascontiguousarray(pixels[..., ::-1])).save(path)
    except (OSError, ValueError) as error:
        raise OutputError(path, f"cannot be written: {error}") from error


def require_output(path: str | os.PathLike[str]) -> None:
    """Raise OutputError unless a picture can be written here, as far as its name and folder say."""
    ending, folder = os.path.splitext(path)[1].lower(), os.path.dirname(path) or os.curdir
    if ending not in OUTPUTS:
        endings = ", ".join(sorted(OUTPUTS))
        raise OutputError(path, f"cannot be written: its ending is none of {endings}")
    if not os.path.isdir(folder):
        raise OutputError(path, f"cannot be written: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise OutputError(path, f"cannot be written: no permission to write to {folder}")
