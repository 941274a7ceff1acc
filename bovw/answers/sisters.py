"""Nearly equal images among the verified ones: which verify each other, and which of them the query
shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError
from ..features.vocabulary import Vocabulary
from ..geometry.transform import corners_of, decompose, project, select_transform
from ..pictures.pixels import colours_of_array
from ..pictures.reading import Box, fitted, read_colours
from ..pictures.working import working_unit
from ..search.comparison import match_pictures, scaling
from ..search.match import SELECT_PIXELS, Match
from ..search.query import QueryFeatures, extract_query
from .likeness import likenesses

__all__ = ["LOOKED_AT", "tell_sisters"]

Matrix = NDArray[np.float64]
Pixels = NDArray[np.uint8]
# So many of the best verified images are looked at.
LOOKED_AT = 8
# Long side in pixels at which images are matched with one another, and at which they are compared.
MATCHED_SIDE, COMPARED_SIDE = 320, 160
# No picture is read larger than this for it.
READ_SIDE = 1024
# A likeness higher by this goes first.
LEAD = 0.05


@dataclass(frozen=True)
class Sister:
    """A verified image that is nearly equal to another one.

    Attributes:
        match: what the search says of it.
        to_first: (3, 3) maps its pixels to those of the first of its group.
    """

    match: Match
    to_first: Matrix


def tell_sisters(
    query: QueryFeatures,
    matches: list[Match],
    vocabulary: Vocabulary,
    false_alarms: float,
    unread: list[str],
) -> list[Match]:
    """Matches with the groups of the best images that verify each other, their likeness to the
    query, and those of a group in the order of it, where it tells.

    An image without a file, or with one that cannot be read any more, is left as it is.

    Args:
        matches: those of a search, best first; of the same image one after the other.
        false_alarms: see `SearchOptions`.
        unread: is told the images that are left as they are although they have a file.
    """
    blocks = [list(block) for _, block in groupby(matches, key=lambda match: match.id)]
    best = [block[0] for block in blocks if block[0].verified and block[0].path][:LOOKED_AT]
    if len(best) < 2:
        return matches
    place = {block[0].id: at for at, block in enumerate(blocks)}
    told = list(blocks)
    for number, group in enumerate(groups_of(best, vocabulary, false_alarms, unread), 1):
        ids = [sister.match.id for sister in group]
        found = group_likenesses(query, group, unread)
        order = ordered_by(found) if found else range(len(ids))
        for at, row in zip(sorted(place[each] for each in ids), order, strict=True):
            likeness = found[row] if found else None
            told[at] = [
                replace(match, sisters=number, likeness=likeness)
                for match in blocks[place[ids[row]]]
            ]
    return [match for block in told for match in block]


def groups_of(
    matches: Sequence[Match], vocabulary: Vocabulary, false_alarms: float, unread: list[str]
) -> list[list[Sister]]:
    """Images that verify the first of their group; those that verify none are left out."""
    spec = replace(vocabulary.spec, max_side=min(MATCHED_SIDE, vocabulary.spec.max_side))
    waiting = list[tuple[Match, QueryFeatures]]()
    for match in matches:
        try:
            features = extract_query(match.path, spec, mirrored=False)
        except ImageError:
            unread.append(match.name)
            continue
        if features.size == match.size:
            waiting.append((match, features))
        else:  # it is another picture by now
            unread.append(match.name)
    groups = []
    while waiting:
        (first, shown), *others = waiting
        group, waiting = [Sister(first, np.eye(3))], []
        for match, features in others:
            found = match_pictures(shown, features, vocabulary, false_alarms)
            if found.verified and found.homography is not None:
                group.append(Sister(match, found.homography))
            else:
                waiting.append((match, features))
        if len(group) > 1:
            groups.append(group)
    return groups


def ordered_by(likeness: Sequence[float]) -> list[int]:
    """Places 0, 1, ... such that each goes before those above it whose likeness is clearly less."""
    order = list[int]()
    for number, value in enumerate(likeness):
        at = len(order)
        while at and value >= likeness[order[at - 1]] + LEAD:
            at -= 1
        order.insert(at, number)
    return order


def group_likenesses(
    query: QueryFeatures, group: Sequence[Sister], unread: list[str]
) -> list[float] | None:
    """The likeness of each image of a group to the query; None if it does not tell."""
    first = group[0].match
    to_first = pooled_transform(query, group)
    frame = frame_of(project(to_first, corners_of(query.box)), first.size)
    if frame is None:
        return None
    to_frame, size = frame
    try:
        seen, covered = laid(
            lambda side: query_colours(query, side),
            query.size,
            query.box,
            to_frame @ to_first,
            size,
        )
        pictures = []
        for sister in group:
            match = sister.match
            picture, there = laid(
                reader(match.path),
                match.size,
                (0, 0, *match.size),
                to_frame @ sister.to_first,
                size,
            )
            pictures.append(picture)
            covered &= there
    except ImageError as error:
        unread.append(error.path)
        return None
    return likenesses(seen, pictures, covered)


def pooled_transform(query: QueryFeatures, group: Sequence[Sister]) -> Matrix:
    """Maps the query to the first of a group, by what agrees in any of its images."""
    first = group[0].match
    assert first.homography is not None  # it is verified
    found = [(sister.match.correspondences, sister.to_first) for sister in group]
    pairs = np.concatenate(
        [np.hstack([each[:, :2], project(to_first, each[:, 2:])]) for each, to_first in found]
    )
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    corners = corners_of(query.box)
    if first.mirrored:
        corners = corners[::-1]
    pixels = SELECT_PIXELS * float(working_unit(*first.size, READ_SIDE))
    return select_transform(pairs[:, :2], pairs[:, 2:], first.homography, corners, pixels).matrix


def frame_of(
    outline: NDArray[np.float64], size: tuple[int, int]
) -> tuple[Matrix, tuple[int, int]] | None:
    """The part of a picture that an outline (4, 2) covers, in the size at which it is compared:
    the transform from the picture to it, and its (width, height). None if there is hardly any.
    """
    if not np.isfinite(outline).all():
        return None
    low = np.maximum(outline.min(axis=0), 0)
    sides = np.minimum(outline.max(axis=0), size) - low
    if sides.min() < 8:
        return None
    factor = min(1.0, COMPARED_SIDE / float(sides.max()))
    to_frame = np.diag([factor, factor, 1.0]) @ [[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]]
    width, height = np.maximum(1, np.round(sides * factor)).astype(int).tolist()
    return to_frame, (width, height)


def laid(
    read: Callable[[int], Pixels],
    size: tuple[int, int],
    box: Box,
    to_frame: Matrix,
    frame: tuple[int, int],
) -> tuple[Pixels, NDArray[np.bool_]]:
    """A part of a picture laid onto a frame: (h, w, 3) and where it covers it (h, w).

    Args:
        read: gives the picture, shrunk to a long side.
    """
    middle = project(np.asarray(np.linalg.inv(to_frame)), np.array([frame], float) / 2)[0]
    scale = decompose(to_frame, middle, False)[1]
    side = max(size) * scale if np.isfinite(scale) else READ_SIDE
    pixels = read(int(min(max(side, 32), READ_SIDE)))
    matrix = to_frame @ scaling(max(size) / max(pixels.shape[:2]))
    picture = cv2.warpPerspective(pixels, matrix, frame, flags=cv2.INTER_LINEAR)
    covered = np.zeros(frame[::-1], np.uint8)
    corners = project(to_frame, corners_of(box))
    if np.isfinite(corners).all():
        corners = np.clip(corners, -1e4, 1e4)
        cv2.fillConvexPoly(covered, np.round(corners).astype(np.int32), 1)
    return np.asarray(picture, np.uint8), covered > 0


def reader(path: str) -> Callable[[int], Pixels]:
    """Reads a picture file at the size that is asked for."""
    return lambda side: read_colours(path, side)[0]


def query_colours(query: QueryFeatures, side: int) -> Pixels:
    """The whole picture of a query (h, w, 3), shrunk to a long side."""
    content = query.content
    if not isinstance(content, np.ndarray):
        return read_colours(content, side)[0]
    return fitted(colours_of_array(content), (content.shape[1], content.shape[0]), side)
