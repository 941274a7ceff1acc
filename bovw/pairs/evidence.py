"""What is known of two images that may be copies of one picture, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .agreement import Agreement
from .overlay import Resemblance, Size, Thumbnail, resemblance, whole_transform

__all__ = [
    "HASH_RADIUS",
    "Evidence",
    "Verdict",
    "evidence_of",
    "is_duplicate",
    "nothing_in_common",
    "verdict",
]

Verdict = Literal["duplicate", "near", ""]
# Hashes of copies differ in no more bits than this.
HASH_RADIUS = 9


@dataclass(frozen=True)
class Evidence:
    """What two images have in common.

    Attributes:
        first, second: their numbers.
        matrix: (3, 3) maps pixels of the first to pixels of the second, both upright.
        inliers: features that agree under it; 0 if only the hashes say so.
        share: these over the features where both images show something, of the image that has fewer
            there.
        log_chance: log10 of how often an image agrees as well by chance.
        drift: how far neighbouring features are off in one direction (see `Agreement`).
        bits: in how many bits their hashes differ in the best of eight orientations; 64 if that is
            not known.
        alike: how alike their pixels are under it; None where a thumbnail is missing.
    """

    first: int
    second: int
    matrix: NDArray[np.float64]
    inliers: int
    share: float
    log_chance: float
    drift: float
    bits: int
    alike: Resemblance | None


def nothing_in_common(first: int, second: int) -> Evidence:
    """Of two images that were compared in vain."""
    return Evidence(first, second, np.eye(3), 0, 0.0, 0.0, 0.0, 64, None)


# Where so large a share of the features agrees exactly, and what does not lie on top, two images
# are of one picture; other views of a thing stay below.
SURE_SHARE, SURE_TRIMMED = 0.21, 0.97
# Blur, noise and strong compression move features: fewer will do if all pixels agree.
LEAST_SHARE, LEAST_CORRELATION = 0.04, 0.997
# Fewer features than this prove nothing.
LEAST_INLIERS = 6
# Where hashes differ in so few bits it will do that the pixels agree roughly; else as above.
SURE_BITS, HASH_CORRELATION = 5, 0.9
# Where neighbouring features are further off in one direction, in working pixels, something has
# moved against something else: that is another photograph, whatever the pixels say.
MOST_DRIFT = 0.7
# Up to so many false alarms, two images show the same thing.
FALSE_ALARMS = 0.01


def evidence_of(
    first: int,
    second: int,
    agreement: Agreement | None,
    hashed: tuple[int, int] | None,
    sizes: tuple[Size, Size],
    thumbnails: tuple[Thumbnail, Thumbnail] | None,
) -> Evidence | None:
    """What is known of two images; None if they have nothing in common.

    Args:
        hashed: in how many bits their hashes differ, and in which orientation; None if in many.
    """
    found = None
    if agreement is not None:
        alike = resemblance(agreement.matrix, *thumbnails, *sizes) if thumbnails else None
        found = Evidence(
            first,
            second,
            agreement.matrix,
            agreement.inliers,
            agreement.share,
            agreement.log_chance,
            agreement.drift,
            hashed[0] if hashed else 64,
            alike,
        )
    if hashed is None or (found and (is_duplicate(found) or found.drift > MOST_DRIFT)):
        return found
    bits, orientation = hashed
    matrix = whole_transform(orientation, *sizes)
    alike = resemblance(matrix, *thumbnails, *sizes) if thumbnails else None
    whole = Evidence(first, second, matrix, 0, 0.0, 0.0, 0.0, bits, alike)
    return whole if found is None or is_duplicate(whole) else found


def is_duplicate(evidence: Evidence) -> bool:
    """Whether two images are copies of one picture, or of parts of it."""
    alike, share = evidence.alike, evidence.share
    if evidence.inliers:
        enough = (
            evidence.inliers >= LEAST_INLIERS
            and evidence.drift <= MOST_DRIFT
            and beyond_chance(evidence, 1)
        )
        if alike is None:
            return enough and share > SURE_SHARE
        if alike.correlation > LEAST_CORRELATION:
            return enough and share > LEAST_SHARE
        return enough and share > SURE_SHARE and alike.trimmed > SURE_TRIMMED
    if alike is None:
        return False
    sure = evidence.bits <= SURE_BITS
    return alike.correlation > (HASH_CORRELATION if sure else LEAST_CORRELATION)


def beyond_chance(evidence: Evidence, image_count: int) -> bool:
    """Whether features agree as they would not by chance among so many images."""
    alarms = evidence.log_chance + np.log10(max(image_count, 1))
    return bool(evidence.inliers and alarms <= np.log10(FALSE_ALARMS))


def verdict(evidence: Evidence, image_count: int) -> Verdict:
    """ "duplicate": copies of one picture, or of parts of it; "near": the same thing is seen in
    both, beyond chance among so many images; or neither.
    """
    if is_duplicate(evidence):
        return "duplicate"
    return "near" if beyond_chance(evidence, image_count) else ""
