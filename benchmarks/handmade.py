"""What people write themselves with OpenCV: matching with every picture, a bag of words, colour
histograms.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from systems import Question, System, best_first, in_threads, read, select_by_grid


class Exhaustive(System):
    """Match the query with each picture, fit a homography, count inliers: what people write
    themselves.
    """

    sampled = True

    def version(self) -> str:
        """Version of the package."""
        return cv2.__version__

    @abstractmethod
    def detect(self, gray: NDArray[Any]) -> tuple[Any, Any]:
        """Key points and descriptors."""

    @abstractmethod
    def prepare(self, descriptors: NDArray[Any]) -> Any:
        """What is kept of the descriptors of a picture."""

    @abstractmethod
    def match(self, query: NDArray[Any], prepared: Any) -> list[tuple[int, int]]:
        """Good matches: feature of the query, feature of the picture."""

    def extract(self, path: str) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Places (n, 2) and descriptors (n, ...); there may be none."""
        points, descriptors = self.detect(read(path, cv2.IMREAD_GRAYSCALE))
        places = np.array([point.pt for point in points], np.float32).reshape(-1, 2)
        return places, np.zeros((0, 1), np.uint8) if descriptors is None else descriptors

    def build(self, paths: list[str]) -> None:
        """Keep all descriptors in memory."""
        self.paths = paths
        features = in_threads(self.extract, paths)
        self.bytes = sum(places.nbytes + descriptors.nbytes for places, descriptors in features)
        # A ratio needs two neighbours.
        self.pictures = [
            (places, self.prepare(each) if len(each) > 1 else None) for places, each in features
        ]

    def rank(self, question: Question) -> list[str]:
        """The pictures with matches, by inliers, then by matches."""
        clock = time.perf_counter()
        places, descriptors = self.extract(question.path)
        self.extraction = time.perf_counter() - clock
        found, scores = [], []
        for path, (theirs, prepared) in zip(self.paths, self.pictures, strict=True):
            good = (
                self.match(descriptors, prepared)
                if len(descriptors) and prepared is not None
                else []
            )
            if good:
                found.append(path)
                scores.append((-self.inliers(places, theirs, np.array(good)), -len(good)))
        return best_first(found, scores)

    def inliers(
        self, places: NDArray[np.float32], theirs: NDArray[np.float32], good: NDArray[np.int64]
    ) -> int:
        """How many of the matches agree on a homography."""
        if len(good) < 4:
            return 0
        _, mask = cv2.findHomography(places[good[:, 0]], theirs[good[:, 1]], cv2.USAC_MAGSAC, 5.0)
        return 0 if mask is None else int(mask.sum())

    def size(self) -> int:
        """Bytes of descriptors and places."""
        return self.bytes


def pass_ratio(matches: Any, ratio: float) -> list[tuple[int, int]]:
    """The matches whose second neighbour is farther by so much."""
    pairs = (pair for pair in matches if len(pair) == 2)
    return [
        (best.queryIdx, best.trainIdx)
        for best, second in pairs
        if best.distance < ratio * second.distance
    ]


class SiftExact(Exhaustive):
    """The reference: exact neighbours."""

    name = "sift-exact"
    settings = (
        "SIFT (defaults, 1024 px), BFMatcher 2 neighbours in each picture, ratio 0.75, "
        "findHomography USAC_MAGSAC 5 px"
    )

    def detect(self, gray: NDArray[Any]) -> tuple[Any, Any]:
        """Key points and descriptors."""
        return cv2.SIFT.create().detectAndCompute(gray, None)

    def prepare(self, descriptors: NDArray[Any]) -> Any:
        """What is kept of the descriptors of a picture."""
        return descriptors

    def match(self, query: NDArray[Any], prepared: Any) -> list[tuple[int, int]]:
        """Good matches."""
        return pass_ratio(cv2.BFMatcher(cv2.NORM_L2).knnMatch(query, prepared, k=2), 0.75)


class SiftFlann(SiftExact):
    """The faster: approximate neighbours."""

    name = "sift-flann"
    settings = (
        "as sift-exact, with FLANN instead of BFMatcher: 5 k-d trees for each picture, 50 checks"
    )

    def prepare(self, descriptors: NDArray[Any]) -> Any:
        """A trained matcher, made once."""
        matcher = cv2.FlannBasedMatcher({"algorithm": 1, "trees": 5}, {"checks": 50})
        matcher.add([descriptors])
        matcher.train()
        return matcher

    def match(self, query: NDArray[Any], prepared: Any) -> list[tuple[int, int]]:
        """Good matches."""
        return pass_ratio(prepared.knnMatch(query, k=2), 0.75)


class Orb(Exhaustive):
    """The faster feature."""

    name = "orb"
    settings = (
        "ORB (2000 features, 1024 px), BFMatcher Hamming 2 neighbours in each picture, ratio 0.75, "
        "findHomography USAC_MAGSAC 5 px"
    )

    def detect(self, gray: NDArray[Any]) -> tuple[Any, Any]:
        """Key points and descriptors."""
        return cv2.ORB.create(2000).detectAndCompute(gray, None)

    def prepare(self, descriptors: NDArray[Any]) -> Any:
        """What is kept of the descriptors of a picture."""
        return descriptors

    def match(self, query: NDArray[Any], prepared: Any) -> list[tuple[int, int]]:
        """Good matches."""
        return pass_ratio(cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(query, prepared, k=2), 0.75)


class OpencvWords(System):
    """OpenCV's own bag of words."""

    name = "opencv-bow"
    settings = (
        "SIFT (defaults, 1024 px), BOWKMeansTrainer 1000 words, "
        "BOWImgDescriptorExtractor with FLANN, histogram intersection"
    )
    trained = True
    words = 1000

    def __init__(self, work: Path) -> None:
        """Find the classes: OpenCV 5 moved them."""
        super().__init__(work)
        self.module: Any = cv2 if hasattr(cv2, "BOWKMeansTrainer") else cv2.xfeatures2d
        self.sift = cv2.SIFT.create()
        self.extractor = self.module.BOWImgDescriptorExtractor(
            self.sift, cv2.FlannBasedMatcher({"algorithm": 1, "trees": 5}, {"checks": 50})
        )

    def version(self) -> str:
        """Version of the package."""
        return cv2.__version__

    def train(self, pictures: list[str]) -> None:
        """Words of the 200 strongest features of each of 300 pictures."""
        sift = cv2.SIFT.create(200)
        found = in_threads(
            lambda path: sift.detectAndCompute(read(path, cv2.IMREAD_GRAYSCALE), None)[1],
            select_by_grid(pictures, 300),
        )
        criteria = (cv2.TERM_CRITERIA_MAX_ITER + cv2.TERM_CRITERIA_EPS, 20, 1e-3)
        trainer = self.module.BOWKMeansTrainer(self.words, criteria, 1, cv2.KMEANS_PP_CENTERS)
        self.extractor.setVocabulary(
            trainer.cluster(
                np.vstack([descriptors for descriptors in found if descriptors is not None])
            )
        )

    def describe(self, path: str) -> NDArray[np.float32]:
        """The histogram of a picture."""
        gray = read(path, cv2.IMREAD_GRAYSCALE)
        histogram = self.extractor.compute(gray, self.sift.detect(gray, None))
        return np.zeros(self.words, np.float32) if histogram is None else histogram[0]

    def build(self, paths: list[str]) -> None:
        """Keep all histograms in memory."""
        self.paths = paths
        self.histograms = np.array([self.describe(path) for path in paths])

    def rank(self, question: Question) -> list[str]:
        """The pictures that share words, by what the histograms have in common."""
        shared = np.minimum(self.histograms, self.describe(question.path)).sum(axis=1)
        return best_first(
            [path for path, share in zip(self.paths, shared, strict=True) if share],
            -shared[shared > 0],
        )

    def size(self) -> int:
        """Bytes of the histograms."""
        return self.histograms.nbytes


class Colours(System):
    """Colour histograms."""

    name = "colour"
    settings = "HSV histogram of 16 x 8 x 8, compareHist Bhattacharyya"

    def version(self) -> str:
        """Version of the package."""
        return cv2.__version__

    def describe(self, path: str) -> NDArray[np.float32]:
        """The histogram of a picture."""
        pixels = cv2.cvtColor(read(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2HSV)
        histogram = cv2.calcHist([pixels], [0, 1, 2], None, [16, 8, 8], [0, 180, 0, 256, 0, 256])
        return np.asarray(histogram.ravel() / histogram.sum(), np.float32)

    def build(self, paths: list[str]) -> None:
        """Keep all histograms in memory."""
        self.paths = paths
        self.histograms = in_threads(self.describe, paths)

    def rank(self, question: Question) -> list[str]:
        """All pictures by distance."""
        clock = time.perf_counter()
        query = self.describe(question.path)
        self.extraction = time.perf_counter() - clock
        return best_first(
            self.paths,
            (cv2.compareHist(query, each, cv2.HISTCMP_BHATTACHARYYA) for each in self.histograms),
        )

    def size(self) -> int:
        """Bytes of the histograms."""
        return sum(each.nbytes for each in self.histograms)
