"""What a run has found out about pairs of images, kept beside the index: the next run asks only
about images that are new.

It is a cache: whoever removes it loses nothing but time, and one that is damaged, or was made with
other vectors or by another version, is made anew. No content is trusted: numbers are checked before
they are used, and nothing in it is executed.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageIndexError, IndexCorruptError
from ..storage.base import Storage
from .evidence import Evidence
from .overlay import Resemblance

__all__ = ["KnownPairs", "load_pairs", "save_pairs", "unasked"]

FORMAT = "bovw-pairs-2"
# What is stored of each pair, and as what.
COLUMNS = {
    "pairs": ("<u4", 2),
    "matrix": ("<f8", 9),
    "inliers": ("<u4", 0),
    "bits": ("|u1", 0),
    "scores": ("<f8", 6),
}


@dataclass(frozen=True)
class KnownPairs:
    """What is known of some images.

    Attributes:
        contents: (n,) their contents, in the order in which they were asked.
        pairs: what two of them have in common; `first` and `second` are places among these.
    """

    contents: NDArray[np.void]
    pairs: list[Evidence] = field(default_factory=list)


def file_name(method: str) -> str:
    """The file of a way to find candidates, in the folder of the index."""
    return f"duplicates-{method}.npz"


def load_pairs(storage: Storage, method: str, setting: str) -> KnownPairs | None:
    """What an earlier run has found; None if there is nothing that can be used.

    Args:
        method: how candidates were found.
        setting: what else the answers depend on.
    """
    try:
        content = storage.read(file_name(method))
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            header = json.loads(bytes(file["header"]))
            if header != header_of(setting):
                return None
            contents = np.asarray(file["contents"])
            columns = {name: np.asarray(file[name]) for name in COLUMNS}
    except (OSError, IndexCorruptError):
        return None
    # NumPy and zipfile raise nearly anything where they cannot make sense of a file
    except Exception:
        return None
    return parsed(contents, columns)


def header_of(setting: str) -> dict[str, str]:
    """What a file begins with."""
    return {"format": FORMAT, "setting": setting}


def parsed(contents: NDArray[Any], columns: dict[str, NDArray[Any]]) -> KnownPairs | None:
    """Pairs from their columns; None if they are not what they must be."""
    count = len(columns["pairs"]) if columns["pairs"].ndim else -1
    shapes = {name: (count, width) if width else (count,) for name, (_, width) in COLUMNS.items()}
    if (
        contents.dtype != np.uint8
        or contents.shape[1:] != (32,)
        or any(columns[name].dtype != kind for name, (kind, _) in COLUMNS.items())
        or any(columns[name].shape != shape for name, shape in shapes.items())
        or columns["pairs"].max(initial=0) >= max(len(contents), 1)
        or not np.isfinite(columns["matrix"]).all()
    ):
        return None
    rows = zip(*(columns[name].tolist() for name in COLUMNS), strict=True)
    pairs = [
        Evidence(
            first,
            second,
            np.array(matrix).reshape(3, 3),
            inliers,
            share,
            log_chance,
            drift,
            bits,
            None if np.isnan(alike[0]) else Resemblance(*alike),
        )
        for (first, second), matrix, inliers, bits, (share, log_chance, drift, *alike) in rows
    ]
    return KnownPairs(np.ascontiguousarray(contents).view(np.dtype((np.void, 32))).ravel(), pairs)


def save_pairs(storage: Storage, method: str, setting: str, known: KnownPairs) -> bool:
    """Keep what was found; whether that was possible. The file appears whole or not at all."""
    columns = columns_of(known.pairs)
    contents = np.ascontiguousarray(known.contents).view(np.uint8).reshape(-1, 32)
    header = np.frombuffer(json.dumps(header_of(setting)).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, header=header, contents=contents, **columns)
    # a writer of the index removes what is left over of a crash, by its name
    temporary = f"tmp-duplicates-{os.getpid()}"
    try:
        storage.remove(temporary)
        storage.write(temporary, buffer.getvalue())
        storage.rename(temporary, file_name(method))
    except (OSError, ImageIndexError):
        return False
    return True


def columns_of(pairs: Sequence[Evidence]) -> dict[str, NDArray[Any]]:
    """Pairs as columns."""
    nothing = (np.nan, np.nan, np.nan)
    values = {
        "pairs": [(pair.first, pair.second) for pair in pairs],
        "matrix": [pair.matrix.ravel() for pair in pairs],
        "inliers": [pair.inliers for pair in pairs],
        "bits": [pair.bits for pair in pairs],
        "scores": [
            (
                pair.share,
                pair.log_chance,
                pair.drift,
                *(
                    (pair.alike.correlation, pair.alike.trimmed, pair.alike.tone)
                    if pair.alike
                    else nothing
                ),
            )
            for pair in pairs
        ],
    }
    return {
        name: np.array(values[name], kind).reshape((-1, width) if width else (-1,))
        for name, (kind, width) in COLUMNS.items()
    }


def unasked(contents: NDArray[np.void], known: NDArray[np.void]) -> NDArray[np.bool_]:
    """Which of some images (n,), given by their contents in order, have yet to be compared with
    those before them.

    One that is known was compared with those that came before it then: that will do if no other
    has come before it since.

    Args:
        known: (k,) the contents that were compared, in order.
    """
    place = {content.tobytes(): number for number, content in enumerate(known)}
    then = np.array([place.get(content.tobytes(), len(known)) for content in contents], np.int64)
    latest = np.concatenate(([-1], np.maximum.accumulate(then)))[: len(then)]
    return np.asarray((then == len(known)) | (then <= latest))
