"""Pictures of a result."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError, ParameterError, require_types
from ..geometry.difference import aligned
from ..pictures.reading import load_colours, read_colours
from .comparison import Comparison
from .match import Match, transform_text, verdict

__all__ = ["draw_comparison", "draw_match", "require_output", "save_picture"]

# Two pictures beside or above one another, with margins, fit into so many pixels.
WIDTH, HEIGHT = 1512, 1000
MARGIN = 24
# Tiny pictures are enlarged, at most so many times.
ENLARGED = 8.0
LINES = 60
BACKGROUND = (245, 245, 245)
INK = (50, 40, 30)
OUTLINE = (40, 160, 0)
UNSURE = (0, 120, 230)
DIFFERENT = (40, 40, 220)
# So many pixels are left between a difference and its frame.
FRAME = 4
# Pixels below the pictures for a line of text.
CAPTION = 26
FONT = (cv2.FONT_HERSHEY_SIMPLEX, 0.55, 1)

# What pictures are written as, by the endings of their names.
OUTPUTS = frozenset([".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"])


def draw_match(
    query: str | os.PathLike[str] | NDArray[Any],
    image: str | os.PathLike[str] | NDArray[Any],
    match: Match,
) -> NDArray[np.uint8]:
    """Draw the query beside the image that was found, or above it where both are larger then, the
    query's outline in it, lines between places that agree, and below in words what was found.

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
    require_types(Match, match=match)
    (one, size), (other, other_size) = read_pixels(query), read_pixels(image)
    layout = laid_out(size, other_size)
    (query_scale, scale), (query_origin, origin) = layout.scales, layout.origins
    canvas = canvas_of(layout, resized(one, size, query_scale), resized(other, other_size, scale))
    colour = OUTLINE if match.verified else UNSURE
    shown = match.correspondences[
        np.linspace(
            0, len(match.correspondences) - 1, min(LINES, len(match.correspondences))
        ).astype(int)
    ]
    starts, ends = shown[:, :2] * query_scale + query_origin, shown[:, 2:] * scale + origin
    veil = canvas.copy()
    for start, end in zip(starts, ends, strict=True):
        first, last = pixels_of(start, end)
        cv2.line(veil, first, last, colour, 1, cv2.LINE_AA)
    canvas = np.asarray(cv2.addWeighted(veil, 0.55, canvas, 0.45, 0), np.uint8)
    for place in np.concatenate([starts, ends]):
        cv2.circle(canvas, pixels_of(place)[0], 3, colour, -1, cv2.LINE_AA)
    if match.outline is not None:
        # an outline may reach far beyond the image; OpenCV draws only what fits 16 bits
        left, top = layout.half  # it is drawn beside the query, not across it
        quad = match.outline * scale + origin - (left, top)
        quad = np.rint(quad.clip(-30_000, 30_000)).astype(np.int32)
        part = canvas[top:, left:].copy()
        cv2.polylines(part, [quad], True, (255, 255, 255), 5, cv2.LINE_AA)
        cv2.polylines(part, [quad], True, colour, 2, cv2.LINE_AA)
        canvas[top:, left:] = part
    said = f"{verdict(match)}: {match.inliers} places agree, {transform_text(match)}"
    return captioned(canvas, said if match.inliers else "nothing agrees")


def draw_comparison(
    first: str | os.PathLike[str] | NDArray[Any],
    second: str | os.PathLike[str] | NDArray[Any],
    comparison: Comparison,
) -> NDArray[np.uint8]:
    """Draw two pictures that were compared: the second laid onto the first beside the first, or
    below it where both are larger then, with the differences framed in both and counted in words.

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
    (one, size), (other, other_size) = read_pixels(first), read_pixels(second)
    layout, (other_scale, _) = laid_out(size, size), laid_out(other_size, other_size).scales
    scale = layout.scales[0]
    one, other = resized(one, size, scale), resized(other, other_size, other_scale)
    homography = (
        np.diag([scale, scale, 1.0])
        @ match.homography
        @ np.diag([1 / other_scale, 1 / other_scale, 1.0])
    )
    laid, covered = aligned(other, homography, (one.shape[1], one.shape[0]))
    laid[~covered] = BACKGROUND
    canvas = canvas_of(layout, one, laid)
    for origin in layout.origins:
        for difference in comparison.differences:
            low = np.array(difference.box[:2]) * scale + origin
            high = low + np.array(difference.box[2:]) * scale
            first_corner, last_corner = pixels_of(low - FRAME, high + FRAME)
            cv2.rectangle(canvas, first_corner, last_corner, (255, 255, 255), 4, cv2.LINE_AA)
            cv2.rectangle(canvas, first_corner, last_corner, DIFFERENT, 2, cv2.LINE_AA)
    return captioned(canvas, f"{verdict(match)}, differences: {len(comparison.differences)}")


@dataclass(frozen=True)
class Layout:
    """Where two pictures are drawn, beside or above one another.

    Attributes:
        shape: (height, width) of the drawing.
        scales: pixels of the drawing that a pixel of each picture covers.
        origins: (x, y) of the top left corner of each.
        half: (x, y) where the part of the second begins, its margin included.
    """

    shape: tuple[int, int]
    scales: tuple[float, float]
    origins: tuple[tuple[int, int], tuple[int, int]]
    half: tuple[int, int]


def laid_out(one: tuple[int, int], other: tuple[int, int]) -> Layout:
    """The layout of two pictures of some (width, height) that shows them larger; beside one another
    if both do.
    """
    layouts = [arranged(one, other, axis) for axis in (0, 1)]
    return max(layouts, key=lambda layout: layout.scales[0] * layout.scales[1])


def arranged(one: tuple[int, int], other: tuple[int, int], axis: int) -> Layout:
    """Two pictures beside (axis 0) or above (1) one another, as large as there is room. Each has
    half of the room, and what the other leaves.
    """
    sizes, room = (one, other), (WIDTH, HEIGHT)
    along, across = room[axis] - 3 * MARGIN, room[1 - axis] - 2 * MARGIN
    most = [min(ENLARGED, across / size[1 - axis]) for size in sizes]
    used = min(most[1] * other[axis], along / 2)
    first = min(most[0], (along - used) / one[axis])
    second = min(most[1], (along - first * one[axis]) / other[axis])
    shown = [target(size, scale) for size, scale in zip(sizes, (first, second), strict=True)]
    widest = max(size[1 - axis] for size in shown)
    starts = (MARGIN, 2 * MARGIN + shown[0][axis])
    whole = (starts[1] + shown[1][axis] + MARGIN, widest + 2 * MARGIN)
    places = [
        (start, MARGIN + (widest - size[1 - axis]) // 2)
        for start, size in zip(starts, shown, strict=True)
    ]
    half = (starts[1] - MARGIN, 0)
    if axis == 0:
        return Layout(whole[::-1], (first, second), (places[0], places[1]), half)
    turned = (places[0][::-1], places[1][::-1])
    return Layout(whole, (first, second), turned, half[::-1])


def target(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """The (width, height) of a picture at a scale; at least a pixel."""
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def read_pixels(
    source: str | os.PathLike[str] | NDArray[Any],
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """A picture for drawing, (h, w, 3) BGR, perhaps shrunk; and its full (width, height)."""
    if not isinstance(source, np.ndarray):
        return read_colours(source, WIDTH)
    size = (source.shape[1], source.shape[0])
    return load_colours(source, max(size)), size


def resized(pixels: NDArray[np.uint8], size: tuple[int, int], scale: float) -> NDArray[np.uint8]:
    """Pixels of a picture of some full size, at a scale of it."""
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, target(size, scale), interpolation=smooth), np.uint8)


def canvas_of(
    layout: Layout, one: NDArray[np.uint8], other: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """A drawing of two pictures, with nothing else yet."""
    canvas = np.full((*layout.shape, 3), BACKGROUND, np.uint8)
    for pixels, (x, y) in zip((one, other), layout.origins, strict=True):
        canvas[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    return canvas


def captioned(canvas: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    """A drawing with a line of text below it, in ASCII; as wide as the text at least."""
    (width, _), _ = cv2.getTextSize(text, *FONT)
    right = max(0, width + 2 * MARGIN - canvas.shape[1])
    canvas = np.asarray(
        cv2.copyMakeBorder(canvas, 0, CAPTION, 0, right, cv2.BORDER_CONSTANT, value=BACKGROUND),
        np.uint8,
    )
    place = (MARGIN, canvas.shape[0] - MARGIN // 2)
    cv2.putText(canvas, text, place, *FONT[:2], INK, FONT[2], cv2.LINE_AA)
    return canvas


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

    require_types(str | os.PathLike, path=path)
    require_output(path)
    if (
        not isinstance(pixels, np.ndarray)
        or pixels.dtype != np.uint8
        or pixels.ndim != 3
        or (pixels.shape[2] != 3 or not pixels.size)
    ):
        raise ParameterError("pixels: are not an array (h, w, 3) of uint8")
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
