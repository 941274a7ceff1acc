"""What an image is to the one that is kept: the same bytes, a smaller one, a part of it, ..."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..geometry.transform import decompose
from ..pairs.evidence import Evidence
from ..pairs.overlay import Resemblance, Size, coverage

__all__ = ["EXACT", "KINDS", "Kind", "Relation", "Term", "identical", "inverted", "relation_of"]

Term = Literal[
    "identical",
    "recompressed",
    "resized",
    "turned",
    "mirrored",
    "edited",
    "crop of",
    "contains",
    "overlaps",
    "same thing",
]
Kind = Literal["exact", "same", "part", "all"]
KINDS: tuple[Kind, ...] = get_args(Kind)
EXACT: tuple[Term, ...] = ("identical",)
PARTS: tuple[Term, ...] = ("crop of", "contains", "overlaps")
# An image that covers this much of another one shows all of it.
WHOLE = 0.97
# A smaller change of size, or turn in degrees, is none.
RESIZED, TURNED = 0.02, 2.0
# Pixels that differ by more than this, in grey values, or agree less than that, were edited.
TONE, CORRELATION = 6.0, 0.985


@dataclass(frozen=True)
class Relation:
    """What an image is to another one.

    Attributes:
        term: in a word; the most telling one.
        rotation: degrees in (-180, 180] by which it is turned against the other one, clockwise as
            pictures are seen, after mirroring.
        scale: its pixels for a pixel of the other one, as a ratio of lengths.
        mirrored: whether it is.
        edited: whether its pixels are others, beyond what compressing does.
        share: of its own area that shows what the other image shows, 0 to 1.
        share_of_kept: of the other image's area that it shows.
        matrix: (3, 3) maps its pixels to those of the other image, both upright.
        inliers: features that agree under that; 0 where the hashes alone say so.
        bits: in how many bits their hashes differ; 64 where that is not known.
        correlation: of their pixels, -1 to 1; None where it is not known.

    Example:
        >>> import cv2
        >>> from bovw import ImageIndex, find_duplicates
        >>> photo = cv2.imread("photos/carcassonne-walls.jpg")
        >>> with ImageIndex.in_memory() as index:
        ...     items = [("large", photo, None), ("small", photo[::2, ::2], None)]
        ...     report = index.add_images(items)
        ...     (group,) = find_duplicates(index).groups
        >>> relation = group.members[0].relation
        >>> relation.term, round(relation.scale, 2), relation.mirrored
        ('resized', 0.5, False)
    """

    term: Term
    rotation: float = 0.0
    scale: float = 1.0
    mirrored: bool = False
    edited: bool = False
    share: float = 1.0
    share_of_kept: float = 1.0
    matrix: NDArray[np.float64] | None = None
    inliers: int = 0
    bits: int = 64
    correlation: float | None = None

    @property
    def kind(self) -> str:
        """ "exact", "same", "part" or, for what shows the same thing without being a copy,
        "near".
        """
        if self.term == "same thing":
            return "near"
        if self.term in PARTS:
            return "part"
        return "exact" if self.term in EXACT else "same"

    def text(self) -> str:
        """In words, as "crop of (40 %), 0.5 x, turned 90, mirrored"."""
        if self.term in ("identical", "same thing"):
            return self.term
        said = []
        if self.term == "crop of":
            said.append(f"crop of ({percent(self.share_of_kept)})")
        elif self.term == "contains":
            said.append(f"contains (in {percent(self.share)})")
        elif self.term == "overlaps":
            said.append(f"overlaps ({percent(self.share_of_kept)})")
        if is_resized(self.scale):
            said.append(f"{self.scale:.2g} x")
        if is_turned(self.rotation):
            said.append(f"turned {round(self.rotation) % 360}")
        if self.mirrored:
            said.append("mirrored")
        if self.edited:
            said.append("edited")
        return ", ".join(said) or self.term

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, rounded."""
        return {
            "relation": self.term,
            "text": self.text(),
            "kind": self.kind,
            "rotation": round(self.rotation, 2) + 0.0,
            "scale": round(self.scale, 4),
            "mirrored": self.mirrored,
            "edited": self.edited,
            "share": round(self.share, 4),
            "share_of_kept": round(self.share_of_kept, 4),
            "homography": None if self.matrix is None else self.matrix.ravel().tolist(),
            "inliers": self.inliers,
            "hash_bits": None if self.bits == 64 else self.bits,
            "correlation": None if self.correlation is None else round(self.correlation, 4),
        }


def percent(share: float) -> str:
    """A share for reading."""
    return f"{round(100 * share)} %"


def is_resized(scale: float) -> bool:
    """Whether a factor of lengths is a change of size."""
    return abs(math.log(scale)) > RESIZED


def is_turned(rotation: float) -> bool:
    """Whether an angle is a turn."""
    return abs(rotation) > TURNED


def identical() -> Relation:
    """What an image is to another one of the same content."""
    return Relation("identical", matrix=np.eye(3), bits=0, correlation=1.0)


def inverted(evidence: Evidence) -> Evidence:
    """The same of the second image and the first."""
    return Evidence(
        evidence.second,
        evidence.first,
        np.asarray(np.linalg.inv(evidence.matrix), np.float64),
        evidence.inliers,
        evidence.share,
        evidence.log_chance,
        evidence.drift,
        evidence.bits,
        evidence.alike,
    )


def relation_of(evidence: Evidence, size: Size, kept: Size, near: bool = False) -> Relation:
    """What the first image of some evidence is to the second, which is kept.

    Args:
        size, kept: width and height of the first and the second.
        near: they show the same thing, no more.
    """
    matrix = evidence.matrix
    share, share_of_kept = coverage(matrix, size, kept)
    mirrored = bool(np.linalg.det(matrix[:2, :2]) < 0)
    centre = (np.array(size) - 1) / 2
    rotation, factor = decompose(matrix, centre, mirrored)
    # the image is turned against the other one by what turns it back
    rotation, scale = rotation if mirrored else -rotation, 1 / max(factor, 1e-9)
    alike = evidence.alike
    edited = alike is not None and is_edited(alike)
    term = term_of(share, share_of_kept, mirrored, rotation, scale, edited)
    return Relation(
        "same thing" if near else term,
        rotation=rotation + 0.0,
        scale=scale,
        mirrored=mirrored,
        edited=edited,
        share=share,
        share_of_kept=share_of_kept,
        matrix=matrix,
        inliers=evidence.inliers,
        bits=evidence.bits,
        correlation=None if alike is None else alike.correlation,
    )


def is_edited(alike: Resemblance) -> bool:
    """Whether pixels are others than compressing leaves."""
    return alike.tone > TONE or alike.correlation < CORRELATION


def term_of(
    share: float, share_of_kept: float, mirrored: bool, rotation: float, scale: float, edited: bool
) -> Term:
    """The most telling word."""
    if share_of_kept < WHOLE:
        return "crop of" if share >= WHOLE else "overlaps"
    if share < WHOLE:
        return "contains"
    if mirrored or is_turned(rotation):
        return "mirrored" if mirrored else "turned"
    if edited:
        return "edited"
    return "resized" if is_resized(scale) else "recompressed"
