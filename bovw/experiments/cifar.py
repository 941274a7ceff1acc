"""The pictures of CIFAR-10 and CIFAR-100 out of their binary files, as PNG in a folder a class.

Krizhevsky: Learning multiple layers of features from tiny images, 2009. The files for Python are
pickles, which run whatever is in them when they are opened; those for C hold the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import EvaluationError, OutputError
from ..evaluation.synthetic import write_png

__all__ = ["unpack_cifar"]

SIDE = 32
PIXELS = 3 * SIDE * SIDE
# Of a record of either collection, the bytes before the pixels; the last of them is the class.
KINDS = {
    "CIFAR-10": (1, "batches.meta.txt"),
    "CIFAR-100": (2, "fine_label_names.txt"),
}


def unpack_cifar(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, int]:
    """Write all pictures as OUT/train/CLASS/00000.png and OUT/test/CLASS/00000.png, numbered in
    their order; and say how many are in each.

    Args:
        folder: of the binary version: data_batch_1.bin to 5, test_batch.bin and batches.meta.txt;
            or train.bin, test.bin and fine_label_names.txt of CIFAR-100.
        progress: called with (stage, done, total).

    Raises:
        EvaluationError: there are no such files, or one is damaged.
        OutputError: a picture cannot be written.

    Example:
        >>> from bovw import EvaluationError, unpack_cifar
        >>> try:
        ...     unpack_cifar("photos", "cifar")
        ... except EvaluationError as error:
        ...     print(error)
        photos: holds neither data_batch_1.bin of CIFAR-10 nor train.bin of CIFAR-100
    """
    source = Path(folder)
    if (source / "data_batch_1.bin").is_file():
        kind, training = "CIFAR-10", sorted(source.glob("data_batch_*.bin"))
        files = [*(("train", path) for path in training), ("test", source / "test_batch.bin")]
    elif (source / "train.bin").is_file():
        kind = "CIFAR-100"
        files = [(part, source / f"{part}.bin") for part in ("train", "test")]
    else:
        raise EvaluationError(
            f"{source}: holds neither data_batch_1.bin of CIFAR-10 nor train.bin of CIFAR-100"
        )
    before, meta = KINDS[kind]
    names = class_names(source / meta)
    counts = {"train": 0, "test": 0}
    for done, (part, path) in enumerate(files, 1):
        records = records_of(path, before)
        if records[:, before - 1].max(initial=0) >= len(names):
            raise EvaluationError(f"{path}: damaged: has a class that {meta} does not name")
        for record in records:
            target = Path(out, part, names[record[before - 1]], f"{counts[part]:05d}.png")
            write_picture(target, record[before:])
            counts[part] += 1
        if progress:
            progress("unpack", done, len(files))
    return counts


def class_names(path: Path) -> list[str]:
    """The names of the classes, which are to be names of folders."""
    try:
        names = path.read_text(encoding="utf-8").split()
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path}: cannot be read: {error}") from error
    if not names or any("/" in name or name.startswith(".") for name in names):
        raise EvaluationError(f"{path}: holds no names of classes")
    return names


def records_of(path: Path, before: int) -> NDArray[np.uint8]:
    """The records of a file: (n, before + 3072)."""
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be read: {error.strerror}") from error
    if not len(content) or len(content) % (before + PIXELS):
        raise EvaluationError(
            f"{path}: damaged: {len(content):,} bytes are no records of {before + PIXELS:,}"
        )
    return content.reshape(-1, before + PIXELS)


def write_picture(path: Path, planes: NDArray[np.uint8]) -> None:
    """Write a picture given as its red, green and blue planes (3072,)."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(path, f"cannot be written: {error.strerror}") from error
    pixels = planes.reshape(3, SIDE, SIDE).transpose(1, 2, 0)
    write_png(os.fspath(path), np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), np.uint8))
