"""The two file formats of TREC, in which retrieval systems exchange rankings and judgements.

A run has lines `query Q0 image rank score system`, qrels have lines `query 0 image relevance`.
Fields are separated by white space, so names of pictures are percent-encoded (RFC 3986) as UTF-8;
letters, digits and - _ . ~ / stay.

trec_eval orders a run by score alone, and images of equal score by name, in descending order; the
rank is ignored. What is written here has whole numbers as scores that fall by one from image to
image (exact in the 32 bits that trec_eval keeps), so the order survives. What is read is ordered as
trec_eval would.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote, unquote_to_bytes

import numpy as np

from ..errors import EvaluationError, OutputError

__all__ = [
    "escaped_name",
    "read_qrels",
    "read_run",
    "unescaped_name",
    "write_lines",
    "write_qrels",
    "write_run",
]

SYSTEM = "bovw"
Path = str | os.PathLike[str]


def escaped_name(name: str) -> str:
    """A name without white space."""
    return quote(os.fsencode(name), safe="/")


def unescaped_name(field: str) -> str:
    """The name that a field stands for. A % that begins no escape stays."""
    return os.fsdecode(unquote_to_bytes(field))


def write_run(path: Path, rankings: Mapping[str, Sequence[str]]) -> None:
    """Write the images that were found for each query, best first. Raises OutputError."""
    write_lines(path, run_lines(rankings))


def run_lines(rankings: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The lines of a run."""
    for query, images in rankings.items():
        for rank, image in enumerate(images, 1):
            score = len(images) - rank + 1
            yield f"{escaped_name(query)} Q0 {escaped_name(image)} {rank} {score} {SYSTEM}"


def read_run(path: Path) -> dict[str, list[str]]:
    """The images that a run has for each query, best first.

    Raises:
        EvaluationError: it cannot be read, a line is not one of a run, or an image comes twice for
            a query.
    """
    scores: dict[str, dict[str, tuple[np.float32, bytes]]] = {}
    for number, (query, _, image, _, score, _) in fields(
        path, 6, "query Q0 image rank score system"
    ):
        images = scores.setdefault(unescaped_name(query), {})
        name = unescaped_name(image)
        if name in images:
            raise EvaluationError(
                f"{os.fspath(path)}, line {number}: {image} is there twice for query {query}"
            )
        try:
            with np.errstate(over="ignore"):
                value = np.float32(score)
        except ValueError:
            raise EvaluationError(
                f"{os.fspath(path)}, line {number}: the score {score!r} is no number"
            ) from None
        if not np.isfinite(value):
            raise EvaluationError(
                f"{os.fspath(path)}, line {number}: the score {score!r} is not finite"
            )
        images[name] = value, image.encode()
    return {
        query: sorted(images, key=images.__getitem__, reverse=True)
        for query, images in scores.items()
    }


def write_qrels(path: Path, judgements: Mapping[str, Mapping[str, int]]) -> None:
    """Write the relevance of images to queries. Raises OutputError."""
    write_lines(
        path,
        (
            f"{escaped_name(query)} 0 {escaped_name(image)} {relevance}"
            for query, images in judgements.items()
            for image, relevance in sorted(images.items())
        ),
    )


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """The relevance of images to queries.

    Raises:
        EvaluationError: it cannot be read, a line is not one of qrels, or an image is judged twice
            for a query.
    """
    judgements: dict[str, dict[str, int]] = {}
    for number, (query, _, image, relevance) in fields(path, 4, "query 0 image relevance"):
        images = judgements.setdefault(unescaped_name(query), {})
        name = unescaped_name(image)
        if name in images:
            raise EvaluationError(
                f"{os.fspath(path)}, line {number}: {image} is judged twice for query {query}"
            )
        try:
            images[name] = int(relevance)
        except ValueError:
            raise EvaluationError(
                f"{os.fspath(path)}, line {number}: the relevance {relevance!r} is no whole number"
            ) from None
    return judgements


def fields(path: Path, count: int, names: str) -> Iterator[tuple[int, list[str]]]:
    """The fields of each line of a file, with its number. Empty lines are skipped."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                values = line.split()
                if len(values) not in (0, count):
                    raise EvaluationError(
                        f"{os.fspath(path)}, line {number}: "
                        f"has {len(values)} fields instead of {count}: {names}"
                    )
                if values:
                    yield number, values
    except OSError as error:
        raise EvaluationError(f"{os.fspath(path)}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{os.fspath(path)}: is no text in UTF-8") from error


def write_lines(path: Path, lines: Iterator[str]) -> None:
    """Write lines to a text file. Raises OutputError."""
    try:
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.writelines(f"{line}\n" for line in lines)
    except OSError as error:
        raise OutputError(path, f"cannot be written: {error.strerror}") from error
