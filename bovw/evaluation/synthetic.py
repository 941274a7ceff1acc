"""Synthetic queries: made out of the very pictures that are searched, so that their answers are
known.
"""

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

from ..errors import EvaluationError, ImageError, OutputError, ParameterError
from ..index.record import ImageRecord
from ..pictures.files import content_hash
from ..pictures.folders import find_images
from ..pictures.fragments import page_of, split_fragment
from ..pictures.reading import LIMITS, Limits, read_colours
from ..reporting import Failure, Progress
from ..searcher import Searcher
from ..workers.pool import run_in_processes
from ..workers.process import Work
from .perturbation import PERTURBATIONS, outline_of, perturbed
from .truth import GroundTruth, Query, names_by_id

__all__ = ["NEGATIVES", "drawn", "make_synthetic_queries", "write_png"]

# The set of the queries that show nothing of what is searched.
NEGATIVES = "negatives"


@dataclass(frozen=True)
class Original:
    """A picture to make queries of.

    Attributes:
        path: to open it.
        name: of the image that is searched; of a negative, its path.
        sha256: of its content, as it was indexed.
        alike: images with the same content; they are neither right nor wrong.
        negative: it is not among what is searched.
    """

    path: str
    name: str
    sha256: str
    alike: frozenset[str]
    negative: bool = False


def make_synthetic_queries(
    searcher: Searcher,
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

    The seed draws pictures of the index by their content, and negatives, which would all have to be
    read for that, by the names of their files: the same seed and pictures give the same queries,
    wherever they lie, and a collection that grows keeps most of its sample. Pictures are first
    shrunk to twice the working size of the index. Images of the index with exactly the content of
    an original, or of the picture that it was pasted into, are neither right nor wrong answers.
    Images without a file are passed over: nothing can be made of them.

    Args:
        searcher: an index, or what else answers queries.
        folder: where the queries are written, as PNG; it is made.
        sample: so many pictures of the index at most, and so many negatives.
        negatives: files and folders of pictures that are not in the index; queries made of these
            have no answer.
        jobs: pictures that are worked on at a time, in processes of their own; 0: in this one.
        limits: what a picture may cost; the seconds are for an original and for the picture that it
            is pasted into.
        progress: called with (stage, done, total) after each picture.

    Returns:
        The queries, and the pictures that could not be used: gone, changed since they were indexed,
            negatives that are none.

    Raises:
        EvaluationError: there is no picture to make queries of.
        ParameterError: `sample` is below 1.

    Example:
        >>> from bovw import ImageIndex, make_synthetic_queries
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     truth, failed = make_synthetic_queries(index, "queries", sample=1)
        >>> len(truth.queries), failed
        (25, [])
    """
    if sample < 1:
        raise ParameterError(f"sample: {sample} is below 1")
    info = searcher.info()
    root = os.path.realpath(info.picture_root)
    originals, failed = draw_originals(searcher, root, sample, negatives, seed, limits)
    Path(folder).mkdir(parents=True, exist_ok=True)
    work = Work(
        partial(
            make_queries,
            folder=os.fspath(folder),
            max_side=2 * info.spec.max_side,
            seed=seed,
            limits=limits,
        )
    )
    tasks = (
        (number, original, background_of(number, originals))
        for number, original in enumerate(originals)
    )
    queries: list[Query] = []
    with closing(run_in_processes(work, tasks, 1, jobs, 2 * limits.seconds)) as results:
        for done, (original, result) in enumerate(zip(originals, results, strict=True), 1):
            if isinstance(result, Failure):
                failed.append(Failure(original.path, result.reason))
            else:
                queries += result
            if progress:
                progress("make queries", done, len(originals))
    if not queries:
        reason = str(failed[0]) if failed else "it has no images with files"
        raise EvaluationError(
            f"the index of the pictures in {root} has no picture to make queries of: {reason}"
        )
    return GroundTruth(queries, root), failed


def draw_originals(
    searcher: Searcher,
    root: str,
    sample: int,
    negatives: Sequence[str],
    seed: int,
    limits: Limits,
) -> tuple[list[Original], list[Failure]]:
    """The pictures that are drawn, and those that are no negatives or cannot be read."""
    records = list(searcher.records())
    names = names_by_id(records, root)
    same: dict[str, set[str]] = defaultdict(set)
    for record in records:
        same[content_of(record)].add(names[record.id])
    paths = {
        names[record.id]: (os.path.abspath(record.path), record.sha256, content_of(record))
        for record in records
        if record.path
    }
    originals = []
    for name in drawn({name: content for name, (_, _, content) in paths.items()}, sample, seed):
        path, sha256, content = paths[name]
        originals.append(Original(path, name, sha256, frozenset(same[content] - {name})))
    found = find_images(negatives)
    files, failed = found.files, found.problems
    for path in drawn({path: os.path.basename(path) for path in files}, sample, seed):
        try:
            sha256 = content_hash(path, limits.file_bytes)
            if sha256 in same:
                raise ImageError(path, "is in the index, so it is no negative")
            originals.append(Original(path, path, sha256, frozenset(), negative=True))
        except ImageError as error:
            failed.append(Failure.of(error))
    return originals, failed


def content_of(record: ImageRecord) -> str:
    """What images with the same picture have in common: the content of their files, and the page.
    The frames of a video count as one picture.
    """
    page = page_of(split_fragment(record.path)[1])
    return record.sha256 if page == 1 else f"{record.sha256}#{page}"


def drawn(digests: Mapping[str, str], count: int, seed: int) -> list[str]:
    """A sample of names, each with what decides whether it is drawn; that does not depend on their
    order, nor much on the others.
    """

    def lot(name: str) -> tuple[bytes, str]:
        text = f"{seed}:{digests[name]}".encode(errors="surrogateescape")
        return hashlib.blake2b(text).digest(), name

    return sorted(digests, key=lot)[:count]


def background_of(number: int, originals: Sequence[Original]) -> Original | None:
    """What an original is pasted into: the next one that is another picture."""
    others = [*originals[number + 1 :], *originals[:number]]
    return next((other for other in others if other.sha256 != originals[number].sha256), None)


def make_queries(
    task: tuple[int, Original, Original | None],
    folder: str,
    max_side: int,
    seed: int,
    limits: Limits,
) -> list[Query] | Failure:
    """Make and write the queries of one picture, given with its number and what it is pasted into,
    or say why not.
    """
    number, original, other = task
    try:
        if content_hash(original.path, limits.file_bytes) != original.sha256:
            return Failure(original.path, "has changed since it was indexed; index it again")
        pixels, size = read_colours(original.path, max_side, limits)
    except ImageError as error:
        return Failure.of(error)
    try:
        background = read_colours(other.path, max_side, limits)[0] if other else None
    except ImageError:
        other = background = None
    unit = np.array(size) / pixels.shape[1::-1]
    digest = int(original.sha256[:16], 16)
    queries = []
    for name, perturbation in PERTURBATIONS.items():
        rng = np.random.default_rng([seed, digest, zlib.crc32(name.encode())])
        query, homography = perturbed(pixels, perturbation, rng, background)
        path = os.path.join(folder, f"{number:05d}-{name.replace(' %', '').replace(' ', '-')}.png")
        write_png(path, query)
        # pixels are shrunk about their centres
        outline = (outline_of((query.shape[1], query.shape[0]), homography) + 0.5) * unit - 0.5
        seen = original.alike
        if perturbation.pasted and other and not other.negative:
            seen = (seen | other.alike | {other.name}) - {original.name}
        queries.append(
            Query(
                id=os.path.basename(path),
                set=NEGATIVES if original.negative else name,
                path=path,
                relevant=frozenset() if original.negative else frozenset([original.name]),
                ignore=seen,
                outline=tuple((float(x), float(y)) for x, y in outline),
                group=original.name,
            )
        )
    return queries


def write_png(path: str, pixels: NDArray[np.uint8]) -> None:
    """Write pixels without loss. Raises OutputError."""
    try:
        # little compression: what is written is read once
        _, content = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        Path(path).write_bytes(content.tobytes())
    except OSError as error:
        raise OutputError(path, f"cannot be written: {error.strerror}") from error
