"""What the engine sees on its way: features, words, votes and what geometry keeps of them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from bovw.geometry.verification import Matches
from bovw.pictures.working import working_unit

from .axes import Axes
from .collection import DATA, QUERY, WALLS, IndexFeatures, Photos, photo_of
from .sheet import (
    AMBER,
    BLUE,
    GREEN,
    VIOLET,
    WIDTH,
    Colour,
    Pixels,
    Sheet,
    fitted,
    upright,
)

__all__ = ["features", "votes", "words"]

# A SIFT descriptor looks at a square of so many times the size of its feature.
WINDOW = 6.0
# A picture, a closer look at a part of it (x, y, width, height), and the ground between them.
SHOWN, PART, GAP = 510, (430, 60, 240, 262), 12
# Windows that are shown there, in pixels of the picture.
SMALLEST, LARGEST = 14.0, 110.0
# Words that are shown, in how many pictures each, and how large a patch of theirs is at least.
ROWS, COLUMNS, LEAST = 4, 5, 3.0
COLOURS: tuple[Colour, ...] = (GREEN, AMBER, BLUE, VIOLET)
PATCH, THUMBNAIL = 74, (90, 74)


def features(photos: Photos) -> Sheet:
    """The features of a photograph, and the patches that some of them describe."""
    photo, held = photo_of(DATA / WALLS), photos.features()
    number = [record.id for record in photos.index.records()].index(WALLS)
    own = np.flatnonzero(held.image == number)
    places, scale = np.column_stack([held.x[own], held.y[own]]), held.scale[own]
    whole = fitted(photo, SHOWN, 2 * SHOWN)
    shrink = whole.shape[1] / photo.shape[1]
    left, top, width, height = PART
    part = photo[top : top + height, left : left + width]
    part = fitted(part, WIDTH, whole.shape[0])
    zoom = part.shape[0] / height
    sheet = Sheet(SHOWN + GAP + part.shape[1], whole.shape[0] + 30)
    sheet.picture(SHOWN + GAP, 0, part)
    for row in apart(places, WINDOW * scale):
        x, y = places[row].tolist()
        square = square_of(x, y, WINDOW * scale[row], held.angle[own][row])
        square = (square - (left, top)) * zoom
        if (square > 4).all() and (square < (part.shape[1] - 4, part.shape[0] - 4)).all():
            square += (SHOWN + GAP, 0)
            sheet.outline(square, AMBER, 1)
            # from the middle to the middle of the side that its orientation points to
            sheet.lines(square.mean(axis=0)[None], square[1:3].mean(axis=0)[None], AMBER, width=2)
    sheet.picture(0, 0, whole)
    sheet.rings(places * shrink, np.maximum(scale / 2 * shrink, 1.2), GREEN, opacity=0.8)
    sheet.outline(square_of(left + width / 2, top + height / 2, width, 0.0, height) * shrink, AMBER)
    bottom = sheet.pixels.shape[0] - 8
    sheet.text(0, bottom, f"{len(own):,} features, each at its size")
    sheet.text(SHOWN + GAP, bottom, "the patches that some of them describe")
    return sheet


def apart(places: NDArray[np.float64], sizes: NDArray[np.float64]) -> list[int]:
    """Features of windows of some sizes that hardly overlap, the largest first."""
    chosen = list[int]()
    for row in np.argsort(-sizes, kind="stable").tolist():
        away = np.abs(places[chosen] - places[row]).max(axis=1, initial=0.0)
        if (
            SMALLEST < sizes[row] < LARGEST
            and (away > 0.6 * (sizes[chosen] + sizes[row]) / 2).all()
        ):
            chosen.append(row)
    return chosen


def words(photos: Photos) -> Sheet:
    """Some visual words: where each is seen in several pictures, and what is seen there."""
    held = photos.features()
    records = list(photos.index.records())
    documents = photos.collection.statistics.document_frequencies
    pictures = [photo_of(record.path) for record in records]
    chosen = telling_words(held, pictures, documents)
    cell = PATCH + THUMBNAIL[0] + 4
    row_height = PATCH + 34
    sheet = Sheet(COLUMNS * (cell + 10) + 10, ROWS * row_height + 6)
    for row, members in enumerate(chosen):
        top = row * row_height + 26
        word = int(held.word[members[0]])
        sheet.text(10, top - 7, f"word {word:,}, in {documents[word]} of {len(records)} pictures")
        for column, member in enumerate(members[:COLUMNS]):
            left = 10 + column * (cell + 10)
            place_word(sheet, held, member, pictures[held.image[member]], left, top, COLOURS[row])
    return sheet


def place_word(
    sheet: Sheet,
    held: IndexFeatures,
    member: int,
    picture: Pixels,
    left: int,
    top: int,
    colour: Colour,
) -> None:
    """Draw a feature as a square in its picture, and its patch beside it, upright and grey."""
    x, y, scale, angle = (
        float(getattr(held, name)[member]) for name in ("x", "y", "scale", "angle")
    )
    small = fitted(picture, *THUMBNAIL)
    shrink = small.shape[1] / picture.shape[1]
    down = top + (PATCH - small.shape[0]) // 2
    sheet.picture(left + THUMBNAIL[0] - small.shape[1], down, small)
    origin = (left + THUMBNAIL[0] - small.shape[1], down)
    seen = max(WINDOW * scale * shrink, 9.0)
    sheet.outline(square_of(x * shrink, y * shrink, seen, angle) + origin, colour, 1)
    patch = grey(upright(picture, x, y, WINDOW * scale, angle, PATCH))
    sheet.box(left + THUMBNAIL[0] + 2, top - 2, PATCH + 4, PATCH + 4, colour)
    sheet.picture(left + THUMBNAIL[0] + 4, top, np.repeat(patch[..., None], 3, axis=2))


def telling_words(
    held: IndexFeatures, pictures: list[Pixels], documents: NDArray[np.int64]
) -> list[NDArray[np.int64]]:
    """The words whose patches look most alike, of those that enough pictures have large; the
    features of each, one a picture, the largest first.
    """
    found = list[tuple[float, NDArray[np.int64]]]()
    width, height = np.array([each.shape[1::-1] for each in pictures])[held.image].T
    margin = WINDOW * held.scale * 0.75
    inside = (np.minimum(held.x, width - held.x) > margin) & (
        np.minimum(held.y, height - held.y) > margin
    )
    for word in np.flatnonzero(documents >= COLUMNS).tolist():
        members = np.flatnonzero((held.word == word) & (held.scale >= LEAST) & inside)
        members = members[np.argsort(-held.scale[members], kind="stable")]
        _, first = np.unique(held.image[members], return_index=True)
        members = members[np.sort(first)][:COLUMNS]
        if len(members) == COLUMNS:
            found.append((likeness(held, pictures, members), members))
    found.sort(key=lambda each: -each[0])
    return [members for _, members in found[:ROWS]]


def likeness(held: IndexFeatures, pictures: list[Pixels], members: NDArray[np.int64]) -> float:
    """How alike the patches of some features are, beyond that one side of all is brighter: the
    mean correlation of what a slope does not explain.
    """
    side = 24
    row, column = np.mgrid[:side, :side].reshape(2, -1)
    slope = np.column_stack([row, column, np.ones(side * side)])
    rest = []
    for each in members.tolist():
        window = WINDOW * held.scale[each]
        picture = pictures[held.image[each]]
        patch = upright(picture, held.x[each], held.y[each], window, held.angle[each], side)
        values = grey(patch).ravel().astype(np.float64)
        rest.append(values - slope @ np.linalg.lstsq(slope, values, rcond=None)[0])
    return float(np.corrcoef(rest).mean())


def grey(patch: Pixels) -> Pixels:
    """A patch as descriptors see it: without colour, in full contrast."""
    values = cv2.cvtColor(patch, cv2.COLOR_BGR2GRAY)
    low, high = np.percentile(values, [1, 99])
    spread = (values.astype(np.float64) - low) / max(high - low, 1.0)
    return np.asarray(np.rint(40 + 190 * spread.clip(0, 1)), np.uint8)


def votes(photos: Photos) -> Sheet:
    """The matches of the query with its photograph by words alone, those that geometry keeps, and
    why: they agree in turn and scale.
    """
    matches, rows, fit = photos.look(QUERY).of(WALLS)
    kept = np.zeros(len(matches.candidate), bool)
    kept[fit.inliers if fit else []] = True
    query, photo = photo_of(QUERY), photo_of(DATA / WALLS)
    panel, gap = 290, 15
    above, below = fitted(query, 150, 400), fitted(photo, panel, 400)
    height = above.shape[0] + 24 + below.shape[0]
    sheet = Sheet(WIDTH, height + 44)
    ways = ((rows[~kept[rows]], AMBER), (rows[kept[rows]], GREEN))
    for number, (title, shown) in enumerate(
        [("matches by words", ways), ("that geometry keeps", ways[1:])]
    ):
        left = number * (panel + gap) + gap
        start = np.array([left + (panel - above.shape[1]) / 2, 10])
        end = np.array([left, 10 + above.shape[0] + 24])
        sheet.picture(start[0], start[1], above)
        sheet.picture(end[0], end[1], below)
        for chosen, colour in shown:
            ends = drawn(matches.image[chosen], photo, below) + end
            starts = drawn(matches.query[chosen], query, above) + start
            sheet.lines(starts, ends, colour, 0.6)
            sheet.dots(np.concatenate([starts, ends]), 2, colour)
        count = sum(len(chosen) for chosen, _ in shown)
        sheet.text(left, height + 32, f"{count} {title}")
    plot_agreement(sheet, matches, ways, 2 * (panel + gap) + gap, 10, height)
    return sheet


def drawn(places: NDArray[np.complex128], picture: Pixels, shown: Pixels) -> NDArray[np.float64]:
    """Where places in working pixels of a picture are in a drawing of it: (n, 2)."""
    height, width = picture.shape[:2]
    unit = working_unit(width, height, 1024)
    points = np.column_stack([places.real, places.imag]) * unit
    return np.asarray((points + 0.5) * shown.shape[1] / width)


def plot_agreement(
    sheet: Sheet,
    matches: Matches,
    ways: Sequence[tuple[NDArray[np.int64], Colour]],
    left: int,
    top: int,
    height: int,
) -> None:
    """Draw by how much each match says that the query is turned and scaled."""
    axes = Axes(sheet, (left + 26, top, WIDTH - 15, top + height - 40), (-180, 180), (-3, 3))
    axes.across([(degrees, f"{degrees}\N{DEGREE SIGN}") for degrees in (-180, -90, 0, 90, 180)])
    axes.up([(octaves, f"{2.0**octaves:g}") for octaves in (-2, -1, 0, 1, 2)])
    for chosen, colour in ways:
        turn = np.degrees(np.angle(np.exp(1j * matches.turn[chosen])))
        octaves = (matches.log_scale[chosen] / np.log(2)).clip(-3, 3)
        axes.points(turn, octaves, 3, colour)
    sheet.text(left + 26, top + height + 22, "turn and scale that each implies")


def square_of(
    x: float, y: float, width: float, angle: float, height: float | None = None
) -> NDArray[np.float64]:
    """The corners (4, 2) of a square or a box around a place, turned by an angle in radians."""
    across, down = width / 2, (width if height is None else height) / 2
    flat = np.array([[-across, -down], [across, -down], [across, down], [-across, down]])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(flat @ turn + (x, y))
