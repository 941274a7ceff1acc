"""The systems that compare.py runs: bovw, what people write themselves, and other packages."""

from __future__ import annotations

import os
from dataclasses import replace

from handmade import Colours, OpencvWords, Orb, SiftExact, SiftFlann
from packages import Colmap, CropResistantHash, Imagededup, PerceptualHash, Pimmi
from systems import DEPTH, Question, System

from bovw import ImageIndex, SearchOptions
from bovw.version import __version__


class Bovw(System):
    """This library."""

    options = SearchOptions()

    def version(self) -> str:
        """Version of the package."""
        return __version__

    def build(self, paths: list[str]) -> None:
        """Make the index of the database."""
        self.index = ImageIndex.create(self.work / "index.bovw")
        self.index.add(paths, jobs=os.cpu_count() or 1)

    def rank(self, question: Question) -> list[str]:
        """The best of the pictures."""
        result = self.index.search(
            question.path, replace(self.options, k=DEPTH, crop=question.crop)
        )
        self.extraction = result.timings["read"] + result.timings["extract"]
        return [match.path for match in result.matches]

    def size(self) -> int:
        """Bytes on disk beside the vocabulary."""
        return self.index.info().size_bytes


class BovwVerified(Bovw):
    """The default."""

    name = "bovw"
    settings = (
        "as shipped: 65,536 words, Hamming embedding, mirrored as well, best 100 verified, "
        f"{DEPTH} returned"
    )


class BovwThorough(Bovw):
    """Looking harder where nothing is certain."""

    name = "bovw-thorough"
    settings = "as bovw, with --thorough"
    options = SearchOptions(thorough="unsure")


class BovwTfidf(Bovw):
    """The textbook baseline."""

    name = "bovw-tfidf"
    settings = (
        f"an index as that of bovw, TF-IDF cosine, not mirrored, not verified, {DEPTH} returned"
    )
    options = SearchOptions(scoring="tfidf", verify_top=0, mirror=False)


SYSTEMS: list[type[System]] = [
    BovwVerified,
    BovwThorough,
    BovwTfidf,
    SiftExact,
    SiftFlann,
    Orb,
    OpencvWords,
    PerceptualHash,
    CropResistantHash,
    Colours,
    Pimmi,
    Colmap,
    Imagededup,  # last, as it imports PyTorch
]
