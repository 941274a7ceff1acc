"""The visual words: find the nearest ones of a descriptor, and sign what is left of it."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernel
from ..errors import IncompatibleError, IndexCorruptError, ParameterError, VocabularyError
from ..storage.directory import Directory
from .local import MIRRORED, FeatureSpec, as_unit_vectors
from .word_search import WordSearch

__all__ = [
    "SIGNATURE_BITS",
    "Vocabulary",
    "mirrored_words",
    "npy_array",
    "shipped_folder",
    "shipped_models",
]

FORMAT = "bovw-vocabulary-1"
SIGNATURE_BITS = 64
ARRAYS = ("words", "cells", "cell_starts", "projection")
# ORB's vectors are +-1/16, which is its unit; its cells lie near 0, so theirs is finer by this.
ORB_UNITS, ORB_CELL_UNITS = 16, 127


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """W visual words, grouped into C cells so that the nearest words are found without looking at
    all of them.

    It exists only when trained: see `train_vocabulary`, `Vocabulary.load` and `Vocabulary.shipped`.

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

    Example:
        >>> from bovw import Vocabulary
        >>> len(Vocabulary.shipped())
        65536
    """

    spec: FeatureSpec
    words: NDArray[np.uint8]
    word_scale: float
    cells: NDArray[np.float32]
    cell_starts: NDArray[np.int64]
    projection: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.words)

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: the attributes alone, without what is worked out of them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

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
        return self._rounded(as_unit_vectors(descriptors))

    def quantised_words(self, words: NDArray[np.integer] | slice) -> NDArray[np.float32]:
        """Some words in the same units: (n, d) whole numbers as float32."""
        if self.spec.kind == "orb":
            return self._rounded(self.centres(words))
        return self.words[words].astype(np.float32)

    def _rounded(self, vectors: NDArray[np.float32], finer: float = 1.0) -> NDArray[np.float32]:
        """Vectors in the units of the words, or in finer ones, rounded."""
        units = ORB_UNITS if self.spec.kind == "orb" else 1 / self.word_scale
        return np.asarray(np.rint(vectors * np.float32(units * finer)), np.float32)

    @cached_property
    def _search(self) -> WordSearch:
        """The words, laid out to be searched."""
        bounds = list(pairwise(self.cell_starts.tolist()))
        finer = ORB_CELL_UNITS if self.spec.kind == "orb" else 1
        return WordSearch(
            lambda: (self.quantised_words(slice(*each)) for each in bounds),
            self._rounded(self.cells, finer),
            finer,
        )

    @cached_property
    def directions(self) -> NDArray[np.float32]:
        """The projection as whole numbers up to 127, to be multiplied with: (d, 64)."""
        whole = np.rint(self.projection * (127 / np.abs(self.projection).max()))
        return np.ascontiguousarray(whole.T)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over kind, word_scale and all arrays, as hexadecimal digits: equal
        vocabularies have equal ones.
        """
        digest = hashlib.sha256(json.dumps([self.spec.kind, self.word_scale]).encode())
        for name in ARRAYS:
            digest.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        return digest.hexdigest()

    def describe(self) -> str:
        """In a few words, for messages: fingerprint, size and kind."""
        return f"vocabulary {self.fingerprint[:12]} ({len(self):,} {self.spec.kind} words)"

    def require_features(self, kind: str) -> None:
        """Raise IncompatibleError unless the vocabulary is for this kind of features."""
        if kind != self.spec.kind:
            raise IncompatibleError(
                f"asked for are {kind} features, but {self.describe()} is for {self.spec.kind}: "
                "use one kind"
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
        while np.sort(np.diff(self.cell_starts))[:cells].sum() < count:
            cells += 1
        return self._search.nearest(points, count, cells)

    def mirrored(self, words: NDArray[np.int32]) -> NDArray[np.int32]:
        """The mirror images of RootSIFT words: the nearest words of the mirrored descriptors."""
        return mirrored_words(words, len(self))

    def signatures(self, descriptors: NDArray[Any], words: NDArray[np.int32]) -> NDArray[np.uint64]:
        """64-bit signatures of descriptors (n,) with respect to words (n, k): returns (n, k)
        uint64.

        Bit j says on which side of the word's centre the descriptor lies along direction j of the
        projection (Hamming embedding: Jegou, Douze, Schmid, ECCV 2008; the centre instead of their
        median needs no table).
        """
        points = self.quantise(descriptors)
        if kernel.is_there() and self.spec.kind == "rootsift":
            directions = self.directions.astype(np.int16)
            return kernel.signatures(points.astype(np.int16, "C"), self.words, directions, words)
        points = np.repeat(points, words.shape[1], axis=0)
        rest = self.quantised_words(words.ravel())
        sides = np.subtract(points, rest, out=rest) @ self.directions
        packed = np.packbits(sides > 0, axis=1, bitorder="little")
        signatures = np.ascontiguousarray(packed).view("<u8").reshape(words.shape)
        return signatures.astype(np.uint64, copy=False)

    def files(self) -> dict[str, bytes]:
        """The vocabulary as files: name -> content. `read` reads them back."""
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
    def shipped(cls, kind: str = "rootsift") -> Vocabulary:
        """The general vocabulary that comes with the package, for this kind of features.

        Raises:
            ParameterError: there is no such kind.
            VocabularyError: none came with this installation, or it is damaged.
        """
        return cls.load(shipped_folder(kind))

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
        found = header.get("format") if isinstance(header, dict) else None
        if found != FORMAT:
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
            ArithmeticError,
        ) as error:
            raise VocabularyError(
                f"{path}: the vocabulary is damaged: {getattr(error, 'reason', error)}"
            ) from error
        if not fits_together(vocabulary) or vocabulary.fingerprint != header.get("fingerprint"):
            raise VocabularyError(
                f"{path}: the vocabulary is damaged: its arrays do not match their fingerprint; "
                "copy it anew"
            )
        return vocabulary


def fits_together(vocabulary: Vocabulary) -> bool:
    """Whether the arrays of a vocabulary have the types, shapes and values that they must have."""
    dimension = vocabulary.spec.dimension
    is_orb = vocabulary.spec.kind == "orb"
    words, cells, starts = vocabulary.words, vocabulary.cells, vocabulary.cell_starts
    projection = vocabulary.projection
    return bool(
        0 < vocabulary.word_scale < np.inf
        and words.dtype == np.uint8
        and words.ndim == 2
        and words.shape[1] == (dimension // 8 if is_orb else dimension)
        and cells.dtype == np.float32
        and cells.ndim == 2
        and cells.shape[1] == dimension
        and starts.dtype == np.int64
        and starts.shape == (len(cells) + 1,)
        and projection.dtype == np.float32
        and projection.shape == (SIGNATURE_BITS, dimension)
        and starts[0] == 0
        and starts[-1] == len(words)
        and (np.diff(starts) >= 0).all()
        and (np.abs(cells) < 2).all()
        and (np.abs(projection) < 2).all()
        and np.abs(projection).max() > 1e-3
        and (is_orb or (is_paired(words) and is_paired(cells)))
    )


def shipped_folder(kind: str) -> Path:
    """The folder of the general vocabulary that comes with the package, for this kind of features.

    Raises:
        ParameterError: there is no such kind.
        VocabularyError: none came with this installation.
    """
    FeatureSpec(kind)
    folder = shipped_models(kind, "vocabulary.json")
    if folder is None:
        raise VocabularyError(
            f"no vocabulary for {kind} came with this installation: "
            "train one with `bovw train-vocab`"
        )
    return folder


def shipped_models(name: str, file: str) -> Path | None:
    """A folder of models that comes with the package, known by a file in it; None if it did not."""
    here = Path(__file__).parents[1]
    for models in (here / "models", here.parent / "models"):
        if (models / name / file).is_file():
            return models / name
    return None


def is_paired(rows: NDArray[Any]) -> bool:
    """Whether the second half of some RootSIFT vectors (n, 128) mirrors the first."""
    half = len(rows) // 2
    return len(rows) % 2 == 0 and np.array_equal(rows[half:], rows[:half, MIRRORED])


def mirrored_words(words: NDArray[np.int32], count: int) -> NDArray[np.int32]:
    """The mirror images of RootSIFT words of a vocabulary of so many."""
    return (words + count // 2) % count


def npy_array(content: bytes) -> NDArray[Any]:
    """An array from the bytes of a .npy file; ValueError, whatever is wrong with them."""
    try:
        return np.asarray(np.lib.format.read_array(io.BytesIO(content), allow_pickle=False))
    # NumPy raises nearly anything where it cannot make sense of the header
    except Exception as error:
        raise ValueError(str(error)) from error


def npy_bytes(array: NDArray[Any]) -> bytes:
    """An array as the bytes of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()
