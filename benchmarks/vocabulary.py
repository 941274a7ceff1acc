"""Whether more words make searches of large collections cheaper without finding less.

Vocabularies of the sizes that --ask names are trained on the training pictures, beside the one that
ships. Indexes of all of them get the same features and grow by distractors (distractors.py) to
--sizes images. All times are processor time of one thread, in milliseconds. For each vocabulary:
what finding the nearest words takes, and how often they are the true ones. For each size of the
collection and each setting (words, nearest words a feature): the postings that a query of 500
features meets, how many of them are close, and what the steps take. At the last size: what a sample
of the queries of each set finds. Vocabularies and indexes stay in --work and are used again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from collection import Collection
from distractors import Donors
from numpy.typing import NDArray
from scale import ReadyQuery, grow, sized

from bovw import FeatureSpec, ImageError, ImageIndex, SearchOptions, Vocabulary
from bovw.evaluation.run import score_answer
from bovw.evaluation.scores import FALSE_ALARM, VERIFIED
from bovw.evaluation.truth import Query
from bovw.features.encoding import QUERY_CELLS, encode_all
from bovw.features.local import extract
from bovw.features.threads import one_blas_thread
from bovw.features.training import build, sample_descriptors
from bovw.index.record import FileStamp, ImageRecord
from bovw.index.segment_writer import IndexedImage
from bovw.pictures.reading import LIMITS, load_picture
from bovw.search.query import encode_variants, extract_query
from bovw.search.scan import scan

BATCH = 256
SEED = 0
# More than any picture has: training takes all descriptors of a picture.
ALL_FEATURES = 4000
# Neither saturated nor too few, and of all kinds.
SETS = (
    *("crop10", "crop05", "crop02", "crop10-turned90-large", "crop25-tiny", "pasted"),
    *("objects", "packages", "labels", "landmarks", "scenes"),
)
MEASURES = ("Success@1", "R@100", VERIFIED, FALSE_ALARM, "inliers", "cpu ms")
STEPS = ("quantise", "scan", "all")
T = TypeVar("T")


@dataclass(frozen=True)
class Setting:
    """How is asked: with a vocabulary of so many words, and so many nearest ones a feature."""

    words: int
    words_per_feature: int

    @classmethod
    def parse(cls, text: str) -> Setting:
        """From a text such as 65536x4."""
        words, per_feature = text.split("x")
        return cls(int(words), int(per_feature))

    def __str__(self) -> str:
        return f"{self.words:,} words, {self.words_per_feature} a feature"

    @property
    def options(self) -> SearchOptions:
        """The options of a search."""
        return SearchOptions(k=100, words_per_feature=self.words_per_feature)


def timed(work: Callable[..., T], *arguments: object) -> tuple[float, T]:
    """Milliseconds of processor time that some work takes, and what it gives."""
    clock = time.process_time()
    result = work(*arguments)
    return (time.process_time() - clock) * 1e3, result


def vocabularies(collection: Collection, sizes: Iterable[int]) -> dict[int, Vocabulary]:
    """A vocabulary of each size: the shipped one if it has as many words, else one that is trained
    on all descriptors of the training pictures, however few a word that are.
    """
    found = {}
    for words in sizes:
        folder = collection.work / "vocabularies" / str(words)
        if words == len(Vocabulary.shipped()):
            found[words] = Vocabulary.shipped()
            continue
        if not (folder / "vocabulary.json").exists():
            sample = descriptors(collection)
            clock = time.process_time()
            vocabulary, counts = build(sample, words, FeatureSpec(), SEED)
            shares = counts / counts.sum()
            print(
                f"{words:,} words: trained on {len(sample):,} descriptors in "
                f"{time.process_time() - clock:.0f} s, {(counts == 0).sum():,} never used, "
                f"imbalance {len(counts) * (shares**2).sum():.2f}"
            )
            vocabulary.save(folder)
        found[words] = Vocabulary.load(folder)
    return found


def descriptors(collection: Collection) -> NDArray[Any]:
    """All descriptors of the training pictures, shuffled, made once."""
    file = collection.work / "vocabularies" / "descriptors.npy"
    if not file.exists():
        pictures = collection.training or collection.images
        spec, most = FeatureSpec(max_features=ALL_FEATURES), ALL_FEATURES * len(pictures)
        sample, _, _ = sample_descriptors(pictures, spec, most, SEED, 0, LIMITS)
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, sample)
    kept: NDArray[Any] = np.load(file)
    return kept[np.random.default_rng(SEED).permutation(len(kept))]


def word_costs(vocabulary: Vocabulary, queries: list[ReadyQuery]) -> dict[str, float]:
    """What the nearest words of some queries cost, and how many of them are the true ones."""
    layout_ms, _ = timed(getattr, replace(vocabulary), "_search")
    points = [query.features.features.descriptors for query in queries]
    spent = [timed(vocabulary.nearest, each, 4, QUERY_CELLS)[0] for each in points]
    looked_at = np.concatenate([each[::10] for each in points])
    found = vocabulary.nearest(looked_at, 4, QUERY_CELLS)
    true = vocabulary.nearest(looked_at, 4, len(vocabulary.cells))
    return {
        "layout_ms": round(layout_ms, 1),
        "nearest_ms": round(float(np.median(spent)), 2),
        "true_first": round(float((found[:, 0] == true[:, 0]).mean()), 4),
        "true_four": round(float((found[:, :, None] == true[:, None, :]).any(axis=2).mean()), 4),
    }


def real_indexes(
    pictures: list[str], known: dict[int, Vocabulary], folder: Path
) -> dict[int, Path]:
    """An index of some pictures with each vocabulary; a picture is extracted once for all."""
    paths = {words: folder / f"words-{words}.bovw" for words in known}
    missing = [words for words, path in paths.items() if not path.exists()]
    left = iter(pictures if missing else [])
    with ExitStack() as stack:
        indexes = {
            words: stack.enter_context(
                ImageIndex.create(paths[words], known[words], picture_root="/")
            )
            for words in missing
        }
        while chunk := list(islice(left, BATCH)):
            features = []
            for path in chunk:
                try:
                    features.append((path, extract(load_picture(path, 1024), FeatureSpec())))
                except ImageError as error:
                    print(f"left out: {error}", file=sys.stderr)
            for words, index in indexes.items():
                encoded = encode_all([each for _, each in features], known[words])
                batch = [
                    IndexedImage(
                        ImageRecord(path, *image.size, "0" * 64, FileStamp(path, 1, 1)), image
                    )
                    for (path, _), image in zip(features, encoded, strict=True)
                    if len(image)
                ]
                with index._writer(wait=False) as writer:
                    writer.commit(batch)
        for index in indexes.values():
            index.merge()
    return paths


def grown_index(real: ImageIndex, path: Path, target: set[str], size: int) -> ImageIndex:
    """An index of so many images, the real ones among them, in one segment; it is kept."""
    if not path.exists():
        ImageIndex.create(path, real.vocabulary, picture_root="/").close()
    index = ImageIndex.open(path)
    if len(index) < size:
        grow(index, Donors(real, target), size)
        index.merge()
    return index


def sample_queries(collection: Collection, count: int) -> list[Query]:
    """Up to so many queries of each set, evenly chosen."""
    sets: dict[str, list[Query]] = defaultdict(list)
    for query in collection.queries:
        sets[query.set].append(query)
    wanted = [name for name in sets if name in SETS] or list(sets)
    return [
        query for name in wanted for query in sets[name][:: max(1, -(-len(sets[name]) // count))]
    ]


def pictures_of(collection: Collection, queries: list[Query], count: int) -> list[str]:
    """The pictures that some queries seek, and others of the collection: so many in all."""
    pictures = [*collection.images, *collection.training]
    sought = {image for query in queries for image in query.relevant}
    others = [path for path in pictures if path not in sought]
    missing = max(count - len(sought), 0)
    chosen = sought.union(others[:: max(1, len(others) // missing)][:missing] if missing else [])
    return [path for path in pictures if path in chosen]


def search_costs(index: ImageIndex, setting: Setting, queries: list[ReadyQuery]) -> dict[str, Any]:
    """What queries of 500 features meet and take in an index: medians."""
    collection, rows = index._open_collection, []
    for query in queries * 2:
        quantise, encoded = timed(
            encode_variants, query.features, index.vocabulary, setting.options
        )
        variants = [each.encoded for each in encoded]
        scanning, hits = timed(scan, collection, variants)
        whole, _ = timed(index.search_features, query.features, setting.options)
        met = sum(
            int(segment.word_counts[each.words.ravel()].sum())
            for segment in collection.snapshot.segments
            for each in variants
        )
        rows.append((met, sum(len(each.candidate) for each in hits), quantise, scanning, whole))
    # the second round finds everything in memory
    columns = np.median(rows[len(queries) :], axis=0).tolist()
    return dict(zip(("postings", "close", *STEPS), columns, strict=True))


def recall(
    indexes: dict[int, ImageIndex], settings: list[Setting], queries: list[Query]
) -> list[list[dict[str, float]]]:
    """The measures of each query with each setting, the inliers of the best right image and the
    processor time beside extraction among them; a query is extracted once for all settings.
    """
    names = {
        words: {record.id: record.id for record in index.records()}
        for words, index in indexes.items()
    }
    rows = list[list[dict[str, float]]]()
    for done, query in enumerate(queries, 1):
        ready = extract_query(query.path, FeatureSpec())
        rows.append([])
        for setting in settings:
            options = replace(setting.options, crop=query.outline is not None)
            answer = indexes[setting.words].search_features(ready, options)
            values = score_answer(query, answer, names[setting.words], frozenset()).values
            right = [match.inliers for match in answer.matches if match.id in query.relevant]
            values |= {"inliers": max(right, default=0), "cpu ms": answer.cpu_seconds * 1e3}
            rows[-1].append(values)
        print(f"  {done} of {len(queries)} queries", end="\r", file=sys.stderr)
    return rows


def by_set(
    rows: list[list[dict[str, float]]], settings: list[Setting], queries: list[Query]
) -> dict[str, Any]:
    """The means of each set and setting, and the queries whose first answer is right with a
    setting and wrong with the first one, and the other way round.
    """
    values = np.array(
        [[[each.get(name, 0.0) for name in MEASURES] for each in row] for row in rows]
    )
    sets = np.array([query.set for query in queries])
    first = values[:, :, 0]
    return {
        "queries": {name: int((sets == name).sum()) for name in dict.fromkeys(sets.tolist())},
        "means": {
            str(setting): {
                name: values[sets == name, number].mean(axis=0).round(4).tolist()
                for name in dict.fromkeys(sets.tolist())
            }
            for number, setting in enumerate(settings)
        },
        "won": [int((first[:, number] > first[:, 0]).sum()) for number in range(len(settings))],
        "lost": [int((first[:, number] < first[:, 0]).sum()) for number in range(len(settings))],
    }


def show_costs(row: dict[str, Any], settings: list[Setting]) -> None:
    """Print what a search costs at one size of the collection."""
    names = ("postings", "close", *STEPS)
    print(f"{row['images']:<28,d} " + " ".join(f"{name:>12s}" for name in names))
    for setting in settings:
        costs = row[str(setting)]
        print(
            f"  {setting!s:26s} " + " ".join(f"{costs[name]:12,.1f}" for name in names), flush=True
        )


def show_recall(found: dict[str, Any], settings: list[Setting]) -> None:
    """Print what is found, set by set."""
    for number, measure in enumerate(MEASURES):
        print(f"{measure:28s} " + " ".join(f"{name[:8]:>8s}" for name in found["queries"]))
        for place, setting in enumerate(settings):
            means = found["means"][str(setting)].values()
            changed = f"  +{found['won'][place]} -{found['lost'][place]}"
            print(
                f"  {setting!s:26s} "
                + " ".join(f"{each[number]:8.3f}" for each in means)
                + (changed if measure == "Success@1" else "")
            )


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this part."""
    parser.add_argument(
        "--ask",
        help="settings, as words x nearest words a feature; those of as many words as the shipped "
        "vocabulary has use it (default: 65536x4,65536x2,262144x4,262144x8; with --small "
        "65536x4,1024x4)",
    )
    parser.add_argument(
        "--sizes",
        help="numbers of images, with the real ones (default: 1000,100000; with --small 10,60)",
    )
    parser.add_argument("--queries", type=int, default=24, help="of each set, at most")
    parser.add_argument(
        "--pictures", type=int, default=1000, help="real ones; those that are sought are among them"
    )


def run(collection: Collection, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the benchmark, print its tables and return them."""
    small = arguments.small
    asked = arguments.ask or ("65536x4,1024x4" if small else "65536x4,65536x2,262144x4,262144x8")
    sizes = arguments.sizes or ("10,60" if small else "1000,100000")
    settings = [Setting.parse(text) for text in asked.split(",")]
    with one_blas_thread():
        queries = sample_queries(collection, 2 if small else arguments.queries)
        known = vocabularies(collection, dict.fromkeys(each.words for each in settings))
        folder = collection.work / "vocabularies"
        pictures = pictures_of(collection, queries, arguments.pictures)
        paths = real_indexes(pictures, known, folder)
        real = {each: ImageIndex.open(path) for each, path in paths.items()}
        ready = sized(next(iter(real.values())), collection.images, 500, 2 if small else 20)
        words = {each: word_costs(vocabulary, ready) for each, vocabulary in known.items()}
        for each, costs in words.items():
            print(f"{each:,} words: {costs}", flush=True)
        target = {image for query in queries for image in query.relevant}
        rows, grown = list[dict[str, Any]](), dict[int, ImageIndex]()
        for size in map(int, sizes.split(",")):
            for index in grown.values():
                index.close()
            grown = {
                each: grown_index(index, paths[each].with_suffix(".grown"), target, size)
                for each, index in real.items()
            }
            rows.append({"images": size})
            for setting in settings:
                rows[-1][str(setting)] = search_costs(grown[setting.words], setting, ready)
            show_costs(rows[-1], settings)
        found = by_set(recall(grown, settings, queries), settings, queries)
        show_recall(found, settings)
    return {"words": words, "sizes": rows, "recall": found}
