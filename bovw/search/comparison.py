"""Two pictures without an index: is one in the other, where, and where do they differ?"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import ranges
from ..errors import ParameterError
from ..features.encoding import EncodedImage, encode, encode_query, load_picture
from ..features.local import extract, mirror
from ..features.vocabulary import Vocabulary, shipped_vocabulary
from ..geometry.certainty import is_certain, log_false_alarms
from ..geometry.difference import Difference, aligned, differences
from ..geometry.verification import Tolerances, verify_candidates
from ..index.weighting import votes
from ..pictures.reading import Picture
from .match import CandidateFit, Geometry, Match, Target, match_of, matched, working_unit
from .ranking import SearchOptions, require_rate
from .result import ARRAY
from .scan import MATCH_DISTANCE, SIGMA

__all__ = ["Comparison", "compare_pictures"]

# Differences are looked for at up to so many pixels on the long side.
DETAIL = 4096


@dataclass(frozen=True)
class Comparison:
    """What two pictures have to do with each other.

    Attributes:
        match: where the second picture lies in the first, as a search would say it.
        differences: where they differ, in pixels of the first, the largest first; None if the match
            is not verified.
    """

    match: Match
    differences: list[Difference] | None


def compare_pictures(
    first: str | os.PathLike[str] | NDArray[Any],
    second: str | os.PathLike[str] | NDArray[Any],
    vocabulary: Vocabulary | None = None,
    *,
    tolerance: int = 2,
    mirror_too: bool = True,
    false_alarms: float = 0.01,
) -> Comparison:
    """Compare two pictures: find the second in the first as a search in an index of the first alone
    would, lay it onto the first, and look for differences.

    Args:
        first, second: picture files, or pixels as OpenCV gives them.
        vocabulary: the shipped RootSIFT one by default; load it once if there are many pairs.
        tolerance: pixels of the first picture by which things may have moved without being
            different.
        mirror_too: whether the second is tried mirrored as well.
        false_alarms: see `SearchOptions`.

    Raises:
        ImageError: a picture cannot be read.
        ParameterError: the tolerance is below 0, or the false alarms are out of range.
    """
    if tolerance < 0:
        raise ParameterError(f"tolerance: {tolerance} is below 0")
    require_rate(false_alarms)
    vocabulary = vocabulary or Vocabulary.load(shipped_vocabulary())
    image, query = (load_picture(source, vocabulary.spec) for source in (first, second))
    match = match_pictures(image, query, vocabulary, mirror_too, false_alarms)
    match = replace(match, path=ARRAY if isinstance(first, np.ndarray) else os.fspath(first))
    found = None
    if match.verified and match.homography is not None:
        found = found_differences(first, second, vocabulary, match.homography, tolerance)
    return Comparison(match, found)


def match_pictures(
    image: Picture, query: Picture, vocabulary: Vocabulary, mirror_too: bool, false_alarms: float
) -> Match:
    """Where the second of two pictures lies in the first."""
    spec = vocabulary.spec
    theirs, own = extract(image, spec), extract(query, spec)
    target = Target("", np.array(image.size, np.float64), 1, spec.max_side, false_alarms)
    if not len(theirs) or not len(own):
        return Match("", 0.0)
    document = encode(theirs, vocabulary)
    queries = encode_query(
        own,
        mirror(own, query, spec) if mirror_too else None,
        vocabulary,
        SearchOptions().words_per_feature,
    )
    variant, feature, partner, distance = close_features(queries, document)
    weight = votes(np.ones(len(partner)), distance, SIGMA)
    order = np.lexsort((partner, feature, -weight, variant))
    variant, feature, partner, weight = (
        variant[order],
        feature[order],
        partner[order],
        weight[order],
    )
    unit = np.full(len(partner), working_unit(max(document.size), spec.max_side))
    position = document.xy[partner, 0].astype(np.float64) + 1j * document.xy[partner, 1]
    geometry = Geometry(
        position,
        document.scale[partner].astype(np.float64),
        document.angle[partner].astype(np.float64),
        unit,
    )
    matches = matched(
        queries, geometry, spec.max_side, variant, len(queries), feature, partner, weight
    )
    fits = verify_candidates(matches, Tolerances())
    weights = [fit.weight if fit else 0.0 for fit in fits]
    alarms = log_false_alarms(matches, fits, np.full(len(queries), target.area), 1)
    certain = is_certain(alarms, false_alarms)
    best = max(range(len(queries)), key=lambda variant: (certain[variant], weights[variant]))
    return match_of(
        queries[best],
        target,
        CandidateFit(weights[best], bool(best), fits[best], float(alarms[best])),
        matches,
    )


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


def found_differences(
    first: str | os.PathLike[str] | NDArray[Any],
    second: str | os.PathLike[str] | NDArray[Any],
    vocabulary: Vocabulary,
    homography: NDArray[np.float64],
    tolerance: int,
) -> list[Difference]:
    """The differences of two pictures that a homography maps, second to first, in pixels of the
    first.
    """
    one, other = (
        load_picture(source, replace(vocabulary.spec, max_side=DETAIL))
        for source in (first, second)
    )
    units = [max(picture.size) / max(picture.gray.shape) for picture in (one, other)]
    shrunk = scaling(1 / units[0]) @ homography @ scaling(units[1])
    height, width = one.gray.shape
    laid, covered = aligned(other.gray, shrunk, (width, height))
    found = differences(one.gray, laid, covered, tolerance)
    return [replace(each, box=enlarged(each.box, units[0])) for each in found]


def scaling(factor: float) -> NDArray[np.float64]:
    """The transform of pixels when a picture is resized by a factor: pixel centres stay pixel
    centres.
    """
    return np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2], [0, 0, 1]])


def enlarged(box: tuple[int, int, int, int], factor: float) -> tuple[int, int, int, int]:
    """A box in pixels of a picture resized by a factor."""
    low, high = (
        np.array([box[0], box[1]]) * factor,
        np.array([box[0] + box[2], box[1] + box[3]]) * factor,
    )
    x, y = np.floor(low + 1e-6).astype(int).tolist()
    right, bottom = np.ceil(high - 1e-6).astype(int).tolist()
    return x, y, right - x, bottom - y
