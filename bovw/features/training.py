"""Train a vocabulary: sample descriptors evenly over images, cluster them in two levels."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans

from ..errors import (
    ImageError,
    ParameterError,
    VocabularyError,
    absolute_path,
    require_types,
)
from ..pictures.files import path_list
from ..pictures.reading import LIMITS, Limits, read_picture
from ..reporting import Failure, OnFailure, Progress
from ..workers.pool import run_in_processes
from ..workers.process import Work
from .local import MIRRORED, FeatureSpec, as_unit_vectors, extract
from .vocabulary import SIGNATURE_BITS, Vocabulary
from .word_search import half_norms

__all__ = ["TrainingReport", "kmeans_centres", "recommended_words", "train_vocabulary"]

BLOCK = 65_536
# Pictures that a process gets at a time.
CHUNK = 8
# Words that can be trained at most.
MOST_WORDS = 1 << 20
# Words for a collection, and for one of more than LARGE images: more words make its searches
# shorter, but their own search takes longer (docs/scale.md).
WORDS, MORE_WORDS, LARGE = 65_536, 262_144, 1_000_000


@dataclass(frozen=True)
class TrainingReport:
    """What a training saw and how even its words are.

    Attributes:
        image_count: pictures that gave descriptors.
        descriptor_count: how many descriptors were clustered.
        unused_words: words that no descriptor is nearest to; a RootSIFT word and its mirror image
            count as one here.
        imbalance: W * sum of squared shares of the words: 1 when all are equally frequent; as many
            times longer is a search.
        failed: pictures that could not be read.

    Example:
        >>> from bovw import train_vocabulary
        >>> _, report = train_vocabulary(["query.jpg"], words=64)
        >>> report.image_count, report.descriptor_count >= 4 * 64
        (1, True)
    """

    image_count: int
    descriptor_count: int
    unused_words: int
    imbalance: float
    failed: list[Failure] = field(default_factory=list)


def train_vocabulary(
    images: Sequence[str | os.PathLike[str]],
    words: int = 65_536,
    spec: FeatureSpec | None = None,
    *,
    max_descriptors: int = 2_000_000,
    seed: int = 0,
    jobs: int = 0,
    limits: Limits = LIMITS,
    progress: Progress | None = None,
    failure: OnFailure | None = None,
) -> tuple[Vocabulary, TrainingReport]:
    """Train a vocabulary on pictures.

    RootSIFT words come in pairs, each the mirror image of the other, so that a mirrored query needs
    no second search for its words: descriptors are folded onto one half of the space, words // 2
    are trained there, and mirrored.

    Every image gives the same number of descriptors at most, drawn at random, so memory is bounded
    by `max_descriptors` (about 130 bytes each, four times that while a cell is clustered) however
    many images there are. MiniBatchKMeans (Sculley, WWW 2010) divides them into coarse cells, and
    each cell into words in proportion to its descriptors.

    Args:
        images: picture files; the result depends on their order, so sort them.
        words: how many words, an even number. More make shorter searches in large collections and
            need more descriptors: take 262,144 for more than a million images (docs/scale.md).
        spec: which features; RootSIFT by default.
        max_descriptors: the cap on sampled descriptors.
        seed: same seed and images, same vocabulary.
        jobs: processes for the extraction; 0 works in this one, without a limit of time.
        limits: what a picture may cost before it is left out.
        progress: called with (stage, done, total).
        failure: called with each picture that cannot be read, at once: the report has them only if
            the training succeeds.

    Raises:
        VocabularyError: fewer than 4 descriptors a word were found.
        ParameterError: an argument outside its range.

    Example:
        >>> from bovw import ImageIndex, train_vocabulary
        >>> vocabulary, report = train_vocabulary(["query.jpg"], words=64)
        >>> with ImageIndex.in_memory(vocabulary) as index:
        ...     index.add("query.jpg").added
        1
    """
    require_types(FeatureSpec | None, spec=spec)
    require_types(int, words=words, max_descriptors=max_descriptors, seed=seed, jobs=jobs)
    require_types(Limits, limits=limits)
    require_types(Callable | None, progress=progress, failure=failure)
    images = path_list(images)
    if not 0 <= seed < 2**32:
        raise ParameterError(f"seed: {seed} is outside 0..{2**32 - 1}")
    spec = spec or FeatureSpec()
    if words % 2 or not 2 <= words <= MOST_WORDS:
        raise ParameterError(
            f"words: {words} is not an even number of 2 to {MOST_WORDS:,}: an index counts each of "
            "them, and training takes descriptors and time in proportion"
        )
    if max_descriptors < words:
        raise ParameterError(
            f"max_descriptors: {max_descriptors} is below the number of words, {words}"
        )
    sample, used, failed = sample_descriptors(
        images, spec, max_descriptors, seed, jobs, limits, progress, failure
    )
    if len(sample) < 4 * words:
        cure = (
            f"ask for at most {len(sample) // 8 * 2} words"
            if len(sample) >= 8
            else "check the ones given"
        )
        unread = f"; {len(failed)} could not be read, the first is {failed[0]}" if failed else ""
        raise VocabularyError(
            f"{len(sample)} descriptors from {used} images are too few for {words} words: "
            f"4 a word are needed, so give more images or {cure}{unread}"
        )
    rng = np.random.default_rng(seed)
    sample = sample[rng.permutation(len(sample))]
    vocabulary, counts = build(sample, words, spec, seed, progress)
    shares = counts / counts.sum()
    report = TrainingReport(
        used, len(sample), int((counts == 0).sum()), float(len(counts) * (shares**2).sum()), failed
    )
    return vocabulary, report


def recommended_words(images: int, kind: str) -> int:
    """How many words of a kind of features suit a collection of so many images (docs/scale.md;
    nobody tried more words of ORB).
    """
    return MORE_WORDS if kind == "rootsift" and images > LARGE else WORDS


def build(
    sample: NDArray[Any], words: int, spec: FeatureSpec, seed: int, progress: Progress | None = None
) -> tuple[Vocabulary, NDArray[np.int64]]:
    """A vocabulary from shuffled descriptors (n, d), and how many of them each trained word is
    nearest to.
    """
    projection = random_projection(spec.dimension, seed)
    if spec.kind == "orb":
        centres, cells, starts, counts = cluster(sample, words, seed, progress)
        bits = np.packbits(centres > 0, axis=1)
        return Vocabulary(spec, bits, 1.0, cells, starts, projection), counts
    centres, cells, starts, counts = cluster(folded(sample), words // 2, seed, progress)
    scale = float(np.float32(centres.max() / 255))
    stored = np.clip(np.rint(centres / scale), 0, 255).astype(np.uint8)
    stored = np.concatenate([stored, stored[:, MIRRORED]])
    cells = np.concatenate([cells, cells[:, MIRRORED]])
    starts = np.concatenate([starts, starts[1:] + words // 2])
    return Vocabulary(spec, stored, scale, cells, starts, projection), counts


def sample_descriptors(
    images: Sequence[str | os.PathLike[str]],
    spec: FeatureSpec,
    limit: int,
    seed: int,
    jobs: int,
    limits: Limits,
    progress: Progress | None = None,
    failure: OnFailure | None = None,
) -> tuple[NDArray[Any], int, list[Failure]]:
    """Up to limit / len(images) descriptors of each image, its strongest `max_features` being the
    urn.

    Returns descriptors (n, d) as float16 RootSIFT or packed ORB, the number of images that gave
    any, and the failures.
    """
    quota = max(1, limit // max(1, len(images)))
    work = Work(partial(sample_image, spec=spec, quota=quota, seed=seed, limits=limits))
    tasks = ((absolute_path(path), number) for number, path in enumerate(images))
    parts: list[NDArray[Any]] = []
    failed: list[Failure] = []
    with closing(run_in_processes(work, tasks, CHUNK, jobs, limits.seconds)) as results:
        for done, (path, result) in enumerate(zip(images, results, strict=True), 1):
            if isinstance(result, Failure):
                failed.append(Failure(os.fspath(path), result.reason))
                if failure:
                    failure(failed[-1])
            elif len(result):
                parts.append(result)
            if progress:
                progress("extract", done, len(images))
    sample = np.concatenate(parts) if parts else np.zeros((0, 1), np.uint8)
    return sample[:limit], len(parts), failed


def sample_image(
    task: tuple[str, int], spec: FeatureSpec, quota: int, seed: int, limits: Limits
) -> NDArray[Any] | Failure:
    """Some descriptors of one picture, given by its path and number, or why there are none."""
    path, number = task
    try:
        descriptors = extract(read_picture(path, spec.max_side, limits=limits), spec).descriptors
    except ImageError as error:
        return Failure.of(error)
    chosen = np.sort(np.random.default_rng((seed, number)).permutation(len(descriptors))[:quota])
    return descriptors[chosen].astype(np.uint8 if spec.kind == "orb" else np.float16)


def cluster(
    sample: NDArray[Any], words: int, seed: int, progress: Progress | None
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Two levels of MiniBatchKMeans.

    Returns the words (W, d) in the order of their cells, the cells (C, d), the first word of each
    cell (C + 1,) and the number of descriptors of each word (W,).
    """
    cell_count = max(1, min(words // 8, round((words / 2) ** 0.5)))
    coarse = kmeans_centres(sample[: cell_count * 1500], cell_count, seed, rounds=5)
    owner = nearest_rows(sample, coarse)
    sizes = np.bincount(owner, minlength=cell_count)
    quotas = apportioned(words, sizes)
    members = np.argsort(owner, kind="stable")
    bounds = np.concatenate(([0], np.cumsum(sizes)))
    centres: list[NDArray[np.float32]] = []
    counts: list[NDArray[np.int64]] = []
    for cell in range(cell_count):
        inside = sample[members[bounds[cell] : bounds[cell + 1]]]
        if quotas[cell]:
            centres.append(kmeans_centres(inside, int(quotas[cell]), seed + 1 + cell, rounds=10))
            counts.append(
                np.bincount(nearest_rows(inside, centres[-1]), minlength=int(quotas[cell]))
            )
        if progress:
            progress("cluster", cell + 1, cell_count)
    starts = np.concatenate(([0], np.cumsum(quotas))).astype(np.int64)
    return np.concatenate(centres), coarse, starts, np.concatenate(counts)


def folded(sample: NDArray[Any]) -> NDArray[Any]:
    """RootSIFT descriptors (n, 128), those with more in the last two of their four rows than in the
    first two mirrored.
    """
    rows = sample.reshape(-1, 2, 64).sum(axis=2, dtype=np.float32)
    return np.where(rows[:, :1] < rows[:, 1:], sample[:, MIRRORED], sample)


def kmeans_centres(sample: NDArray[Any], count: int, seed: int, rounds: int) -> NDArray[np.float32]:
    """Centres (count, d) of a sample by MiniBatchKMeans, started from `count` of its members."""
    points = as_unit_vectors(sample)
    model = MiniBatchKMeans(
        count,
        init="random",
        n_init=1,
        batch_size=max(1024, 4 * count),
        max_iter=rounds,
        random_state=seed,
        reassignment_ratio=0.0,
    )
    return np.asarray(model.fit(points).cluster_centers_, np.float32)


def apportioned(seats: int, votes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Share `seats` in proportion to `votes` by largest remainders; never more seats than votes."""
    share = seats * votes / votes.sum()
    given: NDArray[np.int64] = np.minimum(np.floor(share).astype(np.int64), votes)
    order = np.argsort(-(share - given), kind="stable")
    order = order[votes[order] > given[order]]
    given[order[: seats - given.sum()]] += 1
    return given


def nearest_rows(sample: NDArray[Any], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    """The nearest centre of each descriptor: (n,)."""
    nearest = np.empty(len(sample), np.int64)
    for first in range(0, len(sample), BLOCK):
        points = as_unit_vectors(sample[first : first + BLOCK])
        nearest[first : first + BLOCK] = (points @ centres.T - half_norms(centres)).argmax(axis=1)
    return nearest


def random_projection(dimension: int, seed: int) -> NDArray[np.float32]:
    """(64, dimension) float32 with orthonormal rows, uniformly random (QR of a Gaussian matrix)."""
    gaussian = np.random.default_rng(seed).normal(size=(dimension, dimension))
    return np.ascontiguousarray(np.linalg.qr(gaussian)[0].T[:SIGNATURE_BITS], np.float32)
