"""Re-matching at the pixels: uncertain candidates are read again and compared with the query
feature by feature, where the search puts it.

A search sees an image as words of at most some thousand features. Where it is not certain, the
pictures themselves tell more: at the resolution of the query, with all descriptors, matched
exhaustively with the ratio test (Lowe, IJCV 2004).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, ParameterError
from ..features.encoding import EncodedImage
from ..features.local import Features, FeatureSpec, as_unit_vectors, extract, mirror
from ..features.threads import one_blas_thread
from ..geometry.transform import flip_in
from ..geometry.verification import Matches
from ..pictures.reading import LIMITS, Box, Limits, Picture, load_picture
from ..search.match import (
    CandidateFit,
    FeatureGeometry,
    Match,
    Target,
    describe_match,
    matches_of,
)
from ..search.options import SearchOptions
from ..search.query import QueryFeatures, Variant
from ..search.ranking import fit_candidates

__all__ = ["Rematching", "rematch"]

# Features of a query and of an image that make a pair, and how distinct each is.
Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
# So many candidates are read again where something of them agrees, and so many where nothing does.
LOCATED, UNLOCATED = 10, 3
# Both pictures are compared at twice the resolution of the coarser one, unless the query has more
# pixels than this then; and so many features of each at most.
PIXELS, FEATURES = 400_000, 4000
# An image has at most so many when it is extracted from.
LARGEST = 1_000_000
# How much the place of the query in a candidate is enlarged on each side, as a share of its own.
MARGIN = 0.25
# A match is distinct if the second-best partner is so much farther away, as a ratio of distances.
RATIO = 0.8
# Partners nearer than this to the best one, in pixels of the extraction, are the same place.
SAME_PLACE = 4.0
# Partners among which the second-best is looked for.
RIVALS = 4
# Smaller places hold no features.
LEAST_SIDE = 8


@dataclass(frozen=True)
class Rematching:
    """What re-matching must know of the search before it.

    Attributes:
        options: of the search.
        spec: the kind of features, and the working size of the index.
        image_count: of the index; as many could agree by chance.
        tests: how many tests a candidate has had with this one; its false alarms count them all.
        unread: is told the images whose files are gone, or are other pictures by now.
    """

    options: SearchOptions
    spec: FeatureSpec
    image_count: int
    tests: int = 2
    unread: list[str] = field(default_factory=list)
    limits: Limits = LIMITS


@dataclass(frozen=True)
class Sample:
    """A picture at some resolution.

    Attributes:
        picture: as it was extracted from.
        features: in pixels of the original.
    """

    picture: Picture
    features: Features


def rematch(query: QueryFeatures, matches: Sequence[Match], search: Rematching) -> list[Match]:
    """Matches of a query of which some may be verified now, best first: the verified ones, then the
    others in their order.

    Of those that are not verified, the first ten of which something agrees are looked at where it
    puts the query; and if none of these is verified, the first three of which nothing agrees, all
    over. What has no file any more, or another size, stays as it is.
    """
    extracted, better = dict[tuple[float, bool], Sample](), dict[str, Match]()
    uncertain = [match for match in matches if not match.verified]
    located = [match for match in uncertain if match.inliers][:LOCATED]
    for chosen in located, [match for match in uncertain if not match.inliers][:UNLOCATED]:
        for match in chosen:
            better[match.id] = looked_at_again(query, match, search, extracted)
        if any(match.verified for match in better.values()):
            break
    found = [better.get(match.id, match) for match in matches]
    return sorted(found, key=lambda match: (not match.verified, -match.score * match.verified))


def looked_at_again(
    query: QueryFeatures,
    match: Match,
    search: Rematching,
    extracted: dict[tuple[float, bool], Sample],
) -> Match:
    """A match as its pixels tell it; as it was, if it is not verified then.

    Args:
        extracted: the query by the factor that its picture is resized by, and whether it is its
            negative; more are put there.
    """
    picture = read_place(match, search)
    if picture is None:
        return match
    # pixels of the image that one of the query's picture covers
    scale = 1.0
    if match.scale is not None:
        scale = match.scale * query.box[2] / query.picture.gray.shape[1]
    factor = query_factor(query.picture, scale)
    image_factor = min(factor / scale, float(np.sqrt(LARGEST / picture.gray.size)))
    key = factor, match.negative
    if key not in extracted:
        shown = query.picture
        if match.negative:
            shown = replace(shown, gray=np.asarray(255 - shown.gray, np.uint8))
        extracted[key] = extract_sample(shown, factor, search.spec)
    own = extracted[key]
    features, matrix = own.features, np.eye(3)
    if match.mirrored:
        features, matrix = mirror(features, own.picture, search.spec), flip_in(query.box)
    image = extract_sample(picture, image_factor, search.spec).features
    pairs = distinct_pairs(features, image, SAME_PLACE / image_factor)
    variant = Variant(bare(features), query.box, matrix, match.mirrored, match.negative)
    return judged(match, variant, image, pairs, search)


def judged(
    match: Match, variant: Variant, image: Features, pairs: Pairs, search: Rematching
) -> Match:
    """What the pairs of features of a query and a place in an image say; the match as it was, if
    they do not verify it.
    """
    target = Target(
        found=replace(match, expanded=False, checked=True),
        size=np.array(match.size, np.float64),
        image_count=search.image_count,
        max_side=search.spec.max_side,
        false_alarms=search.options.false_alarms / search.tests,
    )
    tentative = tentative_matches(variant, image, target, pairs)
    area = np.array([image.box[2] * image.box[3] / target.unit**2])
    (fit,), (alarms,) = fit_candidates(tentative, area, search.image_count)
    if fit is None:
        return match
    found = CandidateFit(fit.weight, fit, float(alarms))
    better = describe_match(variant, target, found, tentative)
    counted = better.log_false_alarms + float(np.log10(search.tests))
    return replace(better, log_false_alarms=counted) if better.verified else match


def read_place(match: Match, search: Rematching) -> Picture | None:
    """Where a match puts the query in its picture, as it is in the file; all of it at working size,
    if nothing agreed. None if the file is gone or another one.
    """
    place = place_of(match)
    if not match.path or min(place[2:]) < LEAST_SIDE:
        return None
    max_side = search.spec.max_side if match.scale is None else max(place[2:])
    try:
        picture = load_picture(match.path, max_side, place, search.limits)
    except (ImageError, ParameterError):
        picture = None
    if picture is None or picture.size != match.size:
        search.unread.append(match.name)
        return None
    return picture


def query_factor(picture: Picture, scale: float) -> float:
    """By what the query's picture is resized, in steps of half an octave, so that few sizes are
    extracted.

    Args:
        scale: pixels of the image that one of its pixels covers.
    """
    factor = min(2 * min(1.0, scale), float(np.sqrt(PIXELS / picture.gray.size)))
    return float(2 ** (np.floor(2 * np.log2(factor)) / 2))


def place_of(match: Match) -> Box:
    """The box in an image where a match puts the query, enlarged; all of it, if nothing agreed."""
    if match.outline is None or not np.isfinite(match.outline).all():
        return (0, 0, *match.size)
    low, high = match.outline.min(axis=0), match.outline.max(axis=0)
    margin = MARGIN * (high - low)
    low, high = np.floor(low - margin), np.ceil(high + margin) + 1
    low, high = np.clip(low, 0, match.size), np.clip(high, 0, match.size)
    x, y = low.astype(int).tolist()
    width, height = (high - low).astype(int).tolist()
    return x, y, width, height


def extract_sample(picture: Picture, factor: float, spec: FeatureSpec) -> Sample:
    """A picture resized by a factor, and its features in pixels of the original."""
    height, width = picture.gray.shape
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    gray = np.asarray(cv2.resize(picture.gray, size, interpolation=method), np.uint8)
    sample = replace(picture, gray=gray)
    return Sample(sample, extract(sample, replace(spec, max_features=FEATURES)))


def bare(features: Features) -> EncodedImage:
    """Features without words."""
    nothing = (len(features), 0)
    return EncodedImage(
        words=np.zeros(nothing, np.int32),
        signatures=np.zeros(nothing, np.uint64),
        xy=features.xy,
        scale=features.scale,
        angle=features.angle,
        size=features.size,
        box=features.box,
    )


def distinct_pairs(query: Features, image: Features, same_place: float) -> Pairs:
    """Pairs of features (n,) that are nearest to each other and distinct in both pictures: the
    second-best partner is farther away (Lowe, IJCV 2004). With the ratio of the distances, the
    larger of both.

    Args:
        same_place: partners within so many pixels of the image are one.
    """
    if min(len(query), len(image)) < 2:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, np.zeros(0)
    with one_blas_thread():
        likeness = as_unit_vectors(query.descriptors) @ as_unit_vectors(image.descriptors).T
    same_in_query = same_place * float(np.median(query.scale) / np.median(image.scale))
    partner, ratio = nearest(likeness, image.xy, same_place)
    back, ratio_back = nearest(likeness.T, query.xy, same_in_query)
    feature = np.flatnonzero(back[partner] == np.arange(len(query)))
    partner = partner[feature]
    ratio = np.maximum(ratio[feature], ratio_back[partner])
    kept = ratio < RATIO
    return feature[kept], partner[kept], ratio[kept]


def nearest(
    likeness: NDArray[np.float32], xy: NDArray[np.float32], same_place: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The best partner of each row (n,), and its distance over that of the best one at another
    place.

    Args:
        likeness: (n, m) dot products of unit vectors.
        xy: (m, 2) where the partners are.
    """
    count = min(RIVALS, likeness.shape[1])
    rivals = np.argpartition(-likeness, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(likeness, rivals, axis=1), axis=1, kind="stable")
    rivals = np.take_along_axis(rivals, order, axis=1)
    squared = 2 - 2 * np.take_along_axis(likeness, rivals, axis=1).astype(np.float64)
    away = np.hypot(*np.moveaxis(xy[rivals] - xy[rivals[:, :1]], 2, 0)) > same_place
    second = np.where(away.any(axis=1), away.argmax(axis=1), count - 1)
    other = np.take_along_axis(squared, second[:, None], axis=1)[:, 0]
    ratio = np.sqrt(np.maximum(squared[:, 0], 0) / np.maximum(other, 1e-12))
    return rivals[:, 0], ratio


def tentative_matches(
    variant: Variant,
    image: Features,
    target: Target,
    pairs: Pairs,
) -> Matches:
    """Distinct pairs as the matches of one candidate; the more distinct, the more they weigh."""
    feature, partner, ratio = pairs
    order = np.lexsort((feature, ratio))
    feature, partner, ratio = feature[order], partner[order], ratio[order]
    geometry = FeatureGeometry(
        position=image.xy[partner, 0].astype(np.float64) + 1j * image.xy[partner, 1],
        scale=image.scale[partner].astype(np.float64),
        angle=image.angle[partner].astype(np.float64),
        unit=np.full(len(partner), target.unit),
    )
    candidate = np.zeros(len(feature), np.int64)
    return matches_of(
        [variant.encoded],
        geometry,
        target.max_side,
        candidate,
        1,
        feature,
        partner,
        1 - ratio**2,
    )
