"""Find the picture that a crop, a detail or a distorted copy came from: classical image search with
visual words.

    from bovw import ImageIndex

    with ImageIndex.open_or_create("photos.bovw") as index:
        index.add(["photos"])
        result = index.search("crop.jpg", crop=True)

Names are imported when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .cluster.cluster_index import ClusterIndex
    from .duplicates.finding import find_duplicates
    from .duplicates.options import DuplicateOptions
    from .duplicates.relation import Relation
    from .duplicates.report import (
        DuplicateGroup,
        DuplicateImage,
        DuplicateReport,
        GroupMember,
    )
    from .errors import (
        BovwError,
        BusyError,
        ClusterError,
        EvaluationError,
        ImageError,
        ImageIndexError,
        IncompatibleError,
        IndexClosedError,
        IndexCorruptError,
        IndexExistsError,
        IndexLockedError,
        IndexMissingError,
        IndexVersionError,
        MissingLibraryError,
        NetworkError,
        OutputError,
        ParameterError,
        ShardMissingError,
        VocabularyError,
    )
    from .evaluation.run import evaluate
    from .evaluation.scores import Evaluation, SetScores
    from .evaluation.synthetic import make_synthetic_queries
    from .evaluation.truth import GroundTruth, Query, read_queries
    from .experiments.cifar import unpack_cifar
    from .experiments.labels import labelled_truth, read_labels
    from .experiments.modes import ModeScores, evaluate_modes
    from .features.local import FeatureSpec
    from .features.training import TrainingReport, train_vocabulary
    from .features.vocabulary import Vocabulary
    from .geometry.difference import Difference
    from .image_index import ImageIndex
    from .index.check import CheckReport, Damage, check_index
    from .index.record import FileStamp, ImageRecord
    from .index.removal import RemoveReport
    from .index.update import AddReport
    from .index.upgrade import UpgradeReport
    from .networks.embedder import Embedder
    from .networks.model import load_embedder
    from .networks.text import TextEncoder
    from .overview.clusters import ImageCluster, ImageClusters, cluster_images
    from .overview.maps import ImageMap, map_images
    from .overview.projection import Trust
    from .pictures.reading import Limits
    from .reporting import Failure
    from .search.comparison import Comparison, compare_pictures
    from .search.drawing import draw_comparison, draw_match, save_picture
    from .search.match import Match
    from .search.options import SearchOptions
    from .search.result import SearchResult
    from .searcher import IndexInfo, Searcher, SearchRequest
    from .similarity.result import SimilarImage, SimilarResult
    from .similarity.searcher import SimilarSearcher
    from .similarity.similar import find_similar, find_similar_to_text

__all__ = [
    "AddReport",
    "BovwError",
    "BusyError",
    "CheckReport",
    "ClusterError",
    "ClusterIndex",
    "Comparison",
    "Damage",
    "Difference",
    "DuplicateGroup",
    "DuplicateImage",
    "DuplicateOptions",
    "DuplicateReport",
    "Embedder",
    "Evaluation",
    "EvaluationError",
    "Failure",
    "FeatureSpec",
    "FileStamp",
    "GroundTruth",
    "GroupMember",
    "ImageCluster",
    "ImageClusters",
    "ImageError",
    "ImageIndex",
    "ImageIndexError",
    "ImageMap",
    "ImageRecord",
    "IncompatibleError",
    "IndexClosedError",
    "IndexCorruptError",
    "IndexExistsError",
    "IndexInfo",
    "IndexLockedError",
    "IndexMissingError",
    "IndexVersionError",
    "Limits",
    "Match",
    "MissingLibraryError",
    "ModeScores",
    "NetworkError",
    "OutputError",
    "ParameterError",
    "Query",
    "Relation",
    "RemoveReport",
    "SearchOptions",
    "SearchRequest",
    "SearchResult",
    "Searcher",
    "SetScores",
    "ShardMissingError",
    "SimilarImage",
    "SimilarResult",
    "SimilarSearcher",
    "TextEncoder",
    "TrainingReport",
    "Trust",
    "UpgradeReport",
    "Vocabulary",
    "VocabularyError",
    "__version__",
    "check_index",
    "cluster_images",
    "compare_pictures",
    "draw_comparison",
    "draw_match",
    "evaluate",
    "evaluate_modes",
    "find_duplicates",
    "find_similar",
    "find_similar_to_text",
    "labelled_truth",
    "load_embedder",
    "make_synthetic_queries",
    "map_images",
    "read_labels",
    "read_queries",
    "save_picture",
    "train_vocabulary",
    "unpack_cifar",
]

HOMES = {
    "cluster.cluster_index": ("ClusterIndex",),
    "duplicates.finding": ("find_duplicates",),
    "duplicates.options": ("DuplicateOptions",),
    "duplicates.relation": ("Relation",),
    "duplicates.report": ("DuplicateGroup", "DuplicateImage", "DuplicateReport", "GroupMember"),
    "errors": tuple(name for name in __all__ if name.endswith("Error")),
    "evaluation.run": ("evaluate",),
    "evaluation.scores": ("Evaluation", "SetScores"),
    "evaluation.synthetic": ("make_synthetic_queries",),
    "evaluation.truth": ("GroundTruth", "Query", "read_queries"),
    "features.local": ("FeatureSpec",),
    "features.training": ("TrainingReport", "train_vocabulary"),
    "features.vocabulary": ("Vocabulary",),
    "geometry.difference": ("Difference",),
    "image_index": ("ImageIndex",),
    "index.check": ("CheckReport", "Damage", "check_index"),
    "index.record": ("FileStamp", "ImageRecord"),
    "index.removal": ("RemoveReport",),
    "index.update": ("AddReport",),
    "index.upgrade": ("UpgradeReport",),
    "networks.embedder": ("Embedder",),
    "networks.model": ("load_embedder",),
    "networks.text": ("TextEncoder",),
    "pictures.reading": ("Limits",),
    "reporting": ("Failure",),
    "search.comparison": ("Comparison", "compare_pictures"),
    "search.drawing": ("draw_comparison", "draw_match", "save_picture"),
    "search.match": ("Match",),
    "search.options": ("SearchOptions",),
    "search.result": ("SearchResult",),
    "searcher": ("IndexInfo", "SearchRequest", "Searcher"),
    "similarity.searcher": ("SimilarSearcher",),
    "experiments.cifar": ("unpack_cifar",),
    "experiments.labels": ("labelled_truth", "read_labels"),
    "experiments.modes": ("ModeScores", "evaluate_modes"),
    "similarity.result": ("SimilarImage", "SimilarResult"),
    "similarity.similar": ("find_similar", "find_similar_to_text"),
    "overview.clusters": ("ImageCluster", "ImageClusters", "cluster_images"),
    "overview.maps": ("ImageMap", "map_images"),
    "overview.projection": ("Trust",),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    for module, names in HOMES.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return __all__
