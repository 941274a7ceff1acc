"""The visual words: find the nearest ones of a descriptor, and sign what is left of it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tokenize
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import IncompatibleError, ParameterError, VocabularyError
from .features import MIRRORED, FeatureSpec, vectors

__all__ = ["SIGNATURE_BITS", "Vocabulary", "shipped_vocabulary"]

FORMAT = "bovw-vocabulary-1"
SIGNATURE_BITS = 64
# OpenBLAS has a path of its own for products of fewer than about 1,200 results.
SMALL_PRODUCT = 4096
ARRAYS = ("words", "cells", "cell_starts", "projection")


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """W visual words, grouped into C cells so that the nearest words are found without looking at all of them.

    It exists only when trained: see `train_vocabulary`, `Vocabulary.load` and `shipped_vocabulary`.

    Attributes:
        spec: the features it was trained on.
        words: RootSIFT: (W, 128) uint8, a word is `words * word_scale`; ORB: (W, 32) uint8, packed bits. Ordered by cell.
            RootSIFT words come in pairs: word w + W / 2 is the mirror image of word w, and likewise for the cells.
        word_scale: see `words`; 1.0 for ORB.
        cells: (C, d) float32, the centres of the cells.
        cell_starts: (C + 1,) int64: cell c holds the words cell_starts[c] .. cell_starts[c + 1] - 1.
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
        if self.spec.name == "orb":
            return vectors(self.words[words])
        return self.words[words].astype(np.float32) * np.float32(self.word_scale)

    @cached_property
    def blocks(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """The words of each cell, ready to be multiplied with: (d, n) float32, and half their squared lengths (n,)."""
        blocks = []
        for first, last in pairwise(self.cell_starts.tolist()):
            centres = self.centres(slice(first, last))
            blocks.append((np.ascontiguousarray(centres.T), half_norms(centres)))
        return blocks

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the kind of features and all arrays, as hexadecimal digits: equal vocabularies have equal ones."""
        digest = hashlib.sha256(json.dumps([self.spec.name, self.word_scale]).encode())
        for name in ARRAYS:
            digest.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        return digest.hexdigest()

    def describe(self) -> str:
        """In a few words, for messages."""
        return f"vocabulary {self.fingerprint[:12]} ({len(self):,} {self.spec.name} words)"

    def require_features(self, features: str) -> None:
        """Raise IncompatibleError unless the vocabulary is for these features."""
        if features != self.spec.name:
            raise IncompatibleError(f"asked for are {features} features, but {self.describe()} is for {self.spec.name}: use one kind")

    def nearest(self, descriptors: NDArray[Any], count: int, cells: int) -> NDArray[np.int32]:
        """The `count` nearest words of each descriptor, nearest first, among those of its `cells` nearest cells.

        Returns (n, count) int32. Approximate: of the shipped RootSIFT words, 6 cells give the true nearest in 97 % of
        the cases; more cells, more exact, slower. Philbin et al., CVPR 2007, search words with trees; here one small
        matrix product a cell does.
        """
        if not 1 <= count <= len(self):
            raise ParameterError(f"count: {count} is outside 1..{len(self)}")
        points = vectors(descriptors)
        if not len(points):
            return np.zeros((0, count), np.int32)
        cells = min(max(cells, 1), len(self.cells))
        while (np.sort(np.diff(self.cell_starts))[:cells].sum()) < count:
            cells += 1
        visited = nearest_cells(points, self.cells, cells)
        # visits sorted by cell: each cell then serves all its visitors with one matrix product
        order = np.argsort(visited.ravel(), kind="stable")
        visitors = order // cells
        bounds = np.searchsorted(visited.ravel()[order], np.arange(len(self.cells) + 1)).tolist()
        scores = np.full((len(order), count), -np.inf, np.float32)
        words = np.zeros((len(order), count), np.int32)
        for cell, (block, half_norm) in enumerate(self.blocks):
            low, high = bounds[cell], bounds[cell + 1]
            if low == high or not len(half_norm):
                continue
            similarity = product(points, visitors[low:high], block)
            similarity -= half_norm
            rows = np.arange(high - low)
            for place in range(min(count, len(half_norm))):
                best = similarity.argmax(axis=1)
                scores[low:high, place] = similarity[rows, best]
                words[low:high, place] = best + self.cell_starts[cell]
                similarity[rows, best] = -np.inf
        # back to the order of the points, then the best of what their cells gave
        back = np.argsort(order, kind="stable")
        scores = scores[back].reshape(len(points), cells * count)
        words = words[back].reshape(len(points), cells * count)
        found = np.empty((len(points), count), np.int32)
        rows = np.arange(len(points))
        for place in range(count):
            best = scores.argmax(axis=1)
            found[:, place] = words[rows, best]
            scores[rows, best] = -np.inf
        return found

    def mirrored(self, words: NDArray[np.int32]) -> NDArray[np.int32]:
        """The mirror images of RootSIFT words: the nearest words of the mirrored descriptors."""
        return (words + len(self) // 2) % len(self)

    def signatures(self, descriptors: NDArray[Any], words: NDArray[np.int32]) -> NDArray[np.uint64]:
        """64-bit signatures of descriptors (n,) with respect to words (n, k): returns (n, k) uint64.

        Bit j says on which side of the word's centre the descriptor lies along direction j of the projection
        (Hamming embedding: Jegou, Douze, Schmid, ECCV 2008; the centre instead of their median needs no table).
        """
        points = vectors(descriptors)
        side = np.repeat(points, words.shape[1], axis=0) - self.centres(words.ravel())
        bits = product(side, np.arange(len(side)), self.projection.T) > 0
        packed = np.packbits(bits, axis=1, bitorder="little")
        return np.ascontiguousarray(packed).view("<u8").reshape(words.shape).astype(np.uint64, copy=False)

    def files(self) -> dict[str, bytes]:
        """The vocabulary as files: name -> content. `from_files` reads them back."""
        header = {"format": FORMAT, "features": self.spec.to_json(), "word_scale": self.word_scale, "fingerprint": self.fingerprint}
        contents = {"vocabulary.json": (json.dumps(header, indent=1, sort_keys=True) + "\n").encode()}
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
            raise VocabularyError(f"{folder}: the vocabulary cannot be written: {error.strerror}") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """Read a vocabulary that `save` wrote.

        Raises:
            VocabularyError: a file is missing, damaged or of another format.
        """
        folder = Path(path)
        try:
            header = json.loads((folder / "vocabulary.json").read_bytes())
        except FileNotFoundError:
            raise VocabularyError(f"{folder}: there is no vocabulary here (vocabulary.json is missing)") from None
        except (OSError, ValueError, RecursionError) as error:
            raise VocabularyError(f"{folder}: vocabulary.json cannot be read: {error}") from error
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            found = header.get("format") if isinstance(header, dict) else None
            raise VocabularyError(f"{folder}: the format is {found!r}, this version reads {FORMAT!r}")
        try:
            spec = FeatureSpec(**header["features"])
            arrays = {name: npy_array((folder / f"{name}.npy").read_bytes()) for name in ARRAYS}
            vocabulary = cls(spec=spec, word_scale=float(header["word_scale"]), **arrays)
        except (OSError, ValueError, TypeError, KeyError, EOFError) as error:
            raise VocabularyError(f"{folder}: the vocabulary is damaged: {error}") from error
        vocabulary.check(str(folder), str(header.get("fingerprint")))
        return vocabulary

    def check(self, where: str, fingerprint: str) -> None:
        """Raise VocabularyError unless the arrays fit one another and have this fingerprint."""
        dimension, width = self.spec.dimension, 32 if self.spec.name == "orb" else self.spec.dimension
        fits = (
            self.words.dtype == np.uint8
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
        )
        if fits and self.spec.name == "rootsift":
            fits = is_paired(self.words) and is_paired(self.cells)
        if not fits or self.fingerprint != fingerprint:
            raise VocabularyError(f"{where}: the vocabulary is damaged: its arrays do not match their fingerprint; copy it anew")


def shipped_vocabulary(features: str = "rootsift") -> Path:
    """The folder of the general vocabulary that comes with the package, for these features."""
    FeatureSpec(features)
    here = Path(__file__).parent
    for models in (here / "models", here.parent / "models"):
        if (models / features / "vocabulary.json").is_file():
            return models / features
    raise VocabularyError(f"no vocabulary for {features} came with this installation: train one with `bovw train-vocab`")


def is_paired(rows: NDArray[Any]) -> bool:
    """Whether the second half of some RootSIFT vectors (n, 128) mirrors the first."""
    half = len(rows) // 2
    return len(rows) % 2 == 0 and np.array_equal(rows[half:], rows[:half, MIRRORED])


def half_norms(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Half the squared length of each row of (n, d): (n,) float32."""
    return np.asarray(np.einsum("ij,ij->i", points, points) / 2, np.float32)


def nearest_cells(points: NDArray[np.float32], cells: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The `count` nearest cells of each point, in any order: (n, count)."""
    similarity = product(points, np.arange(len(points)), cells.T) - half_norms(cells)
    if count == len(cells):
        return np.broadcast_to(np.arange(count), similarity.shape)
    return np.argpartition(similarity, -count, axis=1)[:, -count:]


def product(points: NDArray[np.float32], rows: NDArray[np.int64], block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Some rows of points (n, d) times a block (d, m), where each row of the result depends on its point alone.

    BLAS libraries take another path for small products, whose last bits differ; rows are repeated until it is not taken.
    So a picture has the same words alone as in a batch.
    """
    enough = -(-SMALL_PRODUCT // max(1, block.shape[1]))
    taken = rows if len(rows) >= enough else np.resize(rows, enough)
    return np.asarray((points[taken] @ block)[: len(rows)], np.float32) if len(rows) else np.zeros((0, block.shape[1]), np.float32)


def npy_array(content: bytes) -> NDArray[Any]:
    """An array from the bytes of a .npy file; ValueError, whatever is wrong with them."""
    try:
        return np.asarray(np.lib.format.read_array(io.BytesIO(content), allow_pickle=False))
    except (MemoryError, SyntaxError, tokenize.TokenError, TypeError, RecursionError, Warning) as error:
        raise ValueError(str(error)) from error


def npy_bytes(array: NDArray[Any]) -> bytes:
    """An array as the bytes of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()
