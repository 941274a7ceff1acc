"""What the engine counts: how close signatures are, and how certain agreement is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bovw.arrays import ranges
from bovw.evaluation.perturbation import PERTURBATIONS, perturbed
from bovw.geometry.certainty import FITTING, RADII, log_bound, uniform_share
from bovw.geometry.transform import project
from bovw.search.postings import MATCH_DISTANCE

from .axes import Axes
from .collection import Photos, photo_of
from .sheet import AMBER, BLUE, GREEN, INK, WIDTH, Sheet

__all__ = ["certainty", "signatures"]

BITS = 64
# A feature is of the same place if it lies where the crop was cut out, up to so many pixels.
SAME = 4.0
# Crops of every so many photographs, and how they are made.
STEP, CROP = 4, "turned 30"
HEIGHT, LEFT, TOP = 300, 54, 34
# The certainty that is drawn: so many images, matches in one of them, and its size in pixels.
IMAGES, MATCHES, AREA = 1_000_000, 50, 1024 * 768
PLACES = np.arange(2, 9)
# Powers of ten that are drawn, and what to call them.
LEAST, MOST = -13, 6
POWERS = ((6, "all"), (3, "1,000"), (0, "1"), (-3, "1/1,000"), (-6, "1/million"), (-9, "1/billion"))


def signatures(photos: Photos) -> Sheet:
    """How many bits of their signatures differ between features that share a word: those of one
    place, and those of different photographs.
    """
    same, other = distances_of(photos)
    sheet = Sheet(WIDTH, HEIGHT)
    axes = Axes(sheet, (LEFT, TOP, WIDTH - 16, HEIGHT - 50), (0, BITS), (0, 0.16))
    axes.across([(bits, str(bits)) for bits in range(0, BITS + 1, 8)])
    axes.up([(share, f"{100 * share:.0f} %") for share in (0.0, 0.04, 0.08, 0.12, 0.16)])
    for found, begin, colour in ((same, 0.06, GREEN), (other, 0.5, AMBER)):
        share = np.bincount(found, minlength=BITS + 1) / max(len(found), 1)
        axes.bars(np.arange(BITS + 1) + begin, share, 0.44, colour)
    axes.line((MATCH_DISTANCE + 1, 0), (MATCH_DISTANCE + 1, 0.16), INK)
    sheet.text(LEFT, 22, f"{len(same):,} pairs of features of one place", 14, GREEN)
    sheet.text(WIDTH - 16, 22, f"{len(other):,} of different photographs", 14, AMBER, "rs")
    kept, spared = (100 * (found <= MATCH_DISTANCE).mean() for found in (same, other))
    ((x, _),) = axes.at(MATCH_DISTANCE + 1, 0).tolist()
    sheet.text(x + 6, 50, f"up to {MATCH_DISTANCE} bits are a match:", 13)
    sheet.text(x + 6, 68, f"{kept:.0f} % of these, {spared:.1f} % of those", 13)
    sheet.text(LEFT, HEIGHT - 10, "bits that differ, of 64, between features of one word")
    return sheet


def distances_of(photos: Photos) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The Hamming distances between the features of some crops and all that share a word with them:
    those of the same place, and those of other photographs.
    """
    rng = np.random.default_rng(0)
    same, other = list[NDArray[np.uint8]](), list[NDArray[np.uint8]]()
    (segment,) = photos.collection.snapshot.segments
    for number, record in list(enumerate(photos.index.records()))[::STEP]:
        crop, truth = perturbed(photo_of(record.path), PERTURBATIONS[CROP], rng)
        query = photos.look(crop).variants[0].encoded
        words, per_feature = query.words.ravel(), query.words.shape[1]
        slot, posting = ranges(segment.word_starts[words], segment.word_counts[words])
        differing = segment.posting_signatures[posting] ^ query.signatures.ravel()[slot]
        distance = np.bitwise_count(differing)
        feature = segment.features_at(posting)
        image = segment.image_of(feature)
        position, _, _ = segment.geometry(feature, image)
        expected = project(truth, query.xy.astype(np.float64)) @ (1, 1j)
        missed = np.abs(position - expected[slot // per_feature])
        same.append(distance[(image == number) & (missed < SAME)])
        other.append(distance[image != number])
    return np.concatenate(same), np.concatenate(other)


def certainty(_: Photos) -> Sheet:
    """How many of a million images would agree as well by chance, by how many places agree and how
    exactly.
    """
    sheet = Sheet(WIDTH, HEIGHT)
    box = (LEFT + 20, TOP, WIDTH - 16, HEIGHT - 50)
    axes = Axes(sheet, box, (float(PLACES[0]), float(PLACES[-1])), (LEAST, MOST))
    axes.across([(float(count), str(count)) for count in PLACES])
    axes.up(POWERS)
    axes.line((axes.x[0], -2), (axes.x[1], -2), INK)
    ((x, y),) = axes.at(PLACES[0], -2).tolist()
    sheet.text(x + 8, y + 16, "verified: 0.01 and less", 13)
    shares = uniform_share(np.ones(1), np.array([float(AREA)]))[:, 0] * FITTING
    for number, (share, colour) in enumerate(zip(shares, (GREEN, BLUE, AMBER), strict=True)):
        bound = log_bound(PLACES, np.full(len(PLACES), MATCHES), np.full(len(PLACES), share))
        alarms = np.minimum(bound + np.log(len(RADII)), 0) / np.log(10) + np.log10(IMAGES)
        drawn = axes.at(PLACES, alarms)[alarms > LEAST]
        sheet.lines(drawn[:-1], drawn[1:], colour, width=2)
        sheet.dots(drawn, 4, colour)
        text = f"exact to {RADII[number]:.0f} pixel{'s' * (number > 0)}"
        sheet.text(WIDTH - 16 - 140 * (2 - number), 22, text, 14, colour, "rs")
    sheet.text(LEFT + 20, 22, "images, of a million, that agree as well by chance")
    sheet.text(LEFT + 20, HEIGHT - 10, f"places that agree, of {MATCHES} matches")
    return sheet
