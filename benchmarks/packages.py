"""Other packages that find pictures."""

from __future__ import annotations

import multiprocessing
import os
import time
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from systems import SIDE, Question, System, best_first, in_processes, in_threads, select_by_grid


def perceptual_hash(path: str) -> Any:
    """The hash of a picture by imagehash. At the top level, for other processes."""
    return import_module("imagehash").phash(ImageOps.exif_transpose(Image.open(path)), hash_size=8)


def crop_resistant_hash(path: str) -> Any:
    """The hashes of a picture's segments by imagehash. At the top level, for other processes."""
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
    # The example of its README has 1000 x 1000, which takes 5 s a picture instead of 0.3 s: not
    # compared.
    settings = (
        "crop_resistant_hash (defaults: segments of at least 500 pixels at 300 x 300), "
        "its own distance"
    )

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
        return best_first(
            self.paths, (self.hasher.hamming_distance(query, each) for each in self.hashes)
        )

    def size(self) -> int:
        """Bytes of the hashes, packed."""
        return 8 * len(self.hashes)


class Pimmi(System):
    """SIFT in faiss, with geometric verification."""

    name = "pimmi"
    settings = (
        "index and search as in its README (IVF1024,Flat, 1000 neighbours, ratio 0.8); "
        "SIFT contrast 0.04, 3 layers, 2000 features, 1023 px"
    )

    def __init__(self, work: Path) -> None:
        """Needs pimmi."""
        super().__init__(work)
        os.environ.setdefault("TQDM_DISABLE", "1")  # no progress bars
        multiprocessing.set_start_method(None, force=True)  # pimmi insists on setting it
        self.pimmi: Any = import_module("pimmi.pimmi")
        self.options: Any = import_module("pimmi.cli.config").parameters
        self.options.set_config_as_attributes(
            self.options.load_config_file(
                Path(str(self.pimmi.__file__)).parent / "cli" / "config.yml"
            )
        )
        # Its own defaults (512 pixels, 1 layer, contrast 0.1) found half as many pictures.
        chosen = {
            "sift_max_image_dimension": 1023,
            "sift_nfeatures": 2000,
            "sift_nOctaveLayers": 3,
            "sift_contrastThreshold": 0.04,
        }
        for field, value in {
            **chosen,
            "query_dist_ratio_threshold": 0.8,
            "nb_threads": os.cpu_count(),
        }.items():
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
        self.index = self.pimmi.create_index_mt(
            self.options.index_type, paths, "/", self.sift, verbose=False
        )

    def rank(self, question: Question) -> list[str]:
        """The pictures with matches, by inliers."""
        found = self.pimmi.query_index_extract_single_image(
            self.index, question.path, question.path, self.sift
        )
        kept = sorted(
            (-image.nb_match_ransac, -image.nb_match_total, "/" + image.result_path)
            for image in found
            if image.keep
        )
        return [path for _, _, path in kept]

    def size(self) -> int:
        """Bytes of its two files."""
        names = [str(self.work / name) for name in ("index.faiss", "index.meta")]
        self.pimmi.save_index(self.index, *names)
        return sum(Path(name).stat().st_size for name in names)


class Colmap(System):
    """The vocabulary tree of COLMAP, with its own SIFT."""

    name = "pycolmap"
    settings = (
        "COLMAP SIFT (1024 px), VisualIndex with 16,384 words, VocabTreePairGenerator, "
        "best 100 spatially verified"
    )
    trained = True
    words = 16384
    # COLMAP numbers the pictures of a database from 1; those of the index lie above, so that one
    # query can be number 1.
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
        self.colmap.extract_features(
            database, "/", names, mode, extraction_options=self.extractor, device=device
        )
        return database

    def train(self, pictures: list[str]) -> None:
        """Words of the features of 200 pictures."""
        with self.colmap.Database.open(
            self.extract(select_by_grid(pictures, 200), "train.db")
        ) as database:
            descriptors = [
                database.read_descriptors(image.image_id).to_float().data
                for image in database.read_all_images()
            ]
        options = self.colmap.VisualIndex.BuildOptions(
            num_visual_words=self.words, num_iterations=10, num_rounds=1
        )
        self.index = self.colmap.VisualIndex.create(128, 64)
        self.index.build(
            options,
            self.colmap.FeatureDescriptorsFloat(
                self.colmap.FeatureExtractorType.SIFT, np.vstack(descriptors)
            ),
        )

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
                points = [
                    self.colmap.FeatureKeypoint(**dict(zip(fields, row, strict=True)))
                    for row in rows
                ]
                descriptors = database.read_descriptors(image.image_id).to_float()
                self.index.add(options, number, self.colmap.FeatureKeypoints(points), descriptors)
        self.index.prepare()
        self.index.write(self.work / "index.bin")

    def rank(self, question: Question) -> list[str]:
        """The best of the pictures. `VisualIndex.query` gives no results to Python, so this asks
        for pairs with the query.
        """
        clock = time.perf_counter()
        path = self.extract([question.path], "query.db")
        self.extraction = time.perf_counter() - clock
        options = self.colmap.VocabTreePairingOptions(
            num_images=100, num_images_after_verification=100
        )
        options.vocab_tree_path = self.work / "index.bin"
        with self.colmap.Database.open(path) as database:
            clock = time.perf_counter()
            generator = self.colmap.VocabTreePairGenerator(options, database, [1])
            # it reads the index from disk and adds the query to it
            self.uncounted = time.perf_counter() - clock
            return [self.paths[number] for _, number in generator.next() if number in self.paths]

    def size(self) -> int:
        """Bytes of the index on disk."""
        return (self.work / "index.bin").stat().st_size
