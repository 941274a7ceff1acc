"""All ways to ask an index side by side: what finds what, at which cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..evaluation.run import evaluate
from ..evaluation.scorecard import cells_text, short
from ..evaluation.scores import ALL, Evaluation, mean_name
from ..evaluation.truth import GroundTruth
from ..image_index import ImageIndex
from ..index.columns import optional_columns
from ..networks.embedder import Embedder
from ..pictures.reading import LIMITS, Limits
from ..reporting import Progress
from ..search.options import SearchOptions
from ..similarity.mixture import FUSED, MEASURES, mixture_of
from ..similarity.searcher import SimilarSearcher
from ..similarity.whole import column_of

__all__ = ["SEARCH", "ModeScores", "default_modes", "evaluate_modes", "modes_text"]

# The mode that is `ImageIndex.search`, beside those of `find_similar`.
SEARCH = "search"
SIDE_BY_SIDE = ("Success@1", "AP", "AP(classes)@100")
AT_K = tuple(f"{name}@{k}" for k in (1, 3, 5) for name in ("P", "R", "F1"))


@dataclass(frozen=True)
class ModeScores:
    """What one way to ask found.

    Attributes:
        mode: "search", or what `find_similar` takes as `by`.
        evaluation: the outcomes.
        image_bytes: bytes that an index keeps of an image for it.

    Example:
        >>> from bovw import ImageIndex, evaluate_modes, make_synthetic_queries
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     truth, _ = make_synthetic_queries(index, "queries", sample=1)
        ...     scores = evaluate_modes(index, truth, ["search", "vlad"])
        >>> [(each.mode, round(each.image_bytes)) for each in scores][1]
        ('vlad', 256)
    """

    mode: str
    evaluation: Evaluation
    image_bytes: float

    @property
    def cpu_seconds(self) -> float:
        """Processor time of a query, reading and extraction included: the median."""
        spent = [outcome.cpu_seconds or 0.0 for outcome in self.evaluation.outcomes]
        return float(np.median(spent)) if spent else 0.0

    def means(self) -> dict[str, dict[str, float]]:
        """The mean of each measure, by the set of queries."""
        return {
            line.set: {name: rate.mean for name, rate in line.means.items()}
            for line in self.evaluation.by_set(resamples=1)
        }

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "mode": self.mode,
            "cpu_seconds": self.cpu_seconds,
            "image_bytes": self.image_bytes,
            "failed": list(map(str, self.evaluation.failed)),
            "sets": self.means(),
        }


def default_modes(index: ImageIndex, embedders: Sequence[Embedder] = ()) -> list[str]:
    """The modes that an index can be asked by, `search` first."""
    spec = index.spec
    there = {column.name for column in optional_columns(spec)}
    measures = [each for each in MEASURES if each == "words" or column_of(each) in there]
    return [SEARCH, "fused", *measures, *(embedder.name for embedder in embedders)]


def evaluate_modes(
    index: ImageIndex,
    truth: GroundTruth,
    modes: Sequence[str],
    *,
    depth: int = 1000,
    embedders: Sequence[Embedder] = (),
    jobs: int = 0,
    limits: Limits = LIMITS,
    progress: Progress | None = None,
) -> list[ModeScores]:
    """Ask the same queries in several ways.

    Args:
        modes: "search", and what `find_similar` takes as `by`.
        depth: so many images of a ranking are scored.
        embedders: those that made the embeddings that are asked for.
        jobs: processes that search; what is similar is compared in this one.
        limits: what a query may cost.
        progress: called with (stage, done, total).

    Raises:
        EvaluationError, MissingLibraryError: as `evaluate`.
        IncompatibleError, ParameterError: as `find_similar`.

    Example:
        >>> from bovw import ImageIndex, evaluate_modes, make_synthetic_queries
        >>> with ImageIndex.open("photos.bovw") as index:
        ...     truth, _ = make_synthetic_queries(index, "queries", sample=1)
        ...     search, colour = evaluate_modes(index, truth, ["search", "colour"])
        >>> search.means()["mirrored"]["Success@1"]
        1.0
    """
    options = SearchOptions(k=depth)
    embeddings = tuple(embedder.name for embedder in embedders)
    weights = [FUSED if mode == SEARCH else mixture_of(mode, embeddings) for mode in modes]
    found = []
    for mode, measures in zip(modes, weights, strict=True):
        searcher = index if mode == SEARCH else SimilarSearcher(index, mode, embedders)
        evaluation = evaluate(searcher, truth, options, jobs=jobs, limits=limits, progress=progress)
        kept = [SEARCH] if mode == SEARCH else list(measures)
        found.append(ModeScores(mode, evaluation, sum(bytes_of(index, each) for each in kept)))
    return found


def bytes_of(index: ImageIndex, measure: str) -> float:
    """Bytes of an image that a measure reads: a row of its column, or all but such rows."""
    snapshot, info = index._snapshot, index.info()
    rows = {
        column.name: np.dtype(column.dtype).itemsize * max(column.width, 1)
        for column in optional_columns(info.spec, snapshot.manifest.embeddings)
    }
    if measure in (SEARCH, "words"):
        return max(info.size_bytes / max(info.image_count, 1) - sum(rows.values()), 0.0)
    return float(rows[column_of(measure)])


def modes_text(scores: Sequence[ModeScores]) -> str:
    """Modes side by side, as tables of text."""
    means = [each.means() for each in scores]
    sets = dict.fromkeys(name for each in means for name in each)
    queries = {
        name: sum(name in (ALL, outcome.query.set) for outcome in scores[0].evaluation.outcomes)
        for name in sets
    }
    many = any("AP(classes)@100" in line for each in means for line in each.values()) and any(
        len(outcome.query.relevant) > 100 for outcome in scores[0].evaluation.outcomes
    )
    blocks = []
    for measure in SIDE_BY_SIDE if many else SIDE_BY_SIDE[:2]:
        cells = [[mean_name(measure), "queries", *(each.mode for each in scores)]]
        cells += [
            [name, f"{queries[name]:,}", *(rate(each.get(name, {}), measure) for each in means)]
            for name in sets
            if any(measure in each.get(name, {}) for each in means)
        ]
        blocks.append(cells_text(cells))
    over = ALL if ALL in sets else next(iter(sets)) if len(sets) == 1 else None
    names = AT_K if over else ()
    cells = [["mode", *names, "ms", "bytes an image"]]
    cells += [
        [
            each.mode,
            *(rate(line.get(over or "", {}), name) for name in names),
            f"{1e3 * each.cpu_seconds:.0f}",
            f"{each.image_bytes:,.0f}",
        ]
        for each, line in zip(scores, means, strict=True)
    ]
    blocks.append(cells_text(cells))
    note = "ms: median processor time of a query, reading and extraction included."
    return "\n\n".join([*blocks, note])


def rate(line: dict[str, float], measure: str) -> str:
    """A mean as text."""
    return short(line[measure], 3) if measure in line else "-"
