"""Probes: queries made out of the pictures of an index itself, whose answers are therefore known."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import EvaluationError, ImageError, ParameterError
from ..image_index import ImageIndex
from ..pictures.files import content_hash, find_images
from ..pictures.reading import LIMITS, Limits, read_colours
from ..reporting import Failure, Progress
from ..workers.pool import run_in_processes
from ..workers.process import Work
from .perturbation import PERTURBATIONS, outline_of, perturbed
from .truth import GroundTruth, PathNames, Query

__all__ = ["NEGATIVES", "drawn", "make_synthetic_queries"]

# The set of the queries that show nothing of the index.
NEGATIVES = "negatives"


@dataclass(frozen=True)
class Source:
    """A picture to make probes of.

    Attributes:
        path: to open it.
        name: of the image in the index; of a stranger, its path.
        sha256: of its content, as it was indexed.
        alike: images of the index with the same content; they are neither right nor wrong.
        negative: it is not in the index.
    """

    path: str
    name: str
    sha256: str
    alike: frozenset[str]
    negative: bool = False


def make_synthetic_queries(
    index: ImageIndex,
    folder: str | os.PathLike[str],
    *,
    sample: int = 50,
    negatives: Sequence[str] = (),
    seed: int = 0,
    jobs: int = 0,
    limits: Limits = LIMITS,
    progress: Progress | None = None,
) -> tuple[GroundTruth, list[Failure]]:
    """Draw pictures of an index and perturb each in every way of PERTURBATIONS.

    The seed draws pictures of the index by their content, and strangers, which would all have to be
    read for that, by the names of their files: the same seed and pictures give the same probes,
    wherever they lie, and a collection that grows keeps most of its sample. Pictures are first
    shrunk to twice the working size of the index. Images of the index with exactly the content of a
    source, or of the picture that it was pasted into, are neither right nor wrong answers.

    Args:
        folder: where the probes are written, as PNG; it is made.
        sample: so many pictures of the index at most, and so many strangers.
        negatives: files and folders of pictures that are not in the index; probes of these have no
            answer.
        jobs: pictures that are worked on at a time, in processes of their own; 0: in this one.
        limits: what a picture may cost; the seconds are for a source and for the picture that it is
            pasted into.
        progress: called with (stage, done, total) after each picture.

    Returns:
        The probes, and the pictures that could not be used: gone, changed since they were indexed,
            strangers that are none.

    Raises:
        EvaluationError: there is no picture to make probes of.
        ParameterError: `sample` is below 1.
    """
    if sample < 1:
        raise ParameterError(f"sample: {sample} is below 1")
    sources, failed = sources_of(index, sample, negatives, seed, limits)
    Path(folder).mkdir(parents=True, exist_ok=True)
    work = Work(
        partial(
            queries_of,
            folder=os.fspath(folder),
            max_side=2 * index.spec.max_side,
            seed=seed,
            limits=limits,
        )
    )
    tasks = (
        (number, source, background_of(number, sources)) for number, source in enumerate(sources)
    )
    queries: list[Query] = []
    with closing(run_in_processes(work, tasks, 1, jobs, 2 * limits.seconds)) as results:
        for done, (source, result) in enumerate(zip(sources, results, strict=True), 1):
            if isinstance(result, Failure):
                failed.append(Failure(source.path, result.reason))
            else:
                queries += result
            if progress:
                progress("make queries", done, len(sources))
    if not queries:
        reason = str(failed[0]) if failed else "the index is empty"
        raise EvaluationError(
            f"{index.directory.path}: there is no picture to make queries of: {reason}"
        )
    return GroundTruth(queries, index.picture_root.real), failed


def sources_of(
    index: ImageIndex, sample: int, negatives: Sequence[str], seed: int, limits: Limits
) -> tuple[list[Source], list[Failure]]:
    """The pictures that are drawn, and those that are no strangers or cannot be read."""
    named = PathNames(index.picture_root.real)
    paths: dict[str, tuple[str, str]] = {}
    same: dict[str, set[str]] = defaultdict(set)
    for _, record in index.snapshot.live_records():
        path = index.picture_root.absolute(record.path)
        paths[named(path)] = (path, record.sha256)
        same[record.sha256].add(named(path))
    sources = []
    for name in drawn({name: sha256 for name, (_, sha256) in paths.items()}, sample, seed):
        path, sha256 = paths[name]
        sources.append(Source(path, name, sha256, frozenset(same[sha256] - {name})))
    files, failed = find_images(negatives)
    for path in drawn({path: os.path.basename(path) for path in files}, sample, seed):
        try:
            sha256 = content_hash(path, limits.file_bytes)
            if sha256 in same:
                raise ImageError(path, "is in the index, so it is no stranger")
            sources.append(Source(path, path, sha256, frozenset(), negative=True))
        except ImageError as error:
            failed.append(Failure.of(error))
    return sources, failed


def drawn(digests: Mapping[str, str], count: int, seed: int) -> list[str]:
    """A sample of names, each with what decides whether it is drawn; that does not depend on their
    order, nor much on the others.
    """

    def lot(name: str) -> tuple[bytes, str]:
        return hashlib.blake2b(
            f"{seed}:{digests[name]}".encode(errors="surrogateescape")
        ).digest(), name

    return sorted(digests, key=lot)[:count]


def background_of(number: int, sources: Sequence[Source]) -> Source | None:
    """The source that a source is pasted into: the next one that is another picture."""
    others = [*sources[number + 1 :], *sources[:number]]
    return next((other for other in others if other.sha256 != sources[number].sha256), None)


def queries_of(
    task: tuple[int, Source, Source | None], folder: str, max_side: int, seed: int, limits: Limits
) -> list[Query] | Failure:
    """Make and write the probes of one picture, given with its number and what it is pasted into,
    or say why not.
    """
    number, source, other = task
    try:
        if content_hash(source.path, limits.file_bytes) != source.sha256:
            return Failure(source.path, "has changed since it was indexed; index it again")
        pixels, size = read_colours(source.path, max_side, limits)
    except ImageError as error:
        return Failure.of(error)
    try:
        background = read_colours(other.path, max_side, limits)[0] if other else None
    except ImageError:
        other = background = None
    unit = np.array(size) / pixels.shape[1::-1]
    queries = []
    for name, perturbation in PERTURBATIONS.items():
        rng = np.random.default_rng([seed, int(source.sha256[:16], 16), zlib.crc32(name.encode())])
        query, homography = perturbed(pixels, perturbation, rng, background)
        path = os.path.join(folder, f"{number:05d}-{name.replace(' %', '').replace(' ', '-')}.png")
        write_png(path, query)
        # pixels are shrunk about their centres
        outline = (outline_of((query.shape[1], query.shape[0]), homography) + 0.5) * unit - 0.5
        seen = source.alike
        if perturbation.pasted and other and not other.negative:
            seen = (seen | other.alike | {other.name}) - {source.name}
        queries.append(
            Query(
                id=os.path.basename(path),
                set=NEGATIVES if source.negative else name,
                path=path,
                relevant=frozenset() if source.negative else frozenset([source.name]),
                ignore=seen,
                outline=tuple((float(x), float(y)) for x, y in outline),
                group=source.name,
            )
        )
    return queries


def write_png(path: str, pixels: NDArray[np.uint8]) -> None:
    """Write pixels without loss. Raises EvaluationError."""
    try:
        # little compression: what is written is read once
        Path(path).write_bytes(
            cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
        )
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be written: {error.strerror}") from error
