"""The visual words: find the nearest ones of a descriptor, and sign what is left of it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tokenize
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import IncompatibleError, IndexCorruptError, ParameterError, VocabularyError
from ..storage.directory import Directory
from .local import MIRRORED, FeatureSpec, as_unit_vectors

__all__ = ["SIGNATURE_BITS", "Vocabulary", "half_norms", "shipped_vocabulary"]

FORMAT = "bovw-vocabulary-1"
SIGNATURE_BITS = 64
# So many products of visitors and words are looked at together: 1 MB.
VISITED = 1 << 18
# What NumPy raises, beside ValueError, where it cannot make sense of the header of an array.
NO_ARRAY = (
    *(
        IndexError,
        KeyError,
        MemoryError,
        OverflowError,
        RecursionError,
        SyntaxError,
        TypeError,
        Warning,
    ),
    tokenize.TokenError,
)
ARRAYS = ("words", "cells", "cell_starts", "projection")


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """W visual words, grouped into C cells so that the nearest words are found without looking at
    all of them.

    It exists only when trained: see `train_vocabulary`, `Vocabulary.load` and `shipped_vocabulary`.

    Attributes:
        spec: the features it was trained on.
        words: RootSIFT: (W, 128) uint8, a word is `words * word_scale`; ORB: (W, 32) uint8, packed
            bits. Ordered by cell. RootSIFT words come in pairs: word w + W / 2 is the mirror image
            of word w, and likewise for the cells.
        word_scale: see `words`; 1.0 for ORB.
        cells: (C, d) float32, the centres of the cells.
        cell_starts: (C + 1,) int64: cell c holds the words cell_starts[c] .. cell_starts[c + 1] -
            1.
        projection: (64, d) float32 with orthonormal rows, for the signatures.
    """

    spec: FeatureSpec
    words: NDArray[np.uint8]
    word_scale: float
    cells: NDArray[np.float32]
    cell_starts: NDArray[np.int64]
    projection: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.words)

    def centres(self, words: NDArray[np.integer] | slice) -> NDArray[np.float32]:
        """Some words as vectors: (n, d) float32."""
        if self.spec.kind == "orb":
            return as_unit_vectors(self.words[words])
        return self.words[words].astype(np.float32) * np.float32(self.word_scale)

    def quantise(self, descriptors: NDArray[Any]) -> NDArray[np.float32]:
        """Descriptors (n,) in the units of the words, rounded: (n, d) whole numbers as float32.

        Their products with words, cells and projection stay below 2^24, so float32 holds every sum
        exactly: the result does not depend on the order of summation, thus neither on the matrix
        library, nor the CPU, nor the size of a batch.
        """
        return self.whole(as_unit_vectors(descriptors), self.word_scale)

    def whole(self, points: NDArray[np.float32], unit: float) -> NDArray[np.float32]:
        """Vectors in units, rounded; ORB's are +-1 for +-1/16."""
        return np.asarray(
            np.rint(points * np.float32(16 if self.spec.kind == "orb" else 1 / unit)), np.float32
        )

    def quantised_words(self, words: NDArray[np.integer] | slice) -> NDArray[np.float32]:
        """Some words in the same units."""
        if self.spec.kind == "orb":
            return self.whole(self.centres(words), 1.0)
        return self.words[words].astype(np.float32)

    @cached_property
    def blocks(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """The words of each cell, ready to be multiplied with: (d, n) float32, and half their
        squared lengths (n,).
        """
        blocks = []
        for first, last in pairwise(self.cell_starts.tolist()):
            centres = self.quantised_words(slice(first, last))
            blocks.append((np.ascontiguousarray(centres.T), half_norms(centres)))
        return blocks

    @cached_property
    def by_size(self) -> NDArray[np.int64]:
        """The cells by ascending number of words."""
        return np.argsort(np.diff(self.cell_starts), kind="stable")

    @cached_property
    def cell_block(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The same of the cells. ORB's lie near 0, so that they are in finer units than the words."""
        fine = 127.0 if self.spec.kind == "orb" else 1.0
        cells = np.rint(
            self.cells * np.float32(16 * fine if self.spec.kind == "orb" else 1 / self.word_scale)
        )
        return np.ascontiguousarray(cells.T), half_norms(cells) / np.float32(fine)

    @cached_property
    def whole_projection(self) -> NDArray[np.float32]:
        """The projection (d, 64) as whole numbers up to 127."""
        return np.ascontiguousarray(
            np.rint(self.projection * (127 / np.abs(self.projection).max())).T
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the kind of features and all arrays, as hexadecimal digits: equal
        vocabularies have equal ones.
        """
        digest = hashlib.sha256(json.dumps([self.spec.kind, self.word_scale]).encode())
        for name in ARRAYS:
            digest.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        return digest.hexdigest()

    def describe(self) -> str:
        """In a few words, for messages."""
        return f"vocabulary {self.fingerprint[:12]} ({len(self):,} {self.spec.kind} words)"

    def require_features(self, features: str) -> None:
        """Raise IncompatibleError unless the vocabulary is for these features."""
        if features != self.spec.kind:
            raise IncompatibleError(
                f"asked for are {features} features, but {self.describe()} is for {self.spec.kind}: use one kind"
            )

    def nearest(self, descriptors: NDArray[Any], count: int, cells: int) -> NDArray[np.int32]:
        """The `count` nearest words of each descriptor, nearest first, among those of its `cells`
        nearest cells.

        Returns (n, count) int32. Approximate: of the shipped RootSIFT words, 6 cells give the true
        nearest in 97 % of the cases; more cells, more exact, slower. Philbin et al., CVPR 2007,
        search words with trees; here one small matrix product a cell does.
        """
        if not 1 <= count <= len(self):
            raise ParameterError(f"count: {count} is outside 1..{len(self)}")
        points = self.quantise(descriptors)
        cells = min(max(cells, 1), len(self.cells))
        while (np.sort(np.diff(self.cell_starts))[:cells].sum()) < count:
            cells += 1
        return self.assign(points, count, cells) if len(points) else np.zeros((0, count), np.int32)

    def assign(self, points: NDArray[np.float32], count: int, cells: int) -> NDArray[np.int32]:
        """The `count` nearest words of some points, given in steps, in their `cells` nearest cells;
        ties go to lower words.
        """
        block, half_norm = self.cell_block
        visited = nearest_cells(points @ block - half_norm, cells)
        # visits sorted by cell: each cell then serves all its visitors with one matrix product
        place_of = np.argsort(self.by_size)
        order = np.argsort(place_of[visited].ravel().astype(np.uint16), kind="stable")
        bounds = np.concatenate(
            ([0], np.cumsum(np.bincount(visited.ravel(), minlength=len(self.cells))[self.by_size]))
        )
        closeness, words = self.scan_cells(points[order // cells], bounds.tolist(), count)
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        closeness = closeness[back].reshape(len(points), cells * count)
        words = words[back].reshape(len(points), cells * count)
        found = np.empty((len(points), count), np.int32)
        each = np.arange(len(points))
        for place in range(count):
            best = closeness.argmax(axis=1)
            found[:, place] = words[each, best]
            closeness[each, best] = -np.inf
        return found

    def scan_cells(
        self, visitors: NDArray[np.float32], bounds: list[int], count: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Compare visitors (n, d) with the words of the cell that each has come to.

        Cells are taken by size and in groups, so that few calls do much and what they fill stays in
        the cache.

        Args:
            bounds: the visitors bounds[i] .. bounds[i + 1] - 1 have come to cell by_size[i].

        Returns closeness and number of the `count` nearest words of each: (n, count).
        """
        closeness = np.full((len(visitors), count), -np.inf, np.float32)
        words = np.zeros((len(visitors), count), np.int32)
        sizes = np.diff(self.cell_starts)[self.by_size].tolist()
        first = 0
        while first < len(sizes):
            last = first + 1
            while last < len(sizes) and (bounds[last + 1] - bounds[first]) * sizes[last] <= VISITED:
                last += 1
            start, end = bounds[first], bounds[last]
            seen = np.full((end - start, sizes[last - 1]), -np.inf, np.float32)
            for place in range(first, last):
                low, high = bounds[place], bounds[place + 1]
                if low < high and sizes[place]:
                    block, half_norm = self.blocks[self.by_size[place]]
                    inside = seen[low - start : high - start, : sizes[place]]
                    np.matmul(visitors[low:high], block, out=inside)
                    inside -= half_norm
            cell = np.repeat(self.by_size[first:last], np.diff(bounds[first : last + 1]))
            each = np.arange(end - start)
            for place in range(min(count, seen.shape[1]) if end > start else 0):
                best = seen.argmax(axis=1)
                closeness[start:end, place] = seen[each, best]
                words[start:end, place] = self.cell_starts[cell] + best
                seen[each, best] = -np.inf
            first = last
        return closeness, words

    def mirrored(self, words: NDArray[np.int32]) -> NDArray[np.int32]:
        """The mirror images of RootSIFT words: the nearest words of the mirrored descriptors."""
        return (words + len(self) // 2) % len(self)

    def signatures(self, descriptors: NDArray[Any], words: NDArray[np.int32]) -> NDArray[np.uint64]:
        """64-bit signatures of descriptors (n,) with respect to words (n, k): returns (n, k)
        uint64.

        Bit j says on which side of the word's centre the descriptor lies along direction j of the
        projection (Hamming embedding: Jegou, Douze, Schmid, ECCV 2008; the centre instead of their
        median needs no table).
        """
        side = np.repeat(self.quantise(descriptors), words.shape[1], axis=0) - self.quantised_words(
            words.ravel()
        )
        bits = side @ self.whole_projection > 0
        packed = np.packbits(bits, axis=1, bitorder="little")
        return (
            np.ascontiguousarray(packed)
            .view("<u8")
            .reshape(words.shape)
            .astype(np.uint64, copy=False)
        )

    def files(self) -> dict[str, bytes]:
        """The vocabulary as files: name -> content. `from_files` reads them back."""
        header = {
            "format": FORMAT,
            "features": self.spec.to_json(),
            "word_scale": self.word_scale,
            "fingerprint": self.fingerprint,
        }
        contents = {
            "vocabulary.json": (json.dumps(header, indent=1, sort_keys=True) + "\n").encode()
        }
        for name in ARRAYS:
            contents[f"{name}.npy"] = npy_bytes(getattr(self, name))
        return contents

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary as a folder of .npy and JSON files.

        Raises:
            VocabularyError: the folder cannot be written.
        """
        folder = Path(path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in self.files().items():
                (folder / name).write_bytes(content)
        except OSError as error:
            raise VocabularyError(
                f"{folder}: the vocabulary cannot be written: {error.strerror}"
            ) from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """Read a vocabulary that `save` wrote.

        Raises:
            VocabularyError: a file is missing, damaged or of another format.
        """
        return cls.read(Directory(path).read, os.fspath(path))

    @classmethod
    def read(cls, content_of: Callable[[str], bytes], path: str) -> Vocabulary:
        """Read a vocabulary from wherever its files are.

        Args:
            content_of: gives the content of a file by its name.
            path: what to call the place in messages.

        Raises:
            VocabularyError: as `load`.
        """
        try:
            header = json.loads(content_of("vocabulary.json"))
        except FileNotFoundError:
            raise VocabularyError(
                f"{path}: there is no vocabulary here (vocabulary.json is missing)"
            ) from None
        except (IndexCorruptError, ValueError, RecursionError) as error:
            raise VocabularyError(
                f"{path}: vocabulary.json cannot be read: {getattr(error, 'reason', error)}"
            ) from error
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            found = header.get("format") if isinstance(header, dict) else None
            raise VocabularyError(f"{path}: the format is {found!r}, this version reads {FORMAT!r}")
        try:
            spec = FeatureSpec.from_json(header["features"])
            arrays = {name: npy_array(content_of(f"{name}.npy")) for name in ARRAYS}
            vocabulary = cls(spec=spec, word_scale=float(header["word_scale"]), **arrays)
        except (
            OSError,
            IndexCorruptError,
            ValueError,
            TypeError,
            KeyError,
            EOFError,
            OverflowError,
        ) as error:
            raise VocabularyError(
                f"{path}: the vocabulary is damaged: {getattr(error, 'reason', error)}"
            ) from error
        vocabulary.check(path, str(header.get("fingerprint")))
        return vocabulary

    def check(self, where: str, fingerprint: str) -> None:
        """Raise VocabularyError unless the arrays fit one another and have this fingerprint."""
        dimension, width = (
            self.spec.dimension,
            32 if self.spec.kind == "orb" else self.spec.dimension,
        )
        fits = (
            0 < self.word_scale < np.inf
            and self.words.dtype == np.uint8
            and self.words.ndim == 2
            and self.words.shape[1] == width
            and self.cells.dtype == np.float32
            and self.cells.ndim == 2
            and self.cells.shape[1] == dimension
            and self.cell_starts.dtype == np.int64
            and self.cell_starts.shape == (len(self.cells) + 1,)
            and self.projection.dtype == np.float32
            and self.projection.shape == (SIGNATURE_BITS, dimension)
            and self.cell_starts[0] == 0
            and self.cell_starts[-1] == len(self.words)
            and bool((np.diff(self.cell_starts) >= 0).all())
            and bool((np.abs(self.cells) < 2).all())
            and bool((np.abs(self.projection) < 2).all() and np.abs(self.projection).max() > 1e-3)
        )
        if fits and self.spec.kind == "rootsift":
            fits = is_paired(self.words) and is_paired(self.cells)
        if not fits or self.fingerprint != fingerprint:
            raise VocabularyError(
                f"{where}: the vocabulary is damaged: its arrays do not match their fingerprint; copy it anew"
            )


def shipped_vocabulary(features: str = "rootsift") -> Path:
    """The folder of the general vocabulary that comes with the package, for these features."""
    FeatureSpec(features)
    here = Path(__file__).parents[1]
    for models in (here / "models", here.parent / "models"):
        if (models / features / "vocabulary.json").is_file():
            return models / features
    raise VocabularyError(
        f"no vocabulary for {features} came with this installation: train one with `bovw train-vocab`"
    )


def is_paired(rows: NDArray[Any]) -> bool:
    """Whether the second half of some RootSIFT vectors (n, 128) mirrors the first."""
    half = len(rows) // 2
    return len(rows) % 2 == 0 and np.array_equal(rows[half:], rows[:half, MIRRORED])


def half_norms(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Half the squared length of each row of (n, d): (n,) float32."""
    return np.asarray(np.einsum("ij,ij->i", points, points) / 2, np.float32)


def nearest_cells(closeness: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The `count` cells of the highest closeness (n, cells) of each point, ascending: (n, count).
    Overwrites `closeness`.

    Ties go to the lower cell. For the few cells that are wanted, looking for the highest again and
    again takes a ninth of the time of a partition.
    """
    found = np.empty((len(closeness), count), np.int64)
    each = np.arange(len(closeness))
    for place in range(count):
        found[:, place] = closeness.argmax(axis=1)
        closeness[each, found[:, place]] = -np.inf
    return np.sort(found, axis=1)


def npy_array(content: bytes) -> NDArray[Any]:
    """An array from the bytes of a .npy file; ValueError, whatever is wrong with them."""
    try:
        return np.asarray(np.lib.format.read_array(io.BytesIO(content), allow_pickle=False))
    except NO_ARRAY as error:
        raise ValueError(str(error)) from error


def npy_bytes(array: NDArray[Any]) -> bytes:
    """An array as the bytes of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()
