"""The systems that compare.py runs: bovw, what people write themselves, and other packages.

Each is given the database as files and a query as a file, and may use all cores. Where a package documents how to search, it
is done in that way. Settings that were compared (ratios, RANSAC or MAGSAC, distances, bins, hashes, the features of pimmi,
verification in COLMAP) are those that found the most on 30 to 200 of the development pictures; the rest is as documented.
A rival whose package is absent raises ImportError when it is made.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import cv2
import joblib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from bovw import ImageIndex, SearchOptions
from bovw.version import __version__

Item = TypeVar("Item")
Result = TypeVar("Result")

# The longest side that local features are extracted at, as in bovw.
SIDE = 1024
# So many pictures are asked for, where that can be said: up to 58 answers are left out when a query is scored.
DEPTH = 60


@dataclass(frozen=True)
class Question:
    """A query as a system gets it: the file, and whether it is a part of what is sought. Only bovw has a use for the latter."""

    path: str
    crop: bool


class System(ABC):
    """A system under comparison.

    Attributes:
        name: of the system, as --systems takes it.
        settings: in words.
        sampled: too slow for all queries.
        trained: has a vocabulary to train, in `train`.
        extraction: seconds that the last query spent on reading and features; NaN where that cannot be told.
        uncounted: seconds of the last query that the system's interface wastes and its search would not need.
    """

    name: str
    settings: str
    sampled = False
    trained = False

    def __init__(self, work: Path) -> None:
        """`work` is an empty folder for what the system writes."""
        self.work = work
        self.extraction = math.nan
        self.uncounted = 0.0

    @abstractmethod
    def version(self) -> str:
        """Version of the package."""

    def train(self, pictures: list[str]) -> None:
        """Train a vocabulary on pictures that are in no database."""
        raise NotImplementedError

    @abstractmethod
    def build(self, paths: list[str]) -> None:
        """Make the index of the database."""

    @abstractmethod
    def rank(self, question: Question) -> list[str]:
        """The pictures of the database, best first: all or as many as the system finds."""

    @abstractmethod
    def size(self) -> int:
        """Bytes of the index, on disk where the system keeps it there, else in memory."""


def in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The function of each item, on all cores; for functions that leave the interpreter."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, items))


def in_processes(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The function of each item, on all cores; for functions that are written in Python."""
    results: list[Result] = joblib.Parallel(n_jobs=os.cpu_count())(joblib.delayed(function)(item) for item in items)
    return results


def best_first(paths: list[str], distances: Iterable[Any]) -> list[str]:
    """The paths by distance; ties go by path."""
    return [path for _, path in sorted(zip(distances, paths, strict=True))]


def read(path: str, flags: int) -> NDArray[Any]:
    """The pixels of a file, upright, at most SIDE long."""
    pixels = cv2.imread(path, flags)
    if pixels is None:
        raise OSError(f"{path}: not readable")
    shrink = SIDE / max(pixels.shape[:2])
    return cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) if shrink < 1 else pixels


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
        result = self.index.search(question.path, replace(self.options, k=DEPTH, crop=question.crop))
        self.extraction = result.seconds["read"] + result.seconds["extract"]
        return [match.image for match in result.matches]

    def size(self) -> int:
        """Bytes on disk beside the vocabulary."""
        return self.index.info().bytes


class BovwVerified(Bovw):
    """The default."""

    name = "bovw"
    settings = "as shipped: 65,536 words, Hamming embedding, mirrored as well, best 100 verified, 60 returned (default: 10)"


class BovwTfidf(Bovw):
    """The textbook baseline."""

    name = "bovw-tfidf"
    settings = "an index as that of bovw, TF-IDF cosine, not mirrored, not verified, 60 returned"
    options = SearchOptions(scoring="tfidf", verify=0, mirror=False)


class Exhaustive(System):
    """Match the query with each picture, fit a homography, count inliers: what people write themselves."""

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
        self.pictures = [(places, self.prepare(each) if len(each) > 1 else None) for places, each in features]

    def rank(self, question: Question) -> list[str]:
        """The pictures with matches, by inliers, then by matches."""
        clock = time.perf_counter()
        places, descriptors = self.extract(question.path)
        self.extraction = time.perf_counter() - clock
        found, scores = [], []
        for path, (theirs, prepared) in zip(self.paths, self.pictures, strict=True):
            good = self.match(descriptors, prepared) if len(descriptors) and prepared is not None else []
            if good:
                found.append(path)
                scores.append((-self.inliers(places, theirs, np.array(good)), -len(good)))
        return best_first(found, scores)

    def inliers(self, places: NDArray[np.float32], theirs: NDArray[np.float32], good: NDArray[np.int64]) -> int:
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
    return [(best.queryIdx, best.trainIdx) for best, second in pairs if best.distance < ratio * second.distance]


class SiftExact(Exhaustive):
    """The reference: exact neighbours."""

    name = "sift-exact"
    settings = "SIFT (defaults, 1024 px), BFMatcher 2 neighbours in each picture, ratio 0.75, findHomography USAC_MAGSAC 5 px"

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
    settings = "as sift-exact, with FLANN instead of BFMatcher: 5 k-d trees for each picture, 50 checks"

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
    settings = "ORB (2000 features, 1024 px), BFMatcher Hamming 2 neighbours in each picture, ratio 0.75, findHomography USAC_MAGSAC 5 px"

    def detect(self, gray: NDArray[Any]) -> tuple[Any, Any]:
        """Key points and descriptors."""
        return cv2.ORB.create(2000).detectAndCompute(gray, None)

    def prepare(self, descriptors: NDArray[Any]) -> Any:
        """What is kept of the descriptors of a picture."""
        return descriptors

    def match(self, query: NDArray[Any], prepared: Any) -> list[tuple[int, int]]:
        """Good matches."""
        return pass_ratio(cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(query, prepared, k=2), 0.75)


def spread(items: list[Item], count: int) -> list[Item]:
    """So many of the items, evenly spread."""
    return [items[place * len(items) // count] for place in range(count)] if count < len(items) else items


class OpencvWords(System):
    """OpenCV's own bag of words."""

    name = "opencv-bow"
    settings = "SIFT (defaults, 1024 px), BOWKMeansTrainer 1000 words, BOWImgDescriptorExtractor with FLANN, histogram intersection"
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
        found = in_threads(lambda path: sift.detectAndCompute(read(path, cv2.IMREAD_GRAYSCALE), None)[1], spread(pictures, 300))
        criteria = (cv2.TERM_CRITERIA_MAX_ITER + cv2.TERM_CRITERIA_EPS, 20, 1e-3)
        trainer = self.module.BOWKMeansTrainer(self.words, criteria, 1, cv2.KMEANS_PP_CENTERS)
        self.extractor.setVocabulary(trainer.cluster(np.vstack([descriptors for descriptors in found if descriptors is not None])))

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
        return best_first([path for path, share in zip(self.paths, shared, strict=True) if share], -shared[shared > 0])

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
        return best_first(self.paths, (cv2.compareHist(query, each, cv2.HISTCMP_BHATTACHARYYA) for each in self.histograms))

    def size(self) -> int:
        """Bytes of the histograms."""
        return sum(each.nbytes for each in self.histograms)


def perceptual_hash(path: str) -> Any:
    """The hash of a picture by imagehash. At the top level, for other processes."""
    return import_module("imagehash").phash(ImageOps.exif_transpose(Image.open(path)), hash_size=8)


def crop_resistant_hash(path: str) -> Any:
    """The hashes of the segments of a picture by imagehash. At the top level, for other processes."""
    return import_module("imagehash").crop_resistant_hash(ImageOps.exif_transpose(Image.open(path)))


class PerceptualHash(System):
    """The DCT hash of imagehash."""

    name = "imagehash-phash"
    settings = "phash of 8 x 8, Hamming distance"

    def __init__(self, work: Path) -> None:
        """Needs imagehash."""
        super().__init__(work)
        import_module("imagehash")

    def version(self) -> str:
        """Version of the package."""
        return version("ImageHash")

    def describe(self, path: str) -> Any:
        """The hash of a picture."""
        return perceptual_hash(path)

    def build(self, paths: list[str]) -> None:
        """Keep all hashes in memory."""
        self.paths = paths
        self.hashes = in_processes(perceptual_hash, paths)

    def rank(self, question: Question) -> list[str]:
        """All pictures by the distance that the package defines."""
        clock = time.perf_counter()
        query = self.describe(question.path)
        self.extraction = time.perf_counter() - clock
        return best_first(self.paths, (query - each for each in self.hashes))

    def size(self) -> int:
        """Bytes of the hashes, packed."""
        return sum(each.hash.size // 8 for each in self.hashes)


class CropResistantHash(PerceptualHash):
    """The hash of imagehash that is meant for crops."""

    name = "imagehash-crop"
    # The example of its README has 1000 x 1000, which takes 5 s a picture instead of 0.3 s: not compared.
    settings = "crop_resistant_hash (defaults: segments of at least 500 pixels at 300 x 300), its own distance"

    def describe(self, path: str) -> Any:
        """The hashes of the segments of a picture."""
        return crop_resistant_hash(path)

    def build(self, paths: list[str]) -> None:
        """Keep all hashes in memory."""
        self.paths = paths
        self.hashes = in_processes(crop_resistant_hash, paths)

    def size(self) -> int:
        """Bytes of the hashes, packed."""
        return sum(part.hash.size // 8 for each in self.hashes for part in each.segment_hashes)


class Imagededup(System):
    """The wavelet hash of imagededup. The package wants PyTorch, which is not used here."""

    name = "imagededup"
    settings = "WHash, Hamming distance (found more than PHash, DHash and AHash)"

    def __init__(self, work: Path) -> None:
        """Needs imagededup, and that needs torch and torchvision."""
        super().__init__(work)
        self.hasher = import_module("imagededup.methods").WHash(verbose=False)

    def version(self) -> str:
        """Version of the package."""
        return version("imagededup")

    def build(self, paths: list[str]) -> None:
        """Keep all hashes in memory."""
        self.paths = paths
        self.hashes = in_threads(self.hasher.encode_image, paths)

    def rank(self, question: Question) -> list[str]:
        """All pictures by the distance that the package defines."""
        clock = time.perf_counter()
        query = self.hasher.encode_image(question.path)
        self.extraction = time.perf_counter() - clock
        return best_first(self.paths, (self.hasher.hamming_distance(query, each) for each in self.hashes))

    def size(self) -> int:
        """Bytes of the hashes, packed."""
        return 8 * len(self.hashes)


class Pimmi(System):
    """SIFT in faiss, with geometric verification."""

    name = "pimmi"
    settings = (
        "index and search as in its README (IVF1024,Flat, 1000 neighbours, ratio 0.8); SIFT contrast 0.04, 3 layers, 2000 features, 1023 px"
    )

    def __init__(self, work: Path) -> None:
        """Needs pimmi."""
        super().__init__(work)
        os.environ.setdefault("TQDM_DISABLE", "1")  # no progress bars
        multiprocessing.set_start_method(None, force=True)  # pimmi insists on setting it
        self.pimmi: Any = import_module("pimmi.pimmi")
        self.options: Any = import_module("pimmi.cli.config").parameters
        self.options.set_config_as_attributes(self.options.load_config_file(Path(str(self.pimmi.__file__)).parent / "cli" / "config.yml"))
        # Its own defaults (512 pixels, 1 layer, contrast 0.1) found half as many pictures.
        chosen = {"sift_max_image_dimension": 1023, "sift_nfeatures": 2000, "sift_nOctaveLayers": 3, "sift_contrastThreshold": 0.04}
        for field, value in {**chosen, "query_dist_ratio_threshold": 0.8, "nb_threads": os.cpu_count()}.items():
            setattr(self.options, field, value)
        self.pimmi.logger.setLevel("WARNING")
        fields = ("nfeatures", "nOctaveLayers", "contrastThreshold", "edgeThreshold", "sigma")
        settings = [getattr(self.options, f"sift_{field}") for field in fields]
        self.sift = import_module("pimmi.toolbox").Sift(*settings, self.options.nb_threads)

    def version(self) -> str:
        """Version of the package."""
        return f"{version('pimmi')} (faiss {version('faiss-cpu')})"

    def build(self, paths: list[str]) -> None:
        """Make the index in memory."""
        self.index = self.pimmi.create_index_mt(self.options.index_type, paths, "/", self.sift, verbose=False)

    def rank(self, question: Question) -> list[str]:
        """The pictures with matches, by inliers."""
        found = self.pimmi.query_index_extract_single_image(self.index, question.path, question.path, self.sift)
        kept = sorted((-image.nb_match_ransac, -image.nb_match_total, "/" + image.result_path) for image in found if image.keep)
        return [path for _, _, path in kept]

    def size(self) -> int:
        """Bytes of its two files."""
        names = [str(self.work / name) for name in ("index.faiss", "index.meta")]
        self.pimmi.save_index(self.index, *names)
        return sum(Path(name).stat().st_size for name in names)


class Colmap(System):
    """The vocabulary tree of COLMAP, with its own SIFT."""

    name = "pycolmap"
    settings = "COLMAP SIFT (1024 px), VisualIndex with 16,384 words, VocabTreePairGenerator, best 100 spatially verified"
    trained = True
    words = 16384
    # COLMAP numbers the pictures of a database from 1; those of the index lie above, so that one query can be number 1.
    first = 1000

    def __init__(self, work: Path) -> None:
        """Needs pycolmap."""
        super().__init__(work)
        self.colmap = import_module("pycolmap")
        self.colmap.logging.minloglevel = 2
        self.extractor = self.colmap.FeatureExtractionOptions(max_image_size=SIDE)

    def version(self) -> str:
        """Version of the package."""
        return version("pycolmap")

    def extract(self, paths: list[str], name: str) -> Path:
        """A database of COLMAP with the features of pictures."""
        database = self.work / name
        database.unlink(missing_ok=True)
        mode, device = self.colmap.CameraMode.PER_IMAGE, self.colmap.Device.cpu
        names = [path.lstrip("/") for path in paths]
        self.colmap.extract_features(database, "/", names, mode, extraction_options=self.extractor, device=device)
        return database

    def train(self, pictures: list[str]) -> None:
        """Words of the features of 200 pictures."""
        with self.colmap.Database.open(self.extract(spread(pictures, 200), "train.db")) as database:
            descriptors = [database.read_descriptors(image.image_id).to_float().data for image in database.read_all_images()]
        options = self.colmap.VisualIndex.BuildOptions(num_visual_words=self.words, num_iterations=10, num_rounds=1)
        self.index = self.colmap.VisualIndex.create(128, 64)
        self.index.build(options, self.colmap.FeatureDescriptorsFloat(self.colmap.FeatureExtractorType.SIFT, np.vstack(descriptors)))

    def build(self, paths: list[str]) -> None:
        """Index the pictures, and write the index, as only files can be searched."""
        options = self.colmap.VisualIndex.IndexOptions()
        self.paths = {}
        with self.colmap.Database.open(self.extract(paths, "pictures.db")) as database:
            for image in database.read_all_images():
                number = self.first + image.image_id
                self.paths[number] = "/" + image.name
                rows = database.read_keypoints(image.image_id).tolist()
                fields = ("x", "y", "a11", "a12", "a21", "a22")
                points = [self.colmap.FeatureKeypoint(**dict(zip(fields, row, strict=True))) for row in rows]
                descriptors = database.read_descriptors(image.image_id).to_float()
                self.index.add(options, number, self.colmap.FeatureKeypoints(points), descriptors)
        self.index.prepare()
        self.index.write(self.work / "index.bin")

    def rank(self, question: Question) -> list[str]:
        """The best of the pictures. `VisualIndex.query` gives no results to Python, so this asks for pairs with the query."""
        clock = time.perf_counter()
        path = self.extract([question.path], "query.db")
        self.extraction = time.perf_counter() - clock
        options = self.colmap.VocabTreePairingOptions(num_images=100, num_images_after_verification=100)
        options.vocab_tree_path = self.work / "index.bin"
        with self.colmap.Database.open(path) as database:
            clock = time.perf_counter()
            generator = self.colmap.VocabTreePairGenerator(options, database, [1])
            self.uncounted = time.perf_counter() - clock  # it reads the index from disk and adds the query to it
            return [self.paths[number] for _, number in generator.next() if number in self.paths]

    def size(self) -> int:
        """Bytes of the index on disk."""
        return (self.work / "index.bin").stat().st_size


SYSTEMS: list[type[System]] = [
    BovwVerified,
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
