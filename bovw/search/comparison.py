"""Two pictures without an index: is one in the other, where, and where do they differ?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import ranges
from ..errors import ParameterError, require_types
from ..features.encoding import EncodedImage, encode
from ..features.vocabulary import Vocabulary
from ..geometry.certainty import is_certain
from ..geometry.difference import Difference, aligned, differences
from ..pictures.reading import (
    LIMITS,
    Box,
    Limits,
    Source,
    load_colour_picture,
    name_of,
    source_content,
)
from ..pictures.working import working_area, working_unit
from .match import (
    CandidateFit,
    FeatureGeometry,
    Match,
    Target,
    describe_match,
    matches_of,
)
from .options import SearchOptions, require_rate
from .postings import MATCH_DISTANCE
from .query import QueryFeatures, encode_variants, extract_query
from .ranking import fit_candidates
from .scan import SIGMA
from .weighting import votes

__all__ = [
    "Comparison",
    "compare_pictures",
    "match_pictures",
    "scaling",
]

# Differences are looked for at up to so many pixels on the long side.
DETAIL = 4096
# Pixels by which things may have moved at most: what is compared grows with its square.
MOST_TOLERANT = 100
# Beyond these everything differs, or nothing.
SENSITIVITIES = (0.1, 10)


@dataclass(frozen=True)
class Comparison:
    """What two pictures have to do with each other.

    Attributes:
        match: where the second picture lies in the first, as a search would say it.
        differences: where they differ, in pixels of the first, the largest first; None if the match
            is not verified.
        notes: of the first and of the second picture: empty, or that it is cut off, and how much of
            it was compared, or that it has no features.

    Example:
        >>> from bovw import compare_pictures
        >>> comparison = compare_pictures("photos/carcassonne-walls.jpg", "query.jpg")
        >>> comparison.match.verified, comparison.differences
        (True, [])
    """

    match: Match
    differences: list[Difference] | None
    notes: tuple[str, str] = ("", "")

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values: what `bovw compare --json` prints, beside the names."""
        facts = self.match.to_dict()
        for name in ("image", "id", "metadata", "score", "sisters", "likeness"):
            del facts[name]
        found = self.differences
        shown = None if found is None else [one.to_dict() for one in found]
        notes = {"notes": list(self.notes)} if any(self.notes) else {}
        return {**facts, "differences": shown, **notes}


def compare_pictures(
    first: Source,
    second: Source,
    vocabulary: Vocabulary | None = None,
    *,
    tolerance: int = 2,
    sensitivity: float = 1.0,
    mirror_too: bool = True,
    false_alarms: float = 0.01,
    box: Box | None = None,
    limits: Limits = LIMITS,
) -> Comparison:
    """Compare two pictures: find the second in the first as a search in an index of the first alone
    would, lay it onto the first, and look for differences.

    Args:
        first, second: pictures: paths, bytes of files, file objects, or pixels as OpenCV gives
            them.
        vocabulary: the shipped RootSIFT one by default; load it once if there are many pairs.
        tolerance: pixels of the first picture by which things may have moved without being
            different.
        sensitivity: above 1 for fainter differences, below 1 for strong ones only
            (docs/compare.md).
        mirror_too: whether the second is tried mirrored as well.
        false_alarms: see `SearchOptions`.
        box: x, y, width, height of the part of the second to compare, in pixels.
        limits: what each picture may cost, but for the time: nothing here can end a decoder that
            hangs.

    Raises:
        ImageError: a picture cannot be read.
        ParameterError: tolerance, sensitivity or false alarms are out of range, or the box does not
            lie in the second.

    Example:
        >>> from bovw import compare_pictures
        >>> comparison = compare_pictures("photos/carcassonne-walls.jpg", "query.jpg")
        >>> round(comparison.match.rotation)
        25
    """
    if type(tolerance) is not int or not 0 <= tolerance <= MOST_TOLERANT:
        raise ParameterError(f"tolerance: {tolerance!r} is no whole number of 0 to {MOST_TOLERANT}")
    least, most = SENSITIVITIES
    if not isinstance(sensitivity, (int, float)) or not least <= sensitivity <= most:
        raise ParameterError(f"sensitivity: {sensitivity!r} is no number of {least} to {most}")
    require_rate(false_alarms)
    require_types(Vocabulary | None, vocabulary=vocabulary)
    require_types(bool, mirror_too=mirror_too)
    vocabulary = vocabulary or Vocabulary.shipped()
    name, one, other = name_of(first), source_content(first, limits), source_content(second, limits)
    image = extract_query(one, vocabulary.spec, mirrored=False, limits=limits)
    query = extract_query(other, vocabulary.spec, mirrored=mirror_too, box=box, limits=limits)
    match = match_pictures(image, query, vocabulary, false_alarms)
    found = None
    if match.verified and match.homography is not None:
        found = find_differences(one, other, match.homography, tolerance, sensitivity, box, limits)
    notes = (note_of(image), note_of(query))
    return Comparison(replace(match, id=name, path=name), found, notes)


def note_of(picture: QueryFeatures) -> str:
    """What is to be said of a picture that is compared."""
    blank = "" if len(picture.features) else "has no features (blank or very smooth)"
    return "; ".join(filter(None, (picture.note, blank)))


def match_pictures(
    image: QueryFeatures, query: QueryFeatures, vocabulary: Vocabulary, false_alarms: float
) -> Match:
    """Where the second of two pictures lies in the first."""
    nothing = Match("", 0.0, size=image.size, checked=True)
    if not len(image.features) or not len(query.features):
        return nothing
    document, max_side = encode(image.features, vocabulary), vocabulary.spec.max_side
    variants = encode_variants(query, vocabulary, SearchOptions(mirror=query.mirrored is not None))
    encoded = [each.encoded for each in variants]
    variant, feature, partner, distance = close_features(encoded, document)
    weight = votes(np.ones(len(partner)), distance, SIGMA)
    order = np.lexsort((partner, feature, -weight, variant))
    variant, feature, partner = variant[order], feature[order], partner[order]
    weight = weight[order]
    geometry = FeatureGeometry(
        position=document.xy[partner, 0].astype(np.float64) + 1j * document.xy[partner, 1],
        scale=document.scale[partner].astype(np.float64),
        angle=document.angle[partner].astype(np.float64),
        unit=np.full(len(partner), working_unit(*document.size, max_side)),
    )
    matches = matches_of(
        encoded, geometry, max_side, variant, len(variants), feature, partner, weight
    )
    size = np.array(image.size, np.float64)
    areas = np.repeat(working_area(size[None], max_side), len(variants))
    fits, alarms = fit_candidates(matches, areas, 1)
    weights = [fit.weight if fit else 0.0 for fit in fits]
    certain = is_certain(alarms, false_alarms)
    best = max(range(len(variants)), key=lambda variant: (certain[variant], weights[variant]))
    target = Target(nothing, size, 1, max_side, false_alarms)
    found = CandidateFit(weights[best], fits[best], float(alarms[best]))
    return describe_match(variants[best], target, found, matches)


def close_features(
    queries: list[EncodedImage], document: EncodedImage
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """All pairs of features that share a word and have close signatures: variant, feature of the
    query counted through the variants, feature of the document, Hamming distance."""
    words = np.concatenate([query.words.ravel() for query in queries])
    signatures = np.concatenate([query.signatures.ravel() for query in queries])
    order = np.argsort(document.words[:, 0], kind="stable")
    low = np.searchsorted(document.words[order, 0], words)
    counts = np.searchsorted(document.words[order, 0], words, side="right") - low
    slot, row = ranges(low, counts)
    partner = order[row]
    distance = np.bitwise_count(signatures[slot] ^ document.signatures[partner, 0])
    close = np.flatnonzero(distance <= MATCH_DISTANCE)
    feature = slot[close] // queries[0].words.shape[1]
    return feature // len(queries[0]), feature, partner[close], distance[close]


def find_differences(
    first: Source,
    second: Source,
    homography: NDArray[np.float64],
    tolerance: int,
    sensitivity: float = 1.0,
    box: Box | None = None,
    limits: Limits = LIMITS,
) -> list[Difference]:
    """The differences of two pictures that a homography maps, second to first, in pixels of the
    first, where both have any; those of a part of the second, if a box says which.
    """
    one, other = (load_colour_picture(source, DETAIL, limits) for source in (first, second))
    units = [max(picture.box[2:]) / max(picture.pixels.shape[:2]) for picture in (one, other)]
    # what is missing of a picture that is cut off is not compared
    to_one, from_other = (
        shifted(*picture.box[:2]) @ scaling(unit)
        for picture, unit in zip((one, other), units, strict=True)
    )
    pixels = other.pixels
    if box is not None:
        left, top, right, bottom = part_of(box, units[1], other.box, pixels.shape)
        pixels, from_other = pixels[top:bottom, left:right], from_other @ shifted(left, top)
    height, width = one.pixels.shape[:2]
    laid, covered = aligned(
        pixels, np.linalg.inv(to_one) @ homography @ from_other, (width, height)
    )
    found = differences(one.pixels, laid, covered, tolerance, sensitivity)
    return [replace(each, box=enlarged(each.box, units[0], one.box)) for each in found]


def part_of(box: Box, unit: float, part: Box, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The left, top, right and bottom of a box of a picture, in pixels of a part of it that was
    shrunk by a factor to this shape: one pixel at least.
    """
    x, y, width, height = box
    left = min(max(round((x - part[0]) / unit), 0), shape[1] - 1)
    top = min(max(round((y - part[1]) / unit), 0), shape[0] - 1)
    right = max(round((x + width - part[0]) / unit), left + 1)
    return left, top, right, max(round((y + height - part[1]) / unit), top + 1)


def shifted(x: int, y: int) -> NDArray[np.float64]:
    """The transform that moves pixels by x to the right and by y down."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def scaling(factor: float) -> NDArray[np.float64]:
    """The transform of pixels when a picture is resized by a factor: pixel centres stay pixel
    centres.
    """
    return np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2], [0, 0, 1]])


def enlarged(box: Box, factor: float, part: Box) -> Box:
    """A box in pixels of a part of a picture, resized by a factor, in pixels of the picture."""
    low, high = (
        np.array([box[0], box[1]]) * factor,
        np.array([box[0] + box[2], box[1] + box[3]]) * factor,
    )
    x, y = np.floor(low + 1e-6).astype(int).tolist()
    right, bottom = np.ceil(high - 1e-6).astype(int).tolist()
    return part[0] + x, part[1] + y, right - x, bottom - y
